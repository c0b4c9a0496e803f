"""Laws that every registered model obeys: a new model is tested by being registered.

``VARIANTS`` adds parameters that reach more of a model than its defaults do in a short stream.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmachina.errors import SchemaError, SpecError
from qmachina.features.geometry import Geometry
from qmachina.features.gold import GoldStage
from qmachina.fields import Chunk, concat, names
from qmachina.models import registry
from qmachina.models.base import SCORE_FIELDS, Model
from qmachina.specs.gold import GoldSpec
from qmachina.specs.model import ModelSpec
from tests.oracle.models import ORACLES
from tests.strategies_silver import BIN_NS, TICK, cuts, make_market, markets, reversed_rows, silver

GOLD = GoldSpec(windows=(2, 5), window_weights=(1.0, 1.0))
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "vacuum_pressure": [
        {"settle_bins": 5, "flow_window": 9, "flow_min_count": 3, "window": 12, "min_count": 4},
        {
            "settle_bins": 6,
            "flow_window": 6,
            "flow_min_count": 2,
            "flow_weights": (0.0, 1.0, 2.0),
            "window": 7,
            "min_count": 2,
            "weights": (0.2, 0.5, 0.3),
            "exclusion_ticks": 1,
            "decay": 1.5,
            "deadband": 0.2,
            "pressure_weight": 0.5,
            "mixed_weight": 0.7,
            "projection_cubic": True,
            "projection_damping": 0.4,
        },
    ],
    "ema_ensemble": [
        {"periods": (1, 3, 4), "pair_weights": (1.0, 0.3), "sma_periods": (), "candle_ms": 300},
        {"periods": (2, 5), "pair_weights": (1.0,), "sma_periods": (1, 2, 7), "candle_ms": 100},
    ],
}
#: Every registered model with its defaults, and each of its variants.
SPECS = [
    pytest.param(ModelSpec(model_id=model_id, params=params), id=f"{model_id}-{i}")
    for model_id in registry.MODELS
    for i, params in enumerate([{}, *VARIANTS.get(model_id, [])])
]
every_model = pytest.mark.parametrize("spec", SPECS)


def stage(spec: ModelSpec, geometry: Geometry) -> Model:
    return registry.build(spec, geometry)


def gold_of(chunk: Chunk, geometry: Geometry) -> Chunk:
    return GoldStage(GOLD, geometry).advance(chunk)


def run(spec: ModelSpec, chunk: Chunk, geometry: Geometry) -> Chunk:
    return stage(spec, geometry).advance(chunk, gold_of(chunk, geometry))


def assert_same(one: Any, other: Any) -> None:
    assert list(one) == list(other)
    for name in one:
        assert one[name].dtype == other[name].dtype, name
        assert one[name].shape == other[name].shape, name
        assert one[name].tobytes() == other[name].tobytes(), name


def assert_same_chunk(one: Chunk, other: Chunk) -> None:
    assert_same(one.bins, other.bins)
    assert_same(one.grid, other.grid)


def test_every_model_has_an_oracle() -> None:
    assert set(ORACLES) == set(registry.MODELS.values())


@every_model
@settings(deadline=None, max_examples=15)
@given(m=markets(max_radius=4))
def test_equals_its_oracle(spec: ModelSpec, m: Any) -> None:
    chunk, model = silver(m), stage(spec, m.geometry)
    gold = gold_of(chunk, m.geometry)
    bins, grid = ORACLES[type(model)](model).advance(chunk, gold)
    found = model.advance(chunk, gold)
    assert_same(found.bins, bins)
    assert_same(found.grid, grid)


@every_model
@settings(deadline=None, max_examples=20)
@given(data=st.data(), m=markets(max_bins=120))
def test_cuts_change_nothing(spec: ModelSpec, data: st.DataObject, m: Any) -> None:
    chunk, n = silver(m), len(m.bid)
    gold = gold_of(chunk, m.geometry)
    whole, parts = stage(spec, m.geometry), stage(spec, m.geometry)
    expected = whole.advance(chunk, gold)
    found = [parts.advance(chunk.slice(a, b), gold.slice(a, b)) for a, b in data.draw(cuts(n))]
    assert_same_chunk(expected, concat(found))
    assert_same(whole.snapshot(), parts.snapshot())


@every_model
@settings(deadline=None, max_examples=20)
@given(data=st.data(), m=markets(max_bins=120))
def test_restored_model_continues(spec: ModelSpec, data: st.DataObject, m: Any) -> None:
    chunk, n = silver(m), len(m.bid)
    gold = gold_of(chunk, m.geometry)
    cut = data.draw(st.integers(0, n))
    first, second = stage(spec, m.geometry), stage(spec, m.geometry)
    first.advance(chunk.slice(0, cut), gold.slice(0, cut))
    saved = first.snapshot()
    expected = first.advance(chunk.slice(cut, n), gold.slice(cut, n))
    second.advance(chunk, gold)  # any other past is overwritten
    second.restore(saved)
    assert_same_chunk(expected, second.advance(chunk.slice(cut, n), gold.slice(cut, n)))
    assert_same(first.snapshot(), second.snapshot())


@every_model
@settings(deadline=None, max_examples=20)
@given(m=markets(max_bins=120))
def test_mirror_changes_the_sign_of_the_score(spec: ModelSpec, m: Any) -> None:
    """Exactly, at odd and even spreads, over the same ticks."""
    plain, image = (run(spec, chunk, m.geometry) for chunk in reversed_rows(m))
    assert np.array_equal(plain.bins["score"], -image.bins["score"])
    assert np.array_equal(plain.bins["ready"], image.bins["ready"])


@every_model
@settings(deadline=None, max_examples=20)
@given(m=markets(max_bins=150))
def test_mirror_image_with_its_own_spot(spec: ModelSpec, m: Any) -> None:
    """At odd mids the image's window is one tick off, and histories at its edges differ."""
    plain = run(spec, silver(m), m.geometry)
    image = run(spec, silver(m.mirrored()), m.geometry)
    assert np.array_equal(plain.bins["score"], -image.bins["score"])
    assert np.array_equal(plain.bins["ready"], image.bins["ready"])


