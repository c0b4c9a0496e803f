"""raw/mbo_dbn: register a vendor file of a date. Its bytes are read whole, never copied."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import date
from pathlib import Path
from typing import Any

from qmachina.datasets.build import Built, Progress, no_progress, publish
from qmachina.errors import LockError, SelectionError, SessionError
from qmachina.grid.engine import Carry
from qmachina.lake.home import Home
from qmachina.lake.layout import DatasetKey
from qmachina.lake.manifest import ManifestDraft
from qmachina.lake.publication import Staging
from qmachina.sources.select import BookSource
from qmachina.specs.silver import SilverSpec

CODE_VERSION = "1"
FILE = "registration.json"


def raw_key(home: Home, dt: date) -> DatasetKey:
    """Return the address of a date's registration."""
    slug = re.sub(r"[^a-z0-9]+", "_", home.instrument.symbol.lower()).strip("_")
    return home.key("raw", "mbo_dbn", slug, home.instrument, dt)


def open_book(home: Home, path: Path) -> BookSource:
    """Open the home's book in a raw file; refuse a file of another instrument.

    Raises
    ------
    LockError
        If the file belongs to another dataset or does not hold the home's symbol.
    """
    instrument = home.instrument
    try:
        source = BookSource(path, instrument.symbol, instrument.publisher)
    except SelectionError as e:
        raise LockError(
            f"file does not hold the home's instrument: {e.what}",
            subject=path.name,
            expected=instrument.symbol,
            found=e.expected,
            remedy="Use the home of that instrument",
        ) from e
    if source.header.dataset != instrument.dataset:
        raise LockError(
            "file belongs to another dataset",
            subject=path.name,
            expected=instrument.dataset,
            found=source.header.dataset,
        )
    return source


def register(
    home: Home, dt: date, *, overwrite: bool = False, progress: Progress = no_progress
) -> Built:
    """Register the raw file of a session: fingerprint, header, counts.

    Raises
    ------
    SessionError
        If the date is not a session.
    MissingError, SelectionError
        If there is no file of the date, or several.
    FormatError, DataError
        If the file is damaged or of another kind.
    """
    home.session(dt)
    path = home.raw_file(dt)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    draft = ManifestDraft.of(raw_key(home, dt), home.instrument, {path.name: sha256}, CODE_VERSION)

    def write(staging: Staging) -> None:
        facts = describe(home, path, progress) | {"sha256": sha256}
        staging.counts["records"] = facts["records"]
        (staging.path / FILE).write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")

    return publish(home, draft, write, overwrite)


def carry_of(home: Home, silver: SilverSpec, dt: date) -> Carry | None:
    """Return what the engine takes over from the session before, or None if it starts cold.

    Raises
    ------
    MissingError
        If the session before has no raw file.
    """
    if not silver.carry_minutes:
        return None
    before = previous_session(home, dt)
    source = open_book(home, home.raw_file(before))
    last = max(int(chunk["ts_recv"][-1]) for chunk in source.chunks())
    return Carry(source.chunks, silver.carry_minutes, last)


def previous_session(home: Home, dt: date) -> date:
    """Return the last session before a date; SessionError if the calendar begins there."""
    before, _ = home.calendar.nearest(dt)
    if before is None:
        raise SessionError("the calendar knows no session before", subject=dt)
    return before


def describe(home: Home, path: Path, progress: Progress = no_progress) -> dict[str, Any]:
    """Read a raw file to its end and return its header, counts and time range."""
    source = open_book(home, path)
    records = 0
    first = last = 0
    for chunk in source.chunks():
        first = first or int(chunk["ts_recv"][0])
        last = int(chunk["ts_recv"][-1])
        records += len(chunk)
        progress(records)
    header = source.header
    return {
        "file": path.name,
        "bytes": path.stat().st_size,
        "dataset": header.dataset,
        "dbn_version": header.version,
        "schema": header.schema,
        "symbol": source.symbol,
        "instrument_id": source.instrument_id,
        "publisher_id": source.publisher_id,
        "records": records,
        "first_ts_recv": first,
        "last_ts_recv": last,
        "start_ns": header.start_ns,
        "end_ns": header.end_ns,
    }


def registration(home: Home, dt: date) -> dict[str, Any]:
    """Return what was registered for a date."""
    facts: dict[str, Any] = json.loads(home.lake.read_file(raw_key(home, dt), FILE))
    return facts
