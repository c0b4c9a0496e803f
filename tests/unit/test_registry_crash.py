"""Writers killed at every step, and many at once: in processes of their own.

Run as a script, this file forks one child a scenario, so that imports are paid once.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from qmachina.errors import ConflictError
from qmachina.registry.reader import RegistryReader
from qmachina.registry.writer import Registry, version_id

STEPS = ("preflighted", "documents", "appended", "committed")
ACTOR = {"actor": "ann", "reason": "because"}
N_RACERS = 4
N_MOVES = 6
PROJECT = Path(__file__).resolve().parents[2]


def accept(body: dict[str, Any]) -> None:
    assert body["id"]


def body(n: int) -> dict[str, Any]:
    return {"model": "ema", "n": n}


def run_killed(root: Path, step: str) -> str:
    """Die at a step of a promotion."""
    Registry(root).promote(body(1), "demo", accept, expected=None, **ACTOR)

    def die(here: str) -> None:
        if here == step:
            os.kill(os.getpid(), signal.SIGKILL)

    registry = Registry(root, on_step=die)
    registry.promote(
        body(2), "demo", accept, expected=version_id(body(1)), evidence={"verdict": "WARN"}, **ACTOR
    )
    return "survived"


def run_killed_while_spilling(root: Path) -> str:
    """Die when half of a transaction is in the file: its journal has to be rolled back."""
    Registry(root).promote(body(1), "demo", accept, expected=None, **ACTOR)
    db = sqlite3.connect(RegistryReader(root).database, isolation_level=None)
    db.execute("PRAGMA cache_size = 1")
    db.execute("BEGIN IMMEDIATE")
    for seq in range(3, 500):
        row = (seq, "t", "eve", "publish", None, None, "x", "y" * 2000, None, "0", "1")
        db.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


def run_first(root: Path, n: str) -> str:
    """Race for an alias that does not exist yet, in a registry that may not exist yet."""
    registry = Registry(root)
    id_ = registry.publish(body(int(n)), accept, **ACTOR)
    try:
        registry.set_alias("demo", id_, accept, expected=None, **ACTOR)
    except ConflictError:
        return "lost"
    return id_


def run_moves(root: Path, n: str) -> str:
    """Move an alias again and again, each time from where it was last seen."""
    registry = Registry(root)
    id_ = registry.publish(body(int(n)), accept, **ACTOR)
    won = 0
    for _ in range(N_MOVES):
        seen = registry.aliases().get("demo")
        try:
            registry.set_alias("demo", id_, accept, expected=seen, **ACTOR)
            won += seen != id_
        except ConflictError:
            pass
    return str(won)


def fork(scenario: list[str], answer: int) -> int:
    child = os.fork()
    if child == 0:
        name, root, *arguments = scenario
        try:
            text = globals()[name](Path(root), *arguments)
        except BaseException as e:
            text = repr(e)
        os.write(answer, text.encode())
        os._exit(0)
    return child


def nursery(groups: list[list[list[str]]]) -> list[list[str]]:
    """Run group after group, the scenarios of a group at once; no answer means killed."""
    answers = []
    for group in groups:
        pipes = [os.pipe() for _ in group]
        children = [fork(one, pipe[1]) for one, pipe in zip(group, pipes, strict=True)]
        for child in children:
            os.waitpid(child, 0)
        for _, write_end in pipes:
            os.close(write_end)
        answers.append([os.read(read_end, 65536).decode() for read_end, _ in pipes])
    return answers


@pytest.fixture(scope="module")
def hatched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[str]]]:
    """Lake and answers of each case."""
    tmp = tmp_path_factory.mktemp("registry")
    cases: dict[str, list[list[str]]] = {
        **{step: [["run_killed", step]] for step in STEPS},
        "spilling": [["run_killed_while_spilling"]],
        "first": [["run_first", str(n)] for n in range(N_RACERS)],
        "moves": [["run_moves", str(n)] for n in range(N_RACERS)],
    }
    roots = {case: tmp / case for case in cases}
    for root in roots.values():
        root.mkdir()
    groups = [
        [[name, str(roots[case]), *arguments] for name, *arguments in group]
        for case, group in cases.items()
    ]
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps(groups),
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        text=True,
        timeout=120,
    )
    answers = json.loads(done.stdout)
    return {case: (roots[case], a) for case, a in zip(cases, answers, strict=True)}


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_promotion_happened_whole_or_not_at_all(
    hatched: dict[str, tuple[Path, list[str]]], step: str
) -> None:
    root, answers = hatched[step]
    assert answers == [""]
    one, two = version_id(body(1)), version_id(body(2))
    reader = RegistryReader(root)
    happened = step == "committed"
    assert reader.verify() == (4 if happened else 2)
    assert reader.aliases() == {"demo": two if happened else one}
    assert len(reader.versions()) == (2 if happened else 1)
    Registry(root).promote(
        body(2),
        "demo",
        accept,
        expected=two if happened else one,
        evidence={"verdict": "WARN"},
        **ACTOR,
    )
    assert reader.verify() == 4
    assert reader.resolve("demo").version.verdict == "WARN"
    assert [p.name for p in root.rglob(".*")] == []


def test_a_reader_recovers_from_a_writer_killed_inside_a_commit(
    hatched: dict[str, tuple[Path, list[str]]],
) -> None:
    root, answers = hatched["spilling"]
    assert answers == [""]
    reader = RegistryReader(root)
    assert reader.database.stat().st_size > 500_000  # the death left work to undo
    assert reader.version() == 2
    assert reader.verify() == 2
    assert reader.database.stat().st_size < 100_000


def test_of_many_first_movers_one_wins(hatched: dict[str, tuple[Path, list[str]]]) -> None:
    root, answers = hatched["first"]
    assert Counter(answers)["lost"] == N_RACERS - 1
    (winner,) = {*answers} - {"lost"}
    reader = RegistryReader(root)
    assert reader.aliases() == {"demo": winner}
    assert reader.verify() == N_RACERS + 1


def test_no_move_is_lost_and_none_is_doubled(hatched: dict[str, tuple[Path, list[str]]]) -> None:
    root, answers = hatched["moves"]
    reader = RegistryReader(root)
    assert reader.verify() == N_RACERS + sum(map(int, answers))
    moves = [e for e in reader.entries() if e.action == "set_alias"]
    assert moves
    assert [e.from_id for e in moves] == [None, *(e.to_id for e in moves[:-1])]


if __name__ == "__main__":
    json.dump(nursery(json.load(sys.stdin)), sys.stdout)
