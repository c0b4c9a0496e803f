"""Levels of the book: where a tick lives, how a level changes, which price is best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmachina.book import state as s
from qmachina.book.state import Book, Impulses
from qmachina.book.table import claim
from qmachina.kernel import OK, Int, cold, kernel, step
from qmachina.market import UNDEF_PRICE

_UNDEF = int(UNDEF_PRICE)
_MAX_TICK = int(s.MAX_TICK)


@step
def slot_of(book: Book, tick: Int) -> Int:
    """Return the slot of an absolute tick, claiming a far row for one outside the arrays."""
    i = tick - book.reg[s.BASE]
    n = book.n[0]
    if 0 <= i < n:
        return i
    row = claim(book.far, book.reg[s.FAR_LOG2], np.uint64(tick))
    if book.far[row, 2] == 0:
        book.far[row, 2] = 1
        book.reg[s.N_FAR] += 1
    return n + row


@step
def tick_of(book: Book, slot: Int) -> Int:
    """Return the absolute tick of a slot."""
    n = book.n[0]
    if slot < n:
        return book.reg[s.BASE] + slot
    return np.int64(book.far[slot - n, 0])


@step
def level_inside(book: Book, slot: Int, side: Int, before: Int, after: Int) -> None:
    """Keep the best price inside the arrays right after a level's depth changed."""
    reg = book.reg
    if side == s.BID:
        if after > 0:
            if slot > reg[s.BEST_BID]:
                reg[s.BEST_BID] = slot
        elif slot == reg[s.BEST_BID] and before > 0:
            b = slot - 1
            while b >= 0 and book.depth[s.BID, b] == 0:
                b -= 1
            reg[s.BEST_BID] = b
    else:
        if after > 0:
            if slot < reg[s.BEST_ASK]:
                reg[s.BEST_ASK] = slot
        elif slot == reg[s.BEST_ASK] and before > 0:
            n = book.n[0]
            b = slot + 1
            while b < n and book.depth[s.ASK, b] == 0:
                b += 1
            reg[s.BEST_ASK] = b


@cold
def level_far(book: Book, slot: Int, side: Int, before: Int, after: Int) -> None:
    """Note that a far level appeared or vanished; its best is searched only when needed."""
    step = np.int64(after > 0) - np.int64(before > 0)
    if step == 0:
        return
    reg = book.reg
    tick = tick_of(book, slot)
    if side == s.BID:
        reg[s.FAR_BID_STALE] = 1
        if tick >= reg[s.BASE] + book.n[0]:
            reg[s.FAR_BIDS_ABOVE] += step
    else:
        reg[s.FAR_ASK_STALE] = 1
        if tick < reg[s.BASE]:
            reg[s.FAR_ASKS_BELOW] += step


@step
def change(
    book: Book, impulses: Impulses, slot: Int, side: Int, size: Int, orders: Int, channel: Int
) -> None:
    """Change a level by a signed size and order count, and record the impulse.

    Inside a snapshot, and for clears, the change is a signed reset instead of flow.
    """
    reg = book.reg
    before = book.depth[side, slot]
    after = before + size
    book.depth[side, slot] = after
    book.order_count[side, slot] += orders
    if slot < book.n[0]:
        level_inside(book, slot, side, before, after)
    else:
        level_far(book, slot, side, before, after)
    reg[s.N_LEVELS_BID + side] += np.int64(after > 0) - np.int64(before > 0)
    if size == 0:
        return
    i = reg[s.N_IMPULSES]
    impulses.slot[i] = slot
    if reg[s.SNAPSHOT_OPEN] != 0 or channel >= s.RESET_BID:
        impulses.channel[i] = s.RESET_BID + side
        impulses.size[i] = size
        reg[s.RESETS] += 1
    else:
        impulses.channel[i] = channel
        impulses.size[i] = abs(size)
    reg[s.N_IMPULSES] = i + 1


@step
def reduce(
    book: Book, impulses: Impulses, slot: Int, side: Int, size: Int, orders: Int, filled: Int
) -> None:
    """Take size off a level: first the filled part, then the pulled part."""
    if filled > 0:
        change(book, impulses, slot, side, -filled, 0, s.FILL_BID + side)
    change(book, impulses, slot, side, filled - size, orders, s.PULL_BID + side)


