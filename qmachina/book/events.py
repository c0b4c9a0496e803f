"""Where events end, and whether the book has room for the next one."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from qmachina.book import state as s
from qmachina.book.levels import best_slot, tick_of
from qmachina.book.state import Book, Impulses
from qmachina.kernel import OK, Int, cold, step
from qmachina.market import UNDEF_PRICE, Action, Flag, Side

_UNDEF = int(UNDEF_PRICE)
_ADD, _MODIFY = int(Action.ADD), int(Action.MODIFY)
_CLEAR, _TRADE = int(Action.CLEAR), int(Action.TRADE)
_SIDE_BID, _SIDE_ASK = int(Side.BID), int(Side.ASK)
_F_LAST, _F_SNAPSHOT = int(Flag.LAST), int(Flag.SNAPSHOT)


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


@cold
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
