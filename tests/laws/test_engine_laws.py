"""The laws of the engine: oracle, chunk invariance, restart, conservation, symmetry, cadence."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmachina.book.state import Anomaly
from qmachina.errors import RecordError
from qmachina.fields import Chunk
from qmachina.grid.engine import Engine
from qmachina.grid.fields import BIN_FIELDS, GRID_COUNTS, GRID_MECHANICS
from qmachina.market import MBO_DTYPE, UNDEF_PRICE, Flag, Side
from qmachina.specs.silver import SilverSpec
from tests.engine import COUNTERS, run_engine
from tests.oracle.book import OracleBook, OracleError
from tests.oracle.grid import silver
from tests.strategies import (
    TICK_SIZE_INT,
    broken_streams,
    chunkings,
    illegal_streams,
    legal_streams,
    silver_specs,
)


def is_short(records: np.ndarray) -> bool:
    """Tell whether no clock leaps over hours: the oracle emits every bin in between."""
    return all(len(records) == 0 or np.ptp(records[c]) < 300e9 for c in ("ts_recv", "ts_event"))


any_stream = st.one_of(legal_streams(), illegal_streams()).filter(is_short)


def assert_bits(a: np.ndarray, b: np.ndarray, name: str) -> None:
    """Compare two arrays bit for bit, with a short message."""
    assert a.shape == b.shape, f"{name}: shapes {a.shape} and {b.shape}"
    assert a.dtype == b.dtype, f"{name}: dtypes {a.dtype} and {b.dtype}"
    if a.tobytes() != b.tobytes():
        at = tuple(int(x[0]) for x in np.nonzero(a != b))
        raise AssertionError(f"{name} differs at {at}: {a[at]!r} and {b[at]!r}")


def assert_equal(a: Chunk, b: Chunk) -> None:
    """Compare two silver chunks bit for bit, column by column."""
    for f in BIN_FIELDS:
        assert_bits(a.bins[f.name], b.bins[f.name], f.name)
    for name in [f.name for f in (*GRID_COUNTS, *GRID_MECHANICS)] + ["last_event_id"]:
        assert_bits(a.grid[name], b.grid[name], name)


@given(any_stream, silver_specs(), st.booleans())
def test_engine_equals_the_oracle(records, spec, ended):
    covered = 2**62 if ended else None
    oracle = silver(records, spec, TICK_SIZE_INT, covered_until_ns=covered)
    _, chunk = run_engine(records, spec, covered_until_ns=covered)
    assert_equal(chunk, oracle.chunk())
    assert chunk.n_bins == len(oracle.rows)


@given(any_stream, silver_specs(emit="bin"), st.integers(-5, 30), st.integers(1, 30))
def test_engine_equals_the_oracle_within_a_range_of_bins(records, spec, first, length):
    if not len(records):
        return
    base = int(records["ts_recv"].min())
    start = base - base % spec.bin_ns + first * spec.bin_ns
    bounds = {"start_ns": start, "end_ns": start + length * spec.bin_ns}
    oracle = silver(records, spec, TICK_SIZE_INT, covered_until_ns=2**62, **bounds)
    _, chunk = run_engine(records, spec, covered_until_ns=2**62, **bounds)
    assert_equal(chunk, oracle.chunk())


@given(any_stream, silver_specs())
def test_book_and_counters_equal_the_oracle(records, spec):
    oracle = OracleBook(TICK_SIZE_INT, spec.clock, spec.assume_synced_after)
    for _ in oracle.feed(records):
        pass
    for _ in oracle.finish():
        pass
    engine, _ = run_engine(records, spec, covered_until_ns=2**62)
    look = oracle.look()
    assert engine.records == oracle.n_records
    assert engine.event_id == oracle.event_id
    for kind in Anomaly:
        name = kind.name.lower()
        assert engine.anomalies[name] == oracle.counts[COUNTERS.get(name, name)], name
    summary = engine.summary()
    assert summary["orders"] == look.n_orders
    assert summary["bid_levels"] == look.n_bid_levels
    assert summary["ask_levels"] == look.n_ask_levels
    assert summary["book_state"] == look.state.name.lower()
    for side, best in (("bid", look.bid), ("ask", look.ask)):
        price = None if best is None else best[0] * TICK_SIZE_INT
        assert summary[f"best_{side}_price_int"] == price
    for s, side in enumerate(("bid", "ask")):
        rows = engine.levels(s).tolist()
        assert {p // TICK_SIZE_INT: z for p, z, _ in rows} == oracle.summed_depth()[side]
        assert {p // TICK_SIZE_INT: n for p, _, n in rows} == orders_by_tick(oracle, side)


def orders_by_tick(oracle: OracleBook, side: str) -> dict[int, int]:
    """Count the oracle's orders of a side by tick; a top-of-book level counts as one."""
    ticks = [order.tick for order in oracle.orders.values() if order.side == side]
    ticks += [tick for s, (tick, _) in oracle.tob.items() if s == side]
    return dict(Counter(ticks))


