"""When and why a position is closed, and how far it went: the steps of the walk.

All prices are half-ticks seen from the position's side: up is good.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmachina.evaluation.rules import TP_FIRST
from qmachina.evaluation.trades import EOS, GAP, SL, TIMEOUT, TP
from qmachina.kernel import step

Touch = tuple[int, bool, bool]
Offsets = NDArray[np.uint16]

#: Offset in a first-passage table of a level that is not reached.
NEVER = 65_535


@step
def scan_touch(
    bins: NDArray,
    lines: NDArray,
    side: int,
    entry: int,
    last: int,
    take: int,
    stop: int,
    through: int,
) -> Touch:
    """Find the first bin after entry that reaches a barrier, bin by bin.

    Parameters
    ----------
    bins : ndarray of BIN, shape (n_bins,)
    lines : ndarray of LINE, shape (2, n_bins)
    side : int
        0 long, 1 short.
    entry, last : int
        Bins after ``entry`` up to ``last`` are scanned.
    take, stop : int
        Levels of take-profit and stop-loss, half-ticks.
    through : int
        How far the market must trade beyond the take-profit, half-ticks; negative: reaching it
        is enough.

    Returns
    -------
    tuple of (int, bool, bool)
        The bin (``last + 1`` if none) and whether it reaches take-profit and stop-loss.
    """
    for j in range(entry + 1, last + 1):
        if not bins[j]["ok"]:
            continue
        line = lines[side, j]
        if through < 0:
            takes = line["best"] >= take
        else:
            takes = line["best"] >= take + through or line["beyond"] > take + through
        stops = line["worst"] <= stop
        if takes or stops:
            return j, takes, stops
    return last + 1, False, False


@step
def look_up_touch(
    lines: NDArray,
    up: Offsets,
    down: Offsets,
    unit: int,
    side: int,
    entry: int,
    last: int,
    take: int,
    stop: int,
    through: int,
) -> Touch:
    """Find the first bin after entry that reaches a barrier, in first-passage tables.

    Parameters
    ----------
    lines, side, entry, last, take, stop, through
        As in `scan_touch`.
    up, down : ndarray of uint16, shape (2, n_bins, n_levels)
        Tables of `passage_table`.
    unit : int
        Distance of two levels of the tables, half-ticks.

    Returns
    -------
    tuple of (int, bool, bool)
        As `scan_touch`; bin -1 if a level lies outside the tables.
    """
    close = lines[side, entry]["close"]
    goal = take if through < 0 else take + through
    k_take = -((close - goal) // unit)
    k_stop = -((stop - close) // unit)
    if k_take > up.shape[2] or k_stop > down.shape[2]:
        return -1, False, False
    takes_at = up[side, entry, k_take - 1]
    if through >= 0:
        # Beyond means strictly beyond, on the other side's prices, whose good is our bad.
        k_beyond = (goal - lines[side, entry]["enter"]) // unit + 1
        if k_beyond > down.shape[2]:
            return -1, False, False
        takes_at = min(takes_at, down[1 - side, entry, k_beyond - 1])
    stops_at = down[side, entry, k_stop - 1]
    first = min(takes_at, stops_at)
    if first == NEVER or entry + first > last:
        return last + 1, False, False
    return entry + first, takes_at == first, stops_at == first


@step
def find_exit(
    rule: np.void,
    bins: NDArray,
    lines: NDArray,
    up: Offsets,
    down: Offsets,
    side: int,
    entry: int,
    take: int,
    stop: int,
) -> tuple[int, int, bool, bool, bool]:
    """Find where and why a position is closed.

    Parameters
    ----------
    rule : record of RULES
    bins : ndarray of BIN, shape (n_bins,)
    lines : ndarray of LINE, shape (2, n_bins)
    up, down : ndarray of uint16, shape (2, n_bins, n_levels)
        First-passage tables; read only if the rule says it is tabled, else bins are scanned.
    side, entry, take, stop : int
        As in `scan_touch`.

    Returns
    -------
    tuple of (int, int, bool, bool, bool)
        Exit bin, reason, and whether it is a tie, late, stale.
    """
    flat = rule["flat"]
    timeout = entry + rule["hold"]
    bound = min(timeout, flat)
    gap = bins[entry]["next_gap"]
    last = min(bound, gap - 1)
    touch = -1
    takes = False
    stops = False
    if rule["tabled"]:
        touch, takes, stops = look_up_touch(
            lines, up, down, rule["unit"], side, entry, last, take, stop, rule["through"]
        )
    if touch < 0:
        touch, takes, stops = scan_touch(
            bins, lines, side, entry, last, take, stop, rule["through"]
        )
    if takes and stops:
        return touch, TP if rule["tie"] == TP_FIRST else SL, True, False, False
    if takes or stops:
        return touch, TP if takes else SL, False, False, False
    if gap <= bound:
        return gap, GAP, False, False, False
    reason = EOS if flat < timeout else TIMEOUT
    if bins[bound]["ok"]:
        return bound, reason, False, False, False
    after = bins[bound]["next_ok"]
    if after <= flat:
        return after, reason, False, True, False
    return flat, reason, False, False, True


@step
def excursions(
    bins: NDArray,
    lines: NDArray,
    side: int,
    entry: int,
    leave: int,
    reason: int,
    take: int,
    stop: int,
    gross: int,
) -> tuple[int, int]:
    """Measure how far a position went against and for itself.

    A barrier exit happens somewhere inside its bin, so of that bin only what the fill proves is
    used, and for the adverse move its worst price, at most the stop. Any other exit happens at
    the end of its bin, which counts in full. The fill itself always counts.

    Returns
    -------
    tuple of (int, int)
        MAE and MFE, half-ticks, not negative.
    """
    enter = lines[side, entry]["enter"]
    low = enter
    high = enter
    last = leave - 1 if reason in (TP, SL) else leave
    for j in range(entry + 1, last + 1):
        if bins[j]["ok"]:
            low = min(low, lines[side, j]["worst"])
            high = max(high, lines[side, j]["best"])
    if reason == TP:
        low = min(low, max(lines[side, leave]["worst"], stop))
        high = take
    low = min(low, enter + gross)
    return enter - low, min(high, take) - enter
