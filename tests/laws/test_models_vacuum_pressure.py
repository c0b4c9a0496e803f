"""Laws of vacuum_pressure beyond those of every model."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from qmachina.features.gold import GoldStage
from qmachina.fields import Chunk
from qmachina.models import registry
from qmachina.specs.gold import GoldSpec
from qmachina.specs.model import ModelSpec
from tests.strategies_silver import Market, markets, silver

few = settings(deadline=None, max_examples=25)
GOLD = GoldSpec(windows=(2, 5), window_weights=(1.0, 1.0))
SPEC = ModelSpec(
    model_id="vacuum_pressure",
    params={
        "settle_bins": 5,
        "flow_window": 9,
        "flow_min_count": 3,
        "window": 12,
        "min_count": 4,
    },
)


def run(m: Market, chunk: Chunk) -> Chunk:
    gold = GoldStage(GOLD, m.geometry).advance(chunk)
    return registry.build(SPEC, m.geometry).advance(chunk, gold)


@few
@given(markets(max_bins=100))
def test_mirror_keeps_the_spectrum_and_swaps_bull_and_bear(m: Market) -> None:
    plain, image = run(m, silver(m)), run(m, silver(m.mirrored()))
    rows = np.arange(m.geometry.n_rows)
    for t, odd in enumerate(m.held_x2 % 2):
        there = rows[odd:]  # at an odd mid the image does not have the lowest tick
        back = m.geometry.n_rows - 1 + odd - there
        for name, column in plain.grid.items():
            assert np.array_equal(column[t, there], image.grid[name][t, back]), name
    assert np.array_equal(plain.bins["bull"], image.bins["bear"])
    assert np.array_equal(plain.bins["mixed"], image.bins["mixed"])
    for name in ("base", "base_d1", "base_d2", "base_d3", "base_z1", "base_z2", "base_z3"):
        assert np.array_equal(plain.bins[name], -image.bins[name]), name
    for name in ("shrinkage", "ready"):
        assert np.array_equal(plain.bins[name], image.bins[name]), name


@few
@given(markets(max_bins=60))
def test_values_stay_in_their_ranges(m: Market) -> None:
    out = run(m, silver(m))
    assert (np.abs(out.grid["flow_score"]) <= 1).all()
    assert (out.grid["flow_score"][~out.grid["flow_ready"]] == 0).all()
    assert np.isin(out.grid["flow_state_code"], [-1, 0, 1]).all()
    for name in ("score", "base", "projected_1000ms", "projected_2000ms"):
        assert (np.abs(out.bins[name]) <= 1).all(), name
    shares = out.bins["bull"] + out.bins["bear"] + out.bins["mixed"]
    known = shares > 0
    assert np.allclose(shares[known], 1, rtol=0, atol=1e-12)


@few
@given(markets(max_bins=60))
def test_the_grid_beyond_the_reach_changes_no_score(m: Market) -> None:
    """D = K - ceil(spread / 2): what one side alone can see is not looked at."""
    chunk = silver(m)
    expected = run(m, chunk)
    gold = GoldStage(GOLD, m.geometry).advance(chunk)
    tick = m.held_x2[:, None] // 2 + np.arange(-m.radius, m.radius + 1)
    far = np.abs(2 * tick - m.held_x2[:, None]) > 2 * m.radius
    grid = {k: np.where(far, v.dtype.type(2), v) for k, v in gold.grid.items()}
    found = registry.build(SPEC, m.geometry).advance(chunk, Chunk({}, grid))
    for name, column in expected.bins.items():
        assert np.array_equal(column, found.bins[name]), name