@given(broken_streams().filter(lambda b: b[1] == "bad_time" or is_short(b[0])), silver_specs())
def test_a_broken_record_is_named(broken, spec):
    records, kind, at = broken
    if kind == "bad_time":
        spec = spec.model_copy(update={"clock": "recv"})  # the stamp that is bad
    with pytest.raises(OracleError) as expected:
        silver(records, spec, TICK_SIZE_INT, covered_until_ns=2**62)
    assert expected.value.record_index == at
    with pytest.raises(RecordError, match=f"record {at} of the book"):
        run_engine(records, spec, covered_until_ns=2**62)


@given(st.data(), any_stream, silver_specs())
def test_chunk_invariance(data, records, spec):
    whole, chunk = run_engine(records, spec)
    cut, pieces = run_engine(records, spec, cuts=data.draw(chunkings(len(records))))
    assert_equal(chunk, pieces)
    a, b = whole.snapshot(), cut.snapshot()
    assert a.keys() == b.keys()
    for name in a:
        assert_bits(a[name], b[name], name)


@given(st.data(), any_stream, silver_specs())
def test_restart_changes_nothing(data, records, spec):
    at = data.draw(st.integers(0, len(records)))
    _, chunk = run_engine(records, spec)
    first, head = run_engine(records[:at], spec)
    second = Engine(spec, TICK_SIZE_INT)
    second.restore(first.snapshot())
    _, tail = run_engine(records[at:], spec, engine=second)
    joined = Chunk(
        {k: np.concatenate([head.bins[k], tail.bins[k]]) for k in chunk.bins},
        {k: np.concatenate([head.grid[k], tail.grid[k]]) for k in chunk.grid},
    )
    assert_equal(chunk, joined)


@given(any_stream, silver_specs(emit="bin", grid_radius_ticks=6))
def test_depth_is_conserved_per_absolute_tick(records, spec):
    _, chunk = run_engine(records, spec, covered_until_ns=2**62)
    k = np.arange(-6, 7)
    for side in ("bid", "ask"):
        closing: dict[int, int] = {}
        for i in range(chunk.n_bins):
            ticks = chunk.bins["spot_ref_price_int"][i] // TICK_SIZE_INT + k
            g = {n: chunk.grid[n][i] for n in chunk.grid}
            moved = g[f"add_{side}"] - g[f"pull_{side}"] - g[f"fill_{side}"] + g[f"reset_{side}"]
            now = dict(zip(ticks.tolist(), g[f"{side}_depth"].tolist(), strict=True))
            for tick, change in zip(ticks.tolist(), moved.tolist(), strict=True):
                if tick in closing:
                    assert closing[tick] + change == now[tick]
            closing = now


