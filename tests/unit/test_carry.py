"""carry_minutes: book and late flow of the day before, and nothing else of it."""

from __future__ import annotations

import numpy as np
import pytest

from qmachina.grid.engine import Carry, Engine
from qmachina.grid.fields import GRID_MECHANICS
from qmachina.sources.tape import Tape
from qmachina.specs.silver import SilverSpec
from tests.engine import run_engine

TICK = 250_000_000
SPEC = SilverSpec(grid_radius_ticks=6, n_absolute_ticks=64, carry_minutes=1)


def two_days() -> tuple[np.ndarray, int]:
    """Return records with a long pause in them, and where the second file begins."""
    tape = Tape().snapshot((1, "B", 99, 5), (2, "A", 100, 6)).add(3, "B", 98, 4)
    tape.wait(ms=300_000).add(4, "A", 101, 7).cancel(3, 1)
    first = len(tape)
    tape.wait(ms=40_000).add(5, "B", 99, 2).cancel(4).wait(ms=900).cancel(1, 2)
    return tape.records(), first


def carried(minutes: int):
    """Return what the second file gives after carrying the first."""
    records, at = two_days()
    before = records[:at]
    engine = Engine(SPEC, TICK)
    last = int(before["ts_recv"][-1])
    engine.carry(Carry(lambda: iter([before[:2].copy(), before[2:].copy()]), minutes, last))
    return run_engine(records[at:], SPEC, engine=engine, covered_until_ns=2**62)


def test_carrying_everything_equals_one_long_file():
    records, at = two_days()
    _, chunk = carried(60)
    start = int(records["ts_recv"][at])
    _, long = run_engine(
        records, SPEC, start_ns=start - start % SPEC.bin_ns, covered_until_ns=2**62
    )
    for name in ("bid_depth", "ask_depth", *(f.name for f in GRID_MECHANICS)):
        assert chunk.grid[name].tobytes() == long.grid[name].tobytes(), name
    np.testing.assert_array_equal(chunk.bins["mid_x2"], long.bins["mid_x2"])
    assert (chunk.grid["add_mass"] > 0).any()


def test_flow_before_the_tail_is_forgotten_but_its_orders_are_not():
    _, everything = carried(60)
    _, tail = carried(1)
    for name in ("bid_depth", "ask_depth"):
        assert everything.grid[name].tobytes() == tail.grid[name].tobytes()
    mass, kept = everything.grid["add_mass"][0], tail.grid["add_mass"][0]
    assert (kept <= mass).all()
    assert (kept < mass).sum() == 1  # order 3 came five minutes earlier
    assert (kept > 0).sum() == 2  # order 4, and order 5 of the new file


def test_events_count_from_the_new_file():
    engine, chunk = carried(1)
    records, at = two_days()
    assert engine.records == len(records) - at
    assert engine.event_id == 3
    assert chunk.bins["event_id"][-1] == 3
    assert chunk.grid["last_event_id"].max() == 3
    assert chunk.bins["bin_seq"][0] == 0


def test_nothing_is_emitted_while_carrying():
    records, at = two_days()
    engine = Engine(SPEC, TICK, start_ns=None)
    engine.carry(Carry(lambda: iter([records[:at].copy()]), 1, int(records["ts_recv"][at - 1])))
    assert engine.open_bin_end is None
    with pytest.raises(StopIteration):
        next(engine.finish(2**62))
