"""A tape of records written by hand, one readable call a record: for traps, tests and examples.

    tape = Tape()
    tape.add(1, "B", 100, 5).add(2, "A", 101, 7)
    tape.trade("B", 101, 3, last=False).fill(2, 3, last=False).modify(2, size=4)
    records = tape.records()

Prices are ticks. Time advances a step after each event, never inside one. The tape remembers
orders only to fill in what a call leaves out; it checks nothing, as impossible tapes are its
purpose.
"""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from qmachina.errors import SpecError
from qmachina.market import MBO_DTYPE, RTYPE_MBO, UNDEF_PRICE, Action, Flag, tick_size_int

SideLetter = Literal["B", "A", "N"]

#: Time of the first record: Monday 2026-01-05 14:30 UTC.
START_NS = 1_767_623_400_000_000_000


class Tape:
    """Builder of market-by-order records.

    Every method that writes a record takes ``last`` (whether it ends the event, default True),
    ``flags`` (further bits) and any field of the record by name, which then holds as given.

    Parameters
    ----------
    tick_size : str
        Tick size in currency.
    publisher, instrument : int
        The book written to until `switch`.
    start_ns, step_ns, latency_ns : int
        ts_recv of the first record, its step from event to event, and ts_recv - ts_event.
    last_flag : int
        Flags of a record that ends an event.
    """

    def __init__(
        self,
        *,
        tick_size: str = "0.25",
        publisher: int = 1,
        instrument: int = 900_001,
        start_ns: int = START_NS,
        step_ns: int = 1_000_000,
        latency_ns: int = 50_000,
        last_flag: int = int(Flag.LAST),
    ) -> None:
        self.tick = tick_size_int(tick_size)
        self.publisher = publisher
        self.instrument = instrument
        self.now_ns = start_ns
        self.step_ns = step_ns
        self.latency_ns = latency_ns
        self.last_flag = last_flag
        self.sequence = 0
        self._rows: list[tuple[int, ...]] = []
        # (publisher, instrument, order id) -> side, tick, size
        self._orders: dict[tuple[int, int, int], tuple[SideLetter, int, int]] = {}

    def records(self) -> NDArray:
        """Return what was written so far as an array of MBO_DTYPE."""
        return np.array(self._rows, dtype=MBO_DTYPE)

    def __len__(self) -> int:
        return len(self._rows)

    def switch(self, *, publisher: int | None = None, instrument: int | None = None) -> Self:
        """Write to another book from here on."""
        self.publisher = self.publisher if publisher is None else publisher
        self.instrument = self.instrument if instrument is None else instrument
        return self

    def wait(self, ns: int = 0, *, ms: int = 0) -> Self:
        """Let time pass (or run backward) before the next record."""
        self.now_ns += ns + ms * 1_000_000
        return self

    def add(
        self, order_id: int, side: SideLetter, tick: int, size: int, **fields: int | bool
    ) -> Self:
        """Write A: a new order."""
        self._remember(order_id, side, tick, size)
        return self._put(Action.ADD, side, tick, size, order_id, fields)

    def cancel(
        self,
        order_id: int,
        size: int | None = None,
        *,
        side: SideLetter | None = None,
        tick: int | None = None,
        **fields: int | bool,
    ) -> Self:
        """Write C: take ``size`` (default: all) off an order."""
        side, tick, resting = self._known(order_id, side, tick, size)
        size = resting if size is None else size
        self._remember(order_id, side, tick, resting - size)
        return self._put(Action.CANCEL, side, tick, size, order_id, fields)

    def modify(
        self,
        order_id: int,
        *,
        side: SideLetter | None = None,
        tick: int | None = None,
        size: int | None = None,
        **fields: int | bool,
    ) -> Self:
        """Write M: give an order another side, price or size; what is left out stays."""
        side, tick, resting = self._known(order_id, side, tick, size)
        size = resting if size is None else size
        self._remember(order_id, side, tick, size)
        return self._put(Action.MODIFY, side, tick, size, order_id, fields)

    def trade(
        self, side: SideLetter, tick: int, size: int, order_id: int = 0, **fields: int | bool
    ) -> Self:
        """Write T; the side is the aggressor's."""
        return self._put(Action.TRADE, side, tick, size, order_id, fields)

    def fill(
        self,
        order_id: int,
        size: int,
        *,
        side: SideLetter | None = None,
        tick: int | None = None,
        **fields: int | bool,
    ) -> Self:
        """Write F: a resting order was executed; the book changes by the C or M to come."""
        side, tick, _ = self._known(order_id, side, tick, size)
        return self._put(Action.FILL, side, tick, size, order_id, fields)

    def clear(self, **fields: int | bool) -> Self:
        """Write R: both sides are empty."""
        book = (self.publisher, self.instrument)
        self._orders = {key: order for key, order in self._orders.items() if key[:2] != book}
        fields.setdefault("price", UNDEF_PRICE)
        return self._put(Action.CLEAR, "N", 0, 0, 0, fields)

    def top(self, side: SideLetter, tick: int | None, size: int = 0, **fields: int | bool) -> Self:
        """Write A with F_TOB: the whole side is this level; without a tick it is empty."""
        fields["flags"] = int(fields.get("flags", 0)) | Flag.TOB
        if tick is None:
            fields.setdefault("price", UNDEF_PRICE)
        return self._put(Action.ADD, side, tick or 0, size, 0, fields)

    def execute(self, order_id: int, size: int, *, one_event: bool = True) -> Self:
        """Write an execution of a resting order: T, F, then C (all of it) or M (the rest).

        Parameters
        ----------
        order_id, size : int
            The resting order and how much of it trades.
        one_event : bool
            As CME reports it; False: three events and always C, as Nasdaq does.
        """
        side, tick, resting = self._known(order_id, None, None, size)
        when, sequence, last = self.now_ns, self.sequence, not one_event
        self.trade("A" if side == "B" else "B", tick, size, last=last)
        # One message of the venue: all its records share time and sequence.
        self.now_ns, self.sequence = when, sequence
        self.fill(order_id, size, last=last)
        self.now_ns, self.sequence = when, sequence
        if one_event and size < resting:
            return self.modify(order_id, size=resting - size)
        return self.cancel(order_id, size)

    def snapshot(
        self,
        *orders: tuple[int, SideLetter, int, int],
        clear: bool = True,
        last: bool = True,
        age_ns: int = 3_600_000_000_000,
    ) -> Self:
        """Write a snapshot: R unless refused, then each (id, side, tick, size).

        As in real files all records share one ts_recv, ts_event is old and the sequence runs
        backward. Without ``last`` no record carries F_LAST.
        """
        bits = int(Flag.SNAPSHOT | Flag.BAD_TS_RECV)
        when, before = self.now_ns, self.sequence
        if clear:
            self.clear(flags=bits, last=last and not orders, ts_recv=when)
        for i, (order_id, side, tick, size) in enumerate(orders):
            end = last and i == len(orders) - 1
            self.add(
                order_id,
                side,
                tick,
                size,
                flags=bits | (Flag.LAST if end else 0),
                last=False,
                ts_event=when - age_ns - i * 1000,
                ts_recv=when,
                sequence=10_000 - i,
            )
        self.sequence = before
        self.now_ns = when + self.step_ns
        return self

    def _known(
        self, order_id: int, side: SideLetter | None, tick: int | None, size: int | None
    ) -> tuple[SideLetter, int, int]:
        order = self._orders.get((self.publisher, self.instrument, order_id))
        if order is not None:
            return side or order[0], order[1] if tick is None else tick, order[2]
        if side is None or tick is None or size is None:
            raise SpecError(
                f"order {order_id} is not on the tape", remedy="Give side, tick and size."
            )
        return side, tick, size

    def _remember(self, order_id: int, side: SideLetter, tick: int, size: int) -> None:
        key = (self.publisher, self.instrument, order_id)
        self._orders.pop(key, None)
        if size > 0:
            self._orders[key] = side, tick, size

    def _put(
        self,
        action: Action,
        side: SideLetter,
        tick: int,
        size: int,
        order_id: int,
        fields: dict[str, int | bool],
    ) -> Self:
        last = fields.pop("last", True)
        self.sequence += 1
        record = {
            "length": MBO_DTYPE.itemsize // 4,
            "rtype": RTYPE_MBO,
            "publisher_id": self.publisher,
            "instrument_id": self.instrument,
            "ts_event": self.now_ns - self.latency_ns,
            "order_id": order_id,
            "price": tick * self.tick,
            "size": size,
            "flags": 0,
            "channel_id": 0,
            "action": int(action),
            "side": ord(side),
            "ts_recv": self.now_ns,
            "ts_in_delta": 12_000,
            "sequence": self.sequence,
        }
        if unknown := fields.keys() - record.keys():
            raise SpecError("a record has no such field", found=", ".join(sorted(unknown)))
        record |= fields
        if last:
            record["flags"] = int(record["flags"]) | self.last_flag
            self.now_ns += self.step_ns
        self._rows.append(tuple(int(value) for value in record.values()))
        return self
