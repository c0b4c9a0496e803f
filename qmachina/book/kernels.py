"""Apply records to the book, one event at a time, and say what moved and why.

1. ``event_end`` finds where an event ends.
2. ``apply_event`` advances the clock and applies its records in order.
3. ``apply_record`` opens and closes snapshots and dispatches on the action.
4. Every change of a level goes through ``change``: depth, best prices, one impulse.

Trades and fills never change the book. A fill is remembered and decides how much of the
next cancel or modify of its order counts as fill instead of pull.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qmachina.book import state as s
from qmachina.book.events import is_unterminated, next_event, wants_anchor
from qmachina.book.fills import expire_fills, note, open_fill, take_fill
from qmachina.book.levels import anchor, change, checked_tick, clear_side, reduce, slot_of
from qmachina.book.state import Book, Impulses
from qmachina.book.table import claim, find, remove
from qmachina.kernel import OK, Int, cold, kernel, step
from qmachina.market import UNDEF_PRICE, Action, Flag, Side

_ADD, _CANCEL = int(Action.ADD), int(Action.CANCEL)
_MODIFY, _CLEAR = int(Action.MODIFY), int(Action.CLEAR)
_TRADE, _FILL, _NONE = int(Action.TRADE), int(Action.FILL), int(Action.NONE)
_SIDE_BID, _SIDE_ASK = int(Side.BID), int(Side.ASK)
_F_LAST, _F_SNAPSHOT, _F_TOB = int(Flag.LAST), int(Flag.SNAPSHOT), int(Flag.TOB)
_UNDEF = int(UNDEF_PRICE)
_MAX_TICK = int(s.MAX_TICK)
_DUPLICATE_ADD, _OVERSIZED_CANCEL = int(s.Anomaly.DUPLICATE_ADD), int(s.Anomaly.OVERSIZED_CANCEL)
_UNKNOWN_CANCEL, _UNKNOWN_MODIFY = int(s.Anomaly.UNKNOWN_CANCEL), int(s.Anomaly.UNKNOWN_MODIFY)
_ZERO_SIZE = int(s.Anomaly.ZERO_SIZE)
_TIME_REGRESSION = int(s.Anomaly.TIME_REGRESSION)
_UNTERMINATED = int(s.Anomaly.UNTERMINATED)


@cold
def clear(book: Book, impulses: Impulses) -> None:
    """Empty the book; the change of depth is a reset, not flow."""
    expire_fills(book)
    clear_side(book, impulses, s.BID, s.RESET_BID)
    clear_side(book, impulses, s.ASK, s.RESET_ASK)
    reg = book.reg
    if reg[s.N_ORDERS] > 0:
        book.orders[:, 2] = 0
    reg[s.N_ORDERS] = reg[s.N_ORDERS_BID] = reg[s.N_ORDERS_ASK] = 0


@step
def put_order(
    book: Book, impulses: Impulses, order_id: Int, tick: Int, side: Int, size: Int
) -> None:
    """Insert a new order and add its size to its level."""
    reg = book.reg
    row = claim(book.orders, reg[s.ORDERS_LOG2], order_id)
    book.orders[row, 1] = np.uint64(2 * tick + side)
    book.orders[row, 2] = np.uint64(2 * size + 1)
    reg[s.N_ORDERS] += 1
    reg[s.N_ORDERS_BID + side] += 1
    change(book, impulses, slot_of(book, tick), side, size, 1, s.ADD_BID + side)


@step
def drop_order(book: Book, row: Int, side: Int) -> None:
    """Take an order out of the table; its level is the caller's business."""
    reg = book.reg
    remove(book.orders, reg[s.ORDERS_LOG2], row)
    reg[s.N_ORDERS] -= 1
    reg[s.N_ORDERS_BID + side] -= 1


@step
def order_at(book: Book, row: Int) -> tuple[Int, Int, Int]:
    """Return (tick, side, size) of an order row."""
    word = np.int64(book.orders[row, 1])
    return word >> 1, word & 1, np.int64(book.orders[row, 2] >> np.uint64(1))


