"""The mirror law from end to end: mirrored records give the negated score.

The spot of the mirror image is again the floor of its mid, so at odd mids (most bins, at a
spread of one tick) its window is one tick off, while the market moves.
"""

from __future__ import annotations

from datetime import date
from functools import cache

import numpy as np
import pytest

from qmachina.features.geometry import Geometry
from qmachina.features.gold import GoldStage
from qmachina.fields import Chunk, concat
from qmachina.grid.engine import Engine
from qmachina.market import UNDEF_PRICE, Side
from qmachina.models import registry
from qmachina.sources.synth.day import generate_day
from qmachina.sources.synth.files import session_bounds
from qmachina.sources.synth.spec import SynthSpec
from qmachina.specs.gold import GoldSpec
from qmachina.specs.model import ModelSpec
from qmachina.specs.silver import SilverSpec

SILVER = SilverSpec(grid_radius_ticks=20)
MARKET = SynthSpec(events_per_s=100.0, volatility_ticks=300.0)
GEOMETRY = Geometry(SILVER.bin_ns, SILVER.grid_radius_ticks, MARKET.tick_size_int)


def silver(records: np.ndarray) -> Chunk:
    engine = Engine(SILVER, MARKET.tick_size_int)
    return concat(
        Chunk({k: v.copy() for k, v in c.bins.items()}, {k: v.copy() for k, v in c.grid.items()})
        for c in engine.advance(records)
    )


@cache
def both() -> tuple[Chunk, Chunk]:
    day, opens, _ = session_bounds(MARKET, date(2026, 2, 6))
    chunks, _ = generate_day(MARKET, day, opens, opens + 60 * 10**9, None)
    records = np.concatenate([c.copy() for c in chunks])
    image = records.copy()
    priced = records["price"] != UNDEF_PRICE
    image["price"][priced] = -records["price"][priced]
    image["side"][records["side"] == Side.BID] = Side.ASK
    image["side"][records["side"] == Side.ASK] = Side.BID
    return silver(records), silver(image)


@pytest.mark.parametrize("model_id", registry.MODELS)
def test_mirrored_records_give_the_negated_score(model_id: str) -> None:
    scores = []
    for chunk in both():
        gold = GoldStage(GoldSpec(), GEOMETRY).advance(chunk)
        model = registry.build(ModelSpec(model_id=model_id), GEOMETRY)
        scores.append(model.advance(chunk, gold).bins)
    plain, image = scores
    assert np.ptp(both()[0].bins["mid_x2"]) > 20
    assert np.count_nonzero(plain["score"]) > 100
    assert np.array_equal(plain["score"], -image["score"])
    assert np.array_equal(plain["ready"], image["ready"])