@every_model
@settings(deadline=None, max_examples=20)
@given(m=markets(max_bins=120))
def test_invalid_bins_say_nothing(spec: ModelSpec, m: Any) -> None:
    chunk = silver(m)
    bins = run(spec, chunk, m.geometry).bins
    assert not (bins["ready"] & ~chunk.bins["book_valid"]).any()
    assert (bins["score"][~bins["ready"]] == 0).all()


@every_model
@settings(deadline=None, max_examples=20)
@given(m=markets(max_bins=120))
def test_not_ready_before_warm_up(spec: ModelSpec, m: Any) -> None:
    model = stage(spec, m.geometry)
    chunk = silver(m)
    ready = model.advance(chunk, gold_of(chunk, m.geometry)).bins["ready"]
    assert not ready[: model.warmup_bins].any()


@every_model
def test_ready_after_warm_up_in_a_good_market(spec: ModelSpec) -> None:
    """The declared warm-up is not longer than it must be."""
    m = make_market(3, 150, 6, jump=0.0, invalid=0.0, spreads=(0,))
    model = stage(spec, m.geometry)
    chunk = silver(m)
    ready = model.advance(chunk, gold_of(chunk, m.geometry)).bins["ready"]
    assert ready[model.warmup_bins :].all()
    assert not ready[: model.warmup_bins].any()


