"""Every trap through the engine: equal to the oracle, in one piece, record by record."""

from __future__ import annotations

import numpy as np
import pytest

from qmachina.errors import RecordError
from qmachina.sources.traps import REFUSED, TRAPS
from qmachina.specs.silver import SilverSpec
from tests.engine import run_engine
from tests.laws.test_engine_laws import assert_equal
from tests.oracle.grid import silver

TICK = 250_000_000
#: A hole of 22 hours in bins of ten minutes is still few bins for the oracle.
SPECS = (
    SilverSpec(cell_width_ms=600_000, grid_radius_ticks=6, n_absolute_ticks=64),
    SilverSpec(
        cell_width_ms=600_000, grid_radius_ticks=4, n_absolute_ticks=8192, assume_synced_after=0.0
    ),
    SilverSpec(emit="event", grid_radius_ticks=6, n_absolute_ticks=128),
)


def one_book(name: str) -> np.ndarray:
    """Return the records of a trap's first book."""
    records = TRAPS[name]()
    if not len(records):
        return records
    first = records[0]
    mine = records["publisher_id"] == first["publisher_id"]
    return records[mine & (records["instrument_id"] == first["instrument_id"])]


@pytest.mark.parametrize("spec", SPECS, ids=("arrays-64", "synced", "events"))
@pytest.mark.parametrize("name", sorted(TRAPS))
def test_traps_equal_the_oracle(name, spec):
    records = one_book(name)
    oracle = silver(records, spec, TICK, covered_until_ns=2**62)
    _, whole = run_engine(records, spec, covered_until_ns=2**62)
    assert_equal(whole, oracle.chunk())
    _, cut = run_engine(records, spec, cuts=range(len(records) + 1), covered_until_ns=2**62)
    assert_equal(whole, cut)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_impossible_tapes_are_refused_by_name(name):
    words = {"off_grid_add": "off the tick grid", "endless_event": "event does not end"}[name]
    with pytest.raises(RecordError, match=f"record \\d+ of the book .*{words}"):
        run_engine(REFUSED[name](), SPECS[0], covered_until_ns=2**62)


def test_strict_makes_an_anomaly_an_error():
    spec = SPECS[0].model_copy(update={"strict": True})
    with pytest.raises(RecordError, match="anomaly unknown_cancel"):
        run_engine(TRAPS["unknown_cancel"](), spec)
