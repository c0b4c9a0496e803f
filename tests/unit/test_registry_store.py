from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from qmachina.errors import (
    ConflictError,
    LakeError,
    LockError,
    MissingError,
    PreflightError,
    RefusedError,
    SpecError,
)
from qmachina.registry import log
from qmachina.registry.reader import RegistryReader
from qmachina.registry.writer import Registry, version_id

ANN = {"actor": "ann", "reason": "because"}
BOB = {"actor": "bob", "reason": "looks right"}
PASS = {"verdict": "PASS", "gates": {"G3": 0.02}}
UNDECIDED = {"verdict": "UNDECIDED"}
FAIL = {"verdict": "FAIL"}
START = datetime(2026, 2, 6, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


def accept(body: dict[str, Any]) -> None:
    assert body["id"] == version_id(body)


def refuse(body: dict[str, Any]) -> None:
    raise PreflightError("the model is unknown", subject=body["id"])


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(tmp_path: Path, clock: Clock) -> Registry:
    return Registry(tmp_path, clock=clock)


def body(n: int) -> dict[str, Any]:
    return {"model": "ema", "n": n, "half_life": 0.5}


def publish(registry: Registry, n: int, evidence: dict[str, Any] | None = None) -> str:
    return registry.publish(body(n), accept, evidence=evidence, **ANN)


def files(registry: RegistryReader) -> list[str]:
    return sorted(p.name for p in registry.folder.rglob("*.json"))


# ---- publishing ---------------------------------------------------------------------------------


def test_a_registry_that_does_not_exist_reads_as_empty(tmp_path: Path) -> None:
    reader = RegistryReader(tmp_path)
    assert reader.version() == 0
    assert reader.entries() == ()
    assert reader.aliases() == {}
    assert reader.verify() == 0
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(MissingError, match="no such alias"):
        reader.resolve("demo")


def test_a_version_is_named_by_its_content(registry: Registry) -> None:
    id_ = registry.publish(body(1), accept, name="ema_fast", **ANN)
    assert id_ == version_id(body(1)) == version_id({**body(1), "id": id_})
    assert registry.load(id_) == {**body(1), "id": id_}
    assert (
        registry.publish({"half_life": 0.5, "n": 1, "model": "ema", "id": id_}, accept, **BOB)
        == id_
    )
    assert len(registry.entries()) == 1
    (version,) = registry.versions()
    assert (version.id, version.name, version.authors) == (id_, "ema_fast", ("ann",))
    assert (version.verdict, version.withdrawn) == ("UNDECIDED", False)
    assert version.published_at_utc == "2026-02-06T09:00:00.000000Z"
    assert files(registry) == [f"{id_}.json"]


def test_newer_evidence_can_be_added(registry: Registry) -> None:
    id_ = publish(registry, 1, UNDECIDED)
    assert publish(registry, 1, PASS) == publish(registry, 1, PASS) == id_
    assert [e.action for e in registry.entries()] == ["publish", "publish"]
    (version,) = registry.versions()
    assert version.verdict == "PASS"
    assert registry.evidence(version.evidence or "") == PASS


@pytest.mark.parametrize(
    "broken",
    [
        {"x": float("nan")},
        {"x": (1, 2)},
        {1: "x"},
        {"x": object()},
        {"id": "0" * 64, "x": 1},
        {"id": None, "x": 1},
    ],
)
def test_what_is_not_plain_json_is_refused(registry: Registry, broken: dict[Any, Any]) -> None:
    with pytest.raises(SpecError):
        registry.publish(broken, accept, **ANN)
    assert not registry.folder.exists()


@pytest.mark.parametrize(
    "change",
    [{"actor": " "}, {"reason": ""}, {"reason": "x" * 2001}, {"name": "A B"}, {"name": "x" * 64}],
)
def test_who_and_why_are_required(registry: Registry, change: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        registry.publish(body(1), accept, **{**ANN, **change})
    with pytest.raises(SpecError):
        registry.publish(body(1), accept, evidence={"verdict": "GREAT"}, **ANN)
    assert not registry.folder.exists()


# ---- the preflight cannot be passed by ----------------------------------------------------------


def test_nothing_is_written_when_the_preflight_refuses(registry: Registry) -> None:
    with pytest.raises(PreflightError, match="unknown"):
        registry.publish(body(1), refuse, **ANN)
    with pytest.raises(PreflightError):
        registry.promote(body(1), "demo", refuse, expected=None, **ANN)
    assert not registry.folder.exists()
    one, two = publish(registry, 1), publish(registry, 2)
    with pytest.raises(PreflightError):
        registry.set_alias("demo", one, refuse, expected=None, **ANN)
    registry.set_alias("demo", one, accept, expected=None, **ANN)
    registry.set_alias("demo", two, accept, expected=one, **ANN)
    with pytest.raises(PreflightError):
        registry.rollback("demo", refuse, expected=two, **ANN)
    assert registry.aliases() == {"demo": two}
    assert len(registry.entries()) == 4


def test_the_preflight_sees_the_body_and_cannot_change_it(registry: Registry) -> None:
    def meddle(given: dict[str, Any]) -> None:
        given["model"] = "other"

    id_ = registry.publish(body(1), meddle, **ANN)
    assert registry.load(id_)["model"] == "ema"


def test_a_changed_file_never_becomes_a_target(registry: Registry) -> None:
    one, two = publish(registry, 1), publish(registry, 2)
    registry.set_alias("demo", one, accept, expected=None, **ANN)
    registry.set_alias("demo", two, accept, expected=one, **ANN)
    path = registry.folder / "versions" / f"{one}.json"
    path.write_text(path.read_text().replace("ema", "evil"))
    with pytest.raises(LakeError, match="changed after publication"):
        registry.set_alias("demo", one, accept, expected=two, **ANN)
    with pytest.raises(LakeError, match="changed after publication"):
        registry.rollback("demo", accept, expected=two, **ANN)
    with pytest.raises(LakeError, match="changed after publication"):
        publish(registry, 1)
    assert registry.aliases() == {"demo": two}


# ---- aliases ------------------------------------------------------------------------------------


def test_an_alias_moves_by_compare_and_swap(registry: Registry) -> None:
    one, two = publish(registry, 1), publish(registry, 2)
    registry.set_alias("demo", one, accept, expected=None, **ANN)
    for stale in (None, two):
        with pytest.raises(ConflictError, match=rf"alias demo: .*expected .*found {one}"):
            registry.set_alias("demo", two, accept, expected=stale, **ANN)
    registry.set_alias("demo", two, accept, expected=one, **ANN)
    before = registry.version()
    registry.set_alias("demo", two, accept, expected=two, **ANN)  # nothing to do
    assert registry.version() == before
    assert registry.resolve("demo").version.id == two
    assert registry.resolve("demo").alias == "demo"
    assert registry.resolve(one).alias is None
    assert registry.resolve(one).body == {**body(1), "id": one}
    assert [e.to_id for e in registry.history("demo")] == [one, two]


def test_unknown_targets_and_names(registry: Registry) -> None:
    one = publish(registry, 1)
    for unknown in ("0" * 64, "../../etc/passwd", "demo", ""):
        with pytest.raises(MissingError):
            registry.set_alias("demo", unknown, accept, expected=None, **ANN)
        with pytest.raises(MissingError):
            registry.resolve(unknown)
        with pytest.raises(MissingError):
            registry.load(unknown)
    for name in ("Live", "a/b", "", "x\n", one, "x" * 64, "-x"):
        with pytest.raises(SpecError):
            registry.set_alias(name, one, accept, expected=None, **ANN)
    assert registry.aliases() == {}


def test_what_served_at_a_time(registry: Registry, clock: Clock) -> None:
    one, two = publish(registry, 1), publish(registry, 2)
    clock.now = START + HOUR
    registry.set_alias("demo", one, accept, expected=None, **ANN)
    clock.now = START + 2 * HOUR
    registry.set_alias("demo", two, accept, expected=one, **ANN)
    clock.now = START + 3 * HOUR
    registry.rollback("demo", accept, expected=two, **ANN)
    moments = [START, START + HOUR, START + 1.5 * HOUR, START + 2 * HOUR, START + 9 * HOUR]
    assert [registry.alias_as_of("demo", m) for m in moments] == [None, one, one, two, one]
    with pytest.raises(ValueError, match="without zone"):
        registry.alias_as_of("demo", datetime(2026, 2, 6))


def test_a_clock_set_back_does_not_reorder_the_past(registry: Registry, clock: Clock) -> None:
    one = publish(registry, 1)
    clock.now = START - HOUR
    registry.set_alias("demo", one, accept, expected=None, **ANN)
    assert [e.time for e in registry.entries()] == ["2026-02-06T09:00:00.000000Z"] * 2
    assert registry.alias_as_of("demo", START) == one


def test_rollback_goes_back_step_by_step(registry: Registry) -> None:
    ids = [publish(registry, n) for n in range(4)]
    before = None
    for id_ in ids:
        registry.set_alias("demo", id_, accept, expected=before, **ANN)
        before = id_
    with pytest.raises(ConflictError):
        registry.rollback("demo", accept, expected=ids[0], **ANN)
    assert registry.rollback("demo", accept, expected=ids[3], **ANN) == ids[2]
    registry.tombstone(ids[1], **ANN)
    assert registry.rollback("demo", accept, expected=ids[2], **ANN) == ids[0]
    with pytest.raises(RefusedError, match="no earlier version"):
        registry.rollback("demo", accept, expected=ids[0], **ANN)
    with pytest.raises(ConflictError):
        registry.rollback("other", accept, expected=ids[0], **ANN)
    registry.set_alias("demo", ids[3], accept, expected=ids[0], **ANN)
    assert registry.rollback("demo", accept, expected=ids[3], **ANN) == ids[0]
    assert registry.entries()[-1].action == "rollback"


def test_a_withdrawn_version_never_serves_again(registry: Registry) -> None:
    one, two = publish(registry, 1), publish(registry, 2)
    registry.set_alias("demo", one, accept, expected=None, **ANN)
    with pytest.raises(RefusedError, match="serves as demo"):
        registry.tombstone(one, **BOB)
    registry.tombstone(two, **BOB)
    registry.tombstone(two, **BOB)
    assert len(registry.entries()) == 4
    attempts: list[Callable[[], object]] = [
        lambda: registry.set_alias("demo", two, accept, expected=one, **ANN),
        lambda: publish(registry, 2),
        lambda: publish(registry, 2, PASS),
        lambda: registry.resolve(two),
        lambda: registry.load(two),
    ]
    for attempt in attempts:
        with pytest.raises(RefusedError, match="withdrawn by bob: looks right"):
            attempt()
    with pytest.raises(MissingError):
        registry.tombstone("0" * 64, **ANN)
    assert [v.withdrawn for v in registry.versions()] == [False, True]


# ---- the gate -----------------------------------------------------------------------------------


@pytest.mark.parametrize("alias", ["demo", "candidate", "shadow", "anything"])
def test_other_aliases_take_what_has_not_failed(registry: Registry, alias: str) -> None:
    for evidence in (None, UNDECIDED, {"verdict": "WARN"}, PASS):
        expected = registry.aliases().get(alias)
        id_ = publish(registry, len(registry.entries()), evidence)
        registry.set_alias(alias, id_, accept, expected=expected, **ANN)
    with pytest.raises(RefusedError, match="found FAIL"):
        registry.set_alias(alias, publish(registry, 99, FAIL), accept, expected=id_, **ANN)


@pytest.mark.parametrize("evidence", [None, UNDECIDED, FAIL, {"verdict": "WARN"}, {"other": 1}])
def test_live_takes_only_pass(registry: Registry, evidence: dict[str, Any] | None) -> None:
    id_ = publish(registry, 1, evidence)
    documents = files(registry)
    with pytest.raises(RefusedError, match=r"alias live .*expected PASS"):
        registry.set_alias("live", id_, accept, expected=None, **BOB)
    with pytest.raises(RefusedError, match=r"alias live .*expected PASS"):
        registry.promote(body(7), "live", accept, expected=None, evidence=evidence, **BOB)
    assert registry.aliases() == {}
    assert len(registry.versions()) == 1  # a refused promotion publishes nothing
    assert files(registry) == documents
    registry.set_alias("live", id_, accept, expected=None, evidence=PASS, **BOB)
    assert registry.resolve("live").version.verdict == "PASS"
    assert registry.resolve(id_).version.verdict == (
        "UNDECIDED" if evidence in (None, {"other": 1}) else (evidence or {})["verdict"]
    )


def test_promote_publishes_and_points_at_once(registry: Registry) -> None:
    id_ = registry.promote(body(1), "live", accept, expected=None, evidence=PASS, **ANN)
    assert registry.aliases() == {"live": id_}
    assert [e.action for e in registry.entries()] == ["publish", "set_alias"]
    documents = files(registry)
    with pytest.raises(ConflictError):
        registry.promote(body(2), "live", accept, expected=None, evidence=PASS, **ANN)
    assert files(registry) == documents
    assert len(registry.entries()) == 2
    assert registry.promote(body(1), "live", accept, expected=id_, evidence=PASS, **ANN) == id_
    assert len(registry.entries()) == 2


def waive(registry: Registry, id_: str, actor: str, alias: str = "live", hours: float = 1) -> None:
    registry.waive(
        alias, id_, actor=actor, reason="small sample", gates=["G2"], expires=START + hours * HOUR
    )


def test_a_waiver_needs_another_approver(registry: Registry, clock: Clock) -> None:
    id_ = publish(registry, 1, FAIL)

    def go_live(actor: str) -> None:
        registry.set_alias("live", id_, accept, expected=None, actor=actor, reason="go")

    with pytest.raises(RefusedError, match="own version"):
        waive(registry, id_, "Ann")
    waive(registry, id_, "bob", alias="shadow")
    with pytest.raises(RefusedError, match="another approver"):
        go_live("cid")  # that waiver was for another alias
    waive(registry, id_, "bob")
    with pytest.raises(RefusedError, match="another approver"):
        go_live("BOB")  # who waives does not move
    other = publish(registry, 2, FAIL)
    with pytest.raises(RefusedError):
        registry.set_alias("live", other, accept, expected=None, actor="cid", reason="go")
    clock.now = START + HOUR
    with pytest.raises(RefusedError):
        go_live("cid")  # expired
    clock.now = START + HOUR - timedelta(seconds=1)
    go_live("ann")
    assert registry.resolve("live").version.verdict == "FAIL"


def test_a_waiver_is_complete(registry: Registry) -> None:
    id_ = publish(registry, 1)
    with pytest.raises(SpecError, match="names gates"):
        registry.waive("live", id_, gates=[], expires=START + HOUR, **BOB)
    with pytest.raises(SpecError, match="future"):
        waive(registry, id_, "bob", hours=0)
    with pytest.raises(MissingError):
        waive(registry, "0" * 64, "bob")
    assert len(registry.entries()) == 1


# ---- tampering ----------------------------------------------------------------------------------


@pytest.fixture
def busy(registry: Registry) -> Registry:
    one = registry.promote(body(1), "demo", accept, expected=None, evidence=UNDECIDED, **ANN)
    registry.promote(body(2), "demo", accept, expected=one, **ANN)
    assert registry.verify() == 4
    return registry


def tamper(registry: Registry, sql: str) -> None:
    with closing(sqlite3.connect(registry.database)) as db:
        db.executescript("DROP TRIGGER log_keeps_entries; DROP TRIGGER log_loses_nothing;" + sql)


EDITS = [
    *(
        f"UPDATE log SET {column} = {value} WHERE seq = {seq}"
        for seq in (1, 2, 4)
        for column, value in {
            "time": "'2026-02-06T08:00:00.000000Z'",
            "actor": "'eve'",
            "action": "'rollback'",
            "name": "'live'",
            "from_id": "'x'",
            "to_id": f"'{'0' * 64}'",
            "reason": "'none'",
            "evidence": f"'{'0' * 64}'",
            "prev_hash": f"'{'1' * 64}'",
            "hash": f"'{'1' * 64}'",
        }.items()
    ),
    "DELETE FROM log WHERE seq = 1",
    "DELETE FROM log WHERE seq = 3",
    "DELETE FROM log WHERE seq = 4",
    "DELETE FROM log",
    "DELETE FROM log WHERE seq = 3; UPDATE log SET seq = 3 WHERE seq = 4",
    "UPDATE log SET seq = -seq; UPDATE log SET seq = 5 + seq",
]


@pytest.mark.parametrize("sql", EDITS)
def test_no_edit_of_the_log_goes_unnoticed(busy: Registry, sql: str) -> None:
    tamper(busy, sql)
    attempts: list[Callable[[], object]] = [
        busy.verify,
        busy.aliases,
        lambda: busy.resolve("demo"),
        lambda: publish(busy, 3),
    ]
    for attempt in attempts:
        with pytest.raises(LakeError, match="tampered with: entr"):
            attempt()


def test_an_edit_that_rehashes_its_own_row_breaks_the_next(busy: Registry) -> None:
    entry = busy.entries()[1]
    forged = log.Entry(**{**entry.__dict__, "actor": "eve"}).sealed()
    tamper(busy, f"UPDATE log SET actor = 'eve', hash = '{forged.hash}' WHERE seq = 2")
    with pytest.raises(LakeError, match="entry 3 does not follow"):
        busy.verify()


def test_the_database_itself_refuses_edits(busy: Registry) -> None:
    with closing(sqlite3.connect(busy.database)) as db:
        for sql in ("UPDATE log SET actor = 'eve'", "DELETE FROM log"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                db.execute(sql)
    assert busy.verify() == 4


def test_every_document_is_verified(busy: Registry) -> None:
    for path in sorted(busy.folder.rglob("*.json")):
        clean = path.read_bytes()
        path.write_bytes(clean.replace(b'"', b"'", 1))
        with pytest.raises(LakeError, match="was changed"):
            busy.verify()
        path.unlink()
        with pytest.raises(LakeError, match="there is no such"):
            busy.verify()
        path.write_bytes(clean)
    assert busy.verify() == 4


def test_a_file_that_is_no_registry(busy: Registry) -> None:
    busy.database.write_bytes(b"not a database, but long enough to be read as one" * 99)
    for attempt in (busy.entries, busy.version, lambda: publish(busy, 3)):
        with pytest.raises(LakeError, match="not a registry"):
            attempt()


# ---- serving reads while others write -----------------------------------------------------------


def test_the_next_poll_sees_a_move(busy: Registry) -> None:
    reader = RegistryReader(busy.folder.parent)
    target = busy.aliases()["demo"]
    assert reader.version() == reader.version() == 4
    busy.rollback("demo", accept, expected=target, **ANN)
    assert reader.version() == 5
    assert reader.resolve("demo").body["n"] == 1
    assert reader.resolve("demo").seq == 5


def test_reading_needs_no_right_to_write(busy: Registry) -> None:
    paths = [busy.database, *busy.folder.rglob("*")]
    before = {p: p.stat().st_mtime_ns for p in paths}
    reader = RegistryReader(busy.folder.parent)
    reader.verify()
    reader.version()
    assert {p: p.stat().st_mtime_ns for p in [busy.database, *busy.folder.rglob("*")]} == before


def test_a_lake_that_moved_still_serves(busy: Registry, tmp_path: Path) -> None:
    shutil.copytree(busy.folder, tmp_path / "elsewhere" / "serving")
    moved = RegistryReader(tmp_path / "elsewhere")
    assert moved.verify() == 4
    assert moved.resolve("demo") == busy.resolve("demo")


def test_a_lock_that_is_held_too_long_is_named(busy: Registry) -> None:
    with closing(sqlite3.connect(busy.database, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(LockError, match="another process holds the registry"):
            publish(Registry(busy.folder.parent, busy_seconds=0.05), 3)
        assert busy.verify() == 4  # readers do not wait
        db.execute("ROLLBACK")
    publish(busy, 3)


def test_the_log_is_what_the_documentation_says(busy: Registry) -> None:
    first = busy.entries()[0]
    assert first.prev_hash == "0" * 64
    text = json.dumps(
        {
            "seq": 1,
            "time": first.time,
            "actor": "ann",
            "action": "publish",
            "name": None,
            "from_id": None,
            "to_id": version_id(body(1)),
            "reason": "because",
            "evidence": version_id(UNDECIDED),
        },
        sort_keys=True,
        separators=(",", ":"),
    )
    assert first.hash == hashlib.sha256(("0" * 64 + text).encode()).hexdigest()
