"""Feed records in any cutting to a kernel that wants whole events.

An event that is still open at the end of a run of records is carried over and completed from
the next one, so that results do not depend on how the input was cut.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator

import numpy as np
from numpy.typing import NDArray

from qmachina.book import rebase as room
from qmachina.book import state as s
from qmachina.book.levels import look
from qmachina.errors import RecordError
from qmachina.fields import Chunk
from qmachina.market import MBO_DTYPE, BookState, price_text


class BookShell:
    """A book with the room it needs and the words for what it refuses.

    Parameters
    ----------
    tick_size : int
        Tick size in units of 1e-9.
    n_ticks : int
        Ticks held densely around the anchor.
    subject : str
        File or feed named in errors.
    """

    def __init__(self, tick_size: int, n_ticks: int, subject: str = "input") -> None:
        self.tick_size = tick_size
        self.subject = subject
        self.book = s.new_book(n_ticks)
        self.impulses = s.new_impulses(1024)
        self._face = np.zeros(5, np.int64)
        self._state = "ready"

    def _make_room(self, status: int) -> None:
        """Grow what the kernel asked for, or move the anchor."""
        if status == s.GROW_ORDERS:
            self.book = room.grow_orders(self.book)
        elif status == s.GROW_PENDING:
            self.book = room.grow_pending(self.book)
        elif status == s.GROW_FAR:
            self._rebase(int(self.book.reg[s.BASE]), int(self.book.reg[s.FAR_DEMAND]))
        elif status == s.GROW_IMPULSES:
            self.impulses = s.new_impulses(2 * len(self.impulses.slot))
        elif status == s.REANCHOR:
            look(self.book, self._face)
            self._rebase(room.middle(self.book, self._face), 256)
        else:
            raise AssertionError(f"unknown status {status}")

    def _rebase(self, base: int, space: int) -> None:
        """Move the arrays; a stage with state of its own per slot extends this."""
        self.book, _, _ = room.rebase(self.book, base, space)

    def _refuse(self, status: int, records: NDArray, start: int, at: int) -> RecordError:
        """Return the error for an impossible record."""
        self._state = "failed"
        r = records[at]
        number = int(self.book.reg[s.N_RECORDS]) + at - start
        where = (
            f"record {number} of the book (action {chr(r['action'])}, side {chr(r['side'])}, "
            f"order id {r['order_id']}, sequence {r['sequence']}, ts_event {r['ts_event']})"
        )
        what, expected, found, remedy = self._reason(status, r)
        return RecordError(
            f"{where}: {what}",
            subject=self.subject,
            expected=expected,
            found=found,
            remedy=remedy,
        )

    def _reason(self, status: int, record: NDArray) -> tuple[str, object, object, str | None]:
        """Return what is wrong with a record, what was expected and found, and a remedy."""
        price, side, action = int(record["price"]), chr(record["side"]), chr(record["action"])
        match status:
            case s.OFF_GRID:
                fits = price_text(math.gcd(price, self.tick_size))
                return (
                    "price is off the tick grid",
                    f"a multiple of tick size {price_text(self.tick_size)}",
                    price_text(price),
                    f"The largest tick size that fits is {fits}",
                )
            case s.UNDEFINED_PRICE:
                return "price is undefined", "a price", price, None
            case s.TICK_RANGE:
                return "price is out of range", "at most 2^60 ticks", price, None
            case s.BAD_SIDE:
                return "side is impossible for the action", "A or B", side, None
            case s.BAD_ACTION:
                return "unknown action", "one of A C M R T F N", repr(action), None
            case s.EVENT_TOO_LONG:
                return "event does not end", f"at most {s.MAX_EVENT_RECORDS} records", "more", None
            case s.BAD_TIME:
                stamps = f"ts_recv {record['ts_recv']}, ts_event {record['ts_event']}"
                return "time stamp is undefined or past the year 2262", "below 2^63", stamps, None
            case _:
                kind = s.Anomaly(int(self.book.reg[s.LAST_ANOMALY]) - 1).name.lower()
                remedy = "Set strict: false to count it and go on"
                return f"anomaly {kind}", "none (strict: true)", "one", remedy

    def summary(self) -> dict[str, object]:
        """Return orders, levels, best prices and sizes (None where absent), state, anomalies."""
        look(self.book, self._face)
        bid, bid_size, ask, ask_size, state = (int(x) for x in self._face)
        reg = self.book.reg
        tops = int(reg[s.TOB_SIZE_BID] > 0) + int(reg[s.TOB_SIZE_ASK] > 0)
        return {
            "orders": int(reg[s.N_ORDERS]) + tops,
            "bid_levels": int(reg[s.N_LEVELS_BID]),
            "ask_levels": int(reg[s.N_LEVELS_ASK]),
            "best_bid_price_int": bid * self.tick_size if bid_size else None,
            "best_ask_price_int": ask * self.tick_size if ask_size else None,
            "best_bid_size": bid_size,
            "best_ask_size": ask_size,
            "book_state": BookState(state).name.lower(),
            "events": int(reg[s.EVENT_ID]),
            "anomalies": self.anomalies,
        }

    def levels(self, side: int) -> NDArray[np.int64]:
        """Return all levels of a side, best first.

        Returns
        -------
        ndarray of int64, shape (n_levels, 3)
            Price in 1e-9 units, size, number of orders.
        """
        n = int(self.book.n[0])
        slots = np.flatnonzero(self.book.depth[side] > 0)
        far = self.book.far[np.maximum(slots - n, 0), 0].astype(np.int64)
        ticks = np.where(slots < n, slots + self.book.reg[s.BASE], far)
        order = np.argsort(ticks)
        if side == s.BID:
            order = order[::-1]
        columns = (
            ticks * self.tick_size,
            self.book.depth[side, slots],
            self.book.order_count[side, slots],
        )
        return np.stack(columns, axis=1)[order]

    @property
    def anomalies(self) -> dict[str, int]:
        """Anomaly counts by kind, in lower case."""
        return {a.name.lower(): int(self.book.anomalies[a]) for a in s.Anomaly}


class EventStage(BookShell, ABC):
    """A stage that consumes whole events: the book alone, or the full engine."""

    def __init__(self, tick_size: int, n_ticks: int, subject: str = "input") -> None:
        super().__init__(tick_size, n_ticks, subject)
        self._carry: NDArray = np.empty(0, MBO_DTYPE)

    @abstractmethod
    def _run(self, records: NDArray, checked: int, final: bool) -> Generator[Chunk, None, int]:
        """Apply complete events; yield closed bins; return how many records were consumed."""

    def advance(self, records: NDArray) -> Iterator[Chunk]:
        """Apply a run of records of one book; exhaust the iterator before the next call.

        Parameters
        ----------
        records : ndarray of MBO_DTYPE, shape (n,)
            Consecutive records of one (publisher, instrument), in file order.

        Yields
        ------
        Chunk
            Closed bins, as views that the next step overwrites.

        Raises
        ------
        RecordError
            For an impossible record. The stage is unusable afterwards.
        """
        self._enter()
        if not (records.flags.writeable and records.flags.c_contiguous):
            records = records.copy()  # a second array type would compile every kernel again
        at = 0
        piece = 64
        while len(self._carry) and at < len(records):
            joined = np.concatenate([self._carry, records[at : at + piece]])
            consumed = yield from self._run(joined, len(self._carry) - 1, False)
            if consumed:
                at += consumed - len(self._carry)
                self._carry = self._carry[:0]
            else:
                at += len(joined) - len(self._carry)
                self._carry = joined
                piece *= 2
        if at < len(records):
            consumed = yield from self._run(records[at:], 0, False)
            self._carry = records[at + consumed :].copy()
        self._state = "ready"

    def _finish_events(self) -> Generator[Chunk, None, None]:
        """Apply an event that is still open at the end of the input."""
        self._enter()
        carry, self._carry = self._carry, self._carry[:0]
        if len(carry):
            yield from self._run(carry, len(carry) - 1, True)
        self._state = "finished"

    def _enter(self) -> None:
        if self._state != "ready":
            raise RuntimeError(f"stage is {self._state}: exhaust advance() before the next call")
        self._state = "busy"
