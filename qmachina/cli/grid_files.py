"""Write the grid of one file to a folder, all of it or nothing."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from qmachina import market
from qmachina.errors import ImmutableError, SpecError
from qmachina.fields import Chunk
from qmachina.grid.engine import Engine
from qmachina.grid.fields import BIN_FIELDS, GRID_FIELDS
from qmachina.grid.invariants import SilverLaws
from qmachina.lake.contract import Table, contracts
from qmachina.lake.writer import PartitionWriter
from qmachina.sources.select import BookSource
from qmachina.specs.silver import TIME_OF_DAY, SilverSpec, seconds


def moment_ns(text: str | None, file_start_ns: int, time_zone: str) -> int | None:
    """Return a time of day on the file's date, or an ISO time, as UTC nanoseconds.

    Raises
    ------
    SpecError
        If it is neither, or the zone is unknown.
    """
    if text is None:
        return None
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError) as e:
        raise SpecError("not an IANA time zone", found=time_zone) from e
    if re.fullmatch(TIME_OF_DAY, text):
        day = datetime.fromtimestamp(file_start_ns // 1_000_000_000, UTC)
        total = seconds(text)
        moment = datetime(
            day.year, day.month, day.day, total // 3600, total // 60 % 60, total % 60, tzinfo=zone
        )
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as e:
            raise SpecError("not a time", expected="HH:MM[:SS] or ISO 8601", found=text) from e
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
    return round(moment.astimezone(UTC).timestamp() * 1000) * 1_000_000


def write_grid(
    source: BookSource,
    spec: SilverSpec,
    tick_size: int,
    out: Path,
    start_ns: int | None,
    end_ns: int | None,
    progress: Callable[[int], None],
) -> dict[str, Any]:
    """Write bins.parquet, grid.parquet and manifest.json; return the manifest."""
    for name, moment in (("start", start_ns), ("end", end_ns)):
        if moment is not None and moment % spec.bin_ns:
            raise SpecError(f"--{name} is not a whole bin", expected=f"{spec.cell_width_ms} ms")
    if start_ns is not None and end_ns is not None and start_ns >= end_ns:
        raise SpecError("--start must precede --end")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ImmutableError("exists and is not an empty folder", subject=out)
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    staging.chmod(0o755)
    try:
        manifest = _fill(source, spec, tick_size, staging, start_ns, end_ns, progress)
        if out.exists():
            out.rmdir()
        staging.rename(out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return manifest


def _fill(
    source: BookSource,
    spec: SilverSpec,
    tick_size: int,
    folder: Path,
    start_ns: int | None,
    end_ns: int | None,
    progress: Callable[[int], None],
) -> dict[str, Any]:
    started = time.perf_counter()
    engine = Engine(spec, tick_size, start_ns=start_ns, end_ns=end_ns, subject=source.name)
    tables = (Table.bins(BIN_FIELDS), Table.grid(GRID_FIELDS, spec.grid_radius_ticks))
    laws = SilverLaws(tick_size, spec.bin_ns)
    counts = {"bins": 0, "valid_bins": 0}

    def keep(chunk: Chunk) -> None:
        laws.check(chunk)
        writer.write(chunk)
        counts["bins"] += chunk.n_bins
        counts["valid_bins"] += int(chunk.bins["book_valid"].sum())

    with PartitionWriter(folder, tables) as writer:
        for records in source.chunks():
            for chunk in engine.advance(records):
                keep(chunk)
            progress(engine.records)
        for chunk in engine.finish(source.header.covered_until_ns):
            keep(chunk)
    manifest = {
        "file": source.name,
        "symbol": source.symbol,
        "instrument_id": source.instrument_id,
        "publisher_id": source.publisher_id,
        "tick_size": market.price_text(tick_size),
        "spec": spec.canonical(),
        "spec_id": spec.id,
        "start_ns": start_ns,
        "end_ns": end_ns,
        "counts": counts | {"events": engine.event_id, "records": engine.records},
        "anomalies": engine.anomalies,
        "contract": contracts(tables),
        "files": {t.file_name: _fingerprint(folder / t.file_name) for t in tables},
        "seconds": round(time.perf_counter() - started, 3),
    }
    text = json.dumps(manifest, indent=1, allow_nan=False) + "\n"
    (folder / "manifest.json").write_text(text)
    return manifest


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": digest, "bytes": path.stat().st_size}
