"""Gold by hand: small grids whose answers fit on a page."""

from __future__ import annotations

import numpy as np
import pytest

from qmachina import market
from qmachina.errors import DataError, SchemaError, SpecError
from qmachina.features import kernels
from qmachina.features.columns import grid_column
from qmachina.features.elementary import tanh
from qmachina.features.fields import GOLD_BIN_FIELDS, GOLD_FIELDS
from qmachina.features.geometry import Geometry
from qmachina.features.gold import GoldStage
from qmachina.fields import Chunk, names
from qmachina.grid.fields import BIN_FIELDS, GRID_FIELDS
from qmachina.specs.gold import GoldSpec

TICK = 250_000_000
BIN_NS = 100_000_000
FORCES = ("v_add", "v_pull", "v_fill", "v_rest_depth", "a_add", "a_pull")


def chunk(
    spot: list[int],
    radius: int = 2,
    *,
    bid: list[int] | None = None,
    ask: list[int] | None = None,
    valid: list[bool] | None = None,
    moves: tuple[int, int] = (0, 0),
    **grid: list,
) -> Chunk:
    """Return silver with only the columns gold reads; a grid column is given row by row."""
    n = len(spot)
    bid, ask = bid or spot, ask or [s + 1 for s in spot]
    bins = {
        "bin_end_ns": BIN_NS * (10**9 + np.arange(n, dtype=np.int64)),
        "spot_ref_price_int": np.array(spot, np.int64) * TICK,
        "best_bid_price_int": np.array(bid, np.int64) * TICK,
        "best_ask_price_int": np.array(ask, np.int64) * TICK,
        "book_valid": np.array(valid or [True] * n),
        "bid_reprice_sign": np.full(n, moves[0], np.int8),
        "ask_reprice_sign": np.full(n, moves[1], np.int8),
    }
    shape = (n, 2 * radius + 1)
    columns = {
        name: np.broadcast_to(np.array(grid.get(name, 0.0), np.float32), shape).copy()
        for name in FORCES
    }
    return Chunk(bins, columns)


def stage(spec: GoldSpec | None = None, radius: int = 2) -> GoldStage:
    return GoldStage(spec or GoldSpec(), Geometry(BIN_NS, radius, TICK))


@pytest.mark.parametrize(
    ("cell", "pressure", "vacuum"),
    [
        # Recorded values of one tick after three and after four events.
        ((2.820074337969709, 0, 0, 2.820074337969709, 0.5501465936542025, 0), 4.395155485, 0),
        (
            (2.6163055980137035, 0.9634201822859619, 0, 1.6528854157277415, 0.4937387953493633,
             0.18982246304040415),
            3.5908699444823835,
            1.0203669211980833,
        ),
        ((0, 0, 2, 0, 0, 0), 0, 3.0),
        ((0, 0, 0, -2, -5, -5), 0, 1.0),
    ],
)  # fmt: skip
def test_forces(cell: tuple[float, ...], pressure: float, vacuum: float) -> None:
    silver = chunk([100], **{name: [[x] * 5] for name, x in zip(FORCES, cell, strict=True)})
    out = stage().advance(silver).grid
    assert out["pressure_variant"][0] == pytest.approx([pressure] * 5, rel=1e-6)
    assert out["vacuum_variant"][0] == pytest.approx([vacuum] * 5, rel=1e-6)
    raw = (pressure - vacuum) / (pressure + vacuum + 0.05)
    assert out["composite"][0] == pytest.approx([raw] * 5, rel=1e-6)


def test_composite_averages_each_window_and_weighs_them_to_one() -> None:
    spec = GoldSpec(windows=(1, 3), window_weights=(1.0, 3.0), force_floor=1.0)
    adds = [1.0, 3.0, 0.0, 1.0]
    out = stage(spec).advance(chunk([100] * 4, v_add=[[a] * 5 for a in adds])).grid
    raw = [0.5, 0.75, 0.0, 0.5]
    expected = [
        0.25 * raw[0] + 0.75 * raw[0],
        0.25 * raw[1] + 0.75 * (raw[0] + raw[1]) / 2,
        0.25 * raw[2] + 0.75 * (raw[0] + raw[1] + raw[2]) / 3,
        0.25 * raw[3] + 0.75 * (raw[1] + raw[2] + raw[3]) / 3,
    ]
    assert out["composite"][:, 2] == pytest.approx(expected, rel=1e-6)


