"""Make room: larger tables, and level arrays moved to another anchor with all their state."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmachina.book import state as s
from qmachina.book import table
from qmachina.kernel import Int, kernel


def grow_orders(book: s.Book) -> s.Book:
    """Return the book with an order table of twice the rows."""
    log2 = int(book.reg[s.ORDERS_LOG2]) + 1
    orders = table.empty(log2)
    table.rehash(book.orders, orders, log2)
    book.reg[s.ORDERS_LOG2] = log2
    return book._replace(orders=orders)


def grow_pending(book: s.Book) -> s.Book:
    """Return the book with a table of pending fills of twice the rows."""
    log2 = int(book.reg[s.PENDING_LOG2]) + 1
    pending = table.empty(log2)
    table.rehash(book.pending, pending, log2)
    book.reg[s.PENDING_LOG2] = log2
    return book._replace(pending=pending)


def rebase(
    book: s.Book, base: int, room: int, in_use: NDArray[np.bool_] | None = None
) -> tuple[s.Book, NDArray[np.int64], NDArray[np.int64]]:
    """Move the level arrays so that index 0 is tick ``base``; resize the far table.

    Parameters
    ----------
    book : Book
        The book; its registers are changed in place.
    base : int
        New absolute tick of array index 0.
    room : int
        Far ticks to leave room for beside those in use.
    in_use : ndarray of bool, shape (slots,), optional
        Slots whose tick matters to others, besides those with orders.

    Returns
    -------
    tuple of (Book, ndarray, ndarray)
        The book with its new arrays, and the old and new slots of every tick that moved along:
        arrays indexed by slot elsewhere must be moved the same way.
    """
    n = int(book.n[0])
    used = np.zeros(book.depth.shape[1], np.bool_)
    used[:n] = True
    far_rows = np.flatnonzero(book.far[:, 2])
    used[n + far_rows] = True
    live = (book.depth != 0).any(0) | (book.order_count != 0).any(0)
    if in_use is not None:
        live |= in_use
    old = np.flatnonzero(used & live)
    ticks = np.where(
        old < n, old + book.reg[s.BASE], book.far[np.maximum(old - n, 0), 0].astype(np.int64)
    )
    new = ticks - base
    outside = (new < 0) | (new >= n)
    n_far = int(outside.sum())
    log2 = 10
    while 2 * (n_far + room) > 1 << log2:
        log2 += 1
    far = table.empty(log2)
    rows = np.empty(n_far, np.int64)
    _claim_all(far, log2, ticks[outside].view(np.uint64), rows)
    new[outside] = n + rows
    width = s.slots(n, log2)
    moved = book._replace(
        far=far,
        depth=move(book.depth, old, new, width),
        order_count=move(book.order_count, old, new, width),
    )
    _recount(moved, base, log2, n_far)
    return moved, old, new


def move(array: NDArray, old: NDArray[np.int64], new: NDArray[np.int64], width: int) -> NDArray:
    """Return an array whose last axis is indexed by slot, with its slots moved."""
    out = np.zeros((*array.shape[:-1], width), array.dtype)
    out[..., new] = array[..., old]
    return out


@kernel
def _claim_all(
    far: NDArray[np.uint64], log2: Int, ticks: NDArray[np.uint64], rows: NDArray[np.int64]
) -> None:
    """Claim one far row for each tick."""
    for i in range(ticks.shape[0]):
        row = table.claim(far, log2, ticks[i])
        far[row, 2] = 1
        rows[i] = row


def _recount(book: s.Book, base: int, log2: int, n_far: int) -> None:
    """Recompute every register that depends on where the arrays stand."""
    reg, n = book.reg, int(book.n[0])
    reg[s.BASE], reg[s.FAR_LOG2], reg[s.N_FAR] = base, log2, n_far
    inside = book.depth[:, :n] > 0
    bids, asks = np.flatnonzero(inside[s.BID]), np.flatnonzero(inside[s.ASK])
    reg[s.BEST_BID] = bids[-1] if len(bids) else -1
    reg[s.BEST_ASK] = asks[0] if len(asks) else n
    rows = len(book.far)
    far_tick = book.far[:, 0].view(np.int64)
    far_depth = book.depth[:, n : n + rows] > 0
    reg[s.FAR_BIDS_ABOVE] = (far_depth[s.BID] & (far_tick >= base + n)).sum()
    reg[s.FAR_ASKS_BELOW] = (far_depth[s.ASK] & (far_tick < base)).sum()
    reg[s.FAR_BID_STALE] = reg[s.FAR_ASK_STALE] = 1


def middle(book: s.Book, face: NDArray[np.int64]) -> int:
    """Return the base that puts the middle of a two-sided book at the centre of the arrays."""
    return int((face[0] + face[2]) // 2 - book.n[0] // 2)
