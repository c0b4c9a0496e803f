"""Dates of the synthetic market as files, named as the vendor names them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from qmachina.errors import SpecError
from qmachina.market import DAY_NS
from qmachina.sources.synth.day import MarketState, generate_day
from qmachina.sources.synth.spec import SynthSpec
from qmachina.sources.write import write_dbn

_EPOCH = datetime(1970, 1, 1, tzinfo=ZoneInfo("UTC"))


def file_name(spec: SynthSpec, day: date) -> str:
    """Return the file's name, e.g. ``glbx-mdp3-qmz9-20260105.mbo.dbn.zst``."""
    dataset = spec.dataset.lower().replace(".", "-")
    return f"{dataset}-{spec.symbol.lower()}-{day:%Y%m%d}.mbo.dbn.zst"


def session_bounds(
    spec: SynthSpec, day: date, close_time: str | None = None
) -> tuple[date, int, int]:
    """Return a date with its session in ns since the epoch, from exchange-local times.

    Parameters
    ----------
    spec : SynthSpec
        Gives opening and closing time and zone.
    day : date
        Exchange-local date.
    close_time : str, optional
        An earlier close: a half day.
    """
    bounds = [
        (datetime.combine(day, time.fromisoformat(text), ZoneInfo(spec.time_zone)) - _EPOCH)
        for text in (spec.open_time, close_time or spec.close_time)
    ]
    open_ns, close_ns = (b // timedelta(microseconds=1) * 1000 for b in bounds)
    return day, open_ns, close_ns


def generate(
    spec: SynthSpec, sessions: Iterable[tuple[date, int, int]], out_dir: Path
) -> list[Path]:
    """Write one file a session; the book is carried from each to the next.

    Parameters
    ----------
    spec : SynthSpec
        The market.
    sessions : iterable of (date, int, int)
        UTC date of the file, opening and closing time in ns since the epoch, in order of time.
    out_dir : Path
        Folder of the files; made if missing.

    Returns
    -------
    list of Path
        The files, in order.

    Raises
    ------
    SpecError
        If the dates are not in order or a session is not inside its date.
    """
    sessions = list(sessions)
    for (earlier, *_), (later, *_) in itertools.pairwise(sessions):
        if later <= earlier:
            raise SpecError("sessions are not in order of date", found=f"{earlier}, {later}")
    out_dir.mkdir(parents=True, exist_ok=True)
    state: MarketState | None = None
    paths = []
    for day, open_ns, close_ns in sessions:
        chunks, state = generate_day(spec, day, open_ns, close_ns, state)
        midnight = open_ns // DAY_NS * DAY_NS
        path = write_dbn(
            out_dir / file_name(spec, day),
            chunks,
            dataset=spec.dataset,
            symbols={spec.symbol: spec.instrument_id},
            start_ns=midnight,
            end_ns=midnight + DAY_NS,
            dates=(day, day + timedelta(days=1)),
        )
        paths.append(path)
    return paths