@given(any_stream, silver_specs())
def test_every_emission_is_dense_and_finite(records, spec):
    _, chunk = run_engine(records, spec, covered_until_ns=2**62)
    for column in chunk.grid.values():
        assert column.shape == (chunk.n_bins, spec.n_rows)
        assert np.isfinite(column.astype(np.float64)).all()
    assert (np.diff(chunk.bins["bin_seq"]) == 1).all()
    if spec.emit == "bin" and chunk.n_bins:
        assert (np.diff(chunk.bins["bin_start_ns"]) == spec.bin_ns).all()


MIRROR_BINS = {
    "best_bid_price_int": "best_ask_price_int",
    "lowest_best_bid_int": "highest_best_ask_int",
    "highest_best_bid_int": "lowest_best_ask_int",
}


@given(any_stream, silver_specs(emit="bin", n_absolute_ticks=8192))
def test_mirror(records, spec):
    """Swap sides and negate prices: bid quantities become ask quantities."""
    flipped = records.copy()
    priced = flipped["price"] != UNDEF_PRICE
    flipped["price"][priced] *= -1
    side = records["side"]
    flipped["side"][side == Side.BID] = Side.ASK
    flipped["side"][side == Side.ASK] = Side.BID
    _, a = run_engine(records, spec)
    _, b = run_engine(flipped, spec)
    assert a.n_bins == b.n_bins
    np.testing.assert_array_equal(a.bins["ofi_best"], -b.bins["ofi_best"])
    np.testing.assert_array_equal(a.bins["mid_x2"], -b.bins["mid_x2"])
    np.testing.assert_array_equal(a.bins["book_state"], b.bins["book_state"])
    for one, other in MIRROR_BINS.items():
        x, y = a.bins[one], b.bins[other]
        absent = x == UNDEF_PRICE
        np.testing.assert_array_equal(absent, y == UNDEF_PRICE)
        np.testing.assert_array_equal(x[~absent], -y[~absent])
    # Rows hang on spot, which rounds down: compare by absolute tick.
    radius = spec.grid_radius_ticks
    spot_a = a.bins["spot_ref_price_int"] // TICK_SIZE_INT
    spot_b = b.bins["spot_ref_price_int"] // TICK_SIZE_INT
    for i in range(a.n_bins):
        for r in range(spec.n_rows):
            tick = spot_a[i] + r - radius
            q = -tick - spot_b[i] + radius
            if 0 <= q < spec.n_rows:
                for x, y in (("bid_depth", "ask_depth"), ("add_bid", "add_ask")):
                    assert a.grid[x][i, r] == b.grid[y][i, q]
                for x, y in (("v_bid_depth", "v_ask_depth"), ("j_add", "j_add")):
                    assert np.isclose(a.grid[x][i, r], b.grid[y][i, q], rtol=1e-5, atol=1e-6)


@given(any_stream, silver_specs(), st.integers(-9_000, 9_000))
def test_translation(records, spec, ticks):
    """Shift all prices by whole ticks: everything relative stays."""
    shifted = records.copy()
    shifted["price"][shifted["price"] != UNDEF_PRICE] += ticks * TICK_SIZE_INT
    _, a = run_engine(records, spec)
    _, b = run_engine(shifted, spec)
    for name in a.grid:
        assert_bits(a.grid[name], b.grid[name], name)
    for name in ("ofi_best", "best_bid_size", "microstate_id", "book_state", "trade_buy_size"):
        np.testing.assert_array_equal(a.bins[name], b.bins[name])


@given(any_stream, silver_specs(emit="bin"))
def test_cadence_invariance(records, spec):
    """Sampling more often changes nothing: common times have equal rows."""
    grids = {}
    for ms in (10, 50, 100, 250):
        s = spec.model_copy(update={"cell_width_ms": ms})
        if s.landmark_ns != SilverSpec(**{**spec.model_dump(), "cell_width_ms": 10}).landmark_ns:
            return  # landmarks are whole bins: other landmarks round differently
        _, chunk = run_engine(records, s)
        grids[ms] = chunk
    fine = grids[10]
    at = {int(t): i for i, t in enumerate(fine.bins["bin_end_ns"])}
    state = ["bid_depth", "ask_depth", "last_event_id", *(f.name for f in GRID_MECHANICS)]
    for ms in (50, 100, 250):
        for i, t in enumerate(grids[ms].bins["bin_end_ns"]):
            j = at[int(t)]
            for name in state:
                assert_bits(grids[ms].grid[name][i], fine.grid[name][j], name)


