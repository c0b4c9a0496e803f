"""signals/<model>: the scores of one model on one date, from silver and gold."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from qmachina.datasets.build import Built, Progress, no_progress, publish, together
from qmachina.datasets.gold import gold_key, gold_tables
from qmachina.datasets.silver import silver_key, silver_tables
from qmachina.features.geometry import Geometry
from qmachina.fields import Chunk
from qmachina.fields import Field as Column
from qmachina.lake.contract import Table
from qmachina.lake.home import Home
from qmachina.lake.layout import DatasetKey
from qmachina.lake.manifest import ManifestDraft
from qmachina.lake.publication import Staging
from qmachina.lake.writer import PartitionWriter
from qmachina.models import registry
from qmachina.models.base import Model
from qmachina.specs.base import Spec
from qmachina.specs.model import ModelSpec
from qmachina.specs.pipeline import PipelineSpec
from qmachina.specs.serving import ServingSpec

CODE_VERSION = "1"
_BIN_SEQ = Column("bin_seq", "int64", "1", "Number of the bin.")


class SignalSpec(Spec):
    """A model on a pipeline."""

    pipeline: PipelineSpec = Field(description="Silver and gold.")
    model: ModelSpec = Field(description="The model and its parameters.")

    @classmethod
    def of(cls, serving: ServingSpec) -> SignalSpec:
        """Return the part of a serving spec that decides its scores."""
        return cls(pipeline=serving.pipeline, model=serving.model)


def build_model(home: Home, spec: SignalSpec) -> Model:
    """Return the model of a signal, having seen nothing."""
    silver = spec.pipeline.silver
    geometry = Geometry(silver.bin_ns, silver.grid_radius_ticks, home.instrument.tick_size_int)
    return registry.build(spec.model, geometry, spec.pipeline.gold)


def signal_tables(model: Model) -> tuple[Table, ...]:
    """Return the contract of a model's bins and, where it has cells, grid."""
    bins = Table.bins((_BIN_SEQ, *model.bin_fields))
    if not model.cell_fields:
        return (bins,)
    return bins, Table.grid(model.cell_fields, model.geometry.radius)


def signal_key(home: Home, spec: SignalSpec, dt: date) -> DatasetKey:
    """Return the address of a date's signal run."""
    return home.key("signals", spec.model.model_id, spec.pipeline.name, spec, dt)


def build_signal(
    home: Home,
    spec: SignalSpec,
    dt: date,
    *,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Built:
    """Score one date with one model."""
    home.session(dt)
    silver = home.lake.read_manifest(silver_key(home, spec.pipeline, dt))
    gold = home.lake.read_manifest(gold_key(home, spec.pipeline, dt))
    model = build_model(home, spec)
    tables = signal_tables(model)
    draft = ManifestDraft.of(
        signal_key(home, spec, dt),
        spec,
        {"silver/grid": silver.dataset_id, "gold/features": gold.dataset_id},
        CODE_VERSION,
        tables,
    )

    def write(staging: Staging) -> None:
        pairs = together(
            home.lake.read_chunks(
                silver.key, model.requires_silver, expect=silver_tables(spec.pipeline.silver)
            ),
            home.lake.read_chunks(gold.key, model.requires_gold, expect=gold_tables(spec.pipeline)),
        )
        done = ready = 0
        with PartitionWriter(staging.path, tables) as writer:
            for silver_chunk, gold_chunk in pairs:
                scores = model.advance(silver_chunk, gold_chunk)
                bins = {"bin_seq": silver_chunk.bins["bin_seq"], **scores.bins}
                writer.write(Chunk(bins, scores.grid))
                done += scores.n_bins
                ready += int(scores.bins["ready"].sum())
                progress(done)
        staging.counts.update(bins=done, ready_bins=ready)

    return publish(home, draft, write, overwrite)
