"""Run the engine over records, as tests need it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from qmachina.fields import Chunk, concat
from qmachina.grid.engine import Engine
from qmachina.grid.fields import BIN_FIELDS, GRID_COUNTS, GRID_MECHANICS
from qmachina.specs.silver import SilverSpec
from tests.strategies import TICK_SIZE_INT

#: Counters that the oracle names in the plural.
COUNTERS = {"time_regression": "time_regressions"}


def run_engine(
    records: np.ndarray,
    spec: SilverSpec,
    *,
    cuts: Sequence[int] | None = None,
    covered_until_ns: int | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
    engine: Engine | None = None,
    tick_size: int = TICK_SIZE_INT,
) -> tuple[Engine, Chunk]:
    """Feed records, cut at the given places; return the engine and all it emitted."""
    engine = engine or Engine(spec, tick_size, start_ns=start_ns, end_ns=end_ns)
    bounds = [0, len(records)] if cuts is None else list(cuts)
    parts = [empty(spec)]
    for a, b in pairwise(bounds):
        parts += [copy(c) for c in engine.advance(records[a:b])]
    if covered_until_ns is not None:
        parts += [copy(c) for c in engine.finish(covered_until_ns)]
    return engine, concat(parts)


def copy(chunk: Chunk) -> Chunk:
    """Return a chunk that later steps do not overwrite."""
    return Chunk(
        {k: v.copy() for k, v in chunk.bins.items()}, {k: v.copy() for k, v in chunk.grid.items()}
    )


def empty(spec: SilverSpec) -> Chunk:
    """Return a silver chunk without bins."""
    shape = (0, spec.n_rows)
    grid = {f.name: np.empty(shape, f.numpy) for f in (*GRID_COUNTS, *GRID_MECHANICS)}
    return Chunk(
        {f.name: np.empty(0, f.numpy) for f in BIN_FIELDS},
        grid | {"last_event_id": np.empty(shape, np.int64)},
    )
