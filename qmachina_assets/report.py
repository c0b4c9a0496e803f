"""What an asset tells Dagster: one clean line when it fails, metadata when it does not."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import AssetExecutionContext

from qmachina.datasets.build import Built, Progress
from qmachina.errors import ImmutableError, QMachinaError
from qmachina.fields import Field
from qmachina.lake.home import Home

#: A run with this tag set to ``true`` may replace what the lake already holds.
OVERWRITE = "qmachina/overwrite"
_PROGRESS_SECONDS = 5.0


@contextmanager
def one_line() -> Iterator[None]:
    """Turn a deliberate error into the step's failure: its one line, no retry, no traceback."""
    try:
        yield
    except QMachinaError as e:
        line = e.line()
        if isinstance(e, ImmutableError):
            line += f" (here: add the tag {OVERWRITE} = true to the run)"
        raise dg.Failure(
            line, metadata={"exit_code": e.exit_code, "error": line}, allow_retries=False
        ) from None


def may_overwrite(context: AssetExecutionContext) -> bool:
    """Tell whether the run was launched with permission to replace."""
    return context.run.tags.get(OVERWRITE) == "true"


def progress(context: AssetExecutionContext, unit: str) -> Progress:
    """Return a callback that logs how far a step is, every few seconds."""
    last = time.monotonic()

    def report(done: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _PROGRESS_SECONDS:
            last = time.monotonic()
            context.log.info(f"{done:,} {unit}")

    return report


def result(home: Home, built: Built, extra: Mapping[str, Any]) -> dg.MaterializeResult:
    """Describe a published partition; its data version is its dataset id."""
    manifest, counts = built.manifest, built.manifest.counts
    metadata: dict[str, Any] = {
        "dataset_id": manifest.dataset_id,
        "path": str(manifest.key),
        "bytes": sum(f.bytes for f in manifest.files.values()),
        "seconds": round(built.seconds, 3),
        "reused": built.reused,
        **counts,
    }
    if built.seconds and "records" in counts:
        metadata["records_per_s"] = round(counts["records"] / built.seconds)
    rows = [f.rows for name, f in sorted(manifest.files.items()) if f.rows is not None]
    if rows:
        metadata["dagster/partition_row_count"] = rows[0]
    if manifest.anomalies:
        metadata["anomalies"] = sum(manifest.anomalies.values())
        metadata["anomalies_by_kind"] = dict(sorted(manifest.anomalies.items()))
    return dg.MaterializeResult(
        metadata={**metadata, **extra}, data_version=dg.DataVersion(manifest.dataset_id)
    )


def column_schema(tables: Mapping[str, Iterable[Field]]) -> dict[str, dg.TableSchema]:
    """Return the columns of a dataset as Dagster shows them, ``table.column`` each."""
    columns = [
        dg.TableColumn(f"{table}.{f.name}", f.dtype, description=f"{f.meaning} [{f.unit}]")
        for table, fields in tables.items()
        for f in fields
    ]
    return {"dagster/column_schema": dg.TableSchema(columns=columns)}


def schema_of(tables: Iterable[Any]) -> dict[str, dg.TableSchema]:
    """Return the column schema of lake tables."""
    return column_schema({table.name: table.fields for table in tables})


def dated(
    layer: str, name: str, sessions: dg.PartitionsDefinition, owner: str, kinds: set[str]
) -> dict[str, Any]:
    """Return what every dated asset has in common; key = lake path, group = layer."""
    return {
        "key": [layer, name],
        "group_name": layer,
        "partitions_def": sessions,
        "owners": [owner],
        "kinds": kinds,
        "tags": {"layer": layer},
        "backfill_policy": dg.BackfillPolicy.multi_run(1),
    }


def relative(home: Home, path: Path) -> str:
    """Return a path as the lake's readers know it."""
    return str(path.relative_to(home.root))
