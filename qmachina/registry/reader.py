"""The reading side of the registry: what serves, what served when, and whether it is untouched.

Needs no right to write. Every read verifies the chain, so nothing that was tampered with is
ever believed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from qmachina.errors import LakeError, LockError, MissingError, RefusedError
from qmachina.registry import log
from qmachina.registry.documents import ID, Documents
from qmachina.registry.gate import Verdict, verdict_of

FOLDER = "serving"
DATABASE = "registry.sqlite"

_COLUMNS = ", ".join(f.name for f in fields(log.Entry))
# A writer died inside a commit: only a connection that may write can roll it back.
_NEEDS_ROLLBACK = {"SQLITE_READONLY_ROLLBACK", "SQLITE_READONLY_RECOVERY", "SQLITE_CANTOPEN"}
T = TypeVar("T")


@dataclass(frozen=True)
class Version:
    """One published version.

    Parameters
    ----------
    id : str
        Content id.
    name : str or None
        Human name.
    authors : tuple of str
        Who published it.
    published_at_utc : str
        When first.
    verdict : str
        Of the latest evidence; UNDECIDED without any.
    evidence : str or None
        Id of that evidence.
    withdrawn : bool
        Whether it has a tombstone.
    """

    id: str
    name: str | None
    authors: tuple[str, ...]
    published_at_utc: str
    verdict: Verdict
    evidence: str | None
    withdrawn: bool


@dataclass(frozen=True)
class Resolved:
    """What a serving text stands for.

    Parameters
    ----------
    version : Version
        What serves; its verdict is the alias' own where the alias was given other evidence.
    alias : str or None
        None where it was addressed by id.
    body : dict
        The serving spec, its hash verified, with ``id``.
    seq : int
        Number of the last log entry considered.
    """

    version: Version
    alias: str | None
    body: dict[str, Any]
    seq: int


class RegistryReader:
    """The registry of a lake, read only. Holds no connection; safe to share among threads.

    Parameters
    ----------
    root : Path
        The lake. A registry that does not exist yet reads as an empty one.
    busy_seconds : float
        How long to wait for another process's lock.
    """

    def __init__(self, root: Path, *, busy_seconds: float = 10.0) -> None:
        self._busy_seconds = busy_seconds
        self.folder = root / FOLDER
        self.database = self.folder / DATABASE
        self._versions = Documents(self.folder / "versions", "serving version")
        self._evidence = Documents(self.folder / "evidence", "evidence document")

    def version(self) -> int:
        """Return the number of the last log entry: cheap, grows with every move. For polling."""
        return self._query(lambda db: int(_last_seq(db)), 0)

    def entries(self) -> tuple[log.Entry, ...]:
        """Return the whole log, oldest first, its chain verified.

        Raises
        ------
        LakeError
            If an entry was edited, deleted or reordered.
        """
        return self._query(read_entries, ())

    def history(self, name: str) -> tuple[log.Entry, ...]:
        """Return the entries of one alias, or of one version's id, oldest first."""
        return tuple(e for e in self.entries() if name in (e.name, e.to_id, e.from_id))

    def aliases(self) -> dict[str, str]:
        """Return where every alias points."""
        state = log.fold(self.entries())
        return {name: state.target(name) or "" for name in sorted(state.stacks)}

    def alias_as_of(self, name: str, moment: datetime) -> str | None:
        """Return where an alias pointed at a time, None where it did not exist yet."""
        return log.fold(self.entries(), log.utc_text(moment)).target(name)

    def versions(self) -> tuple[Version, ...]:
        """Return all published versions, oldest first."""
        state = log.fold(self.entries())
        return tuple(self._describe(id_, state, None) for id_ in state.publications)

    def load(self, version: str) -> dict[str, Any]:
        """Return the body of a published version with its ``id``, the hash verified.

        Raises
        ------
        MissingError
            If it was never published.
        RefusedError
            If it was withdrawn.
        LakeError
            If the file was changed.
        """
        return self.body(version, log.fold(self.entries()))

    def resolve(self, serving: str) -> Resolved:
        """Return what an alias or a version id stands for.

        Raises
        ------
        MissingError
            If there is no such alias or version.
        RefusedError
            If the version was withdrawn.
        LakeError
            If the registry was tampered with.
        """
        entries = self.entries()
        state = log.fold(entries)
        stack = state.stacks.get(serving)
        if stack:
            alias, id_, evidence = serving, stack[-1].to_id or "", stack[-1].evidence
        elif ID.fullmatch(serving):
            alias, id_, evidence = None, serving, None
        else:
            raise MissingError(
                "there is no such alias",
                subject=repr(serving),
                expected=", ".join(sorted(state.stacks)) or "a promoted version first",
            )
        body = self.body(id_, state)
        return Resolved(self._describe(id_, state, evidence), alias, body, len(entries))

    def evidence(self, id_: str) -> dict[str, Any]:
        """Return an evidence document, its hash verified."""
        return self._evidence.read(id_)

    def verify(self) -> int:
        """Verify the chain and the hash of every document it names.

        Returns
        -------
        int
            Number of entries.

        Raises
        ------
        LakeError
            Listing everything that is wrong.
        """
        entries = self.entries()
        problems = []
        for entry in entries:
            try:
                if entry.action == "publish":
                    self._versions.read(entry.to_id or "")
                if entry.evidence is not None:
                    self._evidence.read(entry.evidence)
            except LakeError as e:
                problems.append(f"entry {entry.seq}: {e}")
        if problems:
            raise LakeError("; ".join(problems), subject=self.database.name)
        return len(entries)

    def body(self, version: str, state: log.State) -> dict[str, Any]:
        """Return the body of a version that a state allows to serve; see `load`."""
        if version not in state.publications:
            raise MissingError("there is no such serving version", subject=repr(version))
        if version in state.tombstones:
            stone = state.tombstones[version]
            raise RefusedError(
                f"the version was withdrawn by {stone.actor}: {stone.reason}", subject=version
            )
        return {**self._versions.read(version), "id": version}

    def _describe(self, id_: str, state: log.State, evidence: str | None) -> Version:
        first = state.publications[id_][0]
        latest = evidence or state.evidence(id_)
        return Version(
            id=id_,
            name=first.name,
            authors=state.authors(id_),
            published_at_utc=first.time,
            verdict=verdict_of(None if latest is None else self._evidence.read(latest)),
            evidence=latest,
            withdrawn=id_ in state.tombstones,
        )

    def _query(self, query: Callable[[sqlite3.Connection], T], empty: T) -> T:
        if not self.database.exists():
            return empty
        with database_errors(self.database):
            try:
                return self._query_as("ro", query)
            except sqlite3.OperationalError as e:
                if e.sqlite_errorname not in _NEEDS_ROLLBACK:
                    raise
                return self._query_as("rw", query)

    def _query_as(self, mode: str, query: Callable[[sqlite3.Connection], T]) -> T:
        uri = f"{self.database.resolve().as_uri()}?mode={mode}"
        with closing(sqlite3.connect(uri, uri=True, timeout=self._busy_seconds)) as db:
            return query(db)


