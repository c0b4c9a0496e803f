"""The synthetic market: a legal, repeatable tape with a price that nobody can predict."""

from __future__ import annotations

import bisect
import dataclasses
import datetime
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import databento
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qmachina.errors import SpecError
from qmachina.market import DAY_NS
from qmachina.sources.synth.day import MarketState, generate_day
from qmachina.sources.synth.files import file_name, generate, session_bounds
from qmachina.sources.synth.ladder import N_LEVELS
from qmachina.sources.synth.plan import planted
from qmachina.sources.synth.rng import below, draw_word, exponential, seeded
from qmachina.sources.synth.spec import SynthSpec

SECOND = 1_000_000_000
MONDAY, TUESDAY = datetime.date(2026, 1, 5), datetime.date(2026, 1, 6)
SNAPSHOT, LAST = 32, 128
SMALL = SynthSpec(depth_ticks=60, events_per_s=200.0)


def session(day: datetime.date, seconds: float) -> tuple[datetime.date, int, int]:
    open_ns = session_bounds(SMALL, day)[1]
    return day, open_ns, open_ns + int(seconds * SECOND)


def make(
    spec: SynthSpec,
    seconds: float,
    day: datetime.date = MONDAY,
    previous: MarketState | None = None,
    chunk_size: int = 65_536,
) -> tuple[NDArray, MarketState]:
    chunks, state = generate_day(spec, *session(day, seconds), previous, chunk_size)
    return np.concatenate(list(chunks)), state


def digest(records: NDArray, state: MarketState) -> str:
    arrays = state.snapshot()
    whole = records.tobytes() + b"".join(arrays[name].tobytes() for name in sorted(arrays))
    return hashlib.sha256(whole).hexdigest()


class PlainBook:
    """A book of dictionaries that knows nothing of the generator's and checks every record."""

    def __init__(self) -> None:
        self.orders: dict[int, tuple[str, int, int]] = {}
        self.queues: dict[tuple[str, int], dict[int, None]] = {}
        self.bests: list[tuple[int, int, int, int]] = []  # ts_event, ts_recv, bid, ask
        self.prices: dict[str, list[int]] = {"B": [], "A": []}  # ascending

    def _enter(self, order_id: int, side: str, price: int, size: int) -> None:
        assert size > 0
        self.orders[order_id] = side, price, size
        if (side, price) not in self.queues:
            self.queues[side, price] = {}
            bisect.insort(self.prices[side], price)
        self.queues[side, price][order_id] = None

    def _leave(self, order_id: int) -> None:
        side, price, _ = self.orders.pop(order_id)
        queue = self.queues[side, price]
        del queue[order_id]
        if not queue:
            del self.queues[side, price]
            self.prices[side].remove(price)

    def best(self) -> tuple[int, int]:
        return self.prices["B"][-1], self.prices["A"][0]

    def apply(self, records: NDArray) -> None:
        """Apply a whole day up to its clear; every rule that is broken is an assertion."""
        bid, ask = 0, 0
        pending: list[tuple[int, int]] = []  # fills of this event in order
        traded = filled = 0
        for r in records.tolist():
            ts_event, order_id, price, size, flags = r[4], r[5], r[6], r[7], r[8]
            action, side, ts_recv = chr(r[10]), chr(r[11]), r[12]
            if action == "A":
                assert order_id not in self.orders, "duplicate add"
                self._enter(order_id, side, price, size)
            elif action == "T":
                assert (side, price) == (("B", ask) if side == "B" else ("A", bid)) or pending
                traded += size
            elif action == "F":
                assert self.orders[order_id][:2] == (side, price)
                assert size <= self.orders[order_id][2]
                pending.append((order_id, size))
                filled += size
            elif action in "CM":
                old_side, old_price, rest = self.orders[order_id]
                assert old_side == side
                if pending:
                    expected, part = pending.pop(0)
                    assert order_id == expected
                    first = next(iter(self.queues[side, old_price]))
                    assert order_id == first, "filled out of turn"
                    assert old_price == self.best()[side == "A"], "filled behind the best"
                    assert (action == "C") == (part == rest)
                    assert size == (rest if action == "C" else rest - part)
                assert price == old_price or action == "M"
                if action == "C":
                    assert size == rest, "only whole orders are cancelled here"
                    self._leave(order_id)
                elif price == old_price and size <= rest:
                    self.orders[order_id] = side, price, size
                else:
                    self._leave(order_id)
                    self._enter(order_id, side, price, size)
            else:
                assert action == "R"
                if flags & SNAPSHOT == 0:
                    assert r[0] == 14
                    break
                assert not self.orders
            if flags & LAST:
                assert not pending
                assert traded == filled
                traded = filled = 0
                bid, ask = self.best()
                assert bid < ask, "crossed or locked"
                self.bests.append((ts_event, ts_recv, bid, ask))


