"""The level-3 order book alone: replay records, read the end state."""

from __future__ import annotations

from collections.abc import Generator
from typing import Literal

from numpy.typing import NDArray

from qmachina.book import state as s
from qmachina.book.kernels import advance_book, close_snapshot
from qmachina.book.stage import EventStage
from qmachina.fields import Chunk
from qmachina.kernel import OK


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

    def _run(self, records: NDArray, checked: int, final: bool) -> Generator[Chunk, None, int]:
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
            self._make_room(status)
        yield  # a generator, like the full engine's

    def replay(self, records: NDArray) -> None:
        """Apply a run of records."""
        for _ in self.advance(records):
            pass

    def finish(self) -> None:
        """Apply an event that is still open at the end of the input."""
        for _ in self._finish_events():
            pass
        close_snapshot(self.book)
