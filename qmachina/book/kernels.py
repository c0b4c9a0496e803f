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
from qmachina.book.state import Book, Impulses
from qmachina.book.table import claim, find, remove
from qmachina.kernel import OK, Int, kernel, step
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
_ZERO_SIZE, _UNMATCHED_FILL = int(s.Anomaly.ZERO_SIZE), int(s.Anomaly.UNMATCHED_FILL)
_TIME_REGRESSION = int(s.Anomaly.TIME_REGRESSION)
_UNTERMINATED = int(s.Anomaly.UNTERMINATED)


@step
def event_end(records: NDArray, start: Int, n: Int, checked: Int, final: bool) -> Int:
    """Return the exclusive end of the event that starts at ``start``, or -1 if it is open.

    ``checked`` records of it are known not to end it. An event ends after F_LAST, after a
    clear outside a snapshot, or before a record with another ts_event *and* ts_recv.
    """
    i = start + checked
    while i < n:
        flags = records[i]["flags"]
        if flags & _F_LAST != 0:
            return i + 1
        if records[i]["action"] == _CLEAR and flags & _F_SNAPSHOT == 0:
            return i + 1
        if i + 1 < n:
            if (
                records[i + 1]["ts_event"] != records[i]["ts_event"]
                and records[i + 1]["ts_recv"] != records[i]["ts_recv"]
            ):
                return i + 1
        i += 1
    if final and start < n:
        return n
    return -1


@step
def is_unterminated(record: Any) -> bool:
    """Tell whether an event that ends with this record lacks its end mark."""
    if record["flags"] & _F_LAST != 0:
        return False
    return not (record["action"] == _CLEAR and record["flags"] & _F_SNAPSHOT == 0)


@step
def note(book: Book, kind: Int) -> None:
    """Count an anomaly of the order flow."""
    book.anomalies[kind] += 1
    book.reg[s.LAST_ANOMALY] = kind + 1


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


@step
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


@step
def open_fill(book: Book, record: Any) -> None:
    """Remember a fill until the cancel or modify of its order says what it did."""
    reg = book.reg
    row = claim(book.pending, reg[s.PENDING_LOG2], record["order_id"])
    word = book.pending[row, 2]
    size = np.int64(record["size"])
    if word == 0:
        reg[s.N_PENDING] += 1
    elif book.pending[row, 1] == record["ts_event"]:
        size += np.int64(word >> np.uint64(1))
    else:
        book.anomalies[_UNMATCHED_FILL] += 1
    book.pending[row, 1] = record["ts_event"]
    book.pending[row, 2] = np.uint64(2 * size + 1)


@step
def take_fill(book: Book, record: Any, reduction: Int) -> Int:
    """Consume the pending fill of a cancel's or modify's order; return how much it explains."""
    reg = book.reg
    if reg[s.N_PENDING] == 0:
        return np.int64(0)
    row = find(book.pending, reg[s.PENDING_LOG2], record["order_id"])
    if row < 0:
        return np.int64(0)
    size = np.int64(book.pending[row, 2] >> np.uint64(1))
    same = book.pending[row, 1] == record["ts_event"]
    remove(book.pending, reg[s.PENDING_LOG2], row)
    reg[s.N_PENDING] -= 1
    if not same or reduction <= 0:
        book.anomalies[_UNMATCHED_FILL] += 1
        return np.int64(0)
    return min(size, reduction)


@step
def expire_fills(book: Book) -> None:
    """Forget all pending fills, counting each as unmatched."""
    reg = book.reg
    if reg[s.N_PENDING] > 0:
        book.anomalies[_UNMATCHED_FILL] += reg[s.N_PENDING]
        reg[s.N_PENDING] = 0
        book.pending[:, 2] = 0


@step
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


@step
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


@step
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


@step
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


@step
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
def far_demand(book: Book, records: NDArray, start: Int, stop: Int, tick_size: Int) -> Int:
    """Return how many rows of the far table an event may claim, at most.

    Short events are not looked into; a snapshot of thousands of orders is.
    """
    if stop - start <= 64:
        return 2 * (stop - start)
    n = book.n[0]
    base = book.reg[s.BASE]
    anchored = book.reg[s.ANCHORED] != 0
    demand = 0
    for i in range(start, stop):
        price = records[i]["price"]
        if price == _UNDEF:
            continue
        tick = price // tick_size
        if not anchored:
            action = records[i]["action"]
            side = records[i]["side"]
            named = side == _SIDE_BID or side == _SIDE_ASK
            if action == _ADD or action == _MODIFY or (action == _TRADE and named):
                if tick * tick_size == price:
                    base = tick - n // 2
                    anchored = True
        if tick < base or tick >= base + n:
            demand += 1
    return demand


@step
def room_for(
    book: Book, impulses: Impulses, records: NDArray, start: Int, stop: Int, tick_size: Int
) -> Int:
    """Return OK if an event fits the tables, else the code of what must grow."""
    reg = book.reg
    size = stop - start
    if 4 * (reg[s.N_ORDERS] + size) > book.orders.shape[0]:
        return s.GROW_ORDERS
    if 2 * (reg[s.N_PENDING] + size) > book.pending.shape[0]:
        return s.GROW_PENDING
    if 2 * (reg[s.N_FAR] + 2 * size) > book.far.shape[0]:
        if (
            2 * (reg[s.N_FAR] + far_demand(book, records, start, stop, tick_size))
            > (book.far.shape[0])
        ):
            return s.GROW_FAR
    levels = reg[s.N_LEVELS_BID] + reg[s.N_LEVELS_ASK]
    if 3 * size + levels > impulses.slot.shape[0]:
        return s.GROW_IMPULSES
    return OK


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


@step
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
def next_event(
    book: Book,
    impulses: Impulses,
    records: NDArray,
    start: Int,
    n: Int,
    checked: Int,
    final: bool,
    tick_size: Int,
) -> tuple[Int, Int]:
    """Find the next event and make sure that it fits.

    Returns
    -------
    tuple of (status, stop)
        ``OK`` and the event's exclusive end; ``OK`` and -1 when it is still open; else what
        must grow first, or ``EVENT_TOO_LONG``.
    """
    stop = event_end(records, start, n, checked, final)
    if (n if stop < 0 else stop) - start > s.MAX_EVENT_RECORDS:
        return s.EVENT_TOO_LONG, start
    if stop < 0:
        return OK, stop
    return room_for(book, impulses, records, start, stop, tick_size), stop


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


@step
def wants_anchor(book: Book) -> bool:
    """Tell whether a synced, uncrossed book's middle left the inner three quarters."""
    reg = book.reg
    n = book.n[0]
    margin = n // 8
    if (
        reg[s.FAR_BIDS_ABOVE] == 0
        and reg[s.FAR_ASKS_BELOW] == 0
        and margin <= reg[s.BEST_BID]
        and reg[s.BEST_ASK] < n - margin
    ):
        return False  # both inside: the middle is too
    if reg[s.SYNCED] == 0 or reg[s.SNAPSHOT_OPEN] != 0:
        return False
    bid = best_slot(book, s.BID)
    ask = best_slot(book, s.ASK)
    if bid < 0 or ask < 0:
        return False
    bid_tick = tick_of(book, bid)
    ask_tick = tick_of(book, ask)
    spot = (bid_tick + ask_tick) // 2 - reg[s.BASE]
    return bid_tick <= ask_tick and not (margin <= spot < n - margin)
