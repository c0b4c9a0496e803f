"""Laws of the evaluator: kernel = table = oracle, mirror, translation, costs, no look-ahead."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qmachina.evaluation.first_passage import evaluate_by_table, tabulate
from qmachina.evaluation.first_touch import evaluate
from qmachina.evaluation.prices import Path
from qmachina.evaluation.sides import see
from qmachina.evaluation.sweep import AXES, spec_at, sweep
from qmachina.evaluation.trades import REASONS, TALLY, TRADE
from qmachina.specs.evaluation import EvaluatorSpec
from tests.oracle import evaluation as oracle

BIN_NS = 100_000_000
FEW = settings(deadline=None, max_examples=60)
half = st.integers(1, 12).map(lambda k: k / 2)
ms = st.integers(0, 700)


STEP = np.array([0, 0, 0, 1, -1, 2, -2, 7, -7])
SPREAD = np.array([1, 1, 1, 0, 2, 3, -1])
REACH = np.array([0, 0, 0, 1, 3, 6])
VALID = np.array([True] * 6 + [False])
SCORE = np.array([0.0, 0.5, 1.0, -1.0, 2.0, -2.0, np.nan])


def column(draw, n, choices):
    """A column of given choices, from bytes: far cheaper to draw than a list of elements."""
    return choices[np.frombuffer(draw(st.binary(min_size=n, max_size=n)), np.uint8) % choices.size]


@st.composite
def paths(draw, max_bins=40):
    n = draw(st.integers(0, max_bins))
    bid = draw(st.integers(-5, 5)) + np.cumsum(column(draw, n, STEP), dtype=np.int64)
    ask = bid + column(draw, n, SPREAD)
    reach = [column(draw, n, REACH) for _ in range(4)]
    valid = column(draw, n, VALID)
    hole = draw(st.integers(0, max_bins)), draw(st.integers(0, 9))
    valid[hole[0] : hole[0] + hole[1]] = False
    in_session = np.ones(n, bool)
    in_session[: draw(st.sampled_from([0, 0, 2]))] = False
    in_session[max(n - draw(st.sampled_from([0, 0, 3])), 0) :] = False
    return Path(
        ts_end=np.arange(1, n + 1, dtype=np.int64) * BIN_NS,
        bid=bid,
        ask=ask,
        bid_lo=bid - reach[0],
        bid_hi=bid + reach[1],
        ask_lo=ask - reach[2],
        ask_hi=ask + reach[3],
        valid=valid,
        in_session=in_session,
        bin_ns=BIN_NS,
        tick_value=12.5,
    )


@st.composite
def specs(draw, **fixed):
    basis = draw(st.sampled_from(["touch", "touch", "mid"]))
    evidence = "mid" if basis == "mid" else draw(st.sampled_from(["exec", "exec", "through"]))
    wait = draw(st.sampled_from(["skip", "wait"]))
    content = {
        "tp_ticks": draw(half),
        "sl_ticks": draw(half),
        "max_hold_ms": draw(st.integers(1, 2500)),
        "threshold": 1.0,
        "trigger": draw(st.sampled_from(["edge", "level"])),
        "polarity": draw(st.sampled_from([1, -1])),
        "latency_bins": draw(st.sampled_from([0, 0, 1, 3])),
        "basis": basis,
        "evidence": evidence,
        "through_ticks": draw(st.integers(0, 4)) / 2 if evidence == "through" else None,
        "tie": draw(st.sampled_from(["sl_first", "tp_first", "drop"])),
        "cooldown_ms": draw(ms),
        "cooldown_from": draw(st.sampled_from(["exit", "entry", "signal"])),
        "warmup_ms": draw(st.sampled_from([0, 0, 250])),
        "max_gap_ms": draw(ms),
        "entry_on_invalid": wait,
        "wait_bins": draw(st.integers(1, 4)) if wait == "wait" else None,
        "fee_per_contract": draw(st.sampled_from([0.0, 1.85])),
        "slip_in_ticks": draw(st.sampled_from([0.0, 0.3])),
        "slip_out_ticks": draw(st.sampled_from([0.0, 0.7])),
        "flat_before_close_ms": draw(st.sampled_from([0, 0, 150, 900])),
    }
    return EvaluatorSpec(**{**content, **fixed})


@st.composite
def worlds(draw, **fixed):
    path = draw(paths())
    n = path.n_bins
    scores = column(draw, n, SCORE)
    ready = np.ones(n, bool)
    ready[: draw(st.sampled_from([0, 0, 1, 4]))] = False
    return path, scores, ready, draw(specs(**fixed))


def plain(path):
    """The path as Python lists, for the oracle."""
    out = {}
    for field in dataclasses.fields(path):
        value = getattr(path, field.name)
        out[field.name] = value.tolist() if isinstance(value, np.ndarray) else value
    return out


def as_dicts(table):
    rows = [{name: row[name].item() for name in TRADE.names} for row in table]
    for row in rows:
        row["reason"] = REASONS[row["reason"]]
    return rows


def same(a, b):
    """Whether two evaluations agree in every field, bit for bit."""
    return (
        a.table.tobytes() == b.table.tobytes()
        and a.dropped.tobytes() == b.dropped.tobytes()
        and a.tally.tobytes() == b.tally.tobytes()
    )


def changed(path, **columns):
    return dataclasses.replace(path, **columns)


@given(worlds())
@settings(deadline=None, max_examples=250)
def test_kernel_equals_oracle(world):
    path, scores, ready, spec = world
    kept, dropped, counts = oracle.evaluate(plain(path), scores.tolist(), ready.tolist(), spec)
    trades = evaluate(*world)
    assert as_dicts(trades.table) == kept
    assert as_dicts(trades.dropped) == dropped
    assert {name: trades.count(name) for name in counts} == counts
    n = {reason: sum(t["reason"] == reason for t in kept) for reason in REASONS}
    assert {r: trades.count(r.lower()) for r in REASONS} == n
    for name in ("tie", "late", "stale"):
        assert trades.count(name) == sum(t[name] for t in kept + dropped)
    assert trades.total("sum_net") == sum(t["net"] for t in kept)
    assert trades.total("sum_gross") == sum(t["gross"] for t in kept) / 2
    every = sorted(kept + dropped, key=lambda t: t["signal_bin"])
    assert trades.total("sum_sl_first") == sum(t["net_sl_first"] for t in every)
    assert trades.total("sum_tp_first") == sum(t["net_tp_first"] for t in every)


@given(worlds(), st.integers(1, 20), st.integers(1, 30))
@settings(deadline=None, max_examples=250)
def test_table_equals_scan_in_every_field(world, n_levels, horizon):
    path, scores, ready, spec = world
    table = tabulate(path, spec, n_levels, horizon)
    assert same(evaluate_by_table(table, scores, ready, spec), evaluate(*world))


@given(paths(max_bins=25), specs(), st.integers(1, 6), st.integers(1, 30))
@FEW
def test_tables_are_first_passages(path, spec, n_levels, horizon):
    sides = see(path, spec)
    table = tabulate(path, spec, n_levels, horizon)
    for side in (0, 1):
        line = sides.lines[side]
        for sign, extreme, found in ((1, "best", table.up), (-1, "worst", table.down)):
            expected = oracle.passage_table(
                line["close"].tolist(),
                line[extreme].tolist(),
                path.tradable.tolist(),
                sign,
                sides.unit,
                horizon,
                n_levels,
            )
            assert found[side].tolist() == expected


@given(worlds())
@FEW
def test_mirrored_market_gives_mirrored_trades(world):
    path, scores, ready, spec = world
    mirrored = changed(
        path,
        bid=-path.ask,
        ask=-path.bid,
        bid_lo=-path.ask_hi,
        bid_hi=-path.ask_lo,
        ask_lo=-path.bid_hi,
        ask_hi=-path.bid_lo,
    )
    a, b = evaluate(*world), evaluate(mirrored, -scores, ready, spec)
    assert np.array_equal(a.tally, b.tally)
    for name in TRADE.names:
        sign = -1 if name in ("side", "entry_price", "exit_price", "score") else 1
        assert np.array_equal(a.table[name], sign * b.table[name] if sign < 0 else b.table[name])


@given(worlds(), st.integers(-(10**9), 10**9))
@FEW
def test_shifting_all_prices_changes_nothing_relative(world, shift):
    path, scores, ready, spec = world
    names = ("bid", "ask", "bid_lo", "bid_hi", "ask_lo", "ask_hi")
    moved = changed(path, **{name: getattr(path, name) + shift for name in names})
    a, b = evaluate(*world), evaluate(moved, scores, ready, spec)
    assert np.array_equal(a.tally, b.tally)
    for name in TRADE.names:
        by = 2 * shift if name in ("entry_price", "exit_price") else 0
        assert np.array_equal(a.table[name] + by if by else a.table[name], b.table[name])


@given(worlds())
@FEW
def test_take_profit_first_is_never_worse(world):
    path, scores, ready, spec = world
    totals = {}
    for tie in ("sl_first", "tp_first", "drop"):
        trades = evaluate(path, scores, ready, spec.model_copy(update={"tie": tie}))
        assert np.all(trades.table["net_tp_first"] >= trades.table["net_sl_first"])
        totals[tie] = trades
    sl_first, tp_first, drop = totals["sl_first"], totals["tp_first"], totals["drop"]
    assert tp_first.total("sum_net") >= sl_first.total("sum_net")
    assert drop.count("n") + drop.count("tie_dropped") == sl_first.count("n")
    for trades in totals.values():
        assert trades.total("sum_sl_first") == sl_first.total("sum_net")
        assert trades.total("sum_tp_first") == tp_first.total("sum_net")


@pytest.mark.parametrize("knob", ["fee_per_contract", "slip_in_ticks", "slip_out_ticks"])
@given(world=worlds())
@FEW
def test_each_cost_knob_strictly_lowers_net(knob, world):
    path, scores, ready, spec = world
    dearer = spec.model_copy(update={knob: getattr(spec, knob) + 0.5})
    a, b = evaluate(*world), evaluate(path, scores, ready, dearer)
    pays = a.table["reason"] != 0 if knob == "slip_out_ticks" else np.ones(a.table.shape, bool)
    assert np.all(b.table["net"][pays] < a.table["net"][pays])
    assert np.array_equal(b.table["net"][~pays], a.table["net"][~pays])
    assert np.array_equal(a.table["gross"], b.table["gross"])


@given(worlds(basis="mid", evidence="mid", through_ticks=None))
@FEW
def test_at_the_mid_half_a_spread_is_paid_at_each_end(world):
    path, _, _, spec = world
    trades = evaluate(*world).table
    fixed = 2.0 * spec.fee_per_contract / path.tick_value + spec.slip_in_ticks
    half_spreads = 0.5 * (trades["entry_spread"] + trades["exit_spread"])
    slip = np.where(trades["reason"] == 0, 0.0, spec.slip_out_ticks)
    assert np.allclose(trades["cost"], fixed + half_spreads + slip, rtol=0, atol=1e-12)


@given(worlds())
@FEW
def test_every_trigger_and_every_trade_is_counted_once(world):
    spec = world[-1]
    trades = evaluate(*world)
    fates = ("n", "tie_dropped", "suppressed_position", "suppressed_cooldown")
    fates += ("after_flat", "entry_invalid", "stop_inside_spread")
    assert sum(trades.count(f) for f in fates) == trades.count("triggers")
    assert sum(trades.count(r.lower()) for r in REASONS) == trades.count("n")
    t = trades.table
    assert np.all(t["signal_bin"] < t["entry_bin"])
    assert np.all(t["entry_bin"] < t["exit_bin"])
    assert np.all(t["exit_bin"][:-1] < t["signal_bin"][1:])
    assert np.all(t["gross"] <= 2 * spec.tp_ticks)
    assert np.all((t["mae"] >= 0) & (t["mfe"] >= 0) & (t["mfe"] >= t["gross"]))
    assert np.all(t["mae"] >= -t["gross"])


@given(worlds(), st.integers(0, 9), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=150)
def test_what_comes_after_an_exit_cannot_change_the_trade(world, which, seed):
    path, scores, ready, spec = world
    a = evaluate(*world)
    assume(a.table.size)
    cut = int(a.table["exit_bin"][which % a.table.size]) + 1
    rng = np.random.default_rng(seed)
    n = path.n_bins - cut
    bid = rng.integers(-20, 20, n)
    ask = bid + rng.integers(0, 4, n)
    new = {"bid": bid, "ask": ask, "bid_lo": bid - 3, "bid_hi": bid, "ask_lo": ask, "ask_hi": ask}
    new["valid"] = rng.random(n) < 0.8
    columns = {k: np.concatenate([getattr(path, k)[:cut], v]) for k, v in new.items()}
    other_scores = np.concatenate([scores[:cut], rng.normal(size=n) * 2])
    b = evaluate(changed(path, **columns), other_scores, ready, spec)
    for x, y in ((a.table, b.table), (a.dropped, b.dropped)):
        assert x[x["exit_bin"] < cut].tobytes() == y[y["exit_bin"] < cut].tobytes()


@given(worlds())
@FEW
def test_sweep_equals_evaluations_one_by_one(world):
    path, scores, ready, base = world
    grid = {
        "threshold": [0.5, 2.0],
        "max_hold_ms": [300, 2000],
        "cooldown_ms": [0, 250],
        "tp_ticks": [1.0, 4.5],
        "sl_ticks": [2.5],
    }
    table = sweep(path, scores, ready, base, grid)
    assert table.shape == (16,)
    assert len({tuple(row[name] for name in AXES) for row in table}) == 16
    for row in table:
        tally = evaluate(path, scores, ready, spec_at(row, base)).tally[0]
        assert all(tally[name] == row[name] for name in TALLY.names)
