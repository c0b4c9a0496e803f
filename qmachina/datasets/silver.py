"""silver/grid: bins and the dense grid of one date, in one pass over its raw file."""

from __future__ import annotations

from datetime import date

from qmachina.datasets.build import Built, Progress, no_progress, publish
from qmachina.datasets.raw import carry_of, open_book, previous_session, raw_key, registration
from qmachina.errors import LakeError
from qmachina.fields import Chunk
from qmachina.grid.engine import Engine
from qmachina.grid.fields import BIN_FIELDS, GRID_FIELDS
from qmachina.grid.invariants import SilverLaws
from qmachina.lake.contract import Table
from qmachina.lake.home import Home
from qmachina.lake.layout import DatasetKey
from qmachina.lake.manifest import ManifestDraft
from qmachina.lake.publication import Staging
from qmachina.lake.raw import find_raw
from qmachina.lake.writer import PartitionWriter
from qmachina.specs.pipeline import PipelineSpec
from qmachina.specs.silver import SilverSpec

CODE_VERSION = "1"


def silver_tables(spec: SilverSpec) -> tuple[Table, Table]:
    """Return the contract of the bins and the grid."""
    return Table.bins(BIN_FIELDS), Table.grid(GRID_FIELDS, spec.grid_radius_ticks)


def silver_key(home: Home, pipeline: PipelineSpec, dt: date) -> DatasetKey:
    """Return the address of a date's silver; it depends on the pipeline's silver part alone."""
    return home.key("silver", "grid", pipeline.name, pipeline.silver, dt)


def build_silver(
    home: Home,
    pipeline: PipelineSpec,
    dt: date,
    *,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Built:
    """Replay a registered raw file into silver; validated before it is published.

    Raises
    ------
    MissingError
        If the date is not registered.
    RecordError
        If a record is impossible.
    LakeError
        If the raw file is not the registered one any more.
    """
    home.session(dt)
    spec = pipeline.silver
    raw = home.lake.read_manifest(raw_key(home, dt))
    tables = silver_tables(spec)
    inputs = {"raw/mbo_dbn": raw.dataset_id, "instrument": home.instrument.id}
    if spec.carry_minutes:
        before = home.lake.read_manifest(raw_key(home, previous_session(home, dt)))
        inputs["raw/mbo_dbn before"] = before.dataset_id
    draft = ManifestDraft.of(
        silver_key(home, pipeline, dt),
        spec,
        inputs,
        CODE_VERSION,
        tables,
    )

    def write(staging: Staging) -> None:
        facts = registration(home, dt)
        path = find_raw(home.root, home.instrument, dt)
        if path.name != facts["file"] or path.stat().st_size != facts["bytes"]:
            raise LakeError(
                "the raw file is not the registered one",
                subject=path.name,
                expected=f"{facts['file']}, {facts['bytes']} bytes",
                found=f"{path.stat().st_size} bytes",
                remedy="Materialise raw/mbo_dbn again",
            )
        source = open_book(home, path)
        start, end = home.bounds(spec, dt)
        engine = Engine(
            spec, home.instrument.tick_size_int, start_ns=start, end_ns=end, subject=path.name
        )
        carry = carry_of(home, spec, dt)
        if carry is not None:
            engine.carry(carry)
        laws = SilverLaws(home.instrument.tick_size_int, 0 if spec.emit == "event" else spec.bin_ns)
        counts = {"bins": 0, "valid_bins": 0, "trades": 0}

        def keep(chunk: Chunk) -> None:
            laws.check(chunk)
            writer.write(chunk)
            counts["bins"] += chunk.n_bins
            counts["valid_bins"] += int(chunk.bins["book_valid"].sum())
            counts["trades"] += int(chunk.bins["trade_count"].sum())

        with PartitionWriter(staging.path, tables) as writer:
            for records in source.chunks():
                for chunk in engine.advance(records):
                    keep(chunk)
                progress(engine.records)
            for chunk in engine.finish(source.header.covered_until_ns):
                keep(chunk)
        staging.counts.update(counts, events=engine.event_id, records=engine.records)
        staging.anomalies.update(engine.anomalies)

    return publish(home, draft, write, overwrite)