def test_derivatives_are_per_second_and_wait_for_values() -> None:
    spec = GoldSpec(windows=(1,), window_weights=(1.0,), force_floor=1.0)
    raw = np.array([0.0, 0.5, 0.25, 0.25, 0.75])
    out = stage(spec).advance(chunk([100] * 5, v_add=(raw / (1 - raw))[:, None])).grid
    c = out["composite"][:, 0]
    assert c == pytest.approx(raw, rel=1e-6)
    d1 = np.r_[0, np.diff(raw) / 0.1]
    d2 = np.r_[0, 0, np.diff(raw, 2) / 0.01]
    d3 = np.r_[0, 0, 0, np.diff(raw, 3) / 0.001]
    for name, expected in (("composite_d1", d1), ("composite_d2", d2), ("composite_d3", d3)):
        assert out[name][:, 3] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_history_follows_the_tick_and_a_tick_that_returns_starts_empty() -> None:
    spec = GoldSpec(windows=(10,), window_weights=(1.0,), force_floor=1.0)
    # Tick 102 alone has flow; raw composite 0.5, then 0.75. Spot leaves by 5 and comes back.
    silver = chunk([100, 101, 106, 100], radius=2)
    silver.grid["v_add"][0, 4] = 1.0  # tick 102 at k = 2
    silver.grid["v_add"][1, 3] = 3.0  # tick 102 at k = 1
    silver.grid["v_add"][3, 4] = 1.0
    out = stage(spec).advance(silver).grid
    assert out["composite"][0, 4] == np.float32(0.5)
    assert out["composite"][1, 3] == np.float32(0.625)
    assert out["composite_d1"][1, 3] == np.float32(1.25)
    assert out["composite"][2].tolist() == [0.0] * 5
    assert out["composite"][3, 4] == np.float32(0.5)
    assert out["composite_d1"][3].tolist() == [0.0] * 5


def test_idle_tick_fades() -> None:
    """Both forces fade alike; without the floor the composite would stay where it was."""
    fade = 0.5 ** np.arange(40)[:, None]
    out = stage().advance(chunk([100] * 40, v_add=4.0 * fade, v_pull=fade)).grid
    assert out["composite"][0, 0] > 0.5
    assert abs(out["composite"][-1, 0]) < 0.2


def test_state5_by_side_and_dominance() -> None:
    # Ticks 98..102; bid 99, ask 101: tick 100 is strictly inside the spread.
    add = [[5.0, 0.0, 5.0, 5.0, 0.0]]
    pull = [[0.0, 5.0, 0.0, 0.0, 5.0]]
    args: dict = {"bid": [99], "ask": [101], "v_add": add, "v_pull": pull}
    assert stage().advance(chunk([100], **args)).grid["state5_code"][0].tolist() == [
        1,
        -2,
        0,
        -1,
        2,
    ]
    args["valid"] = [False]
    assert stage().advance(chunk([100], **args)).grid["state5_code"][0].tolist() == [0] * 5
    tie = chunk([100], v_add=2.0, v_pull=2.0)
    assert stage().advance(tie).grid["state5_code"][0].tolist() == [0] * 5


def test_locked_tick_has_no_side() -> None:
    out = stage().advance(chunk([100], bid=[100], ask=[100], v_add=1.0, moves=(1, 1))).grid
    assert out["state5_code"][0].tolist() == [1, 1, 0, -1, -1]
    assert out["bbo_state5_code"][0].tolist() == [1, 1, 0, 2, 2]


@pytest.mark.parametrize(
    ("moves", "below", "above"),
    [
        ((0, 0), 0, 0),
        ((0, 1), 0, 2),
        ((0, -1), 0, -1),
        ((1, 0), 1, 0),
        ((-1, 0), -2, 0),
        ((1, 1), 1, 2),
        ((-1, -1), -2, -1),
        ((1, -1), 1, -1),
    ],
)
def test_bbo_state5_from_the_moves(moves: tuple[int, int], below: int, above: int) -> None:
    out = stage().advance(chunk([100], bid=[99], ask=[101], moves=moves)).grid
    assert out["bbo_state5_code"][0].tolist() == [below, below, 0, above, above]


def test_wrong_columns_are_refused_by_name() -> None:
    silver = chunk([100, 100])
    for name, column in (
        ("v_add", silver.grid["v_add"][:, :3]),
        ("v_add", silver.grid["v_add"].astype(np.float64)),
    ):
        with pytest.raises(SchemaError, match=name):
            stage().advance(Chunk(silver.bins, {**silver.grid, name: column}))
    bins = {k: v for k, v in silver.bins.items() if k != "bid_reprice_sign"}
    with pytest.raises(SchemaError, match="bid_reprice_sign"):
        stage().advance(Chunk(bins, silver.grid))


