"""The one resource: the home that assets work on."""

from __future__ import annotations

import dagster as dg
from pydantic import Field

from qmachina.cli.place import Place
from qmachina.lake.home import Home


class HomeResource(dg.ConfigurableResource):
    """A lake and its instrument, opened anew by every step."""

    lake: str = Field(description="Folder of the lake.")
    instrument: str = Field(default="", description="Instrument file; empty for the lake's own.")

    @classmethod
    def find(cls) -> HomeResource:
        """Return the home that the environment names, else the project's own.

        Raises
        ------
        MissingError
            If no instrument is configured there.
        """
        place = Place.find()
        return cls(lake=str(place.lake), instrument=str(place.instrument_file or ""))

    def open(self) -> Home:
        """Open the home."""
        from pathlib import Path

        file = Path(self.instrument) if self.instrument else None
        return Place(Path(self.lake), file).open()
