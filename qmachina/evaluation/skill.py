"""How a score relates to what prices do next, beside its trades: rank correlation and deciles."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from qmachina.errors import DataError
from qmachina.evaluation.metrics import Number, ratio
from qmachina.evaluation.prices import Path
from qmachina.evaluation.trades import TP, Trades
from qmachina.evaluation.triggers import checked_scores, may_trigger
from qmachina.specs.evaluation import EvaluatorSpec

#: Horizons of the information coefficient, bins.
HORIZONS = (1, 2, 5, 10, 30, 60, 300)
N_DECILES = 10
#: With fewer pairs a rank correlation is only -1, 0 or 1.
MIN_PAIRS = 3


def information_coefficient(
    path: Path,
    scores: NDArray,
    ready: NDArray[np.bool_],
    spec: EvaluatorSpec,
    horizons: Sequence[int] = HORIZONS,
) -> dict[int, Number]:
    """Compute the rank correlation of the score with the mid move after entry, per horizon.

    Parameters
    ----------
    path, scores, ready, spec
        As in `first_touch.evaluate`; of the spec only polarity, latency and warm-up matter.
    horizons : sequence of int
        Bins, at least 1.

    Returns
    -------
    dict of int to float or None
        Spearman(polarity z_t, mid_{e+h} - mid_e) with e = t + 1 + latency, over the bins that
        may trigger and whose two prices are usable. None with fewer than 3 pairs, or if either
        side is constant. One date only: average dates, never pool their bins.
    """
    score, is_ready = checked_scores(path, scores, ready)
    signed = spec.polarity * score
    eligible = may_trigger(path, spec) & is_ready & ~np.isnan(score)
    usable, mid = path.tradable, path.bid + path.ask
    out: dict[int, Number] = {}
    for h in horizons:
        if h < 1:
            raise DataError("horizon is not positive", found=h)
        t = np.flatnonzero(eligible[: max(path.n_bins - 1 - spec.latency_bins - h, 0)])
        e = t + 1 + spec.latency_bins
        both = usable[e] & usable[e + h]
        out[h] = spearman(signed[t[both]], (mid[e + h] - mid[e])[both])
    return out


def mean_over_dates(values: Sequence[Number]) -> dict[str, Any]:
    """Average one coefficient over dates.

    Returns
    -------
    dict
        ``mean``; ``t`` with ``dates - 1`` degrees of freedom and its two-sided ``p``; ``dates``
        that have a value. What is not defined is None.
    """
    known = np.array([v for v in values if v is not None], dtype=np.float64)
    n = known.shape[0]
    out: dict[str, Any] = {"mean": None, "t": None, "p": None, "dates": n}
    if n:
        out["mean"] = float(np.mean(known))
    if n > 1 and np.any(known != known[0]):
        out["t"] = out["mean"] / (float(np.std(known, ddof=1)) / math.sqrt(n))
        out["p"] = 2.0 * float(stdtr(n - 1, -abs(out["t"])))
    return out


def spearman(x: NDArray, y: NDArray) -> Number:
    """Return Spearman's rank correlation, ties by average rank; None where undefined.

    Ranks are doubled and centred integers, so the sums are exact.
    """
    n = x.shape[0]
    if n < MIN_PAIRS:
        return None
    a, b = _centred_ranks(x), _centred_ranks(y)
    xx, yy = int(np.sum(a * a)), int(np.sum(b * b))
    return ratio(int(np.sum(a * b)), math.sqrt(xx) * math.sqrt(yy))


def _centred_ranks(x: NDArray) -> NDArray[np.int64]:
    _, which, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (2 * last - counts + 1)[which] - (x.shape[0] + 1)
    return ranks.astype(np.int64)


def decile_edges(scores: NDArray) -> NDArray[np.float64]:
    """Return the nine inner decile edges of |score|, shape (9,), to be frozen on training dates.

    Raises
    ------
    DataError
        If no score is finite.
    """
    size = np.abs(np.asarray(scores, dtype=np.float64))
    size = size[np.isfinite(size)]
    if size.size == 0:
        raise DataError("no finite score to take deciles of")
    edges: NDArray[np.float64] = np.quantile(size, np.arange(1, N_DECILES) / N_DECILES)
    return edges


def decile_lift(trades: Trades, edges: NDArray[np.float64]) -> dict[str, Any]:
    """Split trades by |score| at signal and compare what the parts earn.

    Parameters
    ----------
    trades : Trades
        One date or several joined.
    edges : ndarray of float64, shape (9,)
        From `decile_edges` on training data; a score on an edge belongs to the part above.

    Returns
    -------
    dict
        ``deciles``: ten rows (decile from 1, n, tp_rate, expectancy_net_ticks, lift over the
        expectancy of all); ``trend``: Spearman of decile and expectancy over the deciles that
        have trades.
    """
    if edges.shape != (N_DECILES - 1,) or np.any(np.diff(edges) < 0):
        raise DataError("decile edges are not nine rising numbers", found=edges.tolist())
    net = trades.table["net"]
    overall = ratio(float(np.sum(net)), net.size)
    part = np.searchsorted(edges, np.abs(trades.table["score"]), side="right")
    rows: list[Mapping[str, Any]] = []
    for d in range(N_DECILES):
        inside = part == d
        n = int(np.count_nonzero(inside))
        mean = ratio(float(np.sum(net[inside])), n)
        rows.append(
            {
                "decile": d + 1,
                "n": n,
                "tp_rate": ratio(int(np.sum(trades.table["reason"][inside] == TP)), n),
                "expectancy_net_ticks": mean,
                "lift": ratio(mean, overall) if mean is not None and overall else None,
            }
        )
    filled = [(r["decile"], r["expectancy_net_ticks"]) for r in rows if r["n"]]
    trend = spearman(*np.array(filled).T) if filled else None
    return {"deciles": rows, "trend": trend}
