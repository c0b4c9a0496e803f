"""Metrics on trades small enough to work out by hand, and null where there is nothing."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from qmachina.errors import DataError, RefusedError
from qmachina.evaluation.dates import interval, longest_drawdown, measure_dates
from qmachina.evaluation.first_touch import evaluate
from qmachina.evaluation.intervals import date_clustered
from qmachina.evaluation.metrics import equity_ticks, measure
from qmachina.evaluation.prices import Path
from qmachina.evaluation.skill import (
    decile_edges,
    decile_lift,
    information_coefficient,
    mean_over_dates,
    spearman,
)
from qmachina.evaluation.trades import join
from qmachina.specs.evaluation import EvaluatorSpec

BIN_NS = 100_000_000
SPEC = EvaluatorSpec(
    tp_ticks=4,
    sl_ticks=3,
    max_hold_ms=200,
    threshold=1.0,
    fee_per_contract=2.5,  # at 10 a tick: half a tick for both sides
    slip_out_ticks=0.5,
)
AT_MID = SPEC.model_copy(update={"basis": "mid", "evidence": "mid"})


def make(bid, ask=None, valid=None, spread=1):
    bid = np.array(bid, np.int64)
    ask = bid + spread if ask is None else np.array(ask, np.int64)
    n = bid.size
    ok = np.ones(n, bool) if valid is None else np.array(valid, bool)
    ts = np.arange(1, n + 1, dtype=np.int64) * BIN_NS
    return Path(ts, bid, ask, bid, bid, ask, ask, ok, np.ones(n, bool), BIN_NS, 10.0)


def trade(bid, score, spec=SPEC, **kwargs):
    path = make(bid, **kwargs)
    return evaluate(path, np.array(score, float), np.ones(path.n_bins, bool), spec)


#: Bought at 101 in bin 1: take-profit in bin 3, +4 - 0.5, with one trigger inside. Bought at 106
#: in bin 5: the stop at 103 pays 102 in bin 6, -4 - 1. Sold at 102 in bin 8: out of time in
#: bin 10 at an ask of 101, +1 - 1.
BID = [100, 100, 100, 105, 105, 105, 102, 102, 102, 102, 100, 100]
SCORE = [1.0, 0, -1.5, 0, 1.0, 0, 0, -2.0, 0, 0, 0, 0]


def three():
    return trade(BID, SCORE)


def test_the_three_trades_are_the_ones_described():
    table = three().table
    assert table["gross"].tolist() == [8, -8, 2]
    assert table["net"].tolist() == [3.5, -5.0, 0.0]


def test_rates_expectancy_and_pace():
    found = measure(three())
    assert found["n_trades"] == 3
    assert (found["n_long"], found["n_short"]) == (2, 1)
    assert found["tp_rate"] == found["sl_rate"] == found["timeout_rate"] == 1 / 3
    assert found["eos_rate"] == found["gap_rate"] == 0.0
    assert found["net_ticks"] == -1.5
    assert found["expectancy_net_ticks"] == -0.5
    assert found["expectancy_gross_ticks"] == 1 / 3
    assert found["expectancy_net_currency"] == -5.0
    assert found["n_triggers"] == 4
    assert found["n_suppressed_position"] == 1
    hours = 12 * 0.1 / 3600
    assert found["eligible_hours"] == pytest.approx(hours)
    assert found["events_per_hour"] == pytest.approx(3 / hours)
    assert found["triggers_per_hour"] == pytest.approx(4 / hours)


def test_barrier_baseline_uses_the_distances_really_walked():
    # Bid has 5 ticks to go up and 2 down: chance alone takes profit 2 times in 7.
    found = measure(three())
    assert found["tp_share_of_barriers"] == 0.5
    assert found["tp_share_baseline"] == 2 / 7
    assert found["tp_share_over_baseline"] == 0.5 - 2 / 7


def test_break_even_share_earns_nothing():
    p = measure(three())["tp_share_break_even"]
    assert p == (3 + 0.5 + 0.5) / (4 + 3 + 0.5)
    assert p * (4 - 0.5) - (1 - p) * (3 + 1.0) == pytest.approx(0.0, abs=1e-12)


def test_half_tick_barriers_walk_to_the_next_whole_tick():
    spec = SPEC.model_copy(update={"tp_ticks": 3.5, "sl_ticks": 2.5})
    assert measure(trade(BID, [1.0] + [0] * 11, spec))["tp_share_baseline"] == 2 / 7


def test_through_walks_further():
    spec = SPEC.model_copy(update={"evidence": "through", "through_ticks": 1.0})
    bid = [100, 100, 106, 106]
    assert measure(trade(bid, [1.0, 0, 0, 0], spec))["tp_share_baseline"] == 2 / 8


def test_at_the_mid_baseline_is_plain_and_break_even_holds_both_half_spreads():
    found = measure(trade([100, 100, 105, 105], [1.0, 0, 0, 0], AT_MID, spread=3))
    assert found["tp_share_baseline"] == 3 / 7
    assert found["tp_share_break_even"] == (3 + 0.5 + 3.0 + 0.5) / 7.5
    assert found["expectancy_net_ticks"] == 4 - 0.5 - 3.0


def test_risk_figures():
    found = measure(three())
    net = np.array([3.5, -5.0, 0.0])
    assert found["sharpe_per_trade"] == net.mean() / net.std(ddof=1)
    assert found["profit_factor"] == 3.5 / 5.0
    assert found["profit_factor_has_no_losses"] is False
    assert equity_ticks(three()).tolist() == [3.5, -1.5, -1.5]
    assert found["max_drawdown_ticks"] == 5.0
    # The last trade was 1 tick under water and costs 1: -1.5 - 1 - 1 against the peak of 3.5.
    assert three().table["mae"][2] == 2
    assert found["max_drawdown_marked_ticks"] == 7.0


def test_drawdown_starts_from_zero():
    found = measure(trade([100, 100, 97, 97], [1.0, 0, 0, 0]))
    assert found["max_drawdown_ticks"] == 5.0


def test_no_losses_is_null_and_flagged():
    found = measure(trade([100, 100, 105, 105], [1.0, 0, 0, 0]))
    assert found["profit_factor"] is None
    assert found["profit_factor_has_no_losses"] is True
    assert found["sharpe_per_trade"] is None


def test_equal_results_have_no_sharpe():
    once = trade([100, 100, 105, 105], [1.0, 0, 0, 0])
    assert measure(join([once, once]))["sharpe_per_trade"] is None


def test_excursions_and_capture():
    found = measure(three())
    table = three().table
    assert table["mae"].tolist() == [2, 8, 2]
    assert table["mfe"].tolist() == [8, 0, 2]
    assert found["mae_q50_ticks"] == 1.0
    assert found["mfe_q50_ticks"] == 1.0
    assert found["capture"] == 2 / 10


def test_hygiene_shares():
    valid = [True, False, True, True, True, True, True, True, True, True]
    found = measure(trade([100] * 10, [1.0, 0, 0, 1.0, 0, 0, 0, 0, 0, 1.0], valid=valid))
    assert found["invalid_share"] == pytest.approx(0.1)
    assert found["entry_invalid_share"] == 1 / 3
    assert found["n_after_flat"] == 1
    assert found["tie_rate"] == found["late_rate"] == found["stale_rate"] == 0.0


@pytest.mark.parametrize("n", [0, 1, 2, 20])
@pytest.mark.parametrize("spec", [SPEC, AT_MID], ids=["touch", "mid"])
def test_nothing_to_evaluate_succeeds_with_nulls(n, spec):
    path = make([100] * n)
    empty = evaluate(path, np.zeros(n), np.ones(n, bool), spec)
    found = measure(empty)
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text) == found
    counted = {k for k, v in found.items() if v is not None}
    allowed = {k for k in found if k.startswith("n_")} | {
        "net_ticks",
        "eligible_hours",
        "profit_factor_has_no_losses",
        "tp_share_break_even",
    }
    if n:
        allowed |= {"invalid_share", "events_per_hour", "triggers_per_hour"}
    assert counted <= allowed
    assert found["tp_rate"] is None
    assert found["profit_factor_has_no_losses"] is False
    assert set(found) == set(measure(three()))
    assert set(information_coefficient(path, np.zeros(n), np.ones(n, bool), spec).values()) == {
        None
    }
    json.dumps(measure_dates({"2026-02-06": empty}), allow_nan=False)


@pytest.mark.parametrize(("warmup_ms", "ready_from", "eligible"), [(450, 3, 3), (150, 6, 2)])
def test_warm_up_readiness_and_halts_are_not_eligible_time(warmup_ms, ready_from, eligible):
    path = make([100] * 10, valid=[True] * 8 + [False] * 2)
    ready = np.arange(10) >= ready_from
    spec = SPEC.model_copy(update={"warmup_ms": warmup_ms})
    assert evaluate(path, np.zeros(10), ready, spec).eligible_bins == eligible


def test_dropped_ties_stay_in_the_bounds():
    bid = np.full(8, 100)
    path = make(bid)
    low, high = bid.copy(), bid.copy()
    low[2], high[2] = 97, 105
    path = dataclasses.replace(path, bid_lo=low, bid_hi=high)
    score = np.array([1.0, 0, 0, 1.0, 0, 0, 0, 0])
    found = measure(
        evaluate(path, score, np.ones(8, bool), SPEC.model_copy(update={"tie": "drop"}))
    )
    # A tie worth -4 or 3.5, then a timeout at 100 worth -2.
    assert (found["n_trades"], found["tie_rate"]) == (1, 0.5)
    assert found["expectancy_net_ticks"] == -2.0
    assert found["expectancy_sl_first_ticks"] == -3.0
    assert found["expectancy_tp_first_ticks"] == 0.75


def test_joined_dates_add_up():
    both = join([three(), three()])
    assert measure(both)["n_trades"] == 6
    assert measure(both)["expectancy_net_ticks"] == -0.5
    assert measure(both)["max_drawdown_ticks"] == 6.5
    with pytest.raises(RefusedError, match="different spec"):
        join([three(), trade(BID, SCORE, AT_MID)])
    with pytest.raises(RefusedError, match="no dates"):
        join([])


# --- intervals -----------------------------------------------------------------------------


def test_interval_over_dates_by_hand():
    found = interval(np.arange(1.0, 7.0), np.full(6, 2))
    se = math.sqrt(6 / 5 * 17.5) / 12
    assert found["mean"] == 1.75
    assert found["se"] == pytest.approx(se, rel=1e-14)
    assert found["low"] == pytest.approx(1.75 - 2.015048373 * se, rel=1e-9)
    assert found["high"] == pytest.approx(1.75 + 2.015048373 * se, rel=1e-9)
    assert found["note"] == "too few dates"
    assert interval(np.arange(10.0), np.full(10, 2))["note"] is None


def test_below_five_dates_there_is_no_interval():
    found = interval(np.arange(4.0), np.full(4, 2))
    assert found["mean"] == 0.75
    assert found["se"] is found["low"] is found["high"] is None


def test_one_lucky_date_among_many_gets_no_interval():
    sums, counts = np.zeros(20), np.zeros(20, int)
    sums[7], counts[7] = 30.0, 3
    found = interval(sums, counts)
    assert (found["mean"], found["low"]) == (10.0, None)
    assert (found["dates"], found["dates_traded"], found["note"]) == (20, 1, "too few dates")


def test_no_trades_at_all_is_null():
    assert interval(np.zeros(12), np.zeros(12, int))["mean"] is None


def test_interval_holds_the_truth_as_often_as_it_says():
    # A strong effect of the date, which intervals over trades would miss.
    rng = np.random.default_rng(7)
    counts = rng.integers(1, 50, (12, 4000))
    noise = rng.normal(size=counts.shape) * np.sqrt(counts)
    sums = 0.3 * counts + rng.normal(size=counts.shape) * counts + noise
    found = date_clustered(sums, counts)
    share = np.mean((found.low < 0.3) & (found.high > 0.3))
    assert 0.85 < share < 0.93


def test_confidence_must_be_a_probability():
    with pytest.raises(DataError, match="confidence"):
        date_clustered(np.zeros((5, 1)), np.ones((5, 1), int), 90.0)


def test_several_dates():
    up, none = trade([100, 100, 105, 105], [1.0, 0, 0, 0]), trade([100] * 4, [0.0] * 4)
    down = trade([100, 100, 97, 97], [1.0, 0, 0, 0])
    dates = {"d3": down, "d1": up, "d2": none, "d4": up, "d5": down, "d6": down}
    found = measure_dates(dates)
    assert found["daily_net_ticks"] == {
        "d1": 3.5,
        "d2": 0.0,
        "d3": -5.0,
        "d4": 3.5,
        "d5": -5.0,
        "d6": -5.0,
    }
    assert (found["dates"], found["dates_traded"]) == (6, 5)
    assert found["expectancy_net_ticks"] == -1.6
    assert found["intervals"]["expectancy_net_ticks"]["mean"] == -1.6
    assert found["intervals"]["expectancy_gross_ticks"]["mean"] == (4 - 4 + 4 - 4 - 4) / 5
    assert found["intervals"]["tp_rate"]["mean"] == 0.4
    net = np.array([3.5, 0.0, -5.0, 3.5, -5.0, -5.0])
    assert found["sharpe_daily"] == net.mean() / net.std(ddof=1)
    assert found["sharpe_annualised"] is None
    assert found["largest_date_share"] == 0.5
    assert found["expectancy_without_best_date_ticks"] == (-8.0 - 3.5) / 4
    assert found["longest_drawdown_dates"] == 4
    json.dumps(found, allow_nan=False)


def test_longest_drawdown_counts_dates_below_a_high():
    assert longest_drawdown(np.array([1.0, 2.0, 3.0])) == 0
    assert longest_drawdown(np.array([-1.0, 1.0, 1.0])) == 1
    assert longest_drawdown(np.array([3.0, -2.0, 1.0, 1.0, -1.0])) == 2


# --- skill ---------------------------------------------------------------------------------


def test_spearman_equals_scipy_with_ties():
    rng = np.random.default_rng(3)
    for _ in range(20):
        x, y = rng.integers(0, 6, 40), rng.integers(-3, 4, 40).astype(float)
        assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic, abs=1e-14)


def test_spearman_is_null_where_undefined():
    assert spearman(np.array([1, 2]), np.array([1, 2])) is None
    assert spearman(np.array([1, 1, 1]), np.array([1, 2, 3])) is None


def test_information_coefficient_looks_from_entry_not_from_the_signal():
    rng = np.random.default_rng(5)
    step = rng.normal(size=60).cumsum().round().astype(int)
    path, ready = make(100 + step), np.ones(60, bool)
    latency = 2
    spec = SPEC.model_copy(update={"latency_bins": latency})
    score = np.full(60, np.nan)
    for t in range(60 - 1 - latency - 5):
        score[t] = step[t + 1 + latency + 5] - step[t + 1 + latency]
    found = information_coefficient(path, score, ready, spec, [5])
    assert found[5] == pytest.approx(1.0)
    against = spec.model_copy(update={"polarity": -1})
    assert information_coefficient(path, score, ready, against, [5])[5] == pytest.approx(-1.0)
    assert information_coefficient(path, score, ready, SPEC, [5])[5] < 0.99
    with pytest.raises(DataError, match="horizon"):
        information_coefficient(path, score, ready, spec, [0])


def test_information_coefficient_skips_invalid_bins():
    rng = np.random.default_rng(6)
    mid = rng.normal(size=40).cumsum().round().astype(int)
    score = np.append(np.diff(mid)[1:], [0, 0]).astype(float)
    valid = np.ones(40, bool)
    valid[10:13] = valid[20] = False
    wrong = np.where(valid, mid, 10_000)
    path = make(100 + wrong, valid=valid)
    found = information_coefficient(path, score, np.ones(40, bool), SPEC, [1])
    assert found[1] == pytest.approx(1.0)


def test_mean_over_dates():
    found = mean_over_dates([0.1, None, 0.3, 0.2])
    assert found["mean"] == pytest.approx(0.2)
    assert found["dates"] == 3
    assert found["t"] == pytest.approx(0.2 / (0.1 / math.sqrt(3)))
    assert found["p"] == pytest.approx(0.0742, abs=1e-4)
    assert mean_over_dates([None]) == {"mean": None, "t": None, "p": None, "dates": 0}
    assert mean_over_dates([0.2])["t"] is None


def test_decile_lift_uses_the_edges_it_is_given():
    trades = three()  # |score| at signal 1, 1, 2; net 3.5, -5, 0
    edges = np.array([0.5, 1.0, 1.5, 2.5, 3, 4, 5, 6, 7])
    found = decile_lift(trades, edges)
    assert [row["n"] for row in found["deciles"]] == [0, 0, 2, 1, 0, 0, 0, 0, 0, 0]
    third, fourth = found["deciles"][2:4]
    assert (third["tp_rate"], third["expectancy_net_ticks"], third["lift"]) == (0.5, -0.75, 1.5)
    assert (fourth["expectancy_net_ticks"], fourth["lift"]) == (0.0, 0.0)
    assert found["deciles"][0]["expectancy_net_ticks"] is None
    assert found["trend"] is None
    json.dumps(found, allow_nan=False)


def test_decile_trend():
    trades = join([three()] * 2)
    trades.table["score"] = np.arange(1.0, 7.0)
    trades.table["net"] = np.arange(6.0) ** 2
    found = decile_lift(trades, np.array([1.5, 2.5, 3.5, 4.5, 5.5, 7, 8, 9, 10]))
    assert found["trend"] == pytest.approx(1.0)


def test_decile_edges_ignore_signs_and_gaps():
    edges = decile_edges(np.array([np.nan, *range(-10, 0), np.inf]))
    assert edges.tolist() == pytest.approx([1.9, 2.8, 3.7, 4.6, 5.5, 6.4, 7.3, 8.2, 9.1])
    with pytest.raises(DataError, match="no finite score"):
        decile_edges(np.array([np.nan]))
    with pytest.raises(DataError, match="nine rising"):
        decile_lift(three(), np.zeros(3))
