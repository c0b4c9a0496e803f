"""Sweeps: the axes that may vary, exactness on a real-sized date, and ranking over dates."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qmachina.errors import DataError, RefusedError, SpecError
from qmachina.evaluation.dates import interval
from qmachina.evaluation.first_passage import (
    MAX_HORIZON,
    evaluate_by_table,
    levels_for,
    tabulate,
)
from qmachina.evaluation.first_touch import evaluate
from qmachina.evaluation.prices import Path
from qmachina.evaluation.sweep import RANKED, combine, spec_at, sweep, to_rows
from qmachina.evaluation.trades import TALLY
from qmachina.specs.evaluation import EvaluatorSpec

BIN_NS = 100_000_000
BASE = EvaluatorSpec(tp_ticks=4, sl_ticks=3, max_hold_ms=2000, threshold=1.0, fee_per_contract=1.0)
GRID = {"tp_ticks": [2, 4.5, 8], "sl_ticks": [3, 5], "threshold": [1.0, 2.0]}


def world(n, seed):
    rng = np.random.default_rng(seed)
    bid = np.cumsum(rng.integers(-1, 2, n))
    ask = bid + rng.choice([1, 1, 2, 9], n)
    reach = rng.integers(0, 2, (4, n))
    path = Path(
        np.arange(1, n + 1, dtype=np.int64) * BIN_NS,
        bid,
        ask,
        bid - reach[0],
        bid + reach[1],
        ask - reach[2],
        ask + reach[3],
        rng.random(n) > 0.05,
        np.ones(n, bool),
        BIN_NS,
        12.5,
    )
    return path, np.where(rng.random(n) < 0.05, rng.normal(size=n) * 2, 0.0), np.ones(n, bool)


def test_a_date_swept_equals_a_date_evaluated_by_table_and_by_scan():
    path, scores, ready = world(5000, 1)
    for row in sweep(path, scores, ready, BASE, GRID):
        spec = spec_at(row, BASE)
        table = tabulate(path, spec, levels_for(path, spec, 8), 20)
        by_scan = evaluate(path, scores, ready, spec)
        by_table = evaluate_by_table(table, scores, ready, spec)
        assert by_table.table.tobytes() == by_scan.table.tobytes()
        assert all(by_scan.tally[0][name] == row[name] for name in TALLY.names)
        assert row["n"] > 0


def test_order_depends_on_the_grid_alone():
    a = sweep(*world(300, 1), BASE, GRID)
    b = sweep(*world(200, 2), BASE, dict(reversed(GRID.items())))
    for axis in GRID:
        assert a[axis].tolist() == b[axis].tolist()
    assert a["sl_ticks"].tolist() == [3, 5] * 6
    assert set(a["max_hold_ms"]) == {2000}


@pytest.mark.parametrize(
    ("grid", "complaint"),
    [
        ({"tie": ["drop"]}, "tie"),
        ({"tp_ticks": []}, "no values"),
        ({"tp_ticks": [2, 2.0]}, "twice"),
        ({"tp_ticks": [2, 0.3]}, "tp_ticks"),
        ({"cooldown_ms": [-1]}, "cooldown_ms"),
        ({"max_hold_ms": [100.0]}, "max_hold_ms"),
    ],
)
def test_axes_that_cannot_be_swept_are_refused(grid, complaint):
    with pytest.raises(SpecError, match=complaint):
        sweep(*world(50, 1), BASE, grid)


def test_a_date_without_bins_contributes_zeros():
    path, scores, ready = world(0, 1)
    table = sweep(path, scores, ready, BASE, GRID)
    assert table.shape == (12,)
    assert not table["n"].any()


def test_a_hold_longer_than_tables_reach_is_scanned():
    n = MAX_HORIZON + 10
    bid = np.full(n, 100)
    bid[MAX_HORIZON + 3 :] = 105
    ask, ok = bid + 1, np.ones(n, bool)
    ts = np.arange(1, n + 1, dtype=np.int64) * BIN_NS
    path = Path(ts, bid, ask, bid, bid, ask, ask, ok, ok, BIN_NS, 12.5)
    scores = np.zeros(n)
    scores[0] = 1.0
    grid = {"max_hold_ms": [500, (MAX_HORIZON + 5) * 100]}
    table = sweep(path, scores, ok, BASE, grid)
    assert table["timeout"].tolist() == [1, 0]
    assert table["tp"].tolist() == [0, 1]
    long_hold = spec_at(table[1], BASE)
    by_table = evaluate_by_table(tabulate(path, BASE, 10, 20), scores, ok, long_hold)
    assert by_table.table["exit_bin"].tolist() == [MAX_HORIZON + 3]
    with pytest.raises(RefusedError, match="does not fit"):
        tabulate(path, BASE, 10, MAX_HORIZON + 1)


def test_tables_of_another_basis_or_gap_rule_are_refused():
    path, scores, ready = world(50, 1)
    table = tabulate(path, BASE, 10, 20)
    for change in ({"basis": "mid", "evidence": "mid"}, {"max_gap_ms": 100}):
        with pytest.raises(RefusedError, match=next(iter(change))):
            evaluate_by_table(table, scores, ready, BASE.model_copy(update=change))


@pytest.mark.parametrize(
    ("scores", "ready", "complaint"),
    [
        (np.zeros(49), np.ones(50, bool), "scores"),
        (np.zeros(50), np.ones(49, bool), "ready"),
        (np.zeros(50), np.ones(50), "boolean"),
        (np.full(50, np.inf), np.ones(50, bool), "bin 0: score is infinite"),
    ],
)
def test_scores_that_do_not_fit_are_refused(scores, ready, complaint):
    with pytest.raises(DataError, match=complaint):
        evaluate(world(50, 1)[0], scores, ready, BASE)


def test_thresholds_compare_in_double_precision():
    path, _, ready = world(50, 1)
    score = np.full(50, 0.7, np.float32)  # a little less than 0.7
    spec = BASE.model_copy(update={"trigger": "level", "threshold": 0.7})
    assert evaluate(path, score, ready, spec).count("triggers") == 0
    reached = spec.model_copy(update={"threshold": float(score[0])})
    assert evaluate(path, score, ready, reached).count("triggers") > 0


def dates(n_dates):
    return {f"2026-02-{d + 1:02d}": sweep(*world(800, d), BASE, GRID) for d in range(n_dates)}


def test_combined_rows_equal_intervals_one_by_one():
    tables = dates(6)
    ranked = combine(tables)
    assert ranked["rank"].tolist() == list(range(1, 13))
    assert sorted(ranked["config"].tolist()) == list(range(12))
    for row in ranked:
        own = [tables[d][row["config"]] for d in sorted(tables)]
        assert all(row[a] == own[0][a] for a in GRID)
        assert row["n"] == sum(t["n"] for t in own)
        expected = interval(np.array([t["sum_net"] for t in own]), np.array([t["n"] for t in own]))
        for field, key in (("net", "mean"), ("net_se", "se"), ("net_low", "low")):
            assert row[field] == expected[key]
        assert row["gross"] == sum(t["sum_gross"] for t in own) / 2 / row["n"]
        assert row["dates"] == row["dates_traded"] == 6
    assert np.all(np.diff(ranked["net_low"]) <= 0)
    backward = {name: tables[name] for name in reversed(tables)}
    assert combine(backward).tobytes() == ranked.tobytes()


def test_few_dates_rank_by_mean_and_say_so():
    ranked = combine(dates(3))
    assert np.isnan(ranked["net_low"]).all()
    assert np.all(np.diff(ranked["net"]) <= 0)
    rows = to_rows(ranked, 2)
    assert len(rows) == 2
    assert rows[0]["net_low"] is None
    assert rows[0]["note"] == "too few dates"
    assert list(rows[0]) == [*RANKED.names, "note"]
    json.dumps(rows, allow_nan=False)
    assert spec_at(rows[0], BASE).tp_ticks == ranked[0]["tp_ticks"]


def test_a_configuration_that_traded_on_one_date_ranks_below_those_with_an_interval():
    tables = dates(6)
    for name, table in tables.items():
        lucky = name == "2026-02-03"
        table["n"][5], table["sum_net"][5] = (1, 1e6) if lucky else (0, 0.0)
        table["n"][7], table["sum_net"][7] = 0, 0.0
    ranked = combine(tables)
    assert ranked["config"].tolist()[-2:] == [5, 7]
    assert ranked[-2]["net"] == 1e6
    assert np.isnan(ranked[-1]["net"])


@pytest.mark.parametrize("values", [[2, 4.5, 9], [2, 4.5]])
def test_dates_of_different_sweeps_are_refused(values):
    other = sweep(*world(50, 1), BASE, {**GRID, "tp_ticks": values})
    with pytest.raises(RefusedError, match="2026-02-01 and later"):
        combine({**dates(1), "later": other})


def test_no_dates_are_refused():
    with pytest.raises(RefusedError, match="no dates"):
        combine({})
