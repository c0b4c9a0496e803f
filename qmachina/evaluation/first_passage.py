"""First-passage tables: when each distance from each bin is first reached.

One pair of tables per date answers every take-profit, stop-loss, holding time, cooldown,
threshold and shifted score, because none of them changes the path. The tables are exact: they
agree with the bin-by-bin scan in every field, for every basis and kind of evidence. A distance
beyond the last level, met when the spread is unusually wide, is scanned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qmachina.errors import RefusedError
from qmachina.evaluation.exits import NEVER, Offsets
from qmachina.evaluation.first_touch import evaluate_on
from qmachina.evaluation.prices import Path
from qmachina.evaluation.rules import rules_of
from qmachina.evaluation.sides import LONG, SHORT, Sides, see
from qmachina.evaluation.trades import Trades
from qmachina.kernel import OK, kernel
from qmachina.specs.evaluation import EvaluatorSpec

#: Longest holding time, in bins, that an offset of the tables can express.
MAX_HORIZON = NEVER - 1
#: Tables are kept below this size by leaving out levels, which are then scanned.
MAX_BYTES = 512 * 2**20


@dataclass(frozen=True, eq=False)
class PassageTable:
    """First-passage tables of one date.

    Parameters
    ----------
    path : Path
        The prices the tables were made from.
    sides : Sides
        The same as both sides see them.
    up, down : ndarray of uint16, shape (2, n_bins, n_levels)
        For side (0 long, 1 short), bin e and level k - 1: bins from e to the first later usable
        bin whose best exit price is at least ``close[e] + k unit`` (up), or whose worst is at
        most ``close[e] - k unit`` (down); 65535 if there is none within the horizon.
    horizon : int
        Longest offset in the tables, bins.
    basis : str
        Basis of the prices.
    max_gap_ms : int
        Gap rule of the prices.
    """

    path: Path
    sides: Sides
    up: Offsets
    down: Offsets
    horizon: int
    basis: str
    max_gap_ms: int


@kernel
def passage_table(
    bins: NDArray,
    price: NDArray[np.int64],
    reach: NDArray[np.int64],
    sign: int,
    unit: int,
    horizon: int,
    link: NDArray[np.int64],
    out: Offsets,
) -> int:
    """Fill one table of one side: first passages above (or, mirrored, below) each bin.

    Parameters
    ----------
    bins : ndarray of BIN, shape (n_bins,)
    price : ndarray of int64, shape (n_bins,)
        Reference prices at the end of each bin, half-ticks.
    reach : ndarray of int64, shape (n_bins,)
        Extreme prices inside each bin in the direction of ``sign``, half-ticks.
    sign : int
        1 for passages upward, -1 downward.
    unit : int
        Distance of two levels, half-ticks.
    horizon : int
        Longest offset, bins, at most `MAX_HORIZON`.
    link : ndarray of int64, shape (n_bins,)
        Receives for each usable bin the next usable bin that reaches further; -1 if none.
    out : ndarray of uint16, shape (n_bins, n_levels)
        Receives the offsets.

    Returns
    -------
    int
        OK.

    Notes
    -----
    Bins are visited backward. From any bin the candidates for a first passage are the records of
    the path after it: the next usable bin, then the next that reaches further, and so on along
    ``link``. The links themselves follow from later links the same way. Cost O(n_bins n_levels)
    and the records skipped below the first level; independent of the horizon.
    """
    n_bins = price.shape[0]
    n_levels = out.shape[1]
    for e in range(n_bins - 1, -1, -1):
        out[e, :] = NEVER
        link[e] = -1
        if not bins[e]["ok"] or e + 1 == n_bins:
            continue
        first = bins[e + 1]["next_ok"]
        if first == n_bins:
            continue
        j = first
        while j >= 0 and sign * reach[j] <= sign * reach[e]:
            j = link[j]
        link[e] = j
        k = 0
        j = first
        while j >= 0 and j - e <= horizon and k < n_levels:
            reached = sign * (reach[j] - price[e]) // unit
            while k < reached and k < n_levels:
                out[e, k] = j - e
                k += 1
            j = link[j]
    return OK


def tabulate(path: Path, spec: EvaluatorSpec, n_levels: int, horizon: int) -> PassageTable:
    """Build the tables of one date.

    Parameters
    ----------
    path : Path
        Prices of the date.
    spec : EvaluatorSpec
        Gives the basis and the gap rule; nothing else of it matters.
    n_levels : int
        Number of levels: ticks at the touch, half-ticks at the mid. See `levels_for`.
    horizon : int
        Longest holding time to be asked, bins.

    Raises
    ------
    RefusedError
        If the horizon is longer than offsets can express.
    """
    if not 1 <= horizon <= MAX_HORIZON:
        raise RefusedError(
            "the holding time does not fit a first-passage table",
            expected=f"1 to {MAX_HORIZON} bins",
            found=horizon,
            remedy="Use wider bins, or evaluate by scan",
        )
    sides = see(path, spec)
    up = np.empty((2, path.n_bins, n_levels), np.uint16)
    down = np.empty_like(up)
    link = np.empty(path.n_bins, np.int64)
    for side in (LONG, SHORT):
        line = sides.lines[side]
        close = np.ascontiguousarray(line["close"])
        for sign, extreme, out in ((1, "best", up), (-1, "worst", down)):
            reach = np.ascontiguousarray(line[extreme])
            passage_table(sides.bins, close, reach, sign, sides.unit, horizon, link, out[side])
    return PassageTable(path, sides, up, down, horizon, spec.basis, spec.max_gap_ms)


def levels_for(path: Path, spec: EvaluatorSpec, longest_ticks: float) -> int:
    """Return how many levels serve nearly every trade of a date.

    Parameters
    ----------
    longest_ticks : float
        Longest distance to be asked, including what ``through`` adds, ticks.

    Notes
    -----
    At the touch a level lies a spread further away than its barrier; the 99 % quantile of the
    spread is added. Levels are left out above `MAX_BYTES`.
    """
    tradable = path.tradable
    if not tradable.any():
        return 1
    if spec.basis == "mid":
        wanted = int(2 * longest_ticks)
    else:
        spread = np.quantile((path.ask - path.bid)[tradable], 0.99, method="higher")
        wanted = int(np.ceil(longest_ticks)) + int(spread)
    return max(1, min(wanted + 1, MAX_BYTES // (8 * path.n_bins)))


def evaluate_by_table(
    table: PassageTable, scores: NDArray, ready: NDArray[np.bool_], spec: EvaluatorSpec
) -> Trades:
    """Trade a score on one date with its first-passage tables.

    Equal to `first_touch.evaluate` on ``table.path`` in every field, and refuses what that
    refuses. A holding time beyond the horizon of the tables is scanned.

    Raises
    ------
    RefusedError
        If the tables were made for another basis or gap rule.
    """
    for name in ("basis", "max_gap_ms"):
        expected, found = getattr(table, name), getattr(spec, name)
        if found != expected:
            raise RefusedError(
                f"the first-passage table has another {name}", expected=expected, found=found
            )
    rules = rules_of(spec, table.path, table.horizon)
    return evaluate_on(table.sides, rules, table.path, scores, ready, spec, table.up, table.down)
