"""Order statistics of a window kept as one sorted array: insert, remove, median, MAD, ties.

Nothing here knows of time or bins; :mod:`qmachina.features.standardize` decides what enters.

The ``n`` values of a window lie in ascending order at ``values[first : first + n]``. In front
stand ``PAD`` times -inf, behind at least ``PAD`` times +inf, so that searches may read past
either end and need no test. All values are finite and no zero is negative.

Searches are branch-free and 4-ary: three comparisons a level, added as 0 or 1, and eight at
the end. A binary search with branches costs four times as much, because every branch of it is
a coin toss to the processor.
"""

from __future__ import annotations

import math

from numpy.typing import NDArray

from qmachina.kernel import load, move, step

#: Infinities on either side of the values; the tail of a search reads this many.
PAD = 8


@step
def lower_bounds(values: NDArray, first: int, n: int, x: float, y: float) -> tuple[int, int]:
    """Return the indices of the first values that are not below ``x`` and not below ``y``.

    Two searches in lock step, so that the loads of one hide behind those of the other.
    """
    p = first
    q = first
    while n > 8:
        s = n >> 2
        p += s * (
            (1 if load(values, p + s - 1) < x else 0)
            + (1 if load(values, p + 2 * s - 1) < x else 0)
            + (1 if load(values, p + 3 * s - 1) < x else 0)
        )
        q += s * (
            (1 if load(values, q + s - 1) < y else 0)
            + (1 if load(values, q + 2 * s - 1) < y else 0)
            + (1 if load(values, q + 3 * s - 1) < y else 0)
        )
        n -= 3 * s
    i = p
    j = q
    for h in range(8):
        p += 1 if load(values, i + h) < x else 0
        q += 1 if load(values, j + h) < y else 0
    return p, q


@step
def equal_range(values: NDArray, first: int, n: int, x: float) -> tuple[int, int]:
    """Return the indices of the first values that are not below and above ``x``."""
    p = first
    q = first
    while n > 8:
        s = n >> 2
        p += s * (
            (1 if load(values, p + s - 1) < x else 0)
            + (1 if load(values, p + 2 * s - 1) < x else 0)
            + (1 if load(values, p + 3 * s - 1) < x else 0)
        )
        q += s * (
            (1 if load(values, q + s - 1) <= x else 0)
            + (1 if load(values, q + 2 * s - 1) <= x else 0)
            + (1 if load(values, q + 3 * s - 1) <= x else 0)
        )
        n -= 3 * s
    i = p
    j = q
    for h in range(8):
        p += 1 if load(values, i + h) < x else 0
        q += 1 if load(values, j + h) <= x else 0
    return p, q


@step
def replace(values: NDArray, first: int, n: int, old: float, new: float) -> None:
    """Take ``old`` out and put ``new`` in: one search, one shift of what lies between."""
    if new != old:
        p, q = lower_bounds(values, first, n, old, new)
        if new > old:
            q -= 1
            move(values, p, p + 1, q - p)
        else:
            move(values, q + 1, q, p - q)
        values[q] = new


@step
def insert(values: NDArray, first: int, n: int, new: float) -> None:
    """Put ``new`` among the ``n`` values; there is room for one more."""
    q, _ = lower_bounds(values, first, n, new, new)
    move(values, q + 1, q, first + n - q)
    values[q] = new


@step
def remove(values: NDArray, first: int, n: int, old: float) -> None:
    """Take ``old``, which is present, out of the ``n`` values."""
    p, _ = lower_bounds(values, first, n, old, old)
    move(values, p, p + 1, first + n - 1 - p)
    values[first + n - 1] = math.inf


@step
def median(values: NDArray, first: int, n: int) -> float:
    """Return the median of ``n >= 1`` values; for even ``n`` the mean of the middle two."""
    middle = first + (n >> 1)
    upper = load(values, middle)
    if n & 1:
        return upper
    return 0.5 * (load(values, middle - 1) + upper)


@step
def left_is_nearer(values: NDArray, start: int, end: int, centre: float, i: int) -> int:
    """Return 1 if the i-th value left of ``start`` is nearer than the one paired with it."""
    return 1 if centre - load(values, start - 1 - i) < load(values, end - i) - centre else 0


@step
def median_distance(values: NDArray, first: int, n: int, centre: float) -> float:
    """Return the median of ``|value - centre|``, exactly, in O(log n).

    ``centre`` is the median. Distances grow to the left of it and to the right of it: two
    sorted sequences L and R, of which the r-th smallest of the union is wanted, r = (n + 1) / 2.
    It is found by searching how many, ``i``, of the r smallest come from the left: the least i
    with ``L[i] >= R[r - 1 - i]``. The infinite pads stand for distances that do not exist.
    """
    start = first + (n >> 1)
    r = (n + 1) >> 1
    end = start + r - 1
    i = 0
    c = n >> 1
    while c > 8:
        s = c >> 2
        i += s * (
            left_is_nearer(values, start, end, centre, i + s - 1)
            + left_is_nearer(values, start, end, centre, i + 2 * s - 1)
            + left_is_nearer(values, start, end, centre, i + 3 * s - 1)
        )
        c -= 3 * s
    base = i
    for h in range(8):
        i += left_is_nearer(values, start, end, centre, base + h)
    j = r - i
    left = centre - load(values, start - i)
    right = load(values, start + j - 1) - centre
    lower = left if left > right else right
    if n & 1:
        return lower
    left = centre - load(values, start - 1 - i)
    right = load(values, start + j) - centre
    return 0.5 * (lower + (left if left < right else right))


@step
def ties(values: NDArray, first: int, n: int, centre: float) -> int:
    """Return how many values equal ``centre``, the median."""
    middle = first + (n >> 1)
    if load(values, middle) != centre and load(values, middle - 1) != centre:
        return 0
    low, high = equal_range(values, first, n, centre)
    return high - low
