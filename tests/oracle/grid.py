"""Plain-Python twin of the grid: events of one book -> bins and dense rows.

State is held per absolute tick in dicts, without arrays and anchors: that the kernel's window of
arrays moves must not be visible. Shared with the kernel are only the constants of
``qmachina.grid.mechanics`` (``exp``, ``rates``, ``read_out``); its other formulas are repeated
in the same order of operations, because results are compared bit for bit.

What the design leaves open is decided here, in words:

Bins
----
- The first bin contains the first event that is not a snapshot event, or ``start_ns``. With
  ``start_ns``, bins begin with the first event at or after it, provided an event that is not a
  snapshot event has been seen, itself included: a snapshot in mid-session then closes the bins
  before it, and the snapshot a file opens with is never part of bin 0. Events before the first
  bin feed the state and count nowhere.
- An event with time >= the end of the open bin closes it, and empty ones up to its own, before
  it is applied; snapshot events too. No bin beginning at or after ``end_ns`` is emitted.
- ``finish(covered_until_ns)`` emits bins that end by then, up to the one containing the last
  event that is not a snapshot event, or up to ``end_ns`` if given (then from ``start_ns`` on
  even if nothing came after it). Without any such event there are no bins.
- ``emit="event"``: an emission at each event that is not a snapshot event, from the first at or
  after ``start_ns`` on, with time < ``end_ns``. It starts at the previous emission's time (the
  first at its own) and counts everything since. ``finish`` emits nothing.

Values
------
- The opening look of a bin is the book before its first event; it and the look after each event
  make the lowest and highest best prices, where valid.
- Spot follows every event whose book is valid, emitted or not. A snapshot that end of input
  closes is seen by the bins ``finish`` emits.
- Order-flow imbalance counts an event if the book was valid before and after it and it reset
  nothing.
- Moves compare with the last valid *emitted* bin.

Mechanics
---------
Landmarks: midnight UTC of the first event's time + n P. Before an event or an emission at T,
while T - L >= P: every sum is multiplied by exp(-(r (P 1e-9))), sums below 1e-200 become 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from qmachina.fields import Chunk, names
from qmachina.grid import mechanics
from qmachina.grid.fields import BIN_FIELDS, GRID_COUNTS, GRID_FIELDS, GRID_MECHANICS
from qmachina.market import DAY_NS, UNDEF_PRICE, BookState
from qmachina.specs.silver import SilverSpec
from tests.oracle.book import NO_BOOK, Event, Look, OracleBook

FLOWS = ("add_bid", "add_ask", "pull_bid", "pull_ask", "fill_bid", "fill_ask")

IDLE = [0.0] * mechanics.N_RATES

#: The columns that engine.read gives too, here as float64.
MECHANICS = names(GRID_MECHANICS)
#: The columns that count inside the bin: the flows, resets and trades after the three depths.
FLOW_COUNTS = names(GRID_COUNTS)[3:]


class OracleGrid:
    """Bins and rows of one book.

    Parameters
    ----------
    spec : SilverSpec
        Bin width, window, time constants, emission.
    tick_size_int : int
        Tick size in units of 1e-9.
    start_ns, end_ns : int or None
        Session, half-open; see the module docstring.

    Attributes
    ----------
    bins : list of dict
        One value a column of BIN_FIELDS and emitted bin.
    rows : list of list of dict
        For each emitted bin its 2K + 1 rows, columns of GRID_FIELDS.
    """

    def __init__(
        self,
        spec: SilverSpec,
        tick_size_int: int,
        start_ns: int | None = None,
        end_ns: int | None = None,
    ) -> None:
        self.spec = spec
        self.tick_size_int = tick_size_int
        self.width = spec.bin_ns
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.rates = mechanics.rates(spec).tolist()
        self.weights = mechanics.read_out(spec).tolist()
        self.bins: list[dict[str, Any]] = []
        self.rows: list[list[dict[str, Any]]] = []

        self.look = NO_BOOK
        self.anchor: int | None = None
        self.spot: int | None = None  # last valid one
        self.event_id = 0
        self.depth: Counter[tuple[str, int]] = Counter()  # (side, tick)
        self.stamps: dict[int, int] = {}  # tick -> last_event_id
        self.sums: dict[tuple[str, int], list[float]] = {}  # (channel, tick) -> four sums
        self.landmark: int | None = None

        self.last_live_ns: int | None = None  # time of the last event that is no snapshot event
        self.bin_start: int | None = None  # None before the first bin
        self.last_valid: Look | None = None  # of the last valid emitted bin
        self._open_bin(None)

    # Driving

    def consume(self, event: Event) -> None:
        """Take one event of the book."""
        if self.landmark is None:
            self.landmark = event.time - event.time % DAY_NS
        if not event.is_snapshot:
            self.last_live_ns = event.time
        if self.spec.emit == "event":
            self._consume_emitting(event)
            return
        if self.bin_start is None and self._starts(event.time):
            first = event.time if self.start_ns is None else self.start_ns
            self._open_bin(first - first % self.width)
        while self.bin_start is not None and event.time >= self.bin_start + self.width:
            self._close_bin()
        self._apply(event)

    def finish(self, covered_until_ns: int, look: Look | None = None) -> None:
        """End the input: emit the bins it covers. ``look`` is the book after end of input."""
        if look is not None:
            self._see(look)
        if self.spec.emit == "event" or self.last_live_ns is None:
            return
        if self.bin_start is None:
            if self.start_ns is None:
                return
            self._open_bin(self.start_ns - self.start_ns % self.width)
        last_start = self.last_live_ns if self.end_ns is None else self.end_ns - 1
        while self.bin_start <= last_start and self.bin_start + self.width <= covered_until_ns:
            self._close_bin()

    def _consume_emitting(self, event: Event) -> None:
        is_emitted = (
            not event.is_snapshot
            and (self.start_ns is None or event.time >= self.start_ns)
            and (self.end_ns is None or event.time < self.end_ns)
        )
        if is_emitted and self.bin_start is None:
            self._open_bin(event.time)
        self._apply(event)
        if is_emitted:
            self._emit(event.time)
            self._open_bin(event.time)

    def _starts(self, time: int) -> bool:
        return self.last_live_ns is not None and (self.start_ns is None or time >= self.start_ns)

    def _close_bin(self) -> None:
        end = self.bin_start + self.width
        if self.end_ns is None or self.bin_start < self.end_ns:
            self._emit(end)
        self._open_bin(end)

    def _open_bin(self, start: int | None) -> None:
        self.bin_start = start
        self.totals: Counter[str] = Counter()  # by bin column
        self.flows: Counter[tuple[str, int]] = Counter()  # by (grid column, tick)
        self.looks = [self.look]

    # Applying an event

    def _apply(self, event: Event) -> None:
        self._renew(event.time)
        self.event_id = event.event_id
        self.anchor = event.anchor
        weights = self._impulse_weights(event.time - self.landmark)
        for tick, channel, size in event.impulses:
            side = channel[-3:]
            self.stamps[tick] = event.event_id
            self.flows[channel, tick] += size
            signed = -size if channel.startswith(("pull", "fill")) else size
            self.depth[side, tick] += signed
            if channel in FLOWS:
                sums = self.sums.get((channel, tick), IDLE)
                self.sums[channel, tick] = [
                    z + float(size) * w for z, w in zip(sums, weights, strict=True)
                ]
        self.totals["bin_event_count"] += 1
        self.totals["bin_record_count"] += event.n_records
        for tick, aggressor, size in event.trades:
            self.totals["trade_count"] += 1
            if tick is None or aggressor == "none":
                self.totals["trade_unattributed_size"] += size
            else:
                self.totals[f"trade_{aggressor}_size"] += size
                self.flows[f"trade_{aggressor}", tick] += size
        is_reset = any(i.channel.startswith("reset") for i in event.impulses)
        if not is_reset:
            self.totals["ofi_best"] += order_flow_imbalance(self.look, event.look)
        self._see(event.look)
        self.looks.append(event.look)

    def _see(self, look: Look) -> None:
        self.look = look
        if look.state == BookState.VALID:
            self.spot = (look.bid[0] + look.ask[0]) // 2

    # Mechanics

    def _renew(self, time: int) -> None:
        """Bring the landmark up to ``time``."""
        period = self.spec.landmark_ns
        if not self.sums:
            self.landmark += (time - self.landmark) // period * period
        while time - self.landmark >= period:
            self.sums = {k: self._renewed(z) for k, z in self.sums.items()}
            self.landmark += period

    def _renewed(self, sums: Sequence[float]) -> list[float]:
        age = float(self.spec.landmark_ns) * 1e-9
        shrunk = [z * mechanics.exp(-(r * age)) for z, r in zip(sums, self.rates, strict=True)]
        return [0.0 if abs(z) < mechanics.NEGLIGIBLE else z for z in shrunk]

    def _impulse_weights(self, age_ns: int) -> list[float]:
        age = float(age_ns) * 1e-9
        return [mechanics.exp(r * age) for r in self.rates]

    def _read_coefficients(self, age_ns: int) -> list[float]:
        age = float(age_ns) * 1e-9
        ev, ea, ej, em = (mechanics.exp(-(r * age)) for r in self.rates)
        w = self.weights
        return [w[0] * ev, w[1] * ev, w[2] * ea, w[3] * ev, w[4] * ea, w[5] * ej, w[6] * em]

    def read_tick(self, tick: int, time: int) -> dict[str, float]:
        """Return the mechanics of one absolute tick in float64; changes nothing.

        ``time`` must not lie before the last event or emission.
        """
        sums = {c: self.sums.get((c, tick), IDLE) for c in FLOWS}
        landmark = time if self.landmark is None else self.landmark
        while time - landmark >= self.spec.landmark_ns:
            sums = {c: self._renewed(z) for c, z in sums.items()}
            landmark += self.spec.landmark_ns
        c = self._read_coefficients(time - landmark)
        indices = range(mechanics.N_RATES)
        chains = {
            **{
                kind: [sums[f"{kind}_bid"][i] + sums[f"{kind}_ask"][i] for i in indices]
                for kind in ("add", "pull", "fill")
            },
            **{
                f"{side}_depth": [
                    (sums[f"add_{side}"][i] - sums[f"pull_{side}"][i]) - sums[f"fill_{side}"][i]
                    for i in indices
                ]
                for side in ("bid", "ask")
            },
        }
        values = {f"{kind}_mass": c[6] * chains[kind][3] for kind in ("add", "pull", "fill")}
        for name, (v, a, j, _) in chains.items():
            values[f"v_{name}"] = c[0] * v
            values[f"a_{name}"] = c[1] * v + c[2] * a
            values[f"j_{name}"] = (c[3] * v + c[4] * a) + c[5] * j
        for order in "vaj":
            values[f"{order}_rest_depth"] = (
                values[f"{order}_bid_depth"] + values[f"{order}_ask_depth"]
            )
        return values

    def spot_tick(self) -> int:
        """Return the tick of row k = 0: last valid spot, else the anchor, else 0."""
        if self.spot is not None:
            return self.spot
        return 0 if self.anchor is None else self.anchor

    def read(self, time: int) -> dict[str, list[float]]:
        """Return the dense window at ``time`` in float64, columns over k; changes nothing."""
        radius = self.spec.grid_radius_ticks
        ticks = range(self.spot_tick() - radius, self.spot_tick() + radius + 1)
        window = [self.read_tick(t, time) for t in ticks]
        return {name: [row[name] for row in window] for name in MECHANICS}

    # Emission

    def _emit(self, time: int) -> None:
        self._renew(time)
        spot = self.spot_tick()
        seq = len(self.bins)
        self.bins.append(self._bin(seq, time, spot))
        radius = self.spec.grid_radius_ticks
        self.rows.append([self._row(seq, k, spot + k, time) for k in range(-radius, radius + 1)])
        if self.look.state == BookState.VALID:
            self.last_valid = self.look

    def _bin(self, seq: int, time: int, spot: int) -> dict[str, Any]:
        look = self.look
        is_valid = look.state == BookState.VALID
        mid_x2 = look.bid[0] + look.ask[0] if is_valid else 0
        bid_move = ask_move = 0
        if is_valid and self.last_valid is not None:
            bid_move = look.bid[0] - self.last_valid.bid[0]
            ask_move = look.ask[0] - self.last_valid.ask[0]
        valid_looks = [x for x in self.looks if x.state == BookState.VALID]
        bids = [x.bid[0] * self.tick_size_int for x in valid_looks]
        asks = [x.ask[0] * self.tick_size_int for x in valid_looks]
        return {
            "bin_seq": seq,
            "ts_ns": time,
            "bin_start_ns": self.bin_start,
            "bin_end_ns": time,
            "event_id": self.event_id,
            "mid_price": float(mid_x2 * self.tick_size_int) * 0.5e-9,
            "mid_x2": mid_x2,
            "spot_ref_price_int": spot * self.tick_size_int,
            "spot_valid": is_valid,
            "best_bid_price_int": look.bid[0] * self.tick_size_int if look.bid else UNDEF_PRICE,
            "best_ask_price_int": look.ask[0] * self.tick_size_int if look.ask else UNDEF_PRICE,
            "best_bid_size": look.bid[1] if look.bid else 0,
            "best_ask_size": look.ask[1] if look.ask else 0,
            "lowest_best_bid_int": min(bids, default=UNDEF_PRICE),
            "highest_best_bid_int": max(bids, default=UNDEF_PRICE),
            "lowest_best_ask_int": min(asks, default=UNDEF_PRICE),
            "highest_best_ask_int": max(asks, default=UNDEF_PRICE),
            "book_valid": is_valid,
            "book_state": int(look.state),
            "best_ask_move_ticks": ask_move,
            "best_bid_move_ticks": bid_move,
            "ask_reprice_sign": sign(ask_move),
            "bid_reprice_sign": sign(bid_move),
            "microstate_id": 3 * (sign(ask_move) + 1) + (sign(bid_move) + 1),
            "chase_up_flag": ask_move > 0 and bid_move > 0,
            "chase_down_flag": ask_move < 0 and bid_move < 0,
            **{
                name: self.totals[name]
                for name in (
                    "bin_event_count",
                    "bin_record_count",
                    "trade_buy_size",
                    "trade_sell_size",
                    "trade_unattributed_size",
                    "trade_count",
                    "ofi_best",
                )
            },
        }

    def _row(self, seq: int, k: int, tick: int, time: int) -> dict[str, Any]:
        bid_depth = self.depth["bid", tick]
        ask_depth = self.depth["ask", tick]
        return {
            "bin_seq": seq,
            "k": k,
            "bid_depth": bid_depth,
            "ask_depth": ask_depth,
            "rest_depth": bid_depth + ask_depth,
            **{name: self.flows[name, tick] for name in FLOW_COUNTS},
            **{name: np.float32(x) for name, x in self.read_tick(tick, time).items()},
            "last_event_id": self.stamps.get(tick, 0),
        }

    def chunk(self) -> Chunk:
        """Return everything emitted so far as columns with the dtypes of the field tables."""
        shape = (len(self.rows), self.spec.n_rows)
        return Chunk(
            {f.name: np.array([b[f.name] for b in self.bins], f.numpy) for f in BIN_FIELDS},
            {
                f.name: np.array([[r[f.name] for r in b] for b in self.rows], f.numpy).reshape(
                    shape
                )
                for f in GRID_FIELDS
            },
        )


def order_flow_imbalance(before: Look, after: Look) -> int:
    """Return the contribution of one event (Cont, Kukanov, Stoikov 2014, eq. 4), in contracts.

    0 unless the book was valid before and after.
    """
    if before.state != BookState.VALID or after.state != BookState.VALID:
        return 0
    (b0, qb0), (a0, qa0) = before.bid, before.ask
    (b1, qb1), (a1, qa1) = after.bid, after.ask
    bids = (qb1 if b1 >= b0 else 0) - (qb0 if b1 <= b0 else 0)
    asks = (qa1 if a1 <= a0 else 0) - (qa0 if a1 >= a0 else 0)
    return bids - asks


def sign(x: int) -> int:
    """Return -1, 0 or 1."""
    return (x > 0) - (x < 0)


def silver(
    records: np.ndarray,
    spec: SilverSpec,
    tick_size_int: int,
    *,
    start_ns: int | None = None,
    end_ns: int | None = None,
    covered_until_ns: int | None = None,
) -> OracleGrid:
    """Run records of one book through book and grid.

    ``covered_until_ns`` ends the input as the end of a file does; None leaves the stream open.
    """
    book = OracleBook(tick_size_int, spec.clock, spec.assume_synced_after)
    grid = OracleGrid(spec, tick_size_int, start_ns, end_ns)
    for event in book.feed(records):
        grid.consume(event)
    if covered_until_ns is not None:
        for event in book.finish():
            grid.consume(event)
        grid.finish(covered_until_ns, book.look())
    return grid