@step
def add(book: Book, impulses: Impulses, record: Any, tick_size: Int) -> Int:
    """Insert an order; a duplicate id replaces the old one."""
    status, tick = checked_tick(book, record["price"], tick_size)
    if status != OK:
        return status
    side = s.BID if record["side"] == _SIDE_BID else s.ASK
    if record["side"] != _SIDE_BID and record["side"] != _SIDE_ASK:
        return s.BAD_SIDE
    if book.reg[s.N_PENDING] > 0:
        take_fill(book, record, 0)
    row = find(book.orders, book.reg[s.ORDERS_LOG2], record["order_id"])
    if row >= 0:
        note(book, _DUPLICATE_ADD)
        old_tick, old_side, old_size = order_at(book, row)
        drop_order(book, row, old_side)
        reduce(book, impulses, slot_of(book, old_tick), old_side, old_size, -1, 0)
    size = np.int64(record["size"])
    if size == 0:
        note(book, _ZERO_SIZE)
        return OK
    put_order(book, impulses, record["order_id"], tick, side, size)
    return OK


@step
def cancel(book: Book, impulses: Impulses, record: Any) -> Int:
    """Take the record's own size off its order; a pending fill explains part of it."""
    row = find(book.orders, book.reg[s.ORDERS_LOG2], record["order_id"])
    if row < 0:
        note(book, _UNKNOWN_CANCEL)
        take_fill(book, record, 0)
        return OK
    tick, side, resting = order_at(book, row)
    size = np.int64(record["size"])
    if size > resting:
        note(book, _OVERSIZED_CANCEL)
        size = resting
    filled = take_fill(book, record, size)
    slot = slot_of(book, tick)
    if size == resting:
        drop_order(book, row, side)
        reduce(book, impulses, slot, side, size, -1, filled)
    else:
        book.orders[row, 2] = np.uint64(2 * (resting - size) + 1)
        reduce(book, impulses, slot, side, size, 0, filled)
    return OK


@step
def modify(book: Book, impulses: Impulses, record: Any, tick_size: Int) -> Int:
    """Replace price, size and side of an order; an unknown one is inserted."""
    status, tick = checked_tick(book, record["price"], tick_size)
    if status != OK:
        return status
    row = find(book.orders, book.reg[s.ORDERS_LOG2], record["order_id"])
    size = np.int64(record["size"])
    named = record["side"] == _SIDE_BID or record["side"] == _SIDE_ASK
    side = s.BID if record["side"] == _SIDE_BID else s.ASK
    if row < 0:
        if not named:
            return s.BAD_SIDE
        note(book, _UNKNOWN_MODIFY)
        take_fill(book, record, 0)
        if size == 0:
            note(book, _ZERO_SIZE)
        else:
            put_order(book, impulses, record["order_id"], tick, side, size)
        return OK
    old_tick, old_side, resting = order_at(book, row)
    if not named:
        side = old_side
    if size == 0:
        note(book, _ZERO_SIZE)
        filled = take_fill(book, record, resting)
        drop_order(book, row, old_side)
        reduce(book, impulses, slot_of(book, old_tick), old_side, resting, -1, filled)
    elif tick == old_tick and side == old_side:
        filled = take_fill(book, record, resting - size)
        book.orders[row, 2] = np.uint64(2 * size + 1)
        slot = slot_of(book, tick)
        if size > resting:
            change(book, impulses, slot, side, size - resting, 0, s.ADD_BID + side)
        elif size < resting:
            reduce(book, impulses, slot, side, resting - size, 0, filled)
    else:
        filled = take_fill(book, record, resting)
        book.orders[row, 1] = np.uint64(2 * tick + side)
        book.orders[row, 2] = np.uint64(2 * size + 1)
        book.reg[s.N_ORDERS_BID + old_side] -= 1
        book.reg[s.N_ORDERS_BID + side] += 1
        reduce(book, impulses, slot_of(book, old_tick), old_side, resting, -1, filled)
        change(book, impulses, slot_of(book, tick), side, size, 1, s.ADD_BID + side)
    return OK


