"""Open-addressing hash tables in plain arrays: orders by id, ticks outside the level arrays.

Multiply-shift hashing with linear probing and backshift deletion: no tombstones, and order
ids that count up spread best of all. A row is ``(key, a, b)`` of uint64 and is in use while
``b`` is odd, so every 64-bit key is legal. Kept at most a quarter full by its owner.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmachina.kernel import Int, kernel, step

_GOLD = np.uint64(0x9E3779B97F4A7C15)
_ONE = np.uint64(1)
_ZERO = np.uint64(0)
_BITS = np.uint64(64)


@step
def home(key: Int, log2: Int) -> Int:
    """Return the preferred row of a key in a table of 2**log2 rows."""
    return (np.uint64(key) * _GOLD) >> (_BITS - np.uint64(log2))


@step
def find(table: NDArray[np.uint64], log2: Int, key: Int) -> Int:
    """Return the row of a key, or -1."""
    mask = np.uint64(table.shape[0] - 1)
    key = np.uint64(key)
    i = home(key, log2)
    while True:
        if table[i, 2] & _ONE == _ZERO:
            return np.int64(-1)
        if table[i, 0] == key:
            return np.int64(i)
        i = (i + _ONE) & mask


@step
def claim(table: NDArray[np.uint64], log2: Int, key: Int) -> Int:
    """Return the row of a key, writing the key into a free row if it is new.

    The caller fills the other two words; a new row is free until its last word is odd.
    """
    mask = np.uint64(table.shape[0] - 1)
    key = np.uint64(key)
    i = home(key, log2)
    while table[i, 2] & _ONE != _ZERO:
        if table[i, 0] == key:
            return np.int64(i)
        i = (i + _ONE) & mask
    table[i, 0] = key
    return np.int64(i)


@step
def remove(table: NDArray[np.uint64], log2: Int, row: Int) -> None:
    """Free a row and move later rows of its run back, so that no search stops early."""
    mask = np.uint64(table.shape[0] - 1)
    i = np.uint64(row)
    j = i
    while True:
        j = (j + _ONE) & mask
        if table[j, 2] & _ONE == _ZERO:
            break
        h = home(table[j, 0], log2)
        if ((j - h) & mask) >= ((j - i) & mask):
            table[i, 0] = table[j, 0]
            table[i, 1] = table[j, 1]
            table[i, 2] = table[j, 2]
            i = j
    table[i, 2] = _ZERO


@kernel
def rehash(old: NDArray[np.uint64], new: NDArray[np.uint64], log2: Int) -> None:
    """Copy all rows of a table into an empty larger one."""
    for r in range(old.shape[0]):
        if old[r, 2] & _ONE != _ZERO:
            i = claim(new, log2, old[r, 0])
            new[i, 1] = old[r, 1]
            new[i, 2] = old[r, 2]


def empty(log2: int) -> np.ndarray:
    """Return an empty table of 2**log2 rows."""
    return np.zeros((1 << log2, 3), np.uint64)
