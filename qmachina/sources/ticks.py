"""Find the tick size of a file that comes without an instrument spec."""

from __future__ import annotations

import math

import numpy as np

from qmachina.errors import DataError
from qmachina.market import UNDEF_PRICE, Action
from qmachina.sources.select import BookSource


def infer_tick_size(source: BookSource) -> int:
    """Return the greatest common divisor of all prices that change the book, in 1e-9 units.

    Reads the file once. The result is the largest tick size that fits; the true one may be
    smaller when the day used only some of its prices.

    Raises
    ------
    DataError
        If no record changes the book at a price other than zero.
    """
    divisor = 0
    for records in source.chunks():
        changes = (records["action"] == Action.ADD) | (records["action"] == Action.MODIFY)
        prices = records["price"][changes]
        prices = np.unique(prices[prices != UNDEF_PRICE])
        divisor = math.gcd(divisor, int(np.gcd.reduce(prices)) if len(prices) else 0)
    if divisor == 0:
        raise DataError(
            "no price to infer a tick size from",
            subject=source.name,
            remedy="Give one with --tick-size",
        )
    return divisor
