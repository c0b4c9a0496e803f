"""Records in, scored bins out: engine, gold and model as one incremental stage.

Batch datasets are built stage by stage from the same classes; a test holds both to the same
bytes. Serving and golden replays run this one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qmachina.evaluation import triggers
from qmachina.features.fields import GOLD_FIELDS
from qmachina.features.geometry import Geometry
from qmachina.features.gold import GoldStage
from qmachina.fields import Chunk, Field
from qmachina.grid.engine import Carry as Carry
from qmachina.grid.engine import Engine
from qmachina.grid.fields import GRID_COUNTS, GRID_FIELDS, GRID_MECHANICS
from qmachina.models import registry as models
from qmachina.specs.instrument import InstrumentSpec
from qmachina.specs.serving import ServingSpec

#: Grid columns that every stream carries, in this order, before those a spec names.
FIXED_STREAM = ("k", "last_event_id", "pressure_variant", "vacuum_variant")

#: What the evaluator's threshold makes of the score, beside the model's own outputs of a bin.
SIGNAL = Field("signal", "int8", "sign", "1 to buy, -1 to sell: |score| >= threshold.", "signal")


@dataclass
class Frame:
    """A run of bins as all three stages see them; views that the next step overwrites."""

    silver: Chunk
    gold: Chunk
    scores: Chunk

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return self.silver.n_bins

    def column(self, name: str) -> NDArray:
        """Return a grid column of any stage, shape (n_bins, 2K + 1)."""
        for chunk in (self.gold, self.scores, self.silver):
            if name in chunk.grid:
                return chunk.grid[name]
        raise KeyError(name)


class Pipeline:
    """One signal over one book.

    Parameters
    ----------
    serving : ServingSpec
        Pipeline and model.
    instrument : InstrumentSpec
        Gives the tick size.
    start_ns, end_ns : int, optional
        Range of bins, as the engine takes it.
    carry : Carry, optional
        What the engine takes over from the previous file.
    subject : str
        File or feed named in errors.
    """

    def __init__(
        self,
        serving: ServingSpec,
        instrument: InstrumentSpec,
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        carry: Carry | None = None,
        subject: str = "input",
    ) -> None:
        silver = serving.pipeline.silver
        self.serving = serving
        self.geometry = geometry_of(serving, instrument)
        self.engine = Engine(
            silver, instrument.tick_size_int, start_ns=start_ns, end_ns=end_ns, subject=subject
        )
        self._carry = carry
        self.gold = GoldStage(serving.pipeline.gold, self.geometry)
        self.model = models.build(serving.model, self.geometry, serving.pipeline.gold)

    def advance(self, records: NDArray) -> Iterator[Frame]:
        """Apply records; yield scored bins as they close. Exhaust before the next call."""
        if self._carry is not None:  # here, because it takes as long as a whole file
            carry, self._carry = self._carry, None
            self.engine.carry(carry)
        yield from self._score(self.engine.advance(records))

    def finish(self, covered_until_ns: int | None = None) -> Iterator[Frame]:
        """End the input, as :meth:`qmachina.grid.engine.Engine.finish` does."""
        yield from self._score(self.engine.finish(covered_until_ns))

    def _score(self, chunks: Iterable[Chunk]) -> Generator[Frame, None, None]:
        for silver in chunks:
            gold = self.gold.advance(silver)
            yield Frame(silver, gold, self.model.advance(silver, gold))

    @property
    def bin_fields(self) -> tuple[Field, ...]:
        """What is said of each bin: the model's outputs, then `SIGNAL`."""
        return (*self.model.bin_fields, SIGNAL)

    def outputs(self, frame: Frame) -> dict[str, NDArray]:
        """Return the columns of ``bin_fields`` of a frame, each of shape (n_bins,)."""
        bins = frame.scores.bins
        columns = {f.name: bins[f.name] for f in self.model.bin_fields}
        sign = triggers.signals(columns["score"], columns["ready"], self.serving.evaluator)
        return columns | {SIGNAL.name: sign}

    def replay(
        self, chunks: Iterable[NDArray], covered_until_ns: int | None = None
    ) -> Iterator[Frame]:
        """Run a whole source through the pipeline."""
        for records in chunks:
            yield from self.advance(records)
        yield from self.finish(covered_until_ns)


def geometry_of(serving: ServingSpec, instrument: InstrumentSpec) -> Geometry:
    """Return the shape of a serving spec's grid."""
    silver = serving.pipeline.silver
    return Geometry(silver.bin_ns, silver.grid_radius_ticks, instrument.tick_size_int)


def grid_fields(serving: ServingSpec, instrument: InstrumentSpec) -> dict[str, Field]:
    """Return every grid column that a stream of the spec can carry, by name."""
    model = models.build(serving.model, geometry_of(serving, instrument))
    tables = (GRID_COUNTS, GRID_MECHANICS, GRID_FIELDS[-1:], GOLD_FIELDS, model.cell_fields)
    return {f.name: f for table in tables for f in table}


def hash_scores(scores: Iterable[NDArray], limit: int) -> tuple[str, int]:
    """Return the SHA-256 of the first ``limit`` scores (float64 bytes), and how many there were."""
    digest = hashlib.sha256()
    left = limit
    for part in scores:
        taken = np.ascontiguousarray(part[:left], dtype=np.float64)
        digest.update(taken.tobytes())
        left -= len(taken)
        if left == 0:
            break
    return digest.hexdigest(), limit - left
