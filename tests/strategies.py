"""Hypothesis strategies: streams of market-by-order records of one book, and ways to cut them.

``legal_streams`` are legal by construction: a small market follows a drawn list of abstract
moves and writes the records a venue would send, so nothing in them is an anomaly (an event
without F_LAST may be ``unterminated``, as in real snapshots). ``illegal_streams`` damage them
in ways a book must survive; ``broken_streams`` hold exactly one record it must refuse.
All use the tick size ``TICK_SIZE_INT``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from qmachina.market import DAY_NS, MBO_DTYPE, RTYPE_MBO, UNDEF_PRICE, UNDEF_TIME, Flag
from qmachina.specs.silver import SilverSpec
from tests.oracle.book import OracleBook, OracleError

TICK_SIZE_INT = 250_000_000
MAX_RECORDS = 120
MS = 1_000_000
SECOND = 1_000_000_000
MIDNIGHT_NS = 19_851 * DAY_NS  # 2024-05-08

TOB_ID = 7
SNAPSHOT = Flag.SNAPSHOT | Flag.BAD_TS_RECV
LIVE = Flag.PUBLISHER_SPECIFIC
OPPOSITE = {"B": "A", "A": "B"}

#: How far the clock moves before a move. "join": the move continues the open event.
STEPS = (0, 1, 1_000, MS, 37 * MS, 100 * MS, "edge", "edge - 1", "join", "join", SECOND, 9 * SECOND)
LONG_STEPS = 3

L3_MOVES = ("add",) * 6 + ("cancel",) * 3 + ("modify",) * 4 + ("trade",) * 5
RARE_MOVES = ("stray", "stray", "jump", "jump", "clear", "snapshot", "hidden", "nothing")
TOB_MOVES = ("quote",) * 6 + ("unquote", "unquote", "clear", "hidden", "nothing", "drift")
MOVES = {
    "l3": L3_MOVES + RARE_MOVES,
    "tob": TOB_MOVES,
    "mixed": L3_MOVES + RARE_MOVES + TOB_MOVES,
}
OPENINGS = (
    "clear",
    "clear",
    "nothing",
    "snapshot",
    "snapshot without R",
    "snapshot without F_LAST",
    "twice",
)
DISTANCES = (40, 70, 300, 5_000, 1_000_000, 2**33)


def row(
    action: str,
    order_id: int = 0,
    side: str = "N",
    tick: int | None = None,
    size: int = 0,
    flags: int = LIVE,
    ts_recv: int = MIDNIGHT_NS,
    ts_event: int = MIDNIGHT_NS,
    sequence: int = 0,
) -> dict:
    """Return the fields of one record as plain values; no tick is the undefined price."""
    return {
        "length": MBO_DTYPE.itemsize // 4,
        "rtype": RTYPE_MBO,
        "publisher_id": 1,
        "instrument_id": 42,
        "ts_event": ts_event,
        "order_id": order_id,
        "price": UNDEF_PRICE if tick is None else tick * TICK_SIZE_INT,
        "size": size,
        "flags": flags,
        "channel_id": 0,
        "action": ord(action),
        "side": ord(side),
        "ts_recv": ts_recv,
        "ts_in_delta": 0,
        "sequence": sequence,
    }


def to_records(rows: list[dict]) -> np.ndarray:
    """Return rows as an array of MBO_DTYPE."""
    records = np.zeros(len(rows), MBO_DTYPE)
    for record, values in zip(records, rows, strict=True):
        for name, value in values.items():
            record[name] = value
    return records


def written(*lines: str) -> np.ndarray:
    """Return records from text such as ``"A 1 B 100 10"``: action, id, side, tick, size.

    Words may follow: ``more`` leaves F_LAST out, ``snap`` and ``tob`` set those flags, ``@5``
    sets both times to 5 ms after midnight, ``recv@5`` and ``event@5`` one of them. The last
    fields may be missing; a tick of ``-`` is the undefined price.
    """
    rows = []
    for line in lines:
        words = line.split()
        plain = [w for w in words if "@" not in w and w not in ("more", "snap", "tob")]
        action, order_id, side, tick, size = (plain + ["0", "N", "-", "0"][len(plain) - 1 :])[:5]
        flags = LIVE if "more" in words else LIVE | Flag.LAST
        flags |= (SNAPSHOT if "snap" in words else 0) | (Flag.TOB if "tob" in words else 0)
        times = {}
        for word in words:
            name, at, value = word.partition("@")
            for field in ("recv", "event") if at else ():
                if name in ("", field):
                    times[f"ts_{field}"] = MIDNIGHT_NS + round(float(value) * MS)
        level = None if tick == "-" else int(tick)
        rows.append(row(action, int(order_id), side, level, int(size), flags, **times))
    return to_records(rows)


class Move(NamedTuple):
    """An abstract move; the market interprets a, b, c against what is resting."""

    kind: str
    step: int | str
    a: int
    b: int
    c: int


@st.composite
def _moves(draw: st.DrawFn, kinds: tuple[str, ...], max_size: int) -> list[Move]:
    small = st.integers(0, 63)
    move = st.builds(Move, st.sampled_from(kinds), st.sampled_from(STEPS), small, small, small)
    least = draw(st.sampled_from((0, max_size // 4, max_size // 2)))  # else most are too short
    return draw(st.lists(move, min_size=least, max_size=max_size))


class _Market:
    """Writes legal records: knows what rests and what time it is."""

    def __init__(self, start_ns: int, reference: int) -> None:
        self.rows: list[dict] = []
        self.orders: dict[int, tuple[str, int, int]] = {}  # id -> side, tick, size
        self.gone: list[int] = []  # ids free for reuse
        self.next_id = 100
        self.now = start_ns  # ts_recv
        self.event_ns = start_ns - 1_000  # ts_event
        self.reference = reference
        self.long_steps = LONG_STEPS

    # Writing

    def write(self, action: str, order_id: int = 0, side: str = "N", **values: int) -> None:
        written = {"ts_event": self.event_ns, "sequence": len(self.rows), **values}
        self.rows.append(row(action, order_id, side, ts_recv=self.now, **written))

    def end(self) -> None:
        """End the event."""
        self.rows[-1]["flags"] |= Flag.LAST

    def split(self, later: int) -> None:
        """End the event and go on in another one of the same ts_event."""
        self.end()
        self.now += later

    def array(self) -> np.ndarray:
        return to_records(self.rows[:MAX_RECORDS])

    # Time

    def pass_time(self, move: Move) -> None:
        step = move.step
        last = self.rows[-1] if self.rows else None
        if step == "join":
            can_join = (
                last is not None
                and last["action"] != ord("R")
                and not last["flags"] & Flag.SNAPSHOT
                and move.kind not in ("snapshot", "clear", "drift")
            )
            if can_join:
                last["flags"] &= ~Flag.LAST
                self.now += move.a % 2  # ts_recv may change inside an event
            return
        if step in ("edge", "edge - 1"):
            edge = (self.now // (100 * MS) + 1) * 100 * MS
            step = max(edge - self.now - (step == "edge - 1"), 0)
        if step >= SECOND:
            self.long_steps -= 1
            step = step if self.long_steps >= 0 else MS
        self.now += step
        self.event_ns = max(self.event_ns, self.now - 1_000)

    # Moves

    def play(self, move: Move) -> None:
        getattr(self, "_" + move.kind)(move.a, move.b, move.c)

    def _place(self, side: str, distance: int) -> int:
        return self.reference - distance if side == "B" else self.reference + 1 + distance

    def _new_id(self, reuse: bool) -> int:
        if reuse and self.gone:
            return self.gone.pop()
        self.next_id += 1
        return self.next_id

    def _rest(self, side: str, tick: int, size: int, reuse: bool = False) -> None:
        order_id = self._new_id(reuse)
        self.orders[order_id] = (side, tick, size)
        self.write("A", order_id, side, tick=tick, size=size)

    def _shrink(self, order_id: int, size: int) -> None:
        """Write the C that takes ``size`` off an order."""
        side, tick, resting = self.orders[order_id]
        self.write("C", order_id, side, tick=tick, size=size)
        self._left(order_id, resting - size)

    def _left(self, order_id: int, size: int) -> None:
        side, tick, _ = self.orders.pop(order_id)
        if size:
            self.orders[order_id] = (side, tick, size)
        else:
            self.gone.append(order_id)

    def _pick(self, a: int) -> int:
        ids = list(self.orders)
        return ids[a % len(ids)]

    def _add(self, a: int, b: int, c: int) -> None:
        side = "BA"[a % 2]
        size = 2**31 if c == 63 else 1 + c
        self._rest(side, self._place(side, b % 9 - (1 if a == 63 else 0)), size, a % 5 == 0)
        self.end()

    def _stray(self, a: int, b: int, c: int) -> None:
        side = "BA"[a % 2]
        self._rest(side, self._place(side, DISTANCES[b % len(DISTANCES)] + a), 1 + c)
        self.end()

    def _cancel(self, a: int, b: int, c: int) -> None:
        if not self.orders:
            return self._add(a, b, c)
        order_id = self._pick(a)
        size = self.orders[order_id][2]
        self._shrink(order_id, size if b % 3 == 0 else 1 + c % size)
        self.end()
        return None

    def _modify(self, a: int, b: int, c: int) -> None:
        if not self.orders:
            return self._add(a, b, c)
        order_id = self._pick(a)
        side, tick, size = self.orders[order_id]
        kind = b % 6
        if kind == 0:
            size += 1 + c
        elif kind == 1:
            size = 1 + c % size
        elif kind in (2, 3):
            tick, size = self._place(side, c % 9), size if kind == 2 else 1 + c
        elif kind == 4:
            side = OPPOSITE[side]
            tick = self._place(side, c % 9)
        self.orders[order_id] = (side, tick, size)
        written = "N" if kind < 4 and c % 8 == 7 else side
        self.write("M", order_id, written, tick=tick, size=size)
        self.end()
        return None

    def _trade(self, a: int, b: int, c: int) -> None:
        """T, F and then C or M: in one event or in several, with something between, or partial."""
        if not self.orders:
            return self._add(a, b, c)
        order_id = self._pick(a)
        side, tick, resting = self.orders[order_id]
        filled = 1 + c % resting
        in_one, by_modify, in_two_fills, more_leaves = b % 2, b // 2 % 3, b // 6 % 3, b // 18 % 2
        later = a % 2

        self.write("T", 0, OPPOSITE[side], tick=tick, size=filled)
        if not in_one:
            self.split(later)
        if in_two_fills == 0 and filled > 1:
            self.write("F", order_id, side, tick=tick, size=1)
            self.write("F", order_id, side, tick=tick, size=filled - 1)
        else:
            self.write("F", order_id, side, tick=tick, size=filled)
        if not in_one:
            self.split(later)
        others = [x for x in self.orders if x != order_id]
        if in_two_fills == 1 and others:
            self._shrink(others[c % len(others)], 1)
        leaves = resting if more_leaves else filled
        if by_modify and leaves < resting:
            self.write("M", order_id, side, tick=tick, size=resting - leaves)
            self._left(order_id, resting - leaves)
        elif by_modify == 2 and filled < resting:  # the rest moves elsewhere
            elsewhere = self._place(side, c % 9)
            self.write("M", order_id, side, tick=elsewhere, size=resting - filled)
            self.orders[order_id] = (side, elsewhere, resting - filled)
        else:
            self._shrink(order_id, leaves)
        self.end()
        return None

    def _hidden(self, a: int, b: int, c: int) -> None:
        """Write a trade that no resting order explains, with any side, sometimes off-grid."""
        self.write("T", 0, "BAN"[a % 3], tick=self._place("B", b % 9), size=1 + c)
        if b % 4 == 0:
            self.rows[-1]["price"] += TICK_SIZE_INT // 2
        if b == 63:
            self.rows[-1]["price"] = UNDEF_PRICE
        self.end()

    def _nothing(self, a: int, b: int, c: int) -> None:
        self.write("N")
        self.end()

    def _clear(self, a: int, b: int, c: int) -> None:
        self.write("R")
        if a % 2:
            self.end()
        self.gone += self.orders
        self.orders.clear()

    def _jump(self, a: int, b: int, c: int) -> None:
        """Everything near the old price leaves in one event; the market opens elsewhere."""
        self._drift(a, b, c)
        for order_id in list(self.orders)[: 1 + a % 16]:
            self._shrink(order_id, self.orders[order_id][2])
        for side in "BA":
            self._rest(side, self._place(side, a % 3), 1 + c)
        self.end()

    def _drift(self, a: int, b: int, c: int) -> None:
        """Move the price that later moves go by; writes nothing."""
        self.reference += (-1 if a % 2 else 1) * (1 + b) * (1 + c)

    def _snapshot(self, a: int, b: int, c: int) -> None:
        self.write_snapshot(with_clear=a % 2 == 0, with_last=b % 3 > 0)
        if c % 4 == 0:
            self.write_snapshot(with_clear=a % 4 < 2, with_last=True)

    def write_snapshot(self, with_clear: bool, with_last: bool) -> None:
        """Repeat what rests, as a venue does: old ts_event, sequence running backward."""
        old_ns = self.event_ns - 2 * DAY_NS
        flags = self.rows[-1]["flags"] if self.rows else 0
        is_open = flags & Flag.SNAPSHOT and not flags & Flag.LAST  # would go on without R
        if with_clear or is_open or not self.orders:
            self.write("R", ts_event=old_ns, flags=SNAPSHOT)
        for n, (order_id, (side, tick, size)) in enumerate(self.orders.items()):
            self.write(
                "A",
                order_id,
                side,
                tick=tick,
                size=size,
                flags=SNAPSHOT,
                ts_event=old_ns + n % 3,
                sequence=1_000 - n,
            )
        if with_last:
            self.end()
        else:  # the next record must not continue this event
            self.now += 1
            self.event_ns = max(self.event_ns, self.now - 1_000)

    def _quote(self, a: int, b: int, c: int) -> None:
        side = "BA"[a % 2]
        tick = self._place(side, b % 9 - (1 if a == 63 else 0))
        flags = LIVE | Flag.TOB
        self.write("AM"[a // 2 % 2], TOB_ID, side, tick=tick, size=1 + c, flags=flags)
        self.end()

    def _unquote(self, a: int, b: int, c: int) -> None:
        """Empty a side: by an undefined price, by size 0, by a C; or trade, which does not."""
        side = "BA"[a % 2]
        flags = LIVE | Flag.TOB
        if b % 4 == 0:
            self.write("A", TOB_ID, side, flags=flags)
        elif b % 4 == 1:
            self.write("A", TOB_ID, side, tick=self._place(side, c % 9), flags=flags)
        elif b % 4 == 2:
            self.write("C", TOB_ID, side, tick=self._place(side, c % 9), size=1 + c, flags=flags)
        else:
            self.write("T", TOB_ID, side, tick=self._place(side, 0), size=1 + c, flags=flags)
        self.end()

    def open(self, opening: str, sizes: list[int]) -> None:
        if opening == "clear":
            self._clear(1, 0, 0)
        if not opening.startswith(("snapshot", "twice")):
            return
        for n, size in enumerate(sizes):  # resting before the file begins
            side = "BA"[n % 2]
            self.orders[self._new_id(False)] = (side, self._place(side, n % 5), size)
        for _ in range(2 if opening == "twice" else 1):
            self.write_snapshot(
                with_clear=opening != "snapshot without R",
                with_last=opening != "snapshot without F_LAST",
            )


@st.composite
def _streams(draw: st.DrawFn, modes: tuple[str, ...], max_moves: int) -> np.ndarray:
    mode = draw(st.sampled_from(modes))
    hour = st.sampled_from((0, 13 * 3600 * SECOND + 12_345, DAY_NS - 700 * MS, 99_950 * MS))
    market = _Market(MIDNIGHT_NS + draw(hour), draw(st.sampled_from((20_000, 0, -37))))
    openings = OPENINGS[:3] if mode == "tob" else OPENINGS
    sizes = draw(st.lists(st.integers(1, 40), max_size=8))
    market.open(draw(st.sampled_from(openings)), sizes)
    for move in draw(_moves(MOVES[mode], max_moves)):
        if len(market.rows) >= MAX_RECORDS:
            break
        market.pass_time(move)
        market.play(move)
    return market.array()


def legal_streams(max_moves: int = 50) -> st.SearchStrategy[np.ndarray]:
    """Streams without anomalies: by order, or (one in four) of a top-of-book publisher."""
    return _streams(("l3", "l3", "l3", "tob"), max_moves)


FLAG_BITS = (2, 4, 8, 16, 32, 64, 128)
DAMAGES = (
    "drop",
    "repeat",
    "swap",
    "unknown id",
    "id of another",
    "size",
    "size",
    "size",
    "receive time",
    "event time",
    "no last",
    "flag",
    "off-grid",
    "action",
    "side",
)


def _damage(rows: list[np.void], kind: str, at: int, x: int) -> None:
    """Damage the record at ``at`` in one way; ``x`` decides how."""
    at %= len(rows)
    row = rows[at]
    if kind == "drop":
        del rows[at]
    elif kind == "repeat":
        rows.insert(at + 1 + x % 3, row.copy())
    elif kind == "swap":
        other = (at + 1) % len(rows)
        rows[at], rows[other] = rows[other], rows[at]
    elif kind == "unknown id":
        row["order_id"] = 10**6 + x % 3
    elif kind == "id of another":
        row["order_id"] = rows[(at + x) % len(rows)]["order_id"]
    elif kind == "size":
        row["size"] = (0, 1 + x, 2**32 - 1)[x % 3]
    elif kind == "receive time":
        row["ts_recv"] -= (1, MS, 3 * SECOND, DAY_NS)[x % 4]
    elif kind == "event time":
        row["ts_event"] -= (1, MS, 3 * SECOND, DAY_NS)[x % 4]
    elif kind == "no last":
        row["flags"] &= 255 - Flag.LAST
    elif kind == "flag":
        row["flags"] ^= FLAG_BITS[x % len(FLAG_BITS)]
    elif kind == "off-grid":
        row["price"] -= 1 + x
    elif kind == "action":
        row["action"] = ord("ACMRTFN"[x % 7])
    elif kind == "side":
        row["side"] = ord("BAN"[x % 3])


def _without_errors(rows: list[np.void]) -> np.ndarray:
    """Leave out every record the book must refuse."""
    while True:
        records = np.array(rows, MBO_DTYPE)
        book = OracleBook(TICK_SIZE_INT)
        try:
            for _ in book.feed(records):
                pass
            for _ in book.finish():
                pass
        except OracleError as e:
            del rows[e.record_index]
        else:
            return records


@st.composite
def illegal_streams(draw: st.DrawFn, max_moves: int = 50) -> np.ndarray:
    """Streams with anomalies of every kind, none of which is an error.

    Top-of-book records mix with orders by id, times run backward, F_LAST gets lost, any flag
    may be set, ids are unknown or used twice, sizes are 0 or too large.
    """
    records = draw(_streams(("l3", "mixed", "mixed", "tob"), max_moves))
    damage = st.tuples(
        st.sampled_from(DAMAGES), st.integers(0, MAX_RECORDS - 1), st.integers(0, 63)
    )
    rows = [r.copy() for r in records]
    for kind, at, x in draw(st.lists(damage, min_size=1, max_size=16)):
        if rows:
            _damage(rows, kind, at, x)
    return _without_errors(rows)


#: What is wrong with the one bad record of a broken stream.
DEFECTS = {
    "off_grid": {"price": 100 * TICK_SIZE_INT + 1},
    "undefined_price": {"price": UNDEF_PRICE},
    "bad_side": {"side": ord("N")},
    "bad_action": {"action": ord("X")},
    "bad_time": {"ts_recv": UNDEF_TIME},
}


@st.composite
def broken_streams(draw: st.DrawFn, max_moves: int = 30) -> tuple[np.ndarray, str, int]:
    """Streams with one impossible Add: records, kind of the error, index of the record."""
    records = draw(illegal_streams(max_moves))
    at = draw(st.integers(0, len(records)))
    kind = draw(st.sampled_from(sorted(DEFECTS)))
    market = _Market(MIDNIGHT_NS, 100)
    market.write("A", 10**7, "B", tick=100, size=1, flags=Flag(draw(st.sampled_from((0, 130)))))
    if len(records):
        neighbour = records[min(at, len(records) - 1)]
        market.rows[0]["ts_event"] = neighbour["ts_event"]
        market.rows[0]["ts_recv"] = neighbour["ts_recv"]
    market.rows[0].update(DEFECTS[kind])
    return np.insert(records, at, to_records(market.rows)[0]), kind, at


def chunkings(n: int, max_cuts: int = 8) -> st.SearchStrategy[list[int]]:
    """Ways to cut n records: boundaries from 0 to n in order, empty chunks included."""
    cuts = st.lists(st.integers(0, n), max_size=max_cuts)
    return cuts.map(lambda inner: [0, *sorted(inner), n])


@st.composite
def silver_specs(draw: st.DrawFn, **fixed: object) -> SilverSpec:
    """Small specs: arrays that must re-anchor, time constants that make landmarks pass."""
    taus = draw(
        st.sampled_from(((2.0, 5.0, 10.0, 30.0), (0.05, 0.2, 0.1, 0.4), (3.0, 0.5, 0.6, 0.2)))
    )
    values = {
        "cell_width_ms": draw(st.sampled_from((50, 100, 250, 1000))),
        "grid_radius_ticks": draw(st.integers(1, 6)),
        "n_absolute_ticks": draw(st.sampled_from((64, 64, 128, 8192))),
        "tau_velocity": taus[0],
        "tau_acceleration": taus[1],
        "tau_jerk": taus[2],
        "tau_rest_decay": taus[3],
        "clock": draw(st.sampled_from(("recv", "recv", "event"))),
        "emit": draw(st.sampled_from(("bin", "bin", "event"))),
        "assume_synced_after": draw(st.sampled_from((None, None, 0.0, 1.5))),
    }
    return SilverSpec(**(values | fixed))
