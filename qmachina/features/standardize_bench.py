"""Measure robust_standardize against the fastest peers, all in one interleaved run.

Nobody ships an exact rolling MAD, so there are two yardsticks: bottleneck's rolling *median
alone*, and the fastest exact MAD one can assemble from it. Needs the extra ``dev``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from qmachina.features.standardize import Standardizer, StandardizeSpec, robust_standardize


@dataclass(frozen=True)
class Ratio:
    """One comparison: medians over paired repetitions."""

    what: str
    ours_ns: float  # per value
    peer_ns: float
    ratio: float  # of the pairs, ours / peer


@dataclass(frozen=True)
class Live:
    """One bin of many columns at a time, microseconds a bin."""

    n_columns: int
    p50_us: float
    p99_us: float


def series(kind: str, n: int, seed: int = 0) -> NDArray[np.float64]:
    """Return a random series: ``iid``, ``ar`` (0.98), ``ticks`` (rounded) or ``walk``."""
    r = np.random.default_rng(seed)
    noise = r.normal(size=n)
    if kind == "iid":
        return noise
    if kind == "walk":
        return np.cumsum(noise)
    if kind == "ticks":
        return np.round(2.0 * noise)
    if kind == "ar":
        out = np.empty(n)
        x = 0.0
        for t in range(n):
            x = 0.98 * x + noise[t]
            out[t] = x
        return out
    raise ValueError(kind)


def against_median(n: int = 300_000, window: int = 300, repeats: int = 7) -> list[Ratio]:
    """Compare everything (z, median, scale, lambda) with bottleneck's rolling median alone."""
    import bottleneck

    spec = StandardizeSpec(window=window)
    rows = []
    for kind in ("iid", "ar", "walk", "ticks"):
        x = series(kind, n)
        ours = partial(robust_standardize, x, spec)
        peer = partial(bottleneck.move_median, x, window, min_count=spec.min_count)
        rows.append(_paired(f"rolling median alone, {kind}", n, ours, peer, repeats))
    return rows


def against_mad(n: int = 20_000, window: int = 300, repeats: int = 5) -> Ratio:
    """Compare with an exact MAD: bottleneck's rolling median, then the median of each window."""
    import bottleneck

    spec = StandardizeSpec(window=window)
    x = series("iid", n)

    def assembled() -> NDArray[np.float64]:
        medians = bottleneck.move_median(x, window)[window - 1 :]
        windows = np.lib.stride_tricks.sliding_window_view(x, window)
        return bottleneck.median(np.abs(windows - medians[:, None]), axis=1)

    ours = partial(robust_standardize, x, spec)
    return _paired("assembled exact MAD, iid", n, ours, assembled, repeats)


def live(n_columns: int = 101, window: int = 300, n_bins: int = 5_000) -> Live:
    """Measure columns that arrive one bin at a time, with full windows."""
    x = np.random.default_rng(1).normal(size=(window + n_bins, n_columns))
    standardizer = Standardizer(StandardizeSpec(window=window), n_columns)
    standardizer.advance(x[:window])
    times = []
    for t in range(window, len(x)):
        row = x[t : t + 1]
        start = time.perf_counter_ns()
        standardizer.advance(row)
        times.append(time.perf_counter_ns() - start)
    p50, p99 = np.percentile(times, [50, 99]) / 1e3
    return Live(n_columns, float(p50), float(p99))


def _paired(
    what: str,
    n: int,
    ours: Callable[[], object],
    peer: Callable[[], object],
    repeats: int,
) -> Ratio:
    # Interleaved, so that a slow moment of the machine hits both; the first pair warms up.
    pairs = [(_ns(ours), _ns(peer)) for _ in range(repeats + 1)][1:]
    return Ratio(
        what,
        statistics.median(a for a, _ in pairs) / n,
        statistics.median(b for _, b in pairs) / n,
        statistics.median(a / b for a, b in pairs),
    )


def _ns(run: Callable[[], object]) -> int:
    start = time.perf_counter_ns()
    run()
    return time.perf_counter_ns() - start
