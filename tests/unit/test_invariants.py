"""The laws that guard every publication see a fault wherever it stands."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from qmachina.errors import SchemaError
from qmachina.fields import Chunk
from qmachina.grid.invariants import SilverLaws
from qmachina.sources.synth.day import generate_day
from qmachina.sources.synth.spec import SynthSpec
from qmachina.specs.silver import SilverSpec
from tests.engine import run_engine

SPEC = SilverSpec()
MARKET = SynthSpec(orders_scale=0.5, depth_ticks=60, volatility_ticks=150.0)
TICK = MARKET.tick_size_int
OPEN_NS = 1_767_609_000 * 10**9


@pytest.fixture(scope="module")
def silver() -> Chunk:
    chunks, _ = generate_day(MARKET, date(2026, 1, 5), OPEN_NS, OPEN_NS + 60 * 10**9)
    records = np.concatenate([c.copy() for c in chunks])
    return run_engine(records, SPEC, tick_size=TICK, covered_until_ns=2**62)[1]


def check(chunk: Chunk, cut: int) -> None:
    laws = SilverLaws(TICK, SPEC.bin_ns)
    laws.check(chunk.slice(0, cut))
    laws.check(chunk.slice(cut, chunk.n_bins))


def spoiled(silver: Chunk, column: str, i: int, value: float) -> Chunk:
    grid = {name: values.copy() for name, values in silver.grid.items()}
    grid[column][i, 50] += value
    return Chunk(silver.bins, grid)


@pytest.mark.parametrize("cut", [0, 1, 300])
def test_a_sound_day_passes_however_it_is_cut(silver, cut):
    check(silver, cut)


@pytest.mark.parametrize("column", ["add_bid", "pull_ask", "fill_bid", "reset_ask", "bid_depth"])
def test_lost_size_is_seen_in_place_across_chunks_and_moved_windows(silver, column):
    spot = silver.bins["spot_ref_price_int"] // TICK
    up, down = (int(np.flatnonzero(np.sign(np.diff(spot)) == s)[0]) + 1 for s in (1, -1))
    still = int(np.flatnonzero(np.diff(spot) == 0)[5]) + 1
    for i in (up, down, still):
        for cut in (i, i - 1, 300):
            with pytest.raises(SchemaError, match=f"silver bin {i}: depth is not conserved"):
                check(spoiled(silver, column, i, 1), cut)


def test_what_is_not_finite_or_not_consecutive_is_seen(silver):
    with pytest.raises(SchemaError, match="silver bin 7: v_add is not finite"):
        check(spoiled(silver, "v_add", 7, np.inf), 300)
    late = {n: np.delete(v, 9) for n, v in silver.bins.items()}
    gap = Chunk(late, {n: np.delete(v, 9, axis=0) for n, v in silver.grid.items()})
    with pytest.raises(SchemaError, match="bins are not consecutive"):
        check(gap, 300)
