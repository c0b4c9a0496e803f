"""The evaluator spec refuses what is impossible and says which field."""

from __future__ import annotations

import pytest

from qmachina.errors import SpecError
from qmachina.specs.evaluation import EvaluatorSpec, bins_of

GOOD = {
    "tp_ticks": 4,
    "sl_ticks": 2.5,
    "max_hold_ms": 1000,
    "threshold": 1.0,
    "fee_per_contract": 1.85,
}


def test_a_small_spec_is_enough():
    spec = EvaluatorSpec.parse(GOOD)
    assert (spec.trigger, spec.basis, spec.evidence, spec.tie) == (
        "edge",
        "touch",
        "exec",
        "sl_first",
    )
    assert (spec.polarity, spec.cooldown_from, spec.max_gap_ms) == (1, "exit", 5000)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tp_ticks", 0),
        ("tp_ticks", -1.0),
        ("tp_ticks", 0.25),
        ("tp_ticks", float("inf")),
        ("tp_ticks", float("nan")),
        ("tp_ticks", True),
        ("tp_ticks", "4"),
        ("sl_ticks", 0.0),
        ("sl_ticks", 1.1),
        ("sl_ticks", 1e7),
        ("max_hold_ms", 0),
        ("max_hold_ms", 86_400_001),
        ("max_hold_ms", 10.5),
        ("threshold", 0.0),
        ("threshold", -1.0),
        ("threshold", float("nan")),
        ("trigger", "cross"),
        ("polarity", 0),
        ("polarity", 2),
        ("latency_bins", -1),
        ("basis", "last"),
        ("evidence", "queue"),
        ("tie", "random"),
        ("cooldown_ms", -1),
        ("cooldown_from", "close"),
        ("warmup_ms", -1),
        ("max_gap_ms", -1),
        ("entry_on_invalid", "enter"),
        ("fee_per_contract", -0.01),
        ("slip_in_ticks", -0.5),
        ("slip_out_ticks", -0.5),
        ("flat_before_close_ms", -1),
        ("slippage", 1.0),
    ],
)
def test_impossible_values_are_refused_by_name(field, value):
    with pytest.raises(SpecError, match=field):
        EvaluatorSpec.parse({**GOOD, field: value})


@pytest.mark.parametrize("field", sorted(GOOD))
def test_nothing_that_decides_a_result_has_a_silent_default(field):
    with pytest.raises(SpecError, match=field):
        EvaluatorSpec.parse({k: v for k, v in GOOD.items() if k != field})


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"basis": "mid"}, "spread"),
        ({"evidence": "mid"}, "spread"),
        ({"basis": "mid", "evidence": "through", "through_ticks": 1.0}, "spread"),
        ({"evidence": "through"}, "through_ticks"),
        ({"through_ticks": 1.0}, "through_ticks"),
        ({"evidence": "through", "through_ticks": 0.3}, "0.5"),
        ({"evidence": "through", "through_ticks": -1.0}, "through_ticks"),
        ({"entry_on_invalid": "wait"}, "wait_bins"),
        ({"wait_bins": 3}, "wait_bins"),
        ({"entry_on_invalid": "wait", "wait_bins": 0}, "wait_bins"),
    ],
)
def test_incoherent_fields_are_refused(fields, complaint):
    with pytest.raises(SpecError, match=complaint):
        EvaluatorSpec.parse({**GOOD, **fields})


def test_every_field_changes_the_identity():
    other = {
        "tp_ticks": 4.5,
        "sl_ticks": 2,
        "max_hold_ms": 1001,
        "threshold": 1.5,
        "trigger": "level",
        "polarity": -1,
        "latency_bins": 1,
        "tie": "drop",
        "cooldown_ms": 1,
        "cooldown_from": "entry",
        "warmup_ms": 1,
        "max_gap_ms": 1,
        "fee_per_contract": 0.0,
        "slip_in_ticks": 0.1,
        "slip_out_ticks": 0.1,
        "flat_before_close_ms": 1,
    }
    coupled = [
        {"basis": "mid", "evidence": "mid"},
        {"evidence": "through", "through_ticks": 0.0},
        {"evidence": "through", "through_ticks": 1.0},
        {"entry_on_invalid": "wait", "wait_bins": 1},
        {"entry_on_invalid": "wait", "wait_bins": 2},
    ]
    changes = [{k: v} for k, v in other.items()] + coupled
    assert {name for c in changes for name in c} == set(EvaluatorSpec.model_fields)
    ids = {EvaluatorSpec.parse({**GOOD, **c}).id for c in [{}, *changes]}
    assert len(ids) == len(changes) + 1
    assert EvaluatorSpec.parse({**GOOD, "tp_ticks": 4.0}).id == EvaluatorSpec.parse(GOOD).id


@pytest.mark.parametrize(
    ("milliseconds", "bin_ns", "expected"),
    [(0, 10**8, 0), (1, 10**8, 1), (100, 10**8, 1), (101, 10**8, 2), (1000, 3 * 10**8, 4)],
)
def test_times_become_bins_by_rounding_up(milliseconds, bin_ns, expected):
    assert bins_of(milliseconds, bin_ns) == expected
