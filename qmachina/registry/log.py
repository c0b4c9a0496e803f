"""The log of a registry: a chain of hashed entries, and what they add up to. Pure.

An entry's hash covers the hash before it, so no entry can be edited, dropped or reordered
without breaking every later one. What an alias points at is never stored, only folded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from qmachina.specs.base import canonical_json

Action = Literal["publish", "set_alias", "rollback", "tombstone", "waive"]

#: The hash before the first entry.
GENESIS = "0" * 64


@dataclass(frozen=True)
class Entry:
    """One thing that was done.

    Parameters
    ----------
    seq : int
        Position in the log, from 1.
    time : str
        UTC, microseconds, ``…Z``; never before the entry before.
    actor : str
        Who did it.
    action : {"publish", "set_alias", "rollback", "tombstone", "waive"}
        What was done.
    name : str or None
        The alias concerned; for publish, the version's human name.
    from_id, to_id : str or None
        Version before and after; for publish, tombstone and waive ``to_id`` is the version.
    reason : str
        Why.
    evidence : str or None
        Id of the evidence document.
    prev_hash, hash : str
        The chain.
    """

    seq: int
    time: str
    actor: str
    action: Action
    name: str | None
    from_id: str | None
    to_id: str | None
    reason: str
    evidence: str | None
    prev_hash: str
    hash: str = ""

    def sealed(self) -> Entry:
        """Return the entry with its hash: SHA-256 of the previous hash and the canonical body."""
        body = {k: v for k, v in asdict(self).items() if k not in ("prev_hash", "hash")}
        text = self.prev_hash + canonical_json(body)
        return replace(self, hash=hashlib.sha256(text.encode()).hexdigest())


@dataclass
class State:
    """What a log adds up to.

    Parameters
    ----------
    publications : dict of str to list of Entry
        By version id.
    tombstones : dict of str to Entry
        By version id.
    stacks : dict of str to list of Entry
        By alias: the entries whose targets a rollback would uncover, the current one last.
    waivers : list of Entry
        In order.
    """

    publications: dict[str, list[Entry]] = field(default_factory=dict)
    tombstones: dict[str, Entry] = field(default_factory=dict)
    stacks: dict[str, list[Entry]] = field(default_factory=dict)
    waivers: list[Entry] = field(default_factory=list)

    def authors(self, version: str) -> tuple[str, ...]:
        """Return who published a version, each once."""
        return tuple(dict.fromkeys(e.actor for e in self.publications.get(version, [])))

    def evidence(self, version: str) -> str | None:
        """Return the latest evidence a version was published with."""
        found = (e.evidence for e in reversed(self.publications.get(version, [])) if e.evidence)
        return next(found, None)

    def target(self, alias: str) -> str | None:
        """Return the version an alias points at, None where it points nowhere."""
        stack = self.stacks.get(alias)
        return stack[-1].to_id if stack else None

    def previous(self, alias: str) -> str | None:
        """Return the version a rollback would go to: the last other one not withdrawn."""
        current = self.target(alias)
        for entry in reversed(self.stacks.get(alias, [])):
            if entry.to_id != current and entry.to_id not in self.tombstones:
                return entry.to_id
        return None


def fold(entries: Iterable[Entry], until: str | None = None) -> State:
    """Return what a log adds up to, or added up to at a time (inclusive)."""
    state = State()
    for entry in entries:
        if until is not None and entry.time > until:
            break
        version = entry.to_id or ""
        if entry.action == "publish":
            state.publications.setdefault(version, []).append(entry)
        elif entry.action == "tombstone":
            state.tombstones[version] = entry
        elif entry.action == "waive":
            state.waivers.append(entry)
        elif entry.action == "set_alias":
            state.stacks.setdefault(entry.name or "", []).append(entry)
        else:
            stack = state.stacks.setdefault(entry.name or "", [])
            while stack and stack[-1].to_id != entry.to_id:
                stack.pop()
            # The entry that first set this target keeps its evidence.
    return state


def chain_problems(entries: Sequence[Entry]) -> list[str]:
    """Return every break of the chain, in words."""
    problems = []
    before, time = GENESIS, ""
    for position, entry in enumerate(entries, 1):
        if entry.seq != position:
            problems.append(f"entry {position} is missing or out of place (found {entry.seq})")
        elif entry.prev_hash != before:
            problems.append(f"entry {entry.seq} does not follow the entry before")
        elif entry.sealed().hash != entry.hash:
            problems.append(f"entry {entry.seq} was changed")
        elif entry.time < time:
            problems.append(f"entry {entry.seq} is earlier than the entry before")
        else:
            before, time = entry.hash, entry.time
            continue
        break
    return problems


def utc_text(moment: datetime) -> str:
    """Return an aware time as the log writes it; sorts as text."""
    if moment.utcoffset() is None:
        raise ValueError("a time without zone")
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
