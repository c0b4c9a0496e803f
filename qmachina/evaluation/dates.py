"""One score over several dates: intervals, daily figures, concentration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qmachina.evaluation.intervals import CONFIDENCE, date_clustered, note
from qmachina.evaluation.metrics import Number, measure, ratio
from qmachina.evaluation.trades import Trades, join

#: A year of daily figures is quoted only from this many dates on.
ANNUALISE_FROM = 60
DATES_PER_YEAR = 252


def measure_dates(dates: Mapping[str, Trades], confidence: float = CONFIDENCE) -> dict[str, Any]:
    """Compute pooled metrics, their intervals over dates, and what only several dates show.

    Parameters
    ----------
    dates : mapping of str to Trades
        Trades of each date, the dates without trades included. Evaluated in date order.
    confidence : float
        Of the two-sided intervals.

    Returns
    -------
    dict
        All keys of `metrics.measure`, then ``dates``, ``intervals`` and the daily figures.
    """
    names = sorted(dates)
    parts = [dates[name] for name in names]
    pooled = join(parts)
    net = np.array([p.total("sum_net") for p in parts])
    counts = np.array([p.count("n") for p in parts])
    quantities = {
        "expectancy_net_ticks": net,
        "expectancy_gross_ticks": np.array([p.total("sum_gross") for p in parts]),
        "tp_rate": np.array([p.count("tp") for p in parts], dtype=np.float64),
        "sl_rate": np.array([p.count("sl") for p in parts], dtype=np.float64),
    }
    daily = net.std(ddof=1) if len(parts) > 1 and np.any(net != net[0]) else 0.0
    daily_sharpe = ratio(float(net.mean()), float(daily))
    per_year = daily_sharpe is not None and len(parts) >= ANNUALISE_FROM
    return {
        **measure(pooled),
        "dates": len(parts),
        "dates_traded": int(np.count_nonzero(counts)),
        "intervals": {
            name: interval(sums, counts, confidence) for name, sums in quantities.items()
        },
        "daily_net_ticks": dict(zip(names, net.tolist(), strict=True)),
        "daily_trades": dict(zip(names, counts.tolist(), strict=True)),
        "sharpe_daily": daily_sharpe,
        "sharpe_annualised": daily_sharpe * DATES_PER_YEAR**0.5
        if daily_sharpe is not None and per_year
        else None,
        "longest_drawdown_dates": longest_drawdown(net),
        **_concentration(net, counts),
    }


def interval(
    sums: NDArray[np.float64], counts: NDArray[np.int64], confidence: float = CONFIDENCE
) -> dict[str, Any]:
    """Return one mean per trade with its interval over dates, JSON-ready.

    Parameters
    ----------
    sums, counts : ndarray, shape (n_dates,)
        Sum and number of trades of each date.

    Returns
    -------
    dict
        mean, se, low, high (None where not defined), confidence, dates, dates_traded, note.
    """
    means = date_clustered(sums[:, None], counts[:, None], confidence)
    numbers: dict[str, Number] = {}
    for name in ("mean", "se", "low", "high"):
        value = float(getattr(means, name)[0])
        numbers[name] = None if np.isnan(value) else value
    traded = int(means.dates_traded[0])
    return {
        **numbers,
        "confidence": confidence,
        "dates": means.dates,
        "dates_traded": traded,
        "note": note(traded),
    }


def longest_drawdown(daily: NDArray[np.float64]) -> int:
    """Return the longest run of dates that end below an earlier high of the running sum."""
    equity = np.concatenate([[0.0], np.cumsum(daily)])
    below = equity < np.maximum.accumulate(equity)
    longest = run = 0
    for under in below:
        run = run + 1 if under else 0
        longest = max(longest, run)
    return longest


def _concentration(net: NDArray[np.float64], counts: NDArray[np.int64]) -> dict[str, Number]:
    # Leaving out the only date that traded leaves nothing to average: no figure then.
    gains = np.maximum(net, 0.0)
    rest_n = counts.sum() - counts
    rest = (net.sum() - net)[rest_n > 0] / rest_n[rest_n > 0]
    several = np.count_nonzero(counts) > 1
    return {
        "largest_date_share": ratio(float(gains.max()), float(gains.sum())),
        "expectancy_without_best_date_ticks": float(rest.min()) if several else None,
    }
