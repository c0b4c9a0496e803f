"""Models and their specs by hand; the laws are in tests/laws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qmachina.errors import DataError, SchemaError, SpecError
from qmachina.features.geometry import Geometry
from qmachina.features.standardize import StandardizeSpec, rule_of
from qmachina.fields import Chunk
from qmachina.models import registry
from qmachina.models import vacuum_pressure_kernels as kernels
from qmachina.models.ema_ensemble import EmaEnsembleParams
from qmachina.models.vacuum_pressure import VacuumPressureParams, distance_weights
from qmachina.specs.gold import GoldSpec
from qmachina.specs.model import ModelSpec
from tests.strategies_silver import make_market, silver

TICK = 250_000_000
BIN_NS = 100_000_000
START = 10**9 * BIN_NS


def spec(model_id: str = "vacuum_pressure", **params: object) -> ModelSpec:
    return ModelSpec(model_id=model_id, params=params)


def test_blend_reproduces_recorded_scores() -> None:
    """Recorded scores of a cell: plain median and MAD over 5 values, at least 3, no shrinkage."""
    rule = rule_of(StandardizeSpec())
    weights = np.array([0.55, 0.30, 0.15])
    blend = kernels.Blend(rule, np.ones(3), weights / math.fsum(weights), 3.0)
    x = np.array([0, 1, -2, 4, 0.5, 10, -3])
    channels = (x, 2 * x, x**2)
    expected = [
        0.0,
        0.0,
        -0.2701879951615017,
        0.5453005695228079,
        -0.02505637138421712,
        0.6497342126998985,
        -0.18794947253048833,
    ]
    for t, score in enumerate(expected):
        zs = [0.0, 0.0, 0.0]
        for i, values in enumerate(channels):
            window = values[max(0, t - 4) : t + 1]
            mad = np.median(np.abs(window - np.median(window)))
            if len(window) >= 3 and mad > 0:
                zs[i] = float((window[-1] - np.median(window)) / (1.4826 * mad))
        assert kernels.blend(blend, *zs) == pytest.approx(score, abs=1e-15)


def _bins(bid: list[int], ask: list[int], valid: list[bool] | None = None) -> dict:
    n = len(bid)
    mid_x2 = np.array(bid) + np.array(ask)
    return {
        "bin_end_ns": START + BIN_NS * np.arange(1, n + 1, dtype=np.int64),
        "spot_ref_price_int": mid_x2 // 2 * TICK,
        "best_bid_price_int": np.array(bid, np.int64) * TICK,
        "best_ask_price_int": np.array(ask, np.int64) * TICK,
        "mid_x2": mid_x2.astype(np.int64),
        "book_valid": np.array(valid or [True] * n),
    }


def _gold(state5: list[list[int]], composite: float = 0.5) -> Chunk:
    codes = np.array(state5, np.int8)
    grid = {f"composite_d{i}": np.zeros(codes.shape, np.float32) for i in (1, 2, 3)}
    grid["composite"] = np.full(codes.shape, composite, np.float32)
    return Chunk({}, {**grid, "state5_code": codes})


def score(model_spec: ModelSpec, bins: dict, gold: Chunk) -> dict:
    """Run vacuum_pressure on ticks that settle at once."""
    params = {**model_spec.canonical()["params"], "settle_bins": 1}
    model_spec = ModelSpec(model_id=model_spec.model_id, params=params)
    radius = gold.grid["composite"].shape[1] // 2
    return dict(registry.build(model_spec, Geometry(BIN_NS, radius, TICK)).advance(
        Chunk(bins), gold).bins)  # fmt: skip


def test_intensities_count_both_sides_by_distance_from_the_touch() -> None:
    # Ticks 97..103, bid 99, ask 101: D = 3 - 1 = 2, so 97, 98, 99 and 101, 102, 103 count.
    codes = [[1, 1, -2, 0, 2, -1, 0]]
    out = score(spec(), _bins([99], [101]), _gold(codes))
    assert out["bull"][0] == pytest.approx(3 / 6)
    assert out["bear"][0] == pytest.approx(2 / 6)
    assert out["mixed"][0] == pytest.approx(1 / 6)
    assert out["base"][0] == pytest.approx(1 / 6)


def test_weights_fall_with_distance_and_leave_out_the_exclusion() -> None:
    codes = [[1, 1, -2, 0, 2, -1, 0]]
    params = {"exclusion_ticks": 1, "decay": 1.0, "pressure_weight": 2.0, "mixed_weight": 0.5}
    out = score(spec(**params), _bins([99], [101]), _gold(codes))
    total = 2 * (1 / 2 + 1 / 3)
    bull, bear, mixed = 2 * (1 / 2 + 1 / 3) / total, 2 * (1 / 2) / total, (1 / 3) / total
    assert out["bull"][0] == pytest.approx(bull)
    assert out["bear"][0] == pytest.approx(bear)
    assert out["mixed"][0] == pytest.approx(mixed)
    assert out["base"][0] == pytest.approx((bull - bear) * (1 - 0.5 * mixed))


def test_deadband_makes_weak_cells_mixed() -> None:
    codes = [[1, 1, -2, 0, 2, -1, 0]]
    out = score(spec(deadband=0.5), _bins([99], [101]), _gold(codes, composite=0.5))
    assert out["mixed"][0] == 1.0
    assert out["bull"][0] == out["bear"][0] == 0.0


def test_one_tick_spread_does_not_lean_to_a_side() -> None:
    # Spot is the bid; tick 97 is in the window and its mirror image is not: it must not count.
    codes = [[-2, 1, 1, 1, -1, -1, -1]]
    out = score(spec(), _bins([100], [101]), _gold(codes))
    assert out["base"][0] == 0.0
    assert out["bull"][0] == 0.5


def test_spread_too_wide_for_the_exclusion_makes_the_bin_invalid() -> None:
    codes = [[1] * 7] * 4
    params = {"exclusion_ticks": 1, "window": 4, "min_count": 1}
    bins = _bins([100, 100, 98, 100], [101, 101, 104, 101])
    out = score(spec(**params), bins, _gold(codes))
    assert out["ready"].tolist() == [False, True, False, False]
    assert out["bull"].tolist()[2] == 0.0


def test_chain_starts_anew_after_an_invalid_bin() -> None:
    n = 8
    codes = [[1] * 7 if t % 2 else [0] * 7 for t in range(n)]
    valid = [t != 4 for t in range(n)]
    params = {"window": 8, "min_count": 1, "weights": (1, 1, 0)}
    out = score(spec(**params), _bins([100] * n, [101] * n, valid), _gold(codes))
    assert out["ready"].tolist() == [False, False, True, True, False, False, False, True]
    assert out["base_d1"].tolist()[4:6] == [0.0, 0.0]
    assert out["base_d1"][6] == pytest.approx((out["base"][6] - out["base"][5]) / 0.1)


def test_projection_is_a_damped_taylor_polynomial() -> None:
    r = np.random.default_rng(4)
    codes = r.choice([-2, -1, 0, 1, 2], (30, 7))
    codes[:, 3:] = np.where(codes[:, 3:] == 1, -1, codes[:, 3:])
    params = {
        "window": 10,
        "min_count": 3,
        "projection_horizons_ms": (100, 300),
        "projection_cubic": True,
        "projection_damping": 0.8,
    }
    out = score(spec(**params), _bins([100] * 30, [101] * 30), _gold(codes.tolist()))
    s, t = out["score"], 20
    d1 = (s[t] - s[t - 1]) / 0.1
    d2 = (s[t] - 2 * s[t - 1] + s[t - 2]) / 0.01
    d3 = (s[t] - 3 * s[t - 1] + 3 * s[t - 2] - s[t - 3]) / 0.001
    for ms in (100, 300):
        h = ms / 1000
        p = (s[t] + d1 * h + d2 * h**2 / 2 + d3 * h**3 / 6) * math.exp(-0.8 * h)
        assert out[f"projected_{ms}ms"][t] == pytest.approx(min(max(p, -1), 1), rel=1e-9)
    assert abs(out["projected_100ms"]).max() > 0


def test_distance_weights_are_exact_powers() -> None:
    assert distance_weights(4, 0, 0.0).tolist() == [1, 1, 1, 1]
    assert distance_weights(4, 2, 2.0).tolist() == [0, 0, 1 / 9, 1 / 16]
    assert distance_weights(3, 0, 0.5)[1] == pytest.approx(2**-0.5, rel=1e-16)


def test_spectrum_follows_the_tick() -> None:
    """A cell's window is its tick's: a step of spot changes no z of a tick that stays."""
    chunk = silver(make_market(9, 40, 5))
    r = np.random.default_rng(0)
    d = r.normal(size=(40, 200)).astype(np.float32)  # by absolute tick, from 100 ticks below
    spots = np.where(np.arange(40) < 20, 100, 103)
    params = {"flow_window": 12, "flow_min_count": 4, "flow_weights": (1, 0, 0), "settle_bins": 1}

    def flow(spot: np.ndarray) -> np.ndarray:
        rows = spot[:, None] + np.arange(-5, 6)
        seen = np.take_along_axis(d, rows, axis=1)
        grid = dict.fromkeys(("composite", "composite_d1", "composite_d2", "composite_d3"), seen)
        gold = Chunk({}, {**grid, "state5_code": np.zeros(rows.shape, np.int8)})
        bins = {**chunk.bins, **_bins(spot.tolist(), (spot + 1).tolist())}
        model = registry.build(spec(**params), Geometry(BIN_NS, 5, TICK))
        out = model.advance(Chunk(bins), gold).grid
        return np.where(out["flow_ready"], out["flow_score"], np.nan)

    stay, move = flow(np.full(40, 100)), flow(spots)
    # Ticks 99..105 are in both; tick 98 is the odd one at the lower edge.
    assert np.array_equal(stay[20:, 4:], move[20:, 1:-3])
    assert np.isnan(move[20:24, -3:]).all()  # ticks 106..108 are new, and too young
    assert not np.isnan(move[24:, -3:]).any()


def test_vacuum_pressure_warm_up_follows_from_the_parameters() -> None:
    geometry = Geometry(BIN_NS, 5, TICK)
    for params, bins in (
        ({}, 114),
        ({"window": 400}, 139),
        ({"settle_bins": 1}, 75),
        ({"settle_bins": 1, "min_count": 10}, 10),
        ({"settle_bins": 1, "min_count": 10, "weights": (0, 0, 1)}, 12),
        ({"settle_bins": 1, "min_count": 10, "weights": (1, 1, 0)}, 11),
    ):
        assert registry.build(spec(**params), geometry).warmup_bins == bins


def test_horizon_is_the_longest_projection() -> None:
    geometry = Geometry(BIN_NS, 5, TICK)
    assert registry.build(spec(), geometry).horizon_bins == 20
    assert registry.build(spec(projection_horizons_ms=()), geometry).horizon_bins == 0
    with pytest.raises(SpecError, match="250 ms"):
        registry.build(spec(projection_horizons_ms=(250,)), geometry)


def test_ema_ensemble_by_hand() -> None:
    params = {"periods": (1, 3), "pair_weights": (2.0,), "sma_periods": (2,), "candle_ms": 200}
    mids = [200, 204, 204, 100]
    valid = [True, True, False, True]
    bins = _bins([m // 2 for m in mids], [m // 2 for m in mids], valid)
    model = registry.build(spec("ema_ensemble", **params), Geometry(BIN_NS, 1, TICK))
    out = model.advance(Chunk(bins), Chunk({})).bins
    assert out["ema_1"].tolist() == [100, 102, 102, 50]
    assert out["ema_3"].tolist() == [100, 101, 101, 75.5]
    assert out["sma_2"].tolist() == [100, 101, 101, 76]
    assert out["ready"].tolist() == [False, False, False, True]
    assert out["score"].tolist()[:3] == [0, 0, 0]
    assert out["score"][3] == pytest.approx(math.tanh(-1.5), rel=1e-15)
    late = START + 2 * BIN_NS
    assert out["candle_start_ns"].tolist() == [START, START, late, late]
    assert out["candle_open"].tolist() == [100, 100, 102, 50]
    assert out["candle_high"].tolist() == [100, 102, 102, 50]
    assert out["candle_low"].tolist() == [100, 100, 102, 50]
    assert out["candle_close"].tolist() == [100, 102, 102, 50]


def test_ema_ensemble_score_needs_every_sign() -> None:
    """A rising mid puts each fast average above the slower one."""
    mids = list(range(200, 400, 2))
    bins = _bins([m // 2 for m in mids], [m // 2 for m in mids])
    geometry = Geometry(BIN_NS, 1, TICK)
    up = registry.build(spec("ema_ensemble"), geometry).advance(Chunk(bins), Chunk({})).bins
    assert up["score"][-1] == pytest.approx(math.tanh(1.5), rel=1e-15)
    flat = {**bins, "mid_x2": np.full(100, 200, np.int64)}
    out = registry.build(spec("ema_ensemble"), geometry).advance(Chunk(flat), Chunk({})).bins
    assert out["ready"][-1]
    assert (out["score"] == 0).all()


def test_spec_holds_every_parameter() -> None:
    short, long = spec(), ModelSpec(model_id="vacuum_pressure", params={"window": 300})
    assert short.canonical()["params"] == VacuumPressureParams().canonical()
    assert set(short.canonical()["params"]) == set(VacuumPressureParams.model_fields)
    assert short.id == long.id
    assert short.id != spec(window=301).id
    assert spec().params.window == 300
    assert ModelSpec.parse(short.canonical()) == short
    assert ModelSpec(model_id="ema_ensemble").params == EmaEnsembleParams()
    assert ModelSpec(model_id="ema_ensemble").id != short.id


def test_every_parameter_decides_the_id() -> None:
    base = spec().canonical()["params"]
    ids = {spec().id}
    for name, value in base.items():
        if isinstance(value, bool):
            other: object = not value
        elif isinstance(value, list):
            other = [value[0] * 2, *value[1:]] if name != "projection_horizons_ms" else [100]
        else:
            other = value / 2 if value else 0.5
        ids.add(spec(**{name: math.ceil(other) if isinstance(value, int) else other}).id)
    assert len(ids) == len(base) + 1


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"model_id": "nobody"}, "one of ema_ensemble, vacuum_pressure"),
        ({}, "model_id"),
        ({"model_id": "vacuum_pressure", "params": {"windw": 3}}, "windw"),
        ({"model_id": "vacuum_pressure", "params": {"weights": [0, 0, 0]}}, "positive sum"),
        ({"model_id": "vacuum_pressure", "params": {"flow_weights": [1, 1, -1]}}, "flow_weights.2"),
        ({"model_id": "vacuum_pressure", "params": {"priors": [1, 0, 1]}}, "prior"),
        ({"model_id": "vacuum_pressure", "params": {"window": 0}}, "window"),
        ({"model_id": "vacuum_pressure", "params": {"flow_window": 20}}, "min_count 30 exceeds"),
        ({"model_id": "vacuum_pressure", "params": {"flow_threshold": 1.0}}, "flow_threshold"),
        ({"model_id": "vacuum_pressure", "params": {"d0": 1}}, "d0"),
        (
            {"model_id": "vacuum_pressure", "params": {"pressure_weight": 0, "vacuum_weight": 0}},
            "pressure_weight, vacuum_weight must have a positive sum",
        ),
        (
            {"model_id": "vacuum_pressure", "params": {"projection_horizons_ms": [500, 500]}},
            "distinct",
        ),
        ({"model_id": "vacuum_pressure", "params": 3}, "params"),
        ({"model_id": "ema_ensemble", "params": {"periods": [5]}}, "periods"),
        ({"model_id": "ema_ensemble", "params": {"periods": [5, 4]}}, "ascending"),
        ({"model_id": "ema_ensemble", "params": {"pair_weights": [1]}}, "neighbouring pair"),
        ({"model_id": "ema_ensemble", "params": {"pair_weights": [0, 0, 0]}}, "positive sum"),
        ({"model_id": "ema_ensemble", "params": {"sma_periods": [0]}}, "between 1 and"),
        ({"model_id": "ema_ensemble", "parms": {}}, "parms"),
    ],
)
def test_impossible_specs_are_refused(data: dict, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        ModelSpec.parse(data)


def test_unknown_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SpecError, match="ema_ensemble, vacuum_pressure"):
        registry.model_class("nobody")


def test_candle_must_be_whole_bins() -> None:
    with pytest.raises(SpecError, match="candle"):
        registry.build(spec("ema_ensemble", candle_ms=150), Geometry(BIN_NS, 1, TICK))


@pytest.mark.parametrize("model_id", registry.MODELS)
def test_bad_input_is_refused_and_changes_nothing(model_id: str) -> None:
    m = make_market(1, 20, 4)
    chunk = silver(m)
    shape = (20, 9)
    gold = Chunk(
        {},
        {
            **{n: np.zeros(shape, np.float32) for n in ("composite", "composite_d1")},
            **{n: np.zeros(shape, np.float32) for n in ("composite_d2", "composite_d3")},
            "state5_code": np.zeros(shape, np.int8),
        },
    )
    model = registry.build(ModelSpec(model_id=model_id), m.geometry)
    model.advance(chunk, gold)
    before = model.snapshot()
    with pytest.raises(DataError, match="does not end after"):
        model.advance(chunk, gold)
    bins = {k: v for k, v in chunk.bins.items() if k != "book_valid"}
    with pytest.raises(SchemaError, match="book_valid"):
        model.advance(Chunk(bins, chunk.grid), gold)
    with pytest.raises(SchemaError, match="other arrays"):
        model.restore({"nothing": np.zeros(1)})
    after = model.snapshot()
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)


def test_gold_with_longer_windows_than_a_tick_settles_is_refused() -> None:
    spec = ModelSpec.parse({"model_id": "vacuum_pressure", "params": {"settle_bins": 30}})
    geometry = Geometry(100_000_000, 50, 250_000_000)
    with pytest.raises(SpecError, match=r"settle_bins is shorter .*at least 40, found 30"):
        registry.build(spec, geometry, GoldSpec())
    registry.build(spec, geometry, GoldSpec(windows=(5, 30), window_weights=(1.0, 1.0)))