@cold
def drop_side_orders(book: Book, side: Int) -> None:
    """Take every order of a side out of the table."""
    reg = book.reg
    row = np.int64(0)
    while row < book.orders.shape[0] and reg[s.N_ORDERS_BID + side] > 0:
        # Removal may move a later order into this row: look at the row again.
        if book.orders[row, 2] != 0 and np.int64(book.orders[row, 1]) & 1 == side:
            drop_order(book, row, side)
        else:
            row += 1


@cold
def replace_side(book: Book, impulses: Impulses, side: Int, slot: Int, size: Int) -> None:
    """Make one top-of-book level the whole side; flow is the change of size at each tick."""
    drop_side_orders(book, side)
    n = book.n[0]
    for other in range(n):
        if other != slot and book.depth[side, other] > 0:
            reduce(book, impulses, other, side, book.depth[side, other], 0, 0)
            book.order_count[side, other] = 0
    if book.reg[s.N_FAR] > 0:
        for row in range(book.far.shape[0]):
            other = n + row
            if other != slot and book.depth[side, other] > 0:
                reduce(book, impulses, other, side, book.depth[side, other], 0, 0)
                book.order_count[side, other] = 0
    if slot >= 0:
        difference = size - book.depth[side, slot]
        book.order_count[side, slot] = 0
        if difference >= 0:
            change(book, impulses, slot, side, difference, 1, s.ADD_BID + side)
        else:
            change(book, impulses, slot, side, difference, 1, s.PULL_BID + side)


@cold
def top_of_book(book: Book, impulses: Impulses, record: Any, tick_size: Int) -> Int:
    """Replace a whole side, as feeds do that carry the best level alone."""
    reg = book.reg
    if record["side"] == _SIDE_BID:
        side = s.BID
    elif record["side"] == _SIDE_ASK:
        side = s.ASK
    else:
        return s.BAD_SIDE
    size = np.int64(record["size"])
    if size == 0 or record["action"] == _CANCEL:
        replace_side(book, impulses, side, np.int64(-1), np.int64(0))
        reg[s.TOB_SIZE_BID + side] = 0
        return OK
    status, tick = checked_tick(book, record["price"], tick_size)
    if status != OK:
        return status
    # The one level nearly always stays or moves a little: no need to walk the arrays.
    old_size = reg[s.TOB_SIZE_BID + side]
    only_level = reg[s.N_ORDERS_BID + side] == 0
    slot = slot_of(book, tick)
    if only_level:
        if old_size > 0 and reg[s.TOB_TICK_BID + side] != tick:
            old_slot = slot_of(book, reg[s.TOB_TICK_BID + side])
            reduce(book, impulses, old_slot, side, old_size, -1, 0)
            old_size = np.int64(0)
        channel = s.ADD_BID if size >= old_size else s.PULL_BID
        change(book, impulses, slot, side, size - old_size, np.int64(old_size == 0), channel + side)
    else:
        replace_side(book, impulses, side, slot, size)
    reg[s.TOB_TICK_BID + side] = tick
    reg[s.TOB_SIZE_BID + side] = size
    return OK


@step
def trade(book: Book, impulses: Impulses, record: Any, tick_size: Int) -> None:
    """Record a trade as flow by aggressor; the book does not change."""
    reg = book.reg
    i = reg[s.N_IMPULSES]
    price = record["price"]
    slot = np.int64(-1)
    channel = s.TRADE_NONE
    bought = record["side"] == _SIDE_BID
    if price != _UNDEF and price % tick_size == 0 and (bought or record["side"] == _SIDE_ASK):
        tick = price // tick_size
        if -_MAX_TICK <= tick <= _MAX_TICK:
            anchor(book, tick)
            slot = slot_of(book, tick)
            channel = s.TRADE_BUY if bought else s.TRADE_SELL
    impulses.slot[i] = slot
    impulses.channel[i] = channel
    impulses.size[i] = np.int64(record["size"])
    reg[s.N_IMPULSES] = i + 1


@kernel
def close_snapshot(book: Book) -> None:
    """Close an open snapshot: the book is what it said."""
    reg = book.reg
    if reg[s.SNAPSHOT_OPEN] != 0:
        reg[s.SNAPSHOT_OPEN] = 0
        reg[s.SYNCED] = 1