@dataclasses.dataclass
class Day:
    records: NDArray
    state: MarketState
    book: PlainBook

    @property
    def snapshot(self) -> NDArray:
        return self.records[self.records["flags"] & SNAPSHOT > 0]

    @property
    def live(self) -> NDArray:
        return self.records[self.records["flags"] & SNAPSHOT == 0]


def day_of(records: NDArray, state: MarketState) -> Day:
    book = PlainBook()
    book.apply(records)
    return Day(records, state, book)


@pytest.fixture(scope="module")
def monday() -> Day:
    return day_of(*make(SynthSpec(), 1800))


@pytest.fixture(scope="module")
def tuesday(monday: Day) -> Day:
    return day_of(*make(SynthSpec(), 120, TUESDAY, monday.state))


def mids(book: PlainBook, times_ns: Iterable[int], tick: int = 250_000_000) -> NDArray:
    """Mid in ticks after all events up to each time (by ts_event)."""
    table = np.array(book.bests, dtype=np.int64)
    rows = np.searchsorted(table[:, 0], np.asarray(list(times_ns)), side="right") - 1
    return (table[rows, 2] + table[rows, 3]) / (2.0 * tick)


# --- the tape is legal (PlainBook asserts the rules record by record) ---


def test_every_kind_of_event_occurs_and_obeys_the_book(monday: Day, tuesday: Day) -> None:
    for day in (monday, tuesday):
        actions = {chr(a) for a in np.unique(day.live["action"])}
        assert actions == set("ACMTFR")
        assert set(np.unique(day.live["flags"]).tolist()) == {0, 128}
        assert len(day.book.bests) > 1000


def test_partial_fills_leave_the_rest_in_place(monday: Day) -> None:
    live = monday.live
    after_fill = np.flatnonzero(live["action"] == ord("F")) + 1
    assert (live["action"][after_fill] == ord("M")).sum() > 50
    sweeps = (live["action"][1:] == ord("T")) & (live["flags"][:-1] == 0)
    assert sweeps.sum() > 10


@pytest.mark.parametrize("day", ["monday", "tuesday"])
def test_time_runs_in_file_order(day: str, request: pytest.FixtureRequest) -> None:
    live = request.getfixturevalue(day).live
    recv = live["ts_recv"].astype(np.int64)
    event = live["ts_event"].astype(np.int64)
    assert (np.diff(recv) >= 0).all()
    assert (np.diff(event) >= 0).all()
    assert (recv - event > 0).all()
    assert np.median(recv - event) < 1_000_000
    whole_events = live[live["flags"] & LAST > 0]
    assert (np.diff(whole_events["ts_recv"].astype(np.int64)) == 0).any()
    same_event = live["flags"][:-1] & LAST == 0
    assert (np.diff(event)[same_event] == 0).all()
    assert (np.diff(recv)[same_event] > 0).any(), "no event arrives in two packets"