def test_columns_reach_kernels_writable_and_contiguous() -> None:
    """Any other array would have numba compile every kernel once more."""
    wide = np.zeros((6, 5), np.float32)
    for column in (wide[::2], np.asfortranarray(wide[:3]), np.zeros((3, 5), np.float32)):
        column.flags.writeable = False
        taken = grid_column(Chunk({}, {"v_add": column}), "v_add", "float32", (3, 5))
        assert taken.flags.c_contiguous
        assert taken.flags.writeable
    same = np.zeros((3, 5), np.float32)
    assert grid_column(Chunk({}, {"v_add": same}), "v_add", "float32", (3, 5)) is same


def test_time_that_stands_still_is_refused_and_changes_nothing() -> None:
    silver = chunk([100] * 3)
    gold = stage()
    gold.advance(silver)
    before = gold.snapshot()
    with pytest.raises(DataError, match="bin 0 of the chunk does not end after"):
        gold.advance(silver)
    late = chunk([100] * 6).slice(3, 6)
    late.bins["bin_end_ns"][2] = late.bins["bin_end_ns"][1]
    with pytest.raises(DataError, match="bin 2"):
        gold.advance(late)
    after = gold.snapshot()
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)


def test_valid_bin_without_a_best_price_is_refused() -> None:
    silver = chunk([100, 100])
    silver.bins["best_ask_price_int"][1] = market.UNDEF_PRICE
    with pytest.raises(DataError, match="bin 1 of the chunk is valid and lacks a best price"):
        stage().advance(silver)
    silver.bins["book_valid"][1] = False
    stage().advance(silver)


def test_snapshot_of_another_shape_is_refused() -> None:
    with pytest.raises(SchemaError, match="owner"):
        stage().restore(stage(radius=3).snapshot())
    with pytest.raises(SchemaError, match="ring"):
        stage().restore(stage(GoldSpec(windows=(3,), window_weights=(1.0,))).snapshot())


def test_snapshot_is_a_copy() -> None:
    gold = stage()
    saved = gold.snapshot()
    gold.advance(chunk([100, 101], v_add=1.0))
    assert not saved["n_values"].any()


def test_field_table_is_the_output_and_disjoint_from_silver() -> None:
    assert names(GOLD_FIELDS) == kernels.GoldOutput._fields
    assert GOLD_BIN_FIELDS == ()
    assert not set(names(GOLD_FIELDS)) & set(names(GRID_FIELDS) + names(BIN_FIELDS))


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"c1": -0.1}, "c1"),
        ({"c7": float("nan")}, "c7"),
        ({"force_floor": 0}, "force_floor"),
        ({"windows": []}, "windows"),
        ({"windows": [5, 5, 20, 40]}, "distinct and ascending"),
        ({"windows": [10, 5, 20, 40]}, "distinct and ascending"),
        ({"windows": [0, 5, 20, 40]}, "between 1 and"),
        ({"windows": [5, 10]}, "one value for each window"),
        ({"window_weights": [1, 1, 1, -1]}, "window_weights.3"),
        ({"window_weights": [0, 0, 0, 0]}, "positive sum"),
        ({"window_weights": [1e308, 1e308, 0, 0]}, "window_weights.0"),
        ({"c8": 1}, "c8"),
    ],
)
def test_impossible_specs_are_refused(values: dict, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        GoldSpec.parse(values)


def test_every_field_of_the_spec_decides_its_id() -> None:
    other = {f"c{i}": 0.7 for i in range(1, 8)}
    other |= {"force_floor": 0.1, "windows": (5, 10, 20, 41), "window_weights": (1, 1, 1, 2)}
    assert set(other) == set(GoldSpec.model_fields)
    ids = {GoldSpec(**{name: value}).id for name, value in other.items()} | {GoldSpec().id}
    assert len(ids) == len(other) + 1


@pytest.mark.parametrize("name", ["bin_ns", "radius", "tick_size_int"])
def test_impossible_geometry_is_refused(name: str) -> None:
    values = {"bin_ns": BIN_NS, "radius": 2, "tick_size_int": TICK, name: 0}
    with pytest.raises(SpecError, match=name):
        Geometry(**values)


def test_tanh_is_accurate_and_odd() -> None:
    for scale in (1e-300, 1e-8, 0.3, 0.625, 1.0, 5.0, 40.0, 1e9):
        for x in np.linspace(-scale, scale, 101):
            assert tanh(x) == pytest.approx(np.tanh(x), rel=1e-15, abs=0)
            assert tanh(-x) == -tanh(x)
