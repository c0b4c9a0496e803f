"""Plain-Python twin of the order book: records of one book -> events -> impulses.

Dicts and loops only. Whatever the design leaves open is decided here, in words, and the kernel
must decide alike.

Events
------
An event ends after a record with F_LAST; after an R without F_SNAPSHOT; before a record that
differs from its predecessor in both ts_event and ts_recv (``unterminated``); at end of input
(``unterminated``). A record that would be the 65,537th of its event is the error
``event_too_long``, raised before anything of that event is applied. All other errors are found
when the event is applied, in record order, and within a record in the order ``bad_time``,
``bad_action``, ``bad_side``, ``undefined_price``, ``off_grid``, ``tick_range``.
Time is the running maximum of the clock stamp over all records; a record whose stamp is below
it counts as ``time_regressions``. Indices in errors count the records of this book from 0.

Orders
------
- A side byte other than ``A`` and ``B`` means N.
- A and M must have a price that is defined, on the grid and within 2**60 ticks (also with size
  0), except with F_TOB and size 0, where the price is not looked at. C, R, T, F, N: any price.
- A: duplicate id: ``duplicate_add``, the old order is pulled whole, the new one added.
  Size 0: ``zero_size``, nothing inserted (a duplicate counts as both and still loses the old).
- C: takes min(size, resting); more: ``oversized_cancel``; unknown: ``unknown_cancel``.
- M, same side and price: the difference is added, or pulled / filled. Else the whole old size
  is pulled / filled at the old tick, then the whole new size is added. Side N keeps the side of
  a known order. Unknown: ``unknown_modify`` and inserted. Size 0: ``zero_size``, the order is
  removed (pulled / filled), an unknown one is not inserted.
- Impulses never have size 0. Order of impulses of a record: fill, pull, add.

Pending fills
-------------
F adds its size to the pending fill of its order id; one of another ts_event expires first. The
next C or M of the id consumes it whole: fill = min(pending, reduction) if the ts_event is the
same. ``unmatched_fill`` counts pendings that expire (other ts_event; A of that id; R; opening of
a snapshot) and those consumed by a C or M that takes nothing off the book (unknown order, size
up or equal, a C of size 0). What is pending at end of input is not counted. Records with F_TOB
neither open nor consume pendings (an R, with or without the flag, expires them all).

Snapshots
---------
A record with F_SNAPSHOT opens one when none is open: every level leaves by a reset impulse
(bids by ascending tick, then asks). R with the flag clears again. While it is open A, C, M and
TOB records change state by reset impulses (+ / - size; anomalies count as always), T and F are
ignored. It closes, and the book is synced, after a record with F_SNAPSHOT and F_LAST, before
the first record without F_SNAPSHOT, or at end of input (``finish``: no event reports that).
R without F_SNAPSHOT clears alike and syncs.

Top of book
-----------
A or M with F_TOB replaces its side: all other ticks of the side (orders by id included) are
pulled whole in ascending order, then the new tick changes by the difference (add or pull).
Size 0 empties the side; so does C with F_TOB, by its side field. Side N is ``bad_side``.
R with F_TOB is an ordinary R. A TOB level counts as one order; ``n_levels`` counts distinct
ticks with depth. Orders by id that arrive later coexist with it.

State
-----
``assume_synced_after`` s: at the end of an event whose time is at least that of the first event
plus ``round(s * 1e9)`` ns, an unsynced book becomes synced. ``anchor`` is the tick of the first
A or M whose price was looked at, or of the first T with a side and a price on the grid (outside
snapshots), whichever comes first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from qmachina.market import UNDEF_PRICE, Action, BookState, Flag, Side

MAX_EVENT_RECORDS = 65_536
MAX_TICK = 2**60

SIDE_NAME = {Side.BID: "bid", Side.ASK: "ask"}
SIDES = ("bid", "ask")


class OracleError(Exception):
    """A record that cannot be applied: what is wrong, and its index within the book."""

    def __init__(self, kind: str, record_index: int) -> None:
        super().__init__(f"{kind} at record {record_index}")
        self.kind = kind
        self.record_index = record_index


class Impulse(NamedTuple):
    """A change of depth. ``size`` is positive except in the signed reset channels."""

    tick: int
    channel: str
    size: int


class Trade(NamedTuple):
    """A T record; ``tick`` is None where its price is undefined or off-grid."""

    tick: int | None
    aggressor: str  # "buy", "sell" or "none"
    size: int


class Look(NamedTuple):
    """What the book shows at an event boundary; best prices as (tick, size)."""

    state: BookState
    bid: tuple[int, int] | None
    ask: tuple[int, int] | None
    n_orders: int
    n_bid_levels: int
    n_ask_levels: int


#: Before the first event.
NO_BOOK = Look(BookState.UNSYNCED, None, None, 0, 0, 0)


class Event(NamedTuple):
    """One applied event and the book after it."""

    event_id: int
    time: int
    n_records: int
    is_snapshot: bool  # its last record has F_SNAPSHOT
    impulses: list[Impulse]
    trades: list[Trade]
    look: Look
    anchor: int | None


class Order(NamedTuple):
    """A resting order."""

    side: str
    tick: int
    size: int


class OracleBook:
    """One book, fed record by record.

    Parameters
    ----------
    tick_size_int : int
        Tick size in units of 1e-9.
    clock : {"recv", "event"}
        Which stamp drives the time of events.
    assume_synced_after : float or None
        Seconds after which an unsynced book counts as synced.
    """

    def __init__(
        self, tick_size_int: int, clock: str = "recv", assume_synced_after: float | None = None
    ) -> None:
        self.tick_size_int = tick_size_int
        self.stamp = {"recv": "ts_recv", "event": "ts_event"}[clock]
        self.assume_after_ns = (
            None if assume_synced_after is None else round(assume_synced_after * 1e9)
        )
        self.counts: Counter[str] = Counter()
        self.orders: dict[int, Order] = {}
        self.tob: dict[str, tuple[int, int]] = {}
        self.depth: dict[str, dict[int, int]] = {"bid": {}, "ask": {}}
        self.pending: dict[int, tuple[int, int]] = {}  # order id -> (size, ts_event)
        self.synced = False
        self.snapshot_open = False
        self.anchor: int | None = None
        self.event_id = 0
        self.time = -1
        self.first_event_time: int | None = None
        self.n_records = 0
        self._open: list[np.void] = []  # records of the event being collected
        self._impulses: list[Impulse] = []
        self._trades: list[Trade] = []

    # Grouping

    def feed(self, records: np.ndarray) -> Iterator[Event]:
        """Yield the events that ``records`` complete. Nothing happens until it is iterated."""
        for record in records:
            if self._open and _is_cut(self._open[-1], record):
                self.counts["unterminated"] += 1
                yield self._apply_event()
            if len(self._open) == MAX_EVENT_RECORDS:
                raise OracleError("event_too_long", self.n_records)
            self._open.append(record)
            self.n_records += 1
            flags = int(record["flags"])
            is_plain_clear = record["action"] == Action.CLEAR and not flags & Flag.SNAPSHOT
            if flags & Flag.LAST or is_plain_clear:
                yield self._apply_event()

    def finish(self) -> Iterator[Event]:
        """End the input: apply what is open, then close an open snapshot."""
        if self._open:
            self.counts["unterminated"] += 1
            yield self._apply_event()
        if self.snapshot_open:
            self._close_snapshot()

    def look(self) -> Look:
        """Return what the book shows now."""
        bid = max(self.depth["bid"].items(), default=None)
        ask = min(self.depth["ask"].items(), default=None)
        if self.snapshot_open:
            state = BookState.BUILDING
        elif not self.synced:
            state = BookState.UNSYNCED
        elif bid is None and ask is None:
            state = BookState.EMPTY
        elif bid is None or ask is None:
            state = BookState.ONE_SIDED
        else:
            state = BookState.VALID if bid[0] <= ask[0] else BookState.CROSSED
        n_orders = len(self.orders) + len(self.tob)
        return Look(state, bid, ask, n_orders, len(self.depth["bid"]), len(self.depth["ask"]))

    def summed_depth(self) -> dict[str, dict[int, int]]:
        """Return depth by side and tick, summed anew over orders and TOB levels."""
        total: dict[str, dict[int, int]] = {"bid": {}, "ask": {}}
        for side, tick, size in [*self.orders.values(), *((s, *q) for s, q in self.tob.items())]:
            total[side][tick] = total[side].get(tick, 0) + size
        return total

    def _apply_event(self) -> Event:
        records, self._open = self._open, []
        self._impulses, self._trades = [], []
        first = self.n_records - len(records)
        for i, record in enumerate(records, start=first):
            stamp = int(record[self.stamp])
            if stamp >= 2**63:
                raise OracleError("bad_time", i)
            if stamp < self.time:
                self.counts["time_regressions"] += 1
            self.time = max(self.time, stamp)
            self._apply(i, record)
        self.event_id += 1
        if self.first_event_time is None:
            self.first_event_time = self.time
        if (
            self.assume_after_ns is not None
            and self.time >= self.first_event_time + self.assume_after_ns
        ):
            self.synced = True
        return Event(
            self.event_id,
            self.time,
            len(records),
            bool(records[-1]["flags"] & Flag.SNAPSHOT),
            self._impulses,
            self._trades,
            self.look(),
            self.anchor,
        )

    # One record

    def _apply(self, i: int, r: np.void) -> None:
        flags = int(r["flags"])
        action = int(r["action"])
        tob = bool(flags & Flag.TOB)
        if action not in tuple(Action):
            raise OracleError("bad_action", i)
        if flags & Flag.SNAPSHOT:
            if not self.snapshot_open:
                self._clear()
                self.snapshot_open = True
        elif self.snapshot_open:
            self._close_snapshot()

        if action == Action.CLEAR:
            self._clear()
            if not flags & Flag.SNAPSHOT:
                self.synced = True
        elif action in (Action.ADD, Action.MODIFY, Action.CANCEL) and tob:
            self._replace_side(i, r)
        elif action == Action.ADD:
            self._add(i, r)
        elif action == Action.MODIFY:
            self._modify(i, r)
        elif action == Action.CANCEL:
            self._cancel(r)
        elif action == Action.FILL and not tob and not self.snapshot_open:
            self._fill(r)
        elif action == Action.TRADE and not self.snapshot_open:
            self._trade(r)

        if flags & Flag.SNAPSHOT and flags & Flag.LAST:
            self._close_snapshot()

    def _add(self, i: int, r: np.void) -> None:
        side = SIDE_NAME.get(int(r["side"]))
        if side is None:
            raise OracleError("bad_side", i)
        tick = self._book_tick(i, r)
        order_id, size = int(r["order_id"]), int(r["size"])
        if self.pending.pop(order_id, None):
            self.counts["unmatched_fill"] += 1
        old = self.orders.pop(order_id, None)
        if old:
            self.counts["duplicate_add"] += 1
            self._take(old.side, old.tick, old.size)
        if size == 0:
            self.counts["zero_size"] += 1
        else:
            self._insert(order_id, Order(side, tick, size))

    def _cancel(self, r: np.void) -> None:
        order_id, size = int(r["order_id"]), int(r["size"])
        order = self.orders.get(order_id)
        if order is None:
            self.counts["unknown_cancel"] += 1
            self._consume_pending(r, 0)
            return
        if size > order.size:
            self.counts["oversized_cancel"] += 1
        taken = min(size, order.size)
        self._take(order.side, order.tick, taken, self._consume_pending(r, taken))
        if taken == order.size:
            del self.orders[order_id]
        else:
            self.orders[order_id] = order._replace(size=order.size - taken)

    def _modify(self, i: int, r: np.void) -> None:
        order_id, size = int(r["order_id"]), int(r["size"])
        old = self.orders.get(order_id)
        side = SIDE_NAME.get(int(r["side"]), old.side if old else None)
        if side is None:
            raise OracleError("bad_side", i)
        tick = self._book_tick(i, r)
        if size == 0:
            self.counts["zero_size"] += 1
        if old is None:
            self.counts["unknown_modify"] += 1
            self._consume_pending(r, 0)
            if size > 0:
                self._insert(order_id, Order(side, tick, size))
            return
        new = Order(side, tick, size)
        is_same_place = (old.side, old.tick) == (side, tick)
        kept = min(old.size, size) if is_same_place else 0
        removed = old.size - kept
        self._take(old.side, old.tick, removed, self._consume_pending(r, removed))
        if size > kept:
            self._change(side, tick, size - kept, "add")
        if size > 0:
            self.orders[order_id] = new
        else:
            del self.orders[order_id]

    def _fill(self, r: np.void) -> None:
        order_id, ts_event = int(r["order_id"]), int(r["ts_event"])
        size, opened = self.pending.get(order_id, (0, ts_event))
        if opened != ts_event:
            self.counts["unmatched_fill"] += 1
            size = 0
        self.pending[order_id] = (size + int(r["size"]), ts_event)

    def _trade(self, r: np.void) -> None:
        price = int(r["price"])
        is_on_grid = price != UNDEF_PRICE and price % self.tick_size_int == 0
        tick = price // self.tick_size_int if is_on_grid else None
        aggressor = {Side.BID: "buy", Side.ASK: "sell"}.get(int(r["side"]), "none")
        self._trades.append(Trade(tick, aggressor, int(r["size"])))
        if self.anchor is None and tick is not None and aggressor != "none":
            self.anchor = tick

    def _replace_side(self, i: int, r: np.void) -> None:
        side = SIDE_NAME.get(int(r["side"]))
        if side is None:
            raise OracleError("bad_side", i)
        size = 0 if r["action"] == Action.CANCEL else int(r["size"])
        tick = self._book_tick(i, r) if size else None
        self.orders = {k: o for k, o in self.orders.items() if o.side != side}
        self.tob.pop(side, None)
        for t, resting in sorted(self.depth[side].items()):
            if t != tick:
                self._take(side, t, resting)
        if tick is not None:
            resting = self.depth[side].get(tick, 0)
            if size > resting:
                self._change(side, tick, size - resting, "add")
            else:
                self._take(side, tick, resting - size)
            self.tob[side] = (tick, size)

    def _clear(self) -> None:
        self.counts["unmatched_fill"] += len(self.pending)
        self.pending.clear()
        for side in SIDES:
            for tick, resting in sorted(self.depth[side].items()):
                self._impulses.append(Impulse(tick, f"reset_{side}", -resting))
            self.depth[side].clear()
        self.orders.clear()
        self.tob.clear()

    def _close_snapshot(self) -> None:
        self.snapshot_open = False
        self.synced = True

    # Parts of a record

    def _book_tick(self, i: int, r: np.void) -> int:
        price = int(r["price"])
        if price == UNDEF_PRICE:
            raise OracleError("undefined_price", i)
        tick, rest = divmod(price, self.tick_size_int)
        if rest:
            raise OracleError("off_grid", i)
        if abs(tick) > MAX_TICK:
            raise OracleError("tick_range", i)
        if self.anchor is None:
            self.anchor = tick
        return tick

    def _consume_pending(self, r: np.void, reduction: int) -> int:
        """Take the pending fill of a C or M away; return how much of the reduction it explains."""
        pending = self.pending.pop(int(r["order_id"]), None)
        if pending is None:
            return 0
        size, ts_event = pending
        if ts_event != int(r["ts_event"]) or reduction == 0:
            self.counts["unmatched_fill"] += 1
            return 0
        return min(size, reduction)

    def _insert(self, order_id: int, order: Order) -> None:
        self.orders[order_id] = order
        self._change(order.side, order.tick, order.size, "add")

    def _take(self, side: str, tick: int, size: int, filled: int = 0) -> None:
        self._change(side, tick, -filled, "fill")
        self._change(side, tick, filled - size, "pull")

    def _change(self, side: str, tick: int, change: int, why: str) -> None:
        """Change the depth of a tick and record the impulse (a reset while a snapshot is open)."""
        if change == 0:
            return
        resting = self.depth[side].get(tick, 0) + change
        assert resting >= 0, "depth is never negative"
        if resting:
            self.depth[side][tick] = resting
        else:
            del self.depth[side][tick]
        if self.snapshot_open:
            self._impulses.append(Impulse(tick, f"reset_{side}", change))
        else:
            self._impulses.append(Impulse(tick, f"{why}_{side}", abs(change)))


def _is_cut(before: np.void, record: np.void) -> bool:
    return bool(before["ts_event"] != record["ts_event"] and before["ts_recv"] != record["ts_recv"])