def test_the_file_opens_with_a_snapshot(monday: Day) -> None:
    snapshot = monday.snapshot
    midnight = session(MONDAY, 1)[1] // DAY_NS * DAY_NS
    assert monday.records[: len(snapshot)].tobytes() == snapshot.tobytes()
    assert chr(snapshot["action"][0]) == "R"
    assert (snapshot["action"][1:] == ord("A")).all()
    assert (snapshot["flags"][:-1] == 40).all()
    assert snapshot["flags"][-1] == 168
    assert (snapshot["ts_recv"] == midnight).all()
    assert (snapshot["ts_event"][1:] < midnight).all()
    assert (np.diff(snapshot["sequence"].astype(np.int64)) < 0).any()
    assert 5_000 < len(snapshot) < 20_000


def test_the_day_ends_with_a_clear(monday: Day) -> None:
    last = monday.records[-1]
    assert (chr(last["action"]), last["flags"]) == ("R", 128)
    assert last["ts_event"] == session(MONDAY, 1800)[2]
    assert (monday.live["action"] == ord("R")).sum() == 1


def test_the_next_snapshot_is_the_book_before_the_clear(monday: Day, tuesday: Day) -> None:
    opened = PlainBook()
    opened.apply(tuesday.snapshot)
    assert opened.orders == monday.book.orders
    queues = {place: list(queue) for place, queue in monday.book.queues.items()}
    assert {place: list(queue) for place, queue in opened.queues.items()} == queues
    # Orders younger than the first snapshot carry the time and number of their last change.
    changed = {r["order_id"]: r for r in monday.live if r["action"] in b"AM"}
    kept = [r for r in tuesday.snapshot[1:] if r["order_id"] in changed]
    assert len(kept) > 1000
    for r in kept:
        source = changed[r["order_id"]]
        assert (r["ts_event"], r["sequence"]) == (source["ts_event"], source["sequence"])


