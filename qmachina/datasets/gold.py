"""gold/features: forces, composite and states of one date, from silver."""

from __future__ import annotations

from datetime import date

from qmachina.datasets.build import Built, Progress, no_progress, publish
from qmachina.datasets.silver import silver_key, silver_tables
from qmachina.features.fields import GOLD_FIELDS
from qmachina.features.geometry import Geometry
from qmachina.features.gold import GoldStage
from qmachina.fields import Chunk
from qmachina.lake.contract import Table
from qmachina.lake.home import Home
from qmachina.lake.layout import DatasetKey
from qmachina.lake.manifest import ManifestDraft
from qmachina.lake.publication import Staging
from qmachina.lake.writer import PartitionWriter
from qmachina.specs.pipeline import PipelineSpec

CODE_VERSION = "1"

#: What gold reads of silver.
SILVER_COLUMNS = (
    "bin_end_ns",
    "best_bid_price_int",
    "best_ask_price_int",
    "book_valid",
    "spot_ref_price_int",
    "bid_reprice_sign",
    "ask_reprice_sign",
    "v_add",
    "v_pull",
    "v_fill",
    "v_rest_depth",
    "a_add",
    "a_pull",
)


def gold_tables(pipeline: PipelineSpec) -> tuple[Table]:
    """Return the contract of gold's grid."""
    return (Table.grid(GOLD_FIELDS, pipeline.silver.grid_radius_ticks),)


def gold_key(home: Home, pipeline: PipelineSpec, dt: date) -> DatasetKey:
    """Return the address of a date's gold."""
    return home.key("gold", "features", pipeline.name, pipeline, dt)


def build_gold(
    home: Home,
    pipeline: PipelineSpec,
    dt: date,
    *,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Built:
    """Compute gold from a published silver partition."""
    home.session(dt)
    silver = home.lake.read_manifest(silver_key(home, pipeline, dt))
    tables = gold_tables(pipeline)
    draft = ManifestDraft.of(
        gold_key(home, pipeline, dt),
        pipeline,
        {"silver/grid": silver.dataset_id},
        CODE_VERSION,
        tables,
    )
    geometry = Geometry(
        pipeline.silver.bin_ns, pipeline.silver.grid_radius_ticks, home.instrument.tick_size_int
    )

    def write(staging: Staging) -> None:
        stage = GoldStage(pipeline.gold, geometry)
        chunks = home.lake.read_chunks(
            silver.key, SILVER_COLUMNS, expect=silver_tables(pipeline.silver)
        )
        done = 0
        with PartitionWriter(staging.path, tables) as writer:
            for chunk in chunks:
                gold = stage.advance(chunk)
                writer.write(Chunk({"bin_seq": chunk.bins["bin_seq"]}, gold.grid))
                done += chunk.n_bins
                progress(done)
        staging.counts["bins"] = done

    return publish(home, draft, write, overwrite)
