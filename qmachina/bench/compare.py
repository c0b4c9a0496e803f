"""Run contestants in turn, round after round, and compare medians within the run."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qmachina.errors import QMachinaError
from qmachina.sources.synth.day import generate_day
from qmachina.sources.synth.spec import SynthSpec

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
PEERS = PROJECT / ".peers"
DAY = date(2026, 1, 5)


@dataclass(frozen=True)
class Contestant:
    """One command of a comparison."""

    name: str
    command: tuple[str, ...]


def synthetic_records(n: int) -> tuple[NDArray, int]:
    """Return about n records of one synthetic session and its tick size."""
    per_second = 800.0  # a busy future: about 20 million events in a session
    spec = SynthSpec(events_per_s=per_second)
    opened = int(datetime(2026, 1, 5, 0, 1, tzinfo=UTC).timestamp())
    seconds = min(int(n / per_second / 1.1), 23 * 3600)
    chunks, _ = generate_day(spec, DAY, opened * 10**9, (opened + seconds) * 10**9)
    parts: list[NDArray] = []
    total = 0
    for chunk in chunks:
        parts.append(chunk.copy())
        total += len(chunk)
        if total >= n:
            break
    return np.concatenate(parts)[:n], spec.tick_size_int


def peer_python(name: str, requirement: str, say: Callable[[str], None]) -> Path:
    """Return the interpreter of a peer's environment, making it on first use."""
    folder = PEERS / name
    python = folder / "bin" / "python"
    if not python.exists():
        say(f"making {folder.relative_to(PROJECT)} with {requirement}")
        venv.create(folder, with_pip=True)
    probe = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement],
        capture_output=True,
        text=True,
        check=False,
    )
    if probe.returncode:
        raise QMachinaError("peer cannot be installed", subject=requirement, found=probe.stderr)
    return python


def measure(
    contestants: Sequence[Contestant], rounds: int, say: Callable[[str], None]
) -> dict[str, list[float]]:
    """Return records a second of each contestant in each round; every round runs all."""
    speeds: dict[str, list[float]] = {c.name: [] for c in contestants}
    for turn in range(rounds):
        first = turn % len(contestants)  # rotate, so that none always runs after the same one
        for c in (*contestants[first:], *contestants[:first]):
            done = subprocess.run(c.command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise QMachinaError("contestant failed", subject=c.name, found=done.stderr[-500:])
            result = json.loads(done.stdout.splitlines()[-1])
            speeds[c.name].append(result["records"] / result["seconds"])
            say(f"round {turn + 1} {c.name}: {speeds[c.name][-1] / 1e6:.2f} M records/s")
    return speeds


def ratios(speeds: Mapping[str, Sequence[float]], ours: str, peer: str) -> dict[str, float]:
    """Return median, minimum and maximum of ours over peer, round by round."""
    pairs = [a / b for a, b in zip(speeds[ours], speeds[peer], strict=True)]
    return {"median": statistics.median(pairs), "min": min(pairs), "max": max(pairs)}


def bench_engine(n: int, rounds: int, say: Callable[[str], None]) -> dict[str, object]:
    """Compare book and full engine with nautilus_trader's book alone."""
    python = peer_python("nautilus", "nautilus_trader==1.221.0", say)
    records, tick_size = synthetic_records(n)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.npy"
        np.save(path, records)
        ours = (sys.executable, "-m", "qmachina.bench.ours")
        contestants = (
            Contestant("book", (*ours, "book", str(path), str(tick_size))),
            Contestant("engine", (*ours, "engine", str(path), str(tick_size))),
            Contestant(
                "nautilus_trader book",
                (str(python), str(HERE / "peer_nautilus.py"), "book", str(path)),
            ),
        )
        speeds = measure(contestants, rounds, say)
    return {
        "records": len(records),
        "rounds": rounds,
        "records_per_second": {k: round(statistics.median(v)) for k, v in speeds.items()},
        "ratios": {
            f"{ours_name} / nautilus_trader book": ratios(speeds, ours_name, "nautilus_trader book")
            for ours_name in ("book", "engine")
        },
    }