@given(legal_streams().filter(is_short), silver_specs(emit="bin"))
def test_reading_changes_no_state_and_equals_the_emission(records, spec):
    engine, _ = run_engine(records, spec)
    if not len(records):
        return
    before = engine.snapshot()
    time = int(records["ts_recv"].max()) + 17
    first = engine.read(max(time, int(engine.clock)))
    second = engine.read(max(time, int(engine.clock)))
    for name in first:
        assert first[name].tobytes() == second[name].tobytes()
    after = engine.snapshot()
    for name in before:
        assert_bits(before[name], after[name], name)
    # The next emission carries what reading at its time says.
    if engine.open_bin_end is not None:
        at = engine.read(engine.open_bin_end)
        ended = list(engine.finish(2**62))
        if ended:
            row = Chunk({}, {k: v[0] for k, v in ended[0].grid.items()})
            for f in GRID_MECHANICS:
                assert_bits(at[f.name].astype(np.float32), row.grid[f.name], f.name)


def test_an_event_changes_only_the_ticks_it_touches():
    """G4: read at the same instant before and after, every other tick is bitwise equal."""
    spec = SilverSpec(n_absolute_ticks=64, grid_radius_ticks=5, assume_synced_after=0.0)
    engine = Engine(spec, TICK_SIZE_INT)
    tape = simple_tape()
    for i in range(len(tape) - 1):
        list(engine.advance(tape[i : i + 1]))
    time = int(tape["ts_recv"][-1])
    before = engine.read(time)
    list(engine.advance(tape[-1:]))
    after = engine.read(time)
    np.testing.assert_array_equal(before["tick"], after["tick"])
    touched = before["tick"] == int(tape["price"][-1]) // TICK_SIZE_INT
    for name in before:
        assert_bits(before[name][~touched], after[name][~touched], name)
    assert after["last_event_id"][touched] == len(tape)
    assert after["v_add"][touched] > before["v_add"][touched]


def simple_tape() -> np.ndarray:
    """Return five adds around 100, each an event of its own."""
    out = np.zeros(5, MBO_DTYPE)
    out["length"], out["rtype"], out["flags"], out["action"] = 14, 160, int(Flag.LAST), ord("A")
    out["order_id"] = np.arange(1, 6)
    out["price"] = np.array([100, 102, 99, 103, 100]) * TICK_SIZE_INT
    out["side"] = [ord(c) for c in "BABAB"]
    out["size"] = [5, 6, 7, 8, 9]
    out["ts_event"] = out["ts_recv"] = 10**18 + np.arange(5) * 30_000_000
    return out


@given(any_stream, silver_specs(emit="event"))
def test_an_event_stamps_the_ticks_whose_depth_it_changes(records, spec):
    """T1: a tick's depth changes only together with its last_event_id, and never to an old id."""
    _, chunk = run_engine(records, spec)
    spot = chunk.bins["spot_ref_price_int"] // TICK_SIZE_INT
    ids = chunk.bins["event_id"]
    for i in range(1, chunk.n_bins):
        shift = int(spot[i] - spot[i - 1])
        for row in range(spec.n_rows):
            before = row + shift
            if not 0 <= before < spec.n_rows:
                continue
            now = tuple(chunk.grid[n][i, row] for n in ("bid_depth", "ask_depth"))
            then = tuple(chunk.grid[n][i - 1, before] for n in ("bid_depth", "ask_depth"))
            last, last_then = chunk.grid["last_event_id"][[i, i - 1], [row, before]]
            if now != then:
                assert ids[i - 1] < last <= ids[i]
            elif last != last_then:
                assert ids[i - 1] < last <= ids[i]  # changed and changed back within the event
