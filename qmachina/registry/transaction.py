"""One change of the registry: planned under the write lock, then written whole or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple
from datetime import datetime
from pathlib import Path
from typing import Any

from qmachina.errors import LakeError
from qmachina.lake import durable
from qmachina.registry import log
from qmachina.registry.documents import Documents, document_id, parse_text
from qmachina.registry.reader import database_errors, is_empty, read_entries

_SCHEMA = (
    """
    CREATE TABLE log (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        time TEXT NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        name TEXT,
        from_id TEXT,
        to_id TEXT,
        reason TEXT NOT NULL,
        evidence TEXT,
        prev_hash TEXT NOT NULL,
        hash TEXT NOT NULL
    )
    """,
    """
    CREATE TRIGGER log_keeps_entries BEFORE UPDATE ON log
    BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END
    """,
    """
    CREATE TRIGGER log_loses_nothing BEFORE DELETE ON log
    BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END
    """,
)


class Plan:
    """The log as it is under the write lock, and what is to be added. Writes nothing itself."""

    def __init__(self, entries: tuple[log.Entry, ...], now: datetime) -> None:
        self.added: list[log.Entry] = []
        self.documents: list[tuple[Documents, str]] = []
        self._entries = list(entries)
        self._now = log.utc_text(now)

    @property
    def state(self) -> log.State:
        """What the log adds up to, planned entries included."""
        return log.fold(self._entries)

    @property
    def now(self) -> str:
        """The time of the change, as the log writes it."""
        # A clock set back must not make the past ambiguous.
        return max(self._now, self._entries[-1].time) if self._entries else self._now

    def keep(self, store: Documents, text: str) -> str:
        """Plan to write a document; return its id."""
        self.documents.append((store, text))
        return document_id(text)

    def document(self, store: Documents, id_: str) -> dict[str, Any]:
        """Return a document, planned or kept."""
        for planned, text in self.documents:
            if planned is store and document_id(text) == id_:
                return parse_text(text)
        return store.read(id_)

    def append(
        self,
        action: log.Action,
        *,
        actor: str,
        reason: str,
        to_id: str,
        name: str | None = None,
        from_id: str | None = None,
        evidence: str | None = None,
    ) -> None:
        """Plan the next entry."""
        last = self._entries[-1] if self._entries else None
        entry = log.Entry(
            seq=len(self._entries) + 1,
            time=self.now,
            actor=actor,
            action=action,
            name=name,
            from_id=from_id,
            to_id=to_id,
            reason=reason,
            evidence=evidence,
            prev_hash=log.GENESIS if last is None else last.hash,
        ).sealed()
        self._entries.append(entry)
        self.added.append(entry)


@contextmanager
def transaction(
    database: Path,
    busy_seconds: float,
    clock: Callable[[], datetime],
    on_step: Callable[[str], None],
) -> Iterator[Plan]:
    """Hold the write lock while the caller plans; then write documents, entries, commit.

    An error while planning writes nothing. A process killed between the documents and the commit
    leaves documents that no entry names: they are never read, and written again by a retry.

    Raises
    ------
    LockError
        If another process holds the lock for longer than ``busy_seconds``.
    LakeError
        If the log was tampered with, or the disk refuses.
    """
    with database_errors(database):
        try:
            durable.make_folder(database.parent)
        except OSError as e:
            raise LakeError(f"cannot be written: {e.strerror or e}", subject=database) from e
        connection = sqlite3.connect(database, timeout=busy_seconds, isolation_level=None)
        with closing(connection) as db:
            db.execute("PRAGMA synchronous = EXTRA")
            db.execute("BEGIN IMMEDIATE")
            created: list[Path] = []
            try:
                plan = Plan(read_entries(db), clock())
                yield plan
                if plan.added:
                    _write(db, plan, created, on_step)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                    for path in created:
                        path.unlink(missing_ok=True)
                raise
    on_step("committed")


def _write(
    db: sqlite3.Connection, plan: Plan, created: list[Path], on_step: Callable[[str], None]
) -> None:
    for store, text in plan.documents:
        path = store.path(document_id(text))
        if not path.exists():
            created.append(path)
        store.write(text)
    on_step("documents")
    if is_empty(db):
        for statement in _SCHEMA:
            db.execute(statement)
    for entry in plan.added:
        row = astuple(entry)
        db.execute(f"INSERT INTO log VALUES ({', '.join('?' * len(row))})", row)
    on_step("appended")