@step
def apply_record(book: Book, impulses: Impulses, record: Any, tick_size: Int) -> Int:
    """Apply one record; return OK or the code of what makes it impossible."""
    reg = book.reg
    flags = record["flags"]
    action = record["action"]
    snapshot = flags & _F_SNAPSHOT != 0
    if not snapshot:
        close_snapshot(book)
    elif snapshot and reg[s.SNAPSHOT_OPEN] == 0:
        clear(book, impulses)
        reg[s.SNAPSHOT_OPEN] = 1
    status = OK
    if flags & _F_TOB != 0 and (action == _ADD or action == _MODIFY or action == _CANCEL):
        status = top_of_book(book, impulses, record, tick_size)
    elif action == _ADD:
        status = add(book, impulses, record, tick_size)
    elif action == _CANCEL:
        status = cancel(book, impulses, record)
    elif action == _MODIFY:
        status = modify(book, impulses, record, tick_size)
    elif action == _TRADE:
        if not snapshot:
            trade(book, impulses, record, tick_size)
    elif action == _FILL:
        if not snapshot and flags & _F_TOB == 0:
            open_fill(book, record)
    elif action == _CLEAR:
        clear(book, impulses)
        if not snapshot:
            reg[s.SYNCED] = 1
    elif action != _NONE:
        status = s.BAD_ACTION
    if snapshot and flags & _F_LAST != 0:
        close_snapshot(book)
    return status


@step
def apply_event(
    book: Book,
    impulses: Impulses,
    records: NDArray,
    start: Int,
    stop: Int,
    tick_size: Int,
    event_clock: bool,
    sync_ns: Int,
    strict: bool,
) -> tuple[Int, Int]:
    """Apply one event.

    Returns
    -------
    tuple of (status, record)
        ``OK`` and ``stop``, or the code and index of the record that is impossible.
    """
    reg = book.reg
    reg[s.N_IMPULSES] = 0
    reg[s.RESETS] = 0
    for i in range(start, stop):
        stamp = np.int64(records[i]["ts_event"] if event_clock else records[i]["ts_recv"])
        if stamp < 0:
            return s.BAD_TIME, i
        if stamp < reg[s.CLOCK]:
            book.anomalies[_TIME_REGRESSION] += 1
        else:
            reg[s.CLOCK] = stamp
        reg[s.LAST_ANOMALY] = 0
        status = apply_record(book, impulses, records[i], tick_size)
        if status != OK:
            return status, i
        if strict and reg[s.LAST_ANOMALY] != 0:
            return s.STRICT, i
    reg[s.EVENT_ID] += 1
    reg[s.N_RECORDS] += stop - start
    if reg[s.FIRST_TIME] < 0:
        reg[s.FIRST_TIME] = reg[s.CLOCK]
    if sync_ns >= 0 and reg[s.SYNCED] == 0 and reg[s.CLOCK] - reg[s.FIRST_TIME] >= sync_ns:
        if reg[s.SNAPSHOT_OPEN] == 0:
            reg[s.SYNCED] = 1
    return OK, stop


@kernel
def advance_book(
    book: Book,
    impulses: Impulses,
    records: NDArray,
    checked: Int,
    final: bool,
    tick_size: Int,
    event_clock: bool,
    sync_ns: Int,
    strict: bool,
) -> tuple[Int, Int, Int]:
    """Apply all complete events of a run of records to a book alone.

    Returns
    -------
    tuple of (status, consumed, record)
        ``OK``, how many records were consumed, and the index of an impossible record.
    """
    start = 0
    n = records.shape[0]
    while start < n:
        status, stop = next_event(book, impulses, records, start, n, checked, final, tick_size)
        if status != OK:
            return status, start, start
        if stop < 0:
            break
        if is_unterminated(records[stop - 1]):
            book.anomalies[_UNTERMINATED] += 1
        status, at = apply_event(
            book, impulses, records, start, stop, tick_size, event_clock, sync_ns, strict
        )
        if status != OK:
            return status, start, at
        checked = 0
        start = stop
        if wants_anchor(book):
            return s.REANCHOR, start, start
    return OK, start, start
