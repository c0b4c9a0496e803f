"""Confidence intervals of a mean per trade, with the date as the unit of inference.

Trades of one date share its weather; treating them as independent makes intervals far too
narrow. What a date contributes is its sum and its count, nothing finer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from qmachina.errors import DataError

CONFIDENCE = 0.90
#: With fewer dates no interval is given.
MIN_DATES = 5
#: With fewer dates the interval carries a warning.
ENOUGH_DATES = 10
TOO_FEW = "too few dates"


@dataclass(frozen=True, eq=False)
class Means:
    """Means per trade of many configurations, with their intervals. NaN: not defined.

    Parameters
    ----------
    mean : ndarray of float64, shape (n_configs,)
        Sum over dates of sums, divided by the number of trades.
    se : ndarray of float64, shape (n_configs,)
        CR1 standard error over dates.
    low, high : ndarray of float64, shape (n_configs,)
        Interval.
    n : ndarray of int64, shape (n_configs,)
        Trades.
    dates : int
        Dates, those without trades included.
    dates_traded : ndarray of int64, shape (n_configs,)
        Dates with at least one trade.
    """

    mean: NDArray[np.float64]
    se: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    n: NDArray[np.int64]
    dates: int
    dates_traded: NDArray[np.int64]


def date_clustered(sums: NDArray, counts: NDArray, confidence: float = CONFIDENCE) -> Means:
    """Compute means per trade and their CR1 intervals over dates.

    Parameters
    ----------
    sums : ndarray of float64, shape (n_dates, n_configs)
        Sum of the quantity over the trades of a date.
    counts : ndarray of int64, shape (n_dates, n_configs)
        Trades of the date.
    confidence : float
        Two-sided, between 0 and 1.

    Notes
    -----
    With A dates that traded, S_d and n_d of date d, and m = sum S / sum n::

        se^2 = A / (A - 1) * sum (S_d - m n_d)^2 / (sum n)^2
        m -+ t(A - 1) se

    Dates without trades add nothing to the residuals, so they do not count as clusters either:
    otherwise one lucky date among twenty would get an interval of width zero and rank first.
    Dates are summed in the order given.
    """
    if not 0.0 < confidence < 1.0:
        raise DataError("confidence is not between 0 and 1", found=confidence)
    if sums.shape != counts.shape or sums.ndim != 2:
        raise DataError("sums and counts differ in shape", expected=sums.shape, found=counts.shape)
    n_dates, n_configs = sums.shape
    total = np.zeros(n_configs)
    n = np.zeros(n_configs, np.int64)
    traded = np.zeros(n_configs, np.int64)
    for d in range(n_dates):
        total += sums[d]
        n += counts[d]
        traded += counts[d] > 0
    mean = _ratio(total, n)
    squares = np.zeros(n_configs)
    for d in range(n_dates):
        squares += (sums[d] - mean * counts[d]) ** 2
    enough = traded >= MIN_DATES
    clusters = np.where(enough, traded, MIN_DATES)
    se = np.where(enough, np.sqrt(clusters / (clusters - 1) * squares) / np.maximum(n, 1), np.nan)
    half = stdtrit(clusters - 1, 0.5 + 0.5 * confidence) * se
    return Means(mean, se, mean - half, mean + half, n, n_dates, traded)


def note(dates_traded: int) -> str | None:
    """Return the warning that belongs to an interval over so many dates, if any."""
    return TOO_FEW if dates_traded < ENOUGH_DATES else None


def _ratio(total: NDArray[np.float64], n: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)