def test_where_the_ladder_stands_is_no_part_of_the_market(monday: Day) -> None:
    moved = MarketState.restore(monday.state.snapshot())
    moved.levels[...] = np.roll(moved.levels, N_LEVELS // 8, axis=1)
    moved.orders["level"] += N_LEVELS // 8
    moved.market["best"] += N_LEVELS // 8
    moved.market["base"] -= N_LEVELS // 8
    assert moved.best_ticks == monday.state.best_ticks
    here, _ = make(SynthSpec(), 20, TUESDAY, monday.state)
    there, state = make(SynthSpec(), 20, TUESDAY, moved)
    assert here.tobytes() == there.tobytes()
    assert abs(int(state.market["best"][0][0]) - N_LEVELS // 2) < N_LEVELS // 16


# --- the price looks like a market ---


def test_spread_is_mostly_one_tick(monday: Day) -> None:
    table = np.array(monday.book.bests[1:], dtype=np.int64)
    spread = (table[:-1, 3] - table[:-1, 2]) // 250_000_000
    weight = np.diff(table[:, 0])
    assert weight[spread == 1].sum() > 0.98 * weight.sum()
    assert spread.max() > 2


def test_price_wanders_and_does_not_predict_itself(monday: Day) -> None:
    _, open_ns, close_ns = session(MONDAY, 1800)
    mid = mids(monday.book, range(open_ns + SECOND, close_ns, SECOND))
    moves = np.diff(mid)
    assert 40 < moves.std() * 60 < 130  # ticks an hour; the first half hour is a lively one
    assert abs(np.corrcoef(moves[1:], moves[:-1])[0, 1]) < 0.1
    per_minute = np.abs(np.diff(mid[::30]))
    assert per_minute.max() > 3 * np.median(per_minute)


def test_depth_has_a_hump_behind_a_thin_touch(monday: Day) -> None:
    bid, ask = monday.book.best()
    step = 250_000_000
    sizes = np.array(
        [
            len(monday.book.queues.get(("B", bid - d * step), ()))
            + len(monday.book.queues.get(("A", ask + d * step), ()))
            for d in range(400)
        ]
    )
    assert sizes[5:25].mean() > 1.5 * sizes[:2].mean()
    assert sizes[5:25].mean() > 2 * sizes[300:].mean()


@pytest.mark.parametrize(("volatility", "low", "high"), [(0.0, 0, 15), (20.0, 10, 30)])
def test_volatility_is_what_the_spec_says(volatility: float, low: float, high: float) -> None:
    spec = SynthSpec(depth_ticks=100, volatility_ticks=volatility)
    book = day_of(*make(spec, 1200)).book
    _, open_ns, close_ns = session(MONDAY, 1200)
    moves = np.diff(mids(book, range(open_ns + SECOND, close_ns, SECOND)))
    assert low <= moves.std() * 60 <= high


def test_bids_and_asks_are_treated_alike(monday: Day) -> None:
    for action in "ACMF":
        part = monday.live[monday.live["action"] == ord(action)]
        share = (part["side"] == ord("B")).mean()
        assert abs(share - 0.5) < 0.04, action


# --- options ---


def test_prices_may_be_negative() -> None:
    spec = SynthSpec(depth_ticks=60, start_price="-2.50")
    day = day_of(*make(spec, 30))
    assert day.book.best()[0] < 0


def test_publisher_bit_and_identity_fields() -> None:
    spec = SynthSpec(depth_ticks=60, publisher_specific=True, publisher=7, instrument_id=12)
    records, _ = make(spec, 5)
    live = records[records["flags"] & SNAPSHOT == 0]
    assert set(np.unique(live["flags"]).tolist()) <= {0, 130}
    assert set(records["publisher_id"].tolist()) == {7}
    assert set(records["instrument_id"].tolist()) == {12}


def test_a_half_day_ends_early_and_is_u_shaped_too() -> None:
    spec = SynthSpec(depth_ticks=60)
    full, half = session_bounds(spec, MONDAY), session_bounds(spec, MONDAY, "12:00")
    assert (full[2] - full[1], half[2] - half[1]) == (6.5 * 3600 * SECOND, 3.5 * 3600 * SECOND)
    start = datetime.datetime(2026, 1, 5, 14, 30, tzinfo=datetime.UTC)
    assert half[1] == int(start.timestamp()) * SECOND


def test_sessions_follow_daylight_saving() -> None:
    winter = session_bounds(SMALL, MONDAY)[1] % DAY_NS
    summer = session_bounds(SMALL, datetime.date(2026, 7, 6))[1] % DAY_NS
    assert winter - summer == 3600 * SECOND


@pytest.mark.parametrize(
    "change",
    [
        {"start_price": "5000.1"},
        {"tick_size": "0"},
        {"time_zone": "Mars/Olympus"},
        {"planted_edge": 0.6},
        {"planted_edge": -0.1},
        {"planted_lag_ms": 10_000},
        {"planted_burst_ms": 1000},
        {"planted_edge": 0.2, "planted_placebo": True},
        {"symbol": "../x"},
        {"unknown": 1},
    ],
)
def test_impossible_markets_are_refused(change: dict) -> None:
    with pytest.raises(SpecError, match=next(iter(change))):
        SynthSpec.parse(change)


def test_a_session_stays_inside_its_date() -> None:
    day, open_ns, close_ns = session(MONDAY, 60)
    for bounds in ((open_ns, open_ns), (open_ns - DAY_NS, close_ns), (open_ns, close_ns + DAY_NS)):
        with pytest.raises(SpecError, match=r"QMZ9 2026-01-05: session is not inside"):
            generate_day(SMALL, day, *bounds)


def test_a_price_that_runs_away_is_an_error() -> None:
    chunks, state = generate_day(SMALL, *session(MONDAY, 60), None, 1024)
    next(chunks)
    state.market["best"] += N_LEVELS // 3
    state.orders["level"] += N_LEVELS // 3
    state.levels[...] = np.roll(state.levels, N_LEVELS // 3, axis=1)
    with pytest.raises(SpecError, match="QMZ9 2026-01-05: price has run away"):
        list(chunks)


def test_instrument_of_the_market() -> None:
    instrument = SynthSpec().instrument()
    assert (instrument.symbol, instrument.tick_size_int) == ("QMZ9", 250_000_000)


# --- repeatability ---

PROGRAM = """
import datetime, sys
sys.path[:0] = [{folder!r}]
import test_synth as t
spec = t.SynthSpec(depth_ticks=60, events_per_s=100.0, trend=0.1, planted_edge=0.3,
                   planted_period_ms=1500, start_price="-5")
first = t.make(spec, 8)
second = t.make(spec, 2, t.TUESDAY, first[1], 1500)
print(t.digest(*first), t.digest(*second))
"""


def run_elsewhere(**environment: str) -> str:
    program = PROGRAM.format(folder=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_another_process_and_the_interpreter_give_the_same_bytes() -> None:
    compiled = run_elsewhere(PYTHONHASHSEED="1")
    interpreted = run_elsewhere(PYTHONHASHSEED="2", NUMBA_DISABLE_JIT="1")
    assert len(compiled.split()) == 2
    assert compiled == interpreted


@settings(deadline=None, max_examples=15)
@given(st.integers(1024, 9000))
def test_chunk_size_changes_nothing(chunk_size: int) -> None:
    assert digest(*make(SMALL, 20)) == digest(*make(SMALL, 20, chunk_size=chunk_size))


def test_seed_date_and_history_each_make_another_market() -> None:
    base, state = make(SMALL, 5)
    before = digest(base, state)
    other_seed, _ = make(SynthSpec(**{**SMALL.model_dump(), "seed": 2}), 5)
    other_day, _ = make(SMALL, 5, TUESDAY)
    followed, _ = make(SMALL, 5, TUESDAY, state)
    assert len({x.tobytes() for x in (base, other_seed, other_day, followed)}) == 4
    assert digest(base, state) == before, "the previous state was changed"


# --- the planted effect ---


def planted_moves(spec: SynthSpec, after_ms: float) -> tuple[NDArray, NDArray]:
    """Signed moves of the mid from each burst to ``after_ms`` after its lag, and agreements."""
    day, open_ns, close_ns = session(MONDAY, 400)
    rows = planted(spec, day, open_ns, close_ns)
    book = day_of(*make(spec, 400)).book
    before = mids(book, rows["burst_ns"] - 1)
    after = mids(book, rows["move_ns"] + int(after_ms * 1_000_000))
    return (after - before) * rows["burst_sign"], rows["burst_sign"] == rows["move_sign"]


PLANTED = {
    "depth_ticks": 60,
    "volatility_ticks": 10.0,
    "planted_period_ms": 1000,
    "planted_lag_ms": 400,
    "planted_burst_ms": 50,
}


@pytest.mark.parametrize("edge", [0.25, 0.5])
def test_a_planted_edge_is_there_after_the_lag_and_not_before(edge: float) -> None:
    spec = SynthSpec(planted_edge=edge, **PLANTED)
    early, _ = planted_moves(spec, -1.0)
    late, same = planted_moves(spec, 200.0)
    assert len(late) == 399
    assert abs(same.mean() - (0.5 + edge)) < 0.07
    assert abs((late > 0).mean() - (0.5 + edge)) < 0.09
    assert abs(late.mean() - 2 * edge * 3) < 0.5
    assert abs(early.mean()) < 0.1


def test_a_placebo_moves_the_price_without_telling_where() -> None:
    late, same = planted_moves(SynthSpec(planted_placebo=True, **PLANTED), 200.0)
    assert np.abs(late).mean() > 2.0
    assert abs(same.mean() - 0.5) < 0.08
    assert abs(late.mean()) < 4 * 3 / np.sqrt(len(late))


def test_without_an_edge_nothing_is_planted() -> None:
    plain = SynthSpec(depth_ticks=60)
    other = SynthSpec(depth_ticks=60, planted_period_ms=700, planted_lag_ms=300)
    assert len(planted(other, *session(MONDAY, 60))) == 0
    assert make(plain, 10)[0].tobytes() == make(other, 10)[0].tobytes()


def test_a_burst_adds_on_its_side_and_pulls_on_the_other() -> None:
    spec = SynthSpec(planted_edge=0.5, **PLANTED)
    records, _ = make(spec, 400)
    flow = {+1: 0, -1: 0}
    for row in planted(spec, *session(MONDAY, 400)):
        inside = (records["ts_event"] >= row["burst_ns"]) & (
            records["ts_event"] < row["burst_ns"] + 60_000_000
        )
        part = records[inside & (records["flags"] & SNAPSHOT == 0)]
        bid = part["side"] == ord("B")
        added, pulled = part["action"] == ord("A"), part["action"] == ord("C")
        sign = 1 if row["burst_sign"] > 0 else -1
        flow[sign] += int((added & bid).sum() + (pulled & ~bid).sum())
        flow[sign] -= int((added & ~bid).sum() + (pulled & bid).sum())
    assert flow[+1] > 1000
    assert flow[-1] < -1000


# --- files ---


def test_files_are_named_and_readable_like_the_vendors(tmp_path: Path) -> None:
    sessions = [session(MONDAY, 10), session(TUESDAY, 10)]
    paths = generate(SMALL, sessions, tmp_path / "raw")
    assert [p.name for p in paths] == [
        "glbx-mdp3-qmz9-20260105.mbo.dbn.zst",
        "glbx-mdp3-qmz9-20260106.mbo.dbn.zst",
    ]
    assert sorted((tmp_path / "raw").iterdir()) == paths
    first, state = make(SMALL, 10)
    second, _ = make(SMALL, 10, TUESDAY, state)
    for path, expected, day in zip(paths, (first, second), (MONDAY, TUESDAY), strict=True):
        assert path.name == file_name(SMALL, day)
        store = databento.DBNStore.from_bytes(path.read_bytes())
        assert store.to_ndarray().tobytes() == expected.tobytes()
        assert store.mappings["QMZ9"] == [
            {
                "start_date": day,
                "end_date": day + datetime.timedelta(days=1),
                "symbol": "900001",
            }
        ]
        assert store.metadata.start <= expected["ts_recv"].min()
        assert expected["ts_recv"].max() < store.metadata.end


def test_dates_out_of_order_are_refused(tmp_path: Path) -> None:
    for days in ((TUESDAY, MONDAY), (MONDAY, MONDAY)):
        with pytest.raises(SpecError, match="order"):
            generate(SMALL, [session(day, 2) for day in days], tmp_path)
    assert not list(tmp_path.iterdir())


# --- random draws ---


def test_generator_equals_its_published_algorithm() -> None:
    rng = seeded("a", 1)
    words = [int(w) for w in rng]

    def rotate(x: int, k: int) -> int:
        return ((x << k) | (x >> (32 - k))) & 0xFFFFFFFF

    for _ in range(1000):
        expected = (rotate((words[0] + words[3]) & 0xFFFFFFFF, 7) + words[0]) & 0xFFFFFFFF
        t = (words[1] << 9) & 0xFFFFFFFF
        words[2] ^= words[0]
        words[3] ^= words[1]
        words[1] ^= words[2]
        words[0] ^= words[3]
        words[2] ^= t
        words[3] = rotate(words[3], 11)
        assert draw_word(rng) == expected


def test_exponential_draws_follow_the_exponential_law() -> None:
    rng = seeded("exponential")
    draws = np.array([exponential(rng) for _ in range(20_000)])
    levels = np.array([0.01, 0.1, 0.5, 0.9, 0.99])
    share = (draws[:, None] < -np.log(1 - levels)).mean(axis=0)
    assert np.abs(share - levels).max() < 4 * 0.5 / np.sqrt(len(draws))


def test_integers_cover_their_range_evenly() -> None:
    rng = seeded("integers")
    counts = np.bincount([below(rng, 7) for _ in range(14_000)], minlength=7)
    assert len(counts) == 7
    assert np.abs(counts - 2000).max() < 4 * np.sqrt(2000)
