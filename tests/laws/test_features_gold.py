"""Laws of the gold stage over random silver."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmachina.features.fields import GOLD_FIELDS
from qmachina.features.gold import GoldStage
from qmachina.fields import Chunk, concat, names
from qmachina.specs.gold import GoldSpec
from tests.oracle import features as oracle
from tests.strategies_silver import Market, cuts, markets, reversed_rows, silver

SPECS = [
    GoldSpec(),
    GoldSpec(windows=(1,), window_weights=(2.0,)),
    GoldSpec(windows=(2, 3, 7), window_weights=(0.0, 1.0, 0.3), force_floor=1e-9, c2=0.0, c7=4.0),
]
few = settings(deadline=None, max_examples=30)
specs = st.sampled_from(SPECS)


def gold(m: Market, chunk: Chunk, spec: GoldSpec = SPECS[0]) -> Chunk:
    return GoldStage(spec, m.geometry).advance(chunk)


def assert_same(one: dict, other: dict) -> None:
    assert list(one) == list(other)
    for name in one:
        assert one[name].dtype == other[name].dtype, name
        assert one[name].tobytes() == other[name].tobytes(), name


@few
@given(markets(), specs)
def test_equals_the_oracle(m: Market, spec: GoldSpec) -> None:
    chunk = silver(m)
    assert_same(dict(gold(m, chunk, spec).grid), oracle.Gold(spec, m.geometry).advance(chunk))


@few
@given(st.data(), markets(), specs)
def test_cuts_change_nothing(data: st.DataObject, m: Market, spec: GoldSpec) -> None:
    chunk = silver(m)
    whole, parts = GoldStage(spec, m.geometry), GoldStage(spec, m.geometry)
    expected = whole.advance(chunk)
    found = concat(parts.advance(chunk.slice(a, b)) for a, b in data.draw(cuts(chunk.n_bins)))
    assert_same(dict(expected.grid), dict(found.grid))
    assert_same(whole.snapshot(), parts.snapshot())


@few
@given(st.data(), markets(), specs)
def test_restored_stage_continues(data: st.DataObject, m: Market, spec: GoldSpec) -> None:
    chunk = silver(m)
    cut = data.draw(st.integers(0, chunk.n_bins))
    first, second = GoldStage(spec, m.geometry), GoldStage(spec, m.geometry)
    first.advance(chunk.slice(0, cut))
    saved = first.snapshot()
    expected = first.advance(chunk.slice(cut, chunk.n_bins))
    second.advance(silver(m).slice(0, chunk.n_bins))  # any other past is overwritten
    second.restore(saved)
    found = second.advance(chunk.slice(cut, chunk.n_bins))
    assert_same(dict(expected.grid), dict(found.grid))
    assert_same(first.snapshot(), second.snapshot())


@few
@given(markets(), specs)
def test_mirror_swaps_the_sides_and_keeps_the_forces(m: Market, spec: GoldSpec) -> None:
    plain, image = (gold(m, chunk, spec).grid for chunk in reversed_rows(m))
    for name in names(GOLD_FIELDS):
        sign = -1 if name.endswith("state5_code") else 1
        assert np.array_equal(plain[name], sign * image[name][:, ::-1]), name


@few
@given(markets(still=True))
def test_mirror_image_with_its_own_spot(m: Market) -> None:
    """The mid rests, so each tick that both windows show has the same history in both."""
    plain, image = gold(m, silver(m)).grid, gold(m, silver(m.mirrored())).grid
    odd = int(m.held_x2[0] % 2)
    for name in names(GOLD_FIELDS):
        sign = -1 if name.endswith("state5_code") else 1
        shared = plain[name][:, odd:]
        assert np.array_equal(shared, sign * image[name][:, odd:][:, ::-1]), name


@few
@given(markets(), st.integers(-(10**6), 10**6))
def test_translation_changes_nothing(m: Market, ticks: int) -> None:
    chunk = silver(m)
    moved = dict(chunk.bins)
    for name in ("spot_ref_price_int", "best_bid_price_int", "best_ask_price_int"):
        there = moved[name] != 2**63 - 1
        moved[name] = np.where(there, moved[name] + ticks * m.geometry.tick_size_int, moved[name])
    assert_same(dict(gold(m, chunk).grid), dict(gold(m, Chunk(moved, chunk.grid)).grid))


@few
@given(markets(), specs)
def test_values_are_finite_and_bounded(m: Market, spec: GoldSpec) -> None:
    grid = gold(m, silver(m), spec).grid
    for f in GOLD_FIELDS:
        assert grid[f.name].dtype == f.numpy
        assert np.isfinite(grid[f.name]).all(), f.name
    assert (np.abs(grid["composite"]) <= 1).all()
    assert (grid["pressure_variant"] >= 0).all()
    assert (grid["vacuum_variant"] >= 0).all()


@few
@given(markets(min_bins=2), specs)
def test_derivatives_wait_for_the_tick(m: Market, spec: GoldSpec) -> None:
    """A tick has no n-th derivative in its first n bins inside the window."""
    grid = gold(m, silver(m), spec).grid
    spot, rows = m.held_x2 // 2, np.arange(m.geometry.n_rows)
    age = np.zeros(m.geometry.n_rows, int)
    before: dict[int, int] = {}
    for t in range(len(spot)):
        ticks = spot[t] + rows - m.radius
        now = {int(k): before.get(int(k), 0) + 1 for k in ticks}
        age = np.array(list(now.values()))
        for order in (1, 2, 3):
            assert (grid[f"composite_d{order}"][t][age <= order] == 0).all()
        before = now


@pytest.mark.parametrize("spec", SPECS)
def test_prefix_sees_no_future(spec: GoldSpec) -> None:
    from tests.strategies_silver import make_market

    m = make_market(7, 80, 4)
    chunk = silver(m)
    whole = gold(m, chunk, spec)
    for cut in (1, 13, 79):
        part = gold(m, chunk.slice(0, cut), spec)
        assert_same(dict(part.grid), dict(whole.slice(0, cut).grid))