def read_entries(db: sqlite3.Connection) -> tuple[log.Entry, ...]:
    """Return all entries of an open database, the chain verified; LakeError if it is broken."""
    if is_empty(db):
        return ()
    # SQLite remembers the highest number it ever gave out: a log cut at its end shows. Both
    # come from one statement, so that a writer who commits in between cannot look like a thief.
    rows = db.execute(
        f"SELECT given, {_COLUMNS} FROM "
        "(SELECT max(seq) AS given FROM sqlite_sequence WHERE name = 'log') "
        "LEFT JOIN log ON 1 ORDER BY seq"
    ).fetchall()
    given = rows[0][0] or 0
    entries = tuple(log.Entry(*row[1:]) for row in rows if row[1] is not None)
    problems = log.chain_problems(entries)
    if not problems and given != len(entries):
        problems = [f"entries after {len(entries)} were deleted"]
    if problems:
        raise LakeError(f"the log was tampered with: {'; '.join(problems)}", subject=DATABASE)
    return entries


@contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into the project's, naming the file."""
    try:
        yield
    except sqlite3.OperationalError as e:
        if e.sqlite_errorname in ("SQLITE_BUSY", "SQLITE_LOCKED"):
            raise LockError("another process holds the registry", subject=path) from e
        raise LakeError(f"the registry cannot be used: {e}", subject=path) from e
    except sqlite3.DatabaseError as e:
        raise LakeError(f"not a registry: {e}", subject=path) from e


def is_empty(db: sqlite3.Connection) -> bool:
    """Tell whether a database holds nothing yet: its first writer is at work, or died."""
    return db.execute("SELECT 1 FROM sqlite_master").fetchone() is None


def _last_seq(db: sqlite3.Connection) -> int:
    return 0 if is_empty(db) else db.execute("SELECT coalesce(max(seq), 0) FROM log").fetchone()[0]
