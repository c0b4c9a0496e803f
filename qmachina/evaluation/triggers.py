"""When a score asks for a trade, before anything about positions is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qmachina.errors import DataError
from qmachina.evaluation.prices import Path
from qmachina.evaluation.sides import LONG, SHORT
from qmachina.specs.evaluation import EvaluatorSpec, bins_of

TRIGGER = np.dtype([("bin", "i8"), ("side", "i8")])


@dataclass(frozen=True, eq=False)
class Triggers:
    """Bins whose score asks for a trade, in time order.

    Parameters
    ----------
    rows : ndarray of TRIGGER, shape (n_triggers,)
        Bin and side (0 long, 1 short).
    next_index : ndarray of int64, shape (n_bins + 1,)
        For each bin the index of the first trigger at or after it.
    """

    rows: NDArray
    next_index: NDArray[np.int64]


def find_triggers(
    path: Path, scores: NDArray, ready: NDArray[np.bool_], spec: EvaluatorSpec
) -> Triggers:
    """Find the triggers of a score.

    A score is *on* where it is ready and |score| >= threshold; NaN is off. ``level`` triggers at
    every bin that is on, ``edge`` where the bin before was off; the first bin of a date has no
    bin before it, which counts as off. A score that jumps from one side to the other without
    going off gives no edge. Triggers need a tradable bin past the warm-up; the bin before may be
    any bin.
    """
    sign = signals(*checked_scores(path, scores, ready), spec)
    on = sign != 0
    fires = on & may_trigger(path, spec)
    if spec.trigger == "edge":
        fires[1:] &= ~on[:-1]
    bins = np.flatnonzero(fires)
    rows = np.empty(bins.shape, TRIGGER)
    rows["bin"] = bins
    rows["side"] = np.where(sign[bins] > 0, LONG, SHORT)
    next_index = np.searchsorted(bins, np.arange(path.n_bins + 1)).astype(np.int64)
    return Triggers(rows, next_index)


def signals(
    scores: NDArray[np.float64], ready: NDArray[np.bool_], spec: EvaluatorSpec
) -> NDArray[np.int8]:
    """Return what a score asks for at each bin: 1 to buy, -1 to sell, 0 for nothing.

    It asks where it is on, see `find_triggers`; a live stream shows the same column.

    Parameters
    ----------
    scores : ndarray of float64, shape (n_bins,)
        NaN asks for nothing.
    ready : ndarray of bool, shape (n_bins,)
    spec : EvaluatorSpec
        Its ``threshold`` and ``polarity``.

    Returns
    -------
    ndarray of int8, shape (n_bins,)
    """
    on = ready & (np.abs(scores) >= spec.threshold)
    return np.where(on, np.sign(scores) * spec.polarity, 0.0).astype(np.int8)


def may_trigger(path: Path, spec: EvaluatorSpec) -> NDArray[np.bool_]:
    """Tell which bins may trigger at all: tradable and past the warm-up, shape (n_bins,)."""
    allowed = path.tradable
    allowed[: bins_of(spec.warmup_ms, path.bin_ns)] = False
    return allowed


def checked_scores(
    path: Path, scores: NDArray, ready: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return scores as float64 and readiness as bool.

    The comparison with the threshold must happen in float64: a float32 column would round the
    threshold too.

    Raises
    ------
    DataError
        If lengths differ from the path, or a ready score is infinite.
    """
    for name, column in (("scores", scores), ("ready", ready)):
        if column.shape != (path.n_bins,):
            raise DataError(
                "does not fit the path", subject=name, expected=path.n_bins, found=column.shape
            )
    if ready.dtype != bool:
        raise DataError("is not boolean", subject="ready", found=ready.dtype)
    score = np.asarray(scores, dtype=np.float64)
    infinite = ready & np.isinf(score)
    if infinite.any():
        raise DataError("score is infinite", subject=f"bin {int(np.argmax(infinite))}")
    return score, ready