@cold
def clear_side(book: Book, impulses: Impulses, side: Int, channel: Int) -> None:
    """Empty every level of a side, by ascending tick inside the arrays, then far ones."""
    n = book.n[0]
    for slot in range(n):
        if book.depth[side, slot] > 0:
            change(book, impulses, slot, side, -book.depth[side, slot], 0, channel)
        book.order_count[side, slot] = 0
    if book.reg[s.N_FAR] > 0:
        for row in range(book.far.shape[0]):
            slot = n + row
            if book.depth[side, slot] > 0:
                change(book, impulses, slot, side, -book.depth[side, slot], 0, channel)
            book.order_count[side, slot] = 0
    book.reg[s.TOB_SIZE_BID + side] = 0


@cold
def best_far(book: Book, side: Int) -> Int:
    """Return the slot of the best far level of a side, or -1; searched only when stale."""
    reg = book.reg
    if reg[s.FAR_BID_STALE + side] != 0:
        n = book.n[0]
        best = np.int64(-1)
        best_tick = np.int64(0)
        for row in range(book.far.shape[0]):
            if book.depth[side, n + row] > 0:
                tick = np.int64(book.far[row, 0])
                if best < 0 or (tick > best_tick if side == s.BID else tick < best_tick):
                    best = n + row
                    best_tick = tick
        reg[s.FAR_BEST_BID + side] = best
        reg[s.FAR_BID_STALE + side] = 0
    return reg[s.FAR_BEST_BID + side]


@step
def best_slot(book: Book, side: Int) -> Int:
    """Return the slot of the best level of a side, or -1 if the side is empty."""
    reg = book.reg
    if side == s.BID:
        if reg[s.FAR_BIDS_ABOVE] > 0:
            return best_far(book, side)
        if reg[s.BEST_BID] >= 0:
            return reg[s.BEST_BID]
    else:
        if reg[s.FAR_ASKS_BELOW] > 0:
            return best_far(book, side)
        if reg[s.BEST_ASK] < book.n[0]:
            return reg[s.BEST_ASK]
    if reg[s.N_LEVELS_BID + side] == 0:
        return np.int64(-1)
    return best_far(book, side)


@kernel
def look(book: Book, out: NDArray[np.int64]) -> None:
    """Write the book's face: bid tick, bid size, ask tick, ask size, state.

    Absent sides have size 0 and tick 0. The state is a :class:`qmachina.market.BookState`.
    """
    reg = book.reg
    for side in range(2):
        slot = best_slot(book, side)
        out[2 * side] = tick_of(book, slot) if slot >= 0 else 0
        out[2 * side + 1] = book.depth[side, slot] if slot >= 0 else 0
    if reg[s.SNAPSHOT_OPEN] != 0:
        out[4] = 1
    elif reg[s.SYNCED] == 0:
        out[4] = 0
    elif out[1] == 0 and out[3] == 0:
        out[4] = 2
    elif out[1] == 0 or out[3] == 0:
        out[4] = 3
    elif out[0] <= out[2]:
        out[4] = 4
    else:
        out[4] = 5


@step
def anchor(book: Book, tick: Int) -> None:
    """Centre the level arrays on the first price met."""
    reg = book.reg
    if reg[s.ANCHORED] == 0:
        reg[s.ANCHORED] = 1
        reg[s.BASE] = tick - book.n[0] // 2


@step
def checked_tick(book: Book, price: Int, tick_size: Int) -> tuple[Int, Int]:
    """Return (status, tick) of the price of a book-changing record."""
    if price == _UNDEF:
        return s.UNDEFINED_PRICE, np.int64(0)
    tick = price // tick_size
    if tick * tick_size != price:
        return s.OFF_GRID, np.int64(0)
    if tick > _MAX_TICK or tick < -_MAX_TICK:
        return s.TICK_RANGE, np.int64(0)
    anchor(book, tick)
    return OK, tick
