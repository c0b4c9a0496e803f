"""The path as a long and as a short position see it.

Prices are doubled to half-ticks, so that mids and half-tick barriers stay integers, and negated
for shorts, so that up is always good. Every rule is then written once, and the mirror law holds
by construction. Which prices they are (touch or mid) is decided here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qmachina.evaluation.prices import Path
from qmachina.specs.evaluation import EvaluatorSpec, bins_of

LONG, SHORT = 0, 1

#: What one side sees of one bin, half-ticks, up is good.
LINE = np.dtype(
    [
        ("enter", "i8"),  # entry price at the end of the bin
        ("close", "i8"),  # exit price at the end of the bin
        ("best", "i8"),  # best exit price inside the bin
        ("worst", "i8"),  # worst exit price inside the bin
        ("beyond", "i8"),  # best price inside the bin of the side we enter on
    ],
    align=True,
)

#: What both sides share of one bin.
BIN = np.dtype(
    [
        ("next_ok", "i8"),  # first usable bin at or after this one, n_bins if none
        ("prev_ok", "i8"),  # last usable bin at or before this one, -1 if none
        ("next_gap", "i8"),  # first usable bin that ends a too long gap after this one
        ("spread", "i8"),  # ask - bid, ticks
        ("ok", "?"),  # usable: valid, in session, not crossed
    ],
    align=True,
)


@dataclass(frozen=True, eq=False)
class Sides:
    """A path prepared for the kernels.

    Parameters
    ----------
    bins : ndarray of BIN, shape (n_bins,)
        What both sides share.
    lines : ndarray of LINE, shape (2, n_bins)
        What longs (0) and shorts (1) see.
    unit : int
        Smallest step of the exit prices, half-ticks: 2 at the touch, 1 at the mid.
    """

    bins: NDArray
    lines: NDArray
    unit: int


def see(path: Path, spec: EvaluatorSpec) -> Sides:
    """Prepare a path for both sides under the basis and gap rule of a spec.

    At the mid the extremes inside a bin are unknown (best bid and best ask need not be extreme
    together), so the closing mid stands for them.
    """
    lines = np.empty((2, path.n_bins), LINE)
    if spec.basis == "mid":
        mid = path.bid + path.ask
        for side, sign in ((LONG, 1), (SHORT, -1)):
            for name in LINE.names or ():
                lines[side][name] = sign * mid
    else:
        for name, long_price, short_price in (
            ("enter", path.ask, path.bid),
            ("close", path.bid, path.ask),
            ("best", path.bid_hi, path.ask_lo),
            ("worst", path.bid_lo, path.ask_hi),
            ("beyond", path.ask_hi, path.bid_lo),
        ):
            lines[LONG][name] = 2 * long_price
            lines[SHORT][name] = -2 * short_price
    bins = _shared(path, bins_of(spec.max_gap_ms, path.bin_ns))
    return Sides(bins, lines, unit=1 if spec.basis == "mid" else 2)


def _shared(path: Path, max_gap: int) -> NDArray:
    n = path.n_bins
    index = np.arange(n, dtype=np.int64)
    ok = path.tradable
    bins = np.empty(n, BIN)
    bins["ok"] = ok
    bins["spread"] = path.ask - path.bid
    bins["next_ok"] = _first_at_or_after(ok)
    bins["prev_ok"] = np.maximum.accumulate(np.where(ok, index, -1))
    # A bin ends a gap if more than max_gap invalid bins lie between it and the usable one before.
    # (Nobody is in a position before the first usable bin, so what it ends does not matter.)
    before = np.concatenate([[-1], bins["prev_ok"][:-1]]) if n else index
    ends_gap = ok & (index - before - 1 > max_gap)
    bins["next_gap"] = np.append(_first_at_or_after(ends_gap), n)[1:]
    return bins


def _first_at_or_after(flag: NDArray[np.bool_]) -> NDArray[np.int64]:
    n = flag.shape[0]
    index = np.where(flag, np.arange(n, dtype=np.int64), n)
    return np.minimum.accumulate(index[::-1])[::-1]
