"""Raw vendor files: which lie in the lake, and which is the one of a date. Never written here."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from qmachina.errors import MissingError, SelectionError
from qmachina.lake import layout
from qmachina.specs.instrument import InstrumentSpec


def list_raw(root: Path, instrument: InstrumentSpec) -> tuple[tuple[Path, date | None], ...]:
    """Return the files of an instrument's raw folder with the date each name says.

    Parameters
    ----------
    root : Path
        The lake.
    instrument : InstrumentSpec
        Its ``product_type`` and ``root`` name the folder.

    Returns
    -------
    tuple of (Path, date or None)
        By name; None where the name says no date. Hidden files and folders are left out.
    """
    folder = root / layout.raw_folder(instrument)
    if not folder.is_dir():
        return ()
    return tuple(
        (path, layout.raw_date(path.name))
        for path in sorted(folder.iterdir())
        if path.is_file() and not path.name.startswith(".")
    )


def find_raw(root: Path, instrument: InstrumentSpec, dt: date) -> Path:
    """Return the one raw file of a date.

    Raises
    ------
    MissingError
        If there is none.
    SelectionError
        If there are several; it lists them.
    """
    found = [path for path, day in list_raw(root, instrument) if day == dt]
    folder = layout.raw_folder(instrument)
    if not found:
        raise MissingError(
            f"there is no raw file of {dt}",
            subject=folder,
            remedy=f"Put the vendor's …{dt:%Y%m%d}.mbo.dbn.zst there, or run qmachina import",
        )
    if len(found) > 1:
        raise SelectionError(
            f"there are several raw files of {dt}",
            subject=folder,
            expected="one",
            found=", ".join(path.name for path in found),
            remedy="Move all but one elsewhere",
        )
    return found[0]
