"""Golden vectors: every rule of the evaluator on a handful of bins, worked out by hand.

Prices, gross, MAE and MFE are in ticks here, and absent columns have their plain meaning.
"""

from __future__ import annotations

import json
from pathlib import Path as File

import numpy as np
import pytest

from qmachina.evaluation.first_passage import evaluate_by_table, levels_for, tabulate
from qmachina.evaluation.first_touch import evaluate
from qmachina.evaluation.prices import Path
from qmachina.evaluation.trades import REASONS
from qmachina.specs.evaluation import EvaluatorSpec, bins_of
from tests.oracle import evaluation as oracle

FILES = sorted((File(__file__).parents[1] / "golden" / "evaluation").glob("*.json"))
HALVED = ("entry_price", "exit_price", "gross", "mae", "mfe")
USUAL = {"tie": False, "late": False, "stale": False}


def load(file):
    case = json.loads(file.read_text(encoding="utf-8"))
    bin_ns = case["bin_ms"] * 1_000_000
    n = len(case["bid"])
    columns = {
        "bid_lo": case["bid"],
        "bid_hi": case["bid"],
        "ask_lo": case["ask"],
        "ask_hi": case["ask"],
        "valid": [True] * n,
        "in_session": [True] * n,
    }
    columns = {k: case.get(k, usual) for k, usual in columns.items()}
    columns |= {"bid": case["bid"], "ask": case["ask"]}
    scores = np.array([np.nan if z is None else z for z in case["score"]], dtype=np.float64)
    return case, columns, bin_ns, scores, np.ones(n, bool)


def expected(case):
    return [{**USUAL, **trade} for trade in case["trades"]]


def test_there_are_golden_vectors():
    assert len(FILES) >= 30


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_golden(file):
    case, columns, bin_ns, scores, ready = load(file)
    spec = EvaluatorSpec.parse(case["spec"], file.name)
    path = Path(
        ts_end=np.arange(1, scores.size + 1, dtype=np.int64) * bin_ns,
        **{
            k: np.array(v, bool if k in ("valid", "in_session") else np.int64)
            for k, v in columns.items()
        },
        bin_ns=bin_ns,
        tick_value=case["tick_value"],
    )
    horizon = bins_of(spec.max_hold_ms, bin_ns)
    table = tabulate(path, spec, levels_for(path, spec, spec.tp_ticks), horizon)
    for trades in (
        evaluate(path, scores, ready, spec),
        evaluate_by_table(table, scores, ready, spec),
    ):
        found = []
        for row, want in zip(trades.table, expected(case), strict=True):
            trade = {name: row[name].item() for name in want}
            trade["reason"] = REASONS[row["reason"]]
            found.append({k: v / 2 if k in HALVED else v for k, v in trade.items()})
        assert found == expected(case)
        counts = {k: trades.tally[0][k].item() for k in case["counts"]}
        assert counts == case["counts"]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_oracle_agrees_with_golden(file):
    case, columns, bin_ns, scores, ready = load(file)
    spec = EvaluatorSpec.parse(case["spec"], file.name)
    path = {**columns, "bin_ns": bin_ns, "tick_value": case["tick_value"]}
    kept, _, counts = oracle.evaluate(path, scores.tolist(), ready.tolist(), spec)
    found = [
        {k: t[k] / 2 if k in HALVED else t[k] for k in want}
        for t, want in zip(kept, expected(case), strict=True)
    ]
    assert found == expected(case)
    known = {k: v for k, v in case["counts"].items() if k in counts}
    assert {k: counts[k] for k in known} == known