@every_model
@settings(deadline=None, max_examples=20)
@given(data=st.data(), m=markets(max_bins=120))
def test_prefix_sees_no_future(spec: ModelSpec, data: st.DataObject, m: Any) -> None:
    chunk, n = silver(m), len(m.bid)
    whole = run(spec, chunk, m.geometry)
    cut = data.draw(st.integers(0, n))
    # What comes after the cut is another market altogether.
    other = silver(make_market(m.bid_size[0] if n else 0, max(n, 1), m.radius))
    spliced = concat([chunk.slice(0, cut), other.slice(cut, n)])
    assert_same_chunk(whole.slice(0, cut), run(spec, spliced, m.geometry).slice(0, cut))


@every_model
@settings(deadline=None, max_examples=20)
@given(m=markets(max_bins=120))
def test_outputs_are_what_the_fields_say(spec: ModelSpec, m: Any) -> None:
    model = stage(spec, m.geometry)
    chunk = silver(m)
    out = model.advance(chunk, gold_of(chunk, m.geometry))
    n = chunk.n_bins
    assert tuple(out.bins) == names(model.bin_fields)
    assert tuple(out.grid) == names(model.cell_fields)
    assert model.bin_fields[: len(SCORE_FIELDS)] == SCORE_FIELDS
    for f in model.bin_fields:
        assert (out.bins[f.name].dtype, out.bins[f.name].shape) == (f.numpy, (n,))
        assert np.isfinite(out.bins[f.name]).all(), f.name
    for f in model.cell_fields:
        shape = (n, m.geometry.n_rows)
        assert (out.grid[f.name].dtype, out.grid[f.name].shape) == (f.numpy, shape)
        assert np.isfinite(out.grid[f.name]).all(), f.name


@cache
def _plain() -> tuple[Chunk, Chunk, Geometry]:
    m = make_market(5, 40, 5)
    chunk = silver(m)
    return chunk, gold_of(chunk, m.geometry), m.geometry


@every_model
def test_reads_only_what_it_declares(spec: ModelSpec) -> None:
    chunk, gold, geometry = _plain()
    model = stage(spec, geometry)

    def only(source: Chunk, wanted: tuple[str, ...]) -> Chunk:
        return Chunk(
            {k: v for k, v in source.bins.items() if k in wanted},
            {k: v for k, v in source.grid.items() if k in wanted},
        )

    declared = only(chunk, model.requires_silver), only(gold, model.requires_gold)
    assert_same_chunk(model.advance(*declared), stage(spec, geometry).advance(chunk, gold))


@every_model
def test_same_bytes_from_read_only_and_strided_columns(spec: ModelSpec) -> None:
    chunk, gold, geometry = _plain()

    def awkward(source: Chunk) -> Chunk:
        def odd(column: np.ndarray) -> np.ndarray:
            wide = np.repeat(column, 2, axis=0)[::2]
            wide.flags.writeable = False
            return wide

        return Chunk(
            {k: odd(v) for k, v in source.bins.items()},
            {k: odd(v) for k, v in source.grid.items()},
        )

    expected = stage(spec, geometry).advance(chunk, gold)
    assert_same_chunk(expected, stage(spec, geometry).advance(awkward(chunk), awkward(gold)))


@every_model
def test_gold_of_other_bins_is_refused(spec: ModelSpec) -> None:
    chunk, gold, geometry = _plain()
    model = stage(spec, geometry)
    before = model.snapshot()
    if model.requires_gold:
        with pytest.raises(SchemaError, match="does not fit"):
            model.advance(chunk, gold.slice(0, 39))
        assert_same(before, model.snapshot())


@every_model
def test_geometry_outside_what_it_accepts_is_refused(spec: ModelSpec) -> None:
    model = registry.model_class(spec.model_id)
    too_wide = Geometry((model.bin_width_ms[1] + 1) * 1_000_000, 50, TICK)
    with pytest.raises(SpecError, match="bin width"):
        stage(spec, too_wide)
    least = model.min_radius(spec.params)
    stage(spec, Geometry(BIN_NS, least, TICK))
    if least > 1:
        with pytest.raises(SpecError, match="too narrow"):
            stage(spec, Geometry(BIN_NS, least - 1, TICK))
