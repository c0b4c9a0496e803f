"""Synthetic days of the calendar's sessions, as files or as a lake of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from datetime import date, time, timedelta
from pathlib import Path

import yaml

from qmachina.cli.imports import copy_new, file_hash
from qmachina.errors import ImmutableError, SessionError
from qmachina.lake import durable
from qmachina.lake.instrument import FILE_NAME, load_instrument, require_instrument
from qmachina.lake.layout import raw_folder
from qmachina.sessions.calendar import Calendar
from qmachina.sources.synth.files import generate, session_bounds
from qmachina.sources.synth.spec import SynthSpec
from qmachina.specs.instrument import InstrumentSpec

SPEC = SynthSpec()
_HEADER = "# The synthetic index future; nothing here is traded anywhere.\n"


def sessions_of(spec: SynthSpec, first: date, n: int) -> tuple[date, ...]:
    """Return the first ``n`` sessions of the market's calendar from a date on."""
    calendar = Calendar.load(spec.instrument().calendar)
    found = calendar.sessions(first, min(calendar.last, first + timedelta(days=2 * n + 14)))[:n]
    if len(found) < n:
        raise SessionError(f"calendar {calendar.name} has no {n} sessions from {first} on")
    return found


def bounds_of(spec: SynthSpec, days: Iterable[date]) -> list[tuple[date, int, int]]:
    """Return sessions with opening and closing time; a half day lasts half as long.

    It never outlasts the exchange's early close.
    """
    calendar = Calendar.load(spec.instrument().calendar)
    found = []
    for day in days:
        _, opened, closed = session_bounds(spec, day)
        early = calendar.early_closes.get(day)
        if early is not None:
            half = (opened + closed) // 2
            limit = session_bounds(spec, day, _text(early))[2]
            closed = min(half, limit)
        found.append((day, opened, closed))
    return found


def make_days(spec: SynthSpec, out: Path, first: date, n: int) -> list[Path]:
    """Write days to a folder.

    Raises
    ------
    ImmutableError
        If a file is there with other content.
    """
    days = sessions_of(spec, first, n)
    durable.make_folder(out.resolve())
    paths = []
    # The book is carried from day to day, so all days are made even if some are there.
    with tempfile.TemporaryDirectory(prefix=".synth-", dir=out) as folder:
        for made in generate(spec, bounds_of(spec, days), Path(folder)):
            target = out / made.name
            if not target.exists():
                copy_new(made, target)
            elif file_hash(target) != file_hash(made):
                raise ImmutableError(
                    "a file of this name with other content is there",
                    subject=target,
                    remedy="Use another folder, or the seed and hours it was made with",
                )
            paths.append(target)
    return paths


def market_lake(spec: SynthSpec, lake: Path, first: date, n: int) -> list[Path]:
    """Write days into a lake's raw folder, and its ``instrument.yaml`` where it has none."""
    instrument = spec.instrument().model_copy(update={"first_date": sessions_of(spec, first, 1)[0]})
    if (lake / FILE_NAME).is_file():
        there = load_instrument(lake)
        require_instrument(there, instrument.product_type, instrument.symbol)
        instrument = there
    paths = make_days(spec, lake / raw_folder(instrument), first, n)
    write_instrument(instrument, lake / FILE_NAME)
    return paths


def write_instrument(instrument: InstrumentSpec, path: Path) -> None:
    """Write an instrument file where there is none."""
    if not path.exists():
        plain = {k: v for k, v in instrument.canonical().items() if v is not None}
        text = _HEADER + yaml.safe_dump(plain, sort_keys=False)
        partial = path.with_name(f".{path.name}.new")
        partial.unlink(missing_ok=True)
        durable.write_file(partial, text.encode())
        partial.replace(path)


def _text(moment: time) -> str:
    return f"{moment:%H:%M}"
