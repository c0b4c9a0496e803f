"""The writing side of the registry: publish, promote, roll back, withdraw, waive.

Every way to change what serves first loads the target, verifies its hash and runs the
preflight, before anything is written. Each change is one SQLite transaction that begins with
the write lock, verifies the chain, checks the caller's view of the alias (compare-and-swap)
and appends to the log.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict

from qmachina.errors import ConflictError, MissingError, RefusedError, SpecError
from qmachina.registry import log
from qmachina.registry.documents import canonical_text, document_id, parse_text
from qmachina.registry.gate import require_verdict, verdict_of
from qmachina.registry.reader import RegistryReader
from qmachina.registry.transaction import Plan, transaction
from qmachina.specs.base import NAME_PATTERN

#: Receives a body with its ``id``; raises (PreflightError) to refuse it.
Preflight = Callable[[dict[str, Any]], None]

MAX_TEXT = 2000
#: Shorter than an id, so that no alias can pass for one.
MAX_NAME = 63


class _Act(TypedDict):
    actor: str
    reason: str


def version_id(body: Mapping[str, Any]) -> str:
    """Return the id that a serving body gets: SHA-256 of its canonical JSON without ``id``."""
    return document_id(_text_of(body))


class Registry(RegistryReader):
    """The registry of a lake, for writing. Safe among threads and processes.

    Parameters
    ----------
    root : Path
        The lake.
    busy_seconds : float
        How long to wait for another process's lock.
    clock : callable, optional
        Returns the time that goes into the log.
    on_step : callable, optional
        Called with ``preflighted``, ``documents``, ``appended`` and ``committed``.
    """

    def __init__(
        self,
        root: Path,
        *,
        busy_seconds: float = 10.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_step: Callable[[str], None] = lambda step: None,
    ) -> None:
        super().__init__(root, busy_seconds=busy_seconds)
        self._clock = clock
        self._on_step = on_step

    def publish(
        self,
        body: Mapping[str, Any],
        preflight: Preflight,
        *,
        actor: str,
        reason: str,
        name: str | None = None,
        evidence: Mapping[str, Any] | None = None,
    ) -> str:
        """Publish a serving version.

        Parameters
        ----------
        body : mapping
            The serving spec as plain JSON. An ``id`` in it must be the right one.
        preflight : callable
            Receives the body with its ``id`` before anything is written; raises to refuse it.
        actor, reason : str
            Who and why.
        name : str, optional
            Human name of the version.
        evidence : mapping, optional
            Gate evidence as plain JSON with a ``verdict``; kept beside the version.

        Returns
        -------
        str
            The id. Publishing the same body with the same evidence again changes nothing.

        Raises
        ------
        PreflightError
            Or whatever else the preflight raises.
        SpecError
            If body, evidence, name, actor or reason is malformed.
        RefusedError
            If this version was withdrawn.
        """
        text = _text_of(body)
        proof = _evidence_text(evidence)
        act = _act(actor, reason)
        if name is not None:
            _require_name(name)
        self._check(_with_id(text), preflight)
        with self._transaction() as plan:
            self._publish(plan, text, proof, act, name)
        return document_id(text)

    def promote(
        self,
        body: Mapping[str, Any],
        alias: str,
        preflight: Preflight,
        *,
        expected: str | None,
        actor: str,
        reason: str,
        name: str | None = None,
        evidence: Mapping[str, Any] | None = None,
    ) -> str:
        """Publish a version and point an alias at it: both or neither. See the two parts."""
        text = _text_of(body)
        proof = _evidence_text(evidence)
        act = _act(actor, reason)
        for given in (alias, name):
            if given is not None:
                _require_name(given)
        self._check(_with_id(text), preflight)
        with self._transaction() as plan:
            self._publish(plan, text, proof, act, name)
            self._set_alias(plan, alias, document_id(text), None, expected, act)
        return document_id(text)

    def set_alias(
        self,
        alias: str,
        version: str,
        preflight: Preflight,
        *,
        expected: str | None,
        actor: str,
        reason: str,
        evidence: Mapping[str, Any] | None = None,
    ) -> None:
        """Point an alias at a published version, if it still points where the caller saw it.

        Parameters
        ----------
        alias : str
            Its name.
        version : str
            Id of the target.
        preflight : callable
            As for `publish`; runs again, on the body as stored.
        expected : str or None
            Where the alias points now, None for a new alias.
        actor, reason : str
            Who and why.
        evidence : mapping, optional
            Newer gate evidence than the one the version was published with.

        Raises
        ------
        ConflictError
            If the alias points elsewhere: another writer was faster.
        RefusedError
            If the gate's verdict is not enough, or the version was withdrawn.
        MissingError
            If there is no such version.
        """
        proof = _evidence_text(evidence)
        act = _act(actor, reason)
        _require_name(alias)
        self._check(self.load(version), preflight)
        with self._transaction() as plan:
            self._set_alias(plan, alias, version, proof, expected, act)

    def rollback(
        self, alias: str, preflight: Preflight, *, expected: str, actor: str, reason: str
    ) -> str:
        """Point an alias at its previous target again and return that version's id.

        The previous target was allowed when it was set, so its verdict is not asked again;
        versions withdrawn since are passed over. Rolling back twice goes back two steps.

        Raises
        ------
        ConflictError
            If the alias does not point at ``expected``.
        RefusedError
            If there is nothing to go back to.
        """
        act = _act(actor, reason)
        _require_name(alias)
        target = log.fold(self.entries()).previous(alias)
        if target is not None:
            self._check(self.load(target), preflight)
        with self._transaction() as plan:
            _require_target(plan.state, alias, expected)
            now = plan.state.previous(alias)
            if now is None:
                raise RefusedError(
                    "there is no earlier version to go back to", subject=f"alias {alias}"
                )
            if now != target:
                raise ConflictError(
                    "the alias was moved meanwhile", subject=f"alias {alias}", found=now
                )
            plan.append("rollback", to_id=now, name=alias, from_id=expected, **act)
        return now

    def tombstone(self, version: str, *, actor: str, reason: str) -> None:
        """Withdraw a version for good: it never serves again. Its file stays.

        Raises
        ------
        RefusedError
            If an alias points at it.
        """
        act = _act(actor, reason)
        with self._transaction() as plan:
            state = plan.state
            if version not in state.publications:
                raise MissingError("there is no such serving version", subject=repr(version))
            pointing = [alias for alias in state.stacks if state.target(alias) == version]
            if pointing:
                raise RefusedError(
                    f"the version serves as {', '.join(sorted(pointing))}",
                    subject=version,
                    remedy="Move the alias first",
                )
            if version not in state.tombstones:
                plan.append("tombstone", to_id=version, **act)

    def waive(
        self,
        alias: str,
        version: str,
        *,
        actor: str,
        reason: str,
        gates: Sequence[str],
        expires: datetime,
    ) -> None:
        """Allow an alias to point at a version although its gate did not pass.

        Parameters
        ----------
        alias, version : str
            What is allowed; nothing else is.
        actor : str
            The approver: no author of the version. Whoever moves the alias must be another.
        reason : str
            Why.
        gates : sequence of str
            The failed gates that are waived; at least one.
        expires : datetime
            Aware time after which the waiver allows nothing.

        Raises
        ------
        RefusedError
            If the approver published the version.
        """
        act = _act(actor, reason)
        _require_name(alias)
        document = {
            "alias": alias,
            "version": version,
            "gates": list(gates),
            "expires_utc": log.utc_text(expires),
        }
        if not gates or expires <= self._clock():
            raise SpecError(
                "a waiver names gates and ends in the future",
                subject="waiver",
                found=document,
            )
        text = canonical_text(document, "waiver")
        with self._transaction() as plan:
            self.body(version, plan.state)
            if _is_one_of(act["actor"], plan.state.authors(version)):
                raise RefusedError(
                    "an author may not waive the gate of an own version", subject=version
                )
            proof = plan.keep(self._evidence, text)
            plan.append("waive", to_id=version, name=alias, evidence=proof, **act)

    def _transaction(self) -> AbstractContextManager[Plan]:
        return transaction(self.database, self._busy_seconds, self._clock, self._on_step)

    def _check(self, body: dict[str, Any], preflight: Preflight) -> None:
        preflight(body)
        self._on_step("preflighted")

    def _publish(
        self, plan: Plan, text: str, proof: str | None, act: _Act, name: str | None
    ) -> None:
        id_ = document_id(text)
        state = plan.state
        if id_ in state.publications:
            self.body(id_, state)  # refuses what was withdrawn or changed
            known = {entry.evidence for entry in state.publications[id_]}
            if proof is None or document_id(proof) in known:
                return
        evidence = None if proof is None else plan.keep(self._evidence, proof)
        plan.keep(self._versions, text)
        plan.append("publish", to_id=id_, name=name, evidence=evidence, **act)

    def _set_alias(
        self,
        plan: Plan,
        alias: str,
        version: str,
        proof: str | None,
        expected: str | None,
        act: _Act,
    ) -> None:
        state = plan.state
        if not any(document_id(text) == version for _, text in plan.documents):
            self.body(version, state)
        _require_target(state, alias, expected)
        evidence = None if proof is None else plan.keep(self._evidence, proof)
        if expected == version and evidence is None:
            return
        latest = evidence or state.evidence(version)
        verdict = verdict_of(None if latest is None else plan.document(self._evidence, latest))
        require_verdict(alias, verdict, self._is_waived(plan, alias, version, act["actor"]))
        plan.append(
            "set_alias", to_id=version, name=alias, from_id=expected, evidence=evidence, **act
        )

    def _is_waived(self, plan: Plan, alias: str, version: str, actor: str) -> bool:
        state = plan.state
        return any(
            (entry.name, entry.to_id) == (alias, version)
            and not _is_one_of(entry.actor, [actor, *state.authors(version)])
            and self.evidence(entry.evidence or "")["expires_utc"] > plan.now
            for entry in state.waivers
        )


def _act(actor: str, reason: str) -> _Act:
    """Return who and why, checked."""
    for word, text in (("actor", actor), ("reason", reason)):
        if not text.strip() or len(text) > MAX_TEXT:
            raise SpecError(
                f"{word} is empty or longer than {MAX_TEXT} characters", subject="registry"
            )
    return {"actor": actor.strip(), "reason": reason.strip()}


def _require_name(name: str) -> None:
    if not re.fullmatch(NAME_PATTERN, name) or len(name) > MAX_NAME:
        raise SpecError(
            f"not a name of at most {MAX_NAME} characters",
            subject="registry",
            expected=NAME_PATTERN,
            found=repr(name),
        )


def _require_target(state: log.State, alias: str, expected: str | None) -> None:
    found = state.target(alias)
    if found != expected:
        raise ConflictError(
            "the alias points elsewhere",
            subject=f"alias {alias}",
            expected=expected or "nothing",
            found=found or "nothing",
            remedy="Look at it again, then decide",
        )


def _text_of(body: Mapping[str, Any]) -> str:
    """Return the canonical text of a body without its ``id``, which must be the right one."""
    text = canonical_text({k: v for k, v in body.items() if k != "id"}, "serving version")
    if body.get("id", document_id(text)) != document_id(text):
        raise SpecError(
            "the id does not belong to the body",
            subject="serving version",
            expected=document_id(text),
            found=body["id"],
        )
    return text


def _evidence_text(evidence: Mapping[str, Any] | None) -> str | None:
    if evidence is None:
        return None
    verdict_of(evidence)
    return canonical_text(evidence, "evidence")


def _with_id(text: str) -> dict[str, Any]:
    return {**parse_text(text), "id": document_id(text)}


def _is_one_of(actor: str, others: Iterable[str]) -> bool:
    return actor.casefold() in {other.casefold() for other in others}
