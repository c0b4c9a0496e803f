"""The event-driven engine: records in, dense silver bins out; the same for files and live."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qmachina.book import rebase as room
from qmachina.book import state as b
from qmachina.book.stage import EventStage
from qmachina.fields import Chunk
from qmachina.grid import fields, kernels, mechanics
from qmachina.grid import state as g
from qmachina.kernel import OK
from qmachina.specs.silver import SilverSpec

#: Bins held in the output buffers before they are handed on.
OUT_BINS = 128


@dataclass(frozen=True)
class Carry:
    """What an engine remembers of the day before.

    Parameters
    ----------
    chunks : callable
        Returns the previous file's records of the book, from its start.
    minutes : int
        Flow of the last so many minutes of that file is kept; older flow is forgotten.
    last_ns : int
        Time of the previous file's last record.
    """

    chunks: Callable[[], Iterator[NDArray]]
    minutes: int
    last_ns: int

    @property
    def from_ns(self) -> int:
        """Time from which flow is kept."""
        return self.last_ns - self.minutes * 60 * 1_000_000_000


class Engine(EventStage):
    """Book, flow, mechanics and grid of one (publisher, instrument).

    Parameters
    ----------
    spec : SilverSpec
        Bins, window and time constants.
    tick_size : int
        Tick size in units of 1e-9.
    start_ns, end_ns : int, optional
        Half-open range of bins; both multiples of the bin width. Without them bins run from
        the first to the last record outside snapshots.
    subject : str
        File or feed named in errors.
    """

    def __init__(
        self,
        spec: SilverSpec,
        tick_size: int,
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        subject: str = "input",
    ) -> None:
        super().__init__(tick_size, spec.n_absolute_ticks, subject)
        self.spec = spec
        rows = spec.n_rows
        self.grid = g.new_grid(self.book.depth.shape[1])
        self.out = g.new_out(OUT_BINS, rows)
        rate = mechanics.rates(spec)
        period = spec.landmark_ns * 1e-9
        self.constants = g.Constants(
            rate=rate,
            read_out=mechanics.read_out(spec),
            period_decay=np.array([mechanics.exp(-(r * period)) for r in rate]),
            weight=np.zeros(4),
            coefficient=np.zeros(7),
            joined=np.zeros((3, rows)),
            result=np.zeros((len(fields.GRID_MECHANICS), rows)),
            bin_ns=spec.bin_ns,
            landmark_ns=spec.landmark_ns,
            radius=spec.grid_radius_ticks,
            start_ns=-1 if start_ns is None else start_ns,
            end_ns=g.NO_END if end_ns is None else end_ns,
            emit_events=spec.emit == "event",
        )
        sync = spec.assume_synced_after
        self._sync_ns = -1 if sync is None else round(sync * 1e9)

    def _run(self, records: NDArray, checked: int, final: bool) -> Generator[Chunk, None, int]:
        done = 0
        while True:
            part = records[done:]
            status, consumed, at = kernels.advance_grid(
                self.book,
                self.impulses,
                self.grid,
                self.constants,
                self.out,
                part,
                checked,
                final,
                self.tick_size,
                self.spec.clock == "event",
                self._sync_ns,
                self.spec.strict,
            )
            if consumed:
                checked = 0
            done += consumed
            if status == OK or status == b.OUT_FULL:
                yield from self._flush()
                if status == OK:
                    return done
            elif status < b.GROW_ORDERS:
                raise self._refuse(status, part, consumed, at)
            else:
                self._make_room(status)

    def _flush(self) -> Generator[Chunk, None, None]:
        n = int(self.grid.reg[g.N_OUT])
        if n:
            yield self._chunk(n)
            self.grid.reg[g.N_OUT] = 0

    def _chunk(self, n: int) -> Chunk:
        """Return the closed bins as columns; grid columns are views of the output buffers."""
        ints = dict(zip(g.BIN_INTS, self.out.bins[:, :n], strict=True))
        # The product may pass 2^53: round once from the exact integer.
        ints["mid_price"] = (ints["mid_x2"] * self.tick_size).astype(np.float64) * 0.5e-9
        ints["spot_valid"] = ints["book_valid"]
        bins = {f.name: ints[f.name].astype(f.numpy) for f in fields.BIN_FIELDS}
        grid: dict[str, NDArray] = {
            f.name: self.out.counts[i, :n] for i, f in enumerate(fields.GRID_COUNTS)
        }
        grid |= {f.name: self.out.mechanics[i, :n] for i, f in enumerate(fields.GRID_MECHANICS)}
        grid["last_event_id"] = self.out.last_event[:n]
        return Chunk(bins, grid)

    def finish(self, covered_until_ns: int | None = None) -> Generator[Chunk, None, None]:
        """Apply an open event, then emit the bins that the input covers to their end.

        Parameters
        ----------
        covered_until_ns : int, optional
            End of the time range that the input claims to hold. Without it (a stream) no
            partial bin is emitted.
        """
        yield from self._finish_events()
        kernels.look_at_end(self.book, self.grid)
        reg, c = self.grid.reg, self.constants
        last = int(reg[g.LAST_TIME])
        if covered_until_ns is None or last < 0 or c.emit_events:
            return
        bounded = c.end_ns != g.NO_END
        if not reg[g.STARTED] and c.start_ns >= 0 and bounded:
            kernels.begin(self.grid, c, c.start_ns)
        if not reg[g.STARTED]:
            return
        until = c.end_ns if bounded else last - last % c.bin_ns + c.bin_ns
        until = min(until, covered_until_ns)
        while (
            kernels.close_bins(self.book, self.grid, c, self.out, self.tick_size, until)
            == b.OUT_FULL
        ):
            yield from self._flush()
        yield from self._flush()

    def _rebase(self, base: int, space: int) -> None:
        grid = self.grid
        in_use = (grid.sums != 0).any(0) | (grid.last_event != 0)
        in_use |= grid.stamp == grid.reg[g.STAMP]
        self.book, old, new = room.rebase(self.book, base, space, in_use)
        width = self.book.depth.shape[1]
        self.grid = grid._replace(
            sums=room.move(grid.sums, old, new, width),
            flow=room.move(grid.flow.T, old, new, width).T.copy(),
            stamp=room.move(grid.stamp, old, new, width),
            last_event=room.move(grid.last_event, old, new, width),
        )

    def carry(self, carry: Carry) -> None:
        """Take over book and late flow of the previous file; emits nothing, counts nothing.

        The whole file is replayed, because its late cancels are of early orders; decayed sums
        start at zero at ``carry.from_ns``. Must come before any other record.
        """
        held = self.constants
        self.constants = held._replace(start_ns=g.NO_END, end_ns=0)
        stamps = "ts_event" if self.spec.clock == "event" else "ts_recv"
        kept = False
        for records in carry.chunks():
            late = np.flatnonzero(records[stamps] >= carry.from_ns)
            at = len(records) if kept or not len(late) else int(late[0])
            for _ in self.advance(records[:at]):
                pass
            if not kept and len(late):
                kept = True
                self.grid.sums[:] = 0.0
                self.grid.reg[g.ANY_SUM] = 0
                for _ in self.advance(records[at:]):
                    pass
        for _ in self._finish_events():
            pass
        self._state = "ready"
        self.constants = held
        kernels.look_at_end(self.book, self.grid)
        book, grid = self.book, self.grid
        book.reg[[b.EVENT_ID, b.N_RECORDS]] = 0
        book.reg[b.FIRST_TIME] = -1
        book.anomalies[:] = 0
        grid.last_event[:] = 0
        grid.reg[g.LAST_TIME] = -1

    def read(self, time_ns: int) -> dict[str, NDArray]:
        """Read the dense window at a time, without changing any state.

        Parameters
        ----------
        time_ns : int
            At or after the last event's time.

        Returns
        -------
        dict of str to ndarray, shape (2K + 1,)
            Depths and mechanics columns in float64, ``last_event_id`` in int64, and ``tick``,
            the absolute ticks.
        """
        reg, c = self.grid.reg, self.constants
        if time_ns < self.book.reg[b.CLOCK]:
            raise ValueError(f"time_ns must not precede the last event, was {time_ns}")
        rows = self.spec.n_rows
        spot = int(kernels.spot_of(self.book, self.grid))
        ticks = np.arange(spot - c.radius, spot + c.radius + 1)
        if not self.book.reg[b.ANCHORED]:
            zeros = {f.name: np.zeros(rows) for f in fields.GRID_MECHANICS}
            depths = {n: np.zeros(rows) for n in ("bid_depth", "ask_depth", "rest_depth")}
            return {"tick": ticks, **depths, **zeros, "last_event_id": np.zeros(rows, np.int64)}
        low = int(ticks[0] - self.book.reg[b.BASE])
        sums = self.grid.sums[:, low : low + rows].copy()
        clock = np.zeros_like(reg)
        clock[:] = reg
        kernels.renew(sums, clock, c, time_ns)
        coefficient, joined = np.zeros(7), np.zeros((3, rows))
        result = np.zeros((len(fields.GRID_MECHANICS), rows))
        mechanics.read_coefficients(
            c.rate, c.read_out, time_ns - int(clock[g.LANDMARK]), coefficient
        )
        kernels.read_window(sums, 0, rows, coefficient, joined, result)
        bid = self.book.depth[b.BID, low : low + rows].astype(np.float64)
        ask = self.book.depth[b.ASK, low : low + rows].astype(np.float64)
        return {
            "tick": ticks,
            "bid_depth": bid,
            "ask_depth": ask,
            "rest_depth": bid + ask,
            **{f.name: result[i] for i, f in enumerate(fields.GRID_MECHANICS)},
            "last_event_id": self.grid.last_event[low : low + rows].copy(),
        }

    def snapshot(self) -> dict[str, NDArray]:
        """Return everything the engine remembers, as copies of plain arrays.

        Only between calls of :meth:`advance`, when every closed bin has been handed on.
        """
        if self._state != "ready":
            raise RuntimeError(f"engine is {self._state}: no snapshot")
        state = {f"book.{k}": v.copy() for k, v in self.book._asdict().items()}
        state |= {f"grid.{k}": v.copy() for k, v in self.grid._asdict().items()}
        state["carry"] = self._carry.copy()
        return state

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Take over a snapshot of an engine with the same spec and tick size."""
        self.book = b.Book(**{k: state[f"book.{k}"].copy() for k in b.Book._fields})
        self.grid = g.Grid(**{k: state[f"grid.{k}"].copy() for k in g.Grid._fields})
        self._carry = state["carry"].copy()
        self._state = "ready"

    @property
    def event_id(self) -> int:
        """Number of events applied."""
        return int(self.book.reg[b.EVENT_ID])

    @property
    def records(self) -> int:
        """Number of records applied."""
        return int(self.book.reg[b.N_RECORDS])

    @property
    def clock(self) -> int:
        """Time of the last event, the running maximum of the clock's stamps."""
        return int(self.book.reg[b.CLOCK])

    @property
    def open_bin_end(self) -> int | None:
        """End of the open bin, or None before the first and in event mode."""
        if not self.grid.reg[g.STARTED] or self.constants.emit_events:
            return None
        return int(self.grid.reg[g.BIN_END])
