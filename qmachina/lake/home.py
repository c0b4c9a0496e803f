"""A home: one lake, one instrument, its calendar, its specs. Everything else is derived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from qmachina.errors import MissingError
from qmachina.lake.instrument import load_instrument
from qmachina.lake.layout import DatasetKey, Layer, raw_folder
from qmachina.lake.raw import find_raw, list_raw
from qmachina.lake.store import Lake
from qmachina.sessions.calendar import Calendar, require_session
from qmachina.specs.base import Spec
from qmachina.specs.instrument import InstrumentSpec
from qmachina.specs.library import SpecLibrary
from qmachina.specs.pipeline import PipelineSpec
from qmachina.specs.serving import ServingSpec
from qmachina.specs.silver import SilverSpec, seconds


@dataclass(frozen=True)
class Home:
    """What every command and asset works on."""

    lake: Lake
    instrument: InstrumentSpec
    calendar: Calendar
    library: SpecLibrary

    @classmethod
    def open(cls, root: Path, specs: Sequence[Path], instrument_file: Path | None = None) -> Home:
        """Open the home of a lake.

        Parameters
        ----------
        root : Path
            The lake.
        specs : sequence of Path
            Folders of authored specs; ``<lake>/specs`` comes before them.
        instrument_file : Path, optional
            Instead of the lake's ``instrument.yaml``.
        """
        instrument = load_instrument(root, instrument_file)
        library = SpecLibrary([root / "specs", *specs])
        return cls(Lake(root), instrument, Calendar.load(instrument.calendar), library)

    @property
    def root(self) -> Path:
        """The lake's folder."""
        return self.lake.root

    @property
    def pipeline(self) -> PipelineSpec:
        """The pipeline the instrument names."""
        return self.library.pipeline(self.instrument.pipeline)

    def serving(self, name: str) -> ServingSpec:
        """Return a serving spec by name, on the home's pipeline."""
        return self.library.serving(name, self.instrument.pipeline)

    def key(self, layer: Layer, dataset: str, slug: str, spec: Spec, dt: date | None) -> DatasetKey:
        """Return the address of a partition of this home's instrument."""
        return DatasetKey(
            layer=layer,
            dataset=dataset,
            product_type=self.instrument.product_type,
            symbol=self.instrument.symbol,
            spec_slug=slug,
            spec_id8=spec.id8,
            dt=dt,
        )

    def session(self, dt: date) -> date:
        """Return the date if it is a session of the instrument, else raise SessionError."""
        return require_session(self.calendar, dt)

    def raw_file(self, dt: date) -> Path:
        """Return the raw file of a date."""
        return find_raw(self.root, self.instrument, dt)

    def raw_files(self) -> tuple[tuple[Path, date | None], ...]:
        """Return all raw files with the date each name says."""
        return list_raw(self.root, self.instrument)

    @property
    def raw_folder(self) -> Path:
        """The folder raw files are dropped into."""
        return self.root / raw_folder(self.instrument)

    def bounds(self, silver: SilverSpec, dt: date) -> tuple[int | None, int | None]:
        """Return the range of bins of a date in UTC nanoseconds, None where the spec has none."""
        zone = ZoneInfo(self.instrument.time_zone)
        return (
            _local_ns(silver.start_time, dt, zone),
            _local_ns(silver.end_time, dt, zone),
        )

    def latest(self, layer: Layer, dataset: str, slug: str, spec: Spec) -> date:
        """Return the latest published date of a dataset."""
        keys = self.lake.list(layer, dataset, self.instrument.symbol, spec.id8)
        dates = [k.dt for k in keys if k.dt is not None and k.spec_slug == slug]
        if not dates:
            raise MissingError(
                f"no partition of {layer}/{dataset} {slug}-{spec.id8} exists",
                remedy=f"Materialise the asset {layer}/{dataset}",
            )
        return max(dates)


def _local_ns(time_of_day: str | None, dt: date, zone: ZoneInfo) -> int | None:
    if time_of_day is None:
        return None
    midnight = datetime(dt.year, dt.month, dt.day, tzinfo=zone)
    moment = (midnight + timedelta(seconds=seconds(time_of_day))).astimezone(UTC)
    return int(moment.timestamp()) * 1_000_000_000
