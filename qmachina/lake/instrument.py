"""The instrument of a home, and the lock that keeps any other out."""

from __future__ import annotations

from pathlib import Path

from qmachina.errors import LockError, MissingError
from qmachina.sessions.calendar import Calendar
from qmachina.specs.instrument import InstrumentSpec

FILE_NAME = "instrument.yaml"


def load_instrument(root: Path, override: Path | None = None) -> InstrumentSpec:
    """Read the instrument of a home.

    Parameters
    ----------
    root : Path
        The lake; its ``instrument.yaml`` is read unless overridden.
    override : Path, optional
        Another file, from the command line or the environment.

    Raises
    ------
    MissingError
        If there is no such file.
    SpecError
        If it is not an instrument.
    SessionError
        If its calendar is unknown.
    """
    path = root / FILE_NAME if override is None else override
    if not path.is_file():
        raise MissingError(
            "no instrument is configured: the file does not exist",
            subject=path,
            remedy="Write it, or name another with --instrument",
        )
    instrument = InstrumentSpec.from_yaml(path)
    Calendar.load(instrument.calendar)
    return instrument


def require_instrument(instrument: InstrumentSpec, product_type: str, symbol: str) -> None:
    """Refuse anything that concerns another instrument than the home's.

    Raises
    ------
    LockError
        Naming both.
    """
    if (product_type, symbol) != (instrument.product_type, instrument.symbol):
        raise LockError(
            "this home is locked to another instrument",
            expected=f"{instrument.product_type} {instrument.symbol}",
            found=f"{product_type} {symbol}",
            remedy="Use the home of that instrument, or another --instrument file",
        )
