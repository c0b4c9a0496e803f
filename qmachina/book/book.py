"""The level-3 order book alone: replay records, read the end state."""

from __future__ import annotations

from collections.abc import Generator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qmachina.book import state as s
from qmachina.book.kernels import advance_book, look
from qmachina.book.stage import EventStage
from qmachina.fields import Chunk
from qmachina.kernel import OK
from qmachina.market import BookState


class OrderBook(EventStage):
    """One book of one (publisher, instrument), seen at event boundaries.

    Parameters
    ----------
    tick_size : int
        Tick size in units of 1e-9.
    n_ticks : int
        Ticks held densely around the anchor; the rest is kept aside, exactly.
    clock : {"recv", "event"}
        Which time stamp drives the clock.
    assume_synced_after : float, optional
        Seconds after which a start without snapshot counts as synced.
    strict : bool
        Treat anomalies as errors.
    subject : str
        File or feed named in errors.
    """

    def __init__(
        self,
        tick_size: int,
        n_ticks: int = 8192,
        *,
        clock: Literal["recv", "event"] = "recv",
        assume_synced_after: float | None = None,
        strict: bool = False,
        subject: str = "input",
    ) -> None:
        super().__init__(tick_size, n_ticks, subject)
        self._event_clock = clock == "event"
        self._sync_ns = -1 if assume_synced_after is None else round(assume_synced_after * 1e9)
        self._strict = strict

    def _run(
        self, records: NDArray, checked: int, final: bool
    ) -> Generator[Chunk, None, int]:
        done = 0
        while True:
            part = records[done:]
            status, consumed, at = advance_book(
                self.book,
                self.impulses,
                part,
                checked,
                final,
                self.tick_size,
                self._event_clock,
                self._sync_ns,
                self._strict,
            )
            if consumed:
                checked = 0
            done += consumed
            if status == OK:
                return done
            if status < s.GROW_ORDERS:
                raise self._refuse(status, part, consumed, at)
            self._make_room(status, part[consumed:])
        yield  # a generator, like the full engine's

    def replay(self, records: NDArray) -> None:
        """Apply a run of records."""
        for _ in self.advance(records):
            pass

    def finish(self) -> None:
        """Apply an event that is still open at the end of the input."""
        for _ in self._finish_events():
            pass

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
            self.book.count[side, slots],
        )
        return np.stack(columns, axis=1)[order]

