"""Writers killed at every step, racing writers, a disk that refuses: in processes of their own.

Run as a script, this file is the nursery: it forks one child a scenario, so that imports are
paid once and no thread exists when it forks.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qmachina.errors import MissingError, QMachinaError
from qmachina.fields import Chunk, Field
from qmachina.lake import durable
from qmachina.lake.contract import Table
from qmachina.lake.layout import DatasetKey
from qmachina.lake.manifest import ManifestDraft
from qmachina.lake.publication import DISPLACED, STEPS
from qmachina.lake.store import Lake
from qmachina.lake.writer import PartitionWriter
from qmachina.specs.silver import SilverSpec

SPEC = SilverSpec()
TABLES = (Table.bins((Field("x", "int64", "1", "A number."),)),)
KEY = DatasetKey(
    layer="silver",
    dataset="grid",
    product_type="future_mbo",
    symbol="ESM4",
    spec_slug="default",
    spec_id8=SPEC.id8,
    dt=date(2024, 5, 8),
)
NOBODY = 65534
PROJECT = Path(__file__).resolve().parents[2]


def publish(lake: Lake, version: str, overwrite: bool = False, n_bins: int = 5) -> str:
    """Publish and say how it went."""
    draft = ManifestDraft.of(KEY, SPEC, {}, version, TABLES)
    try:
        with (
            lake.publish(draft, overwrite) as staging,
            PartitionWriter(staging.path, TABLES) as writer,
        ):
            x = np.full(n_bins, int(version))
            writer.write(Chunk({"bin_seq": np.arange(n_bins), "x": x}))
    except QMachinaError as e:
        return f"{type(e).__name__}: {e}"
    return "already there" if staging.already_there else "published"


# ---- the nursery --------------------------------------------------------------------------------


def cannot_exchange(a: Path, b: Path) -> bool:
    return False


def run_killed(root: Path, mode: str, step: str) -> str:
    """Die at a step of a publication."""

    def die(here: str) -> None:
        if here == step:
            os.kill(os.getpid(), signal.SIGKILL)

    exchange = cannot_exchange if mode == "displace" else durable.exchange
    if mode != "first":
        publish(Lake(root), "1")
    return publish(Lake(root, on_step=die, exchange=exchange), "2", overwrite=mode != "first")


def run_racing(root: Path, version: str, n_writers: str) -> str:
    """Publish at the same moment as the others: all wait until all are ready to appear."""

    def meet(here: str) -> None:
        if here == "success":
            (root / f"ready-{os.getpid()}").touch()
            deadline = time.monotonic() + 20
            while len(list(root.glob("ready-*"))) < int(n_writers):
                assert time.monotonic() < deadline
                time.sleep(0.001)

    return publish(Lake(root, on_step=meet), version)


def run_small_files(root: Path, limit: str) -> str:
    """Publish with a limit on the size of files: the kernel refuses the writes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), before[1]))
    answer = publish(Lake(root), "1", n_bins=20_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    return answer


def run_read_only(root: Path) -> str:
    """Read and publish without the right to write."""
    os.chdir(root)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    lake = Lake(Path())
    return f"{lake.read_bins(KEY)['x'][0]} {len(lake.list())} {publish(lake, '2', overwrite=True)}"


def fork(scenario: list[str], answer: int) -> int:
    """Run one scenario in a child that writes what it has to say to a pipe."""
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
    """Run group after group, the scenarios of a group at once."""
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


# ---- the tests ----------------------------------------------------------------------------------


MODES = {
    "first": STEPS,
    "exchange": STEPS,
    "displace": (*STEPS[:-2], DISPLACED, *STEPS[-2:]),
}
CASES = [(mode, step) for mode, steps in MODES.items() for step in steps]


LIMITS = ("0", "500", "5000")
OTHER, SAME, READ_ONLY = "other data", "same data", "read only"


@dataclass
class Hatched:
    """What the nursery did: a lake and the answers of each case; no answer means killed."""

    roots: dict[Any, Path]
    answers: dict[Any, list[str]]


@pytest.fixture(scope="module")
def hatched(tmp_path_factory: pytest.TempPathFactory) -> Hatched:
    tmp = tmp_path_factory.mktemp("crash")
    cases: dict[Any, list[list[str]]] = {
        **{(mode, step): [["run_killed", mode, step]] for mode, step in CASES},
        **{limit: [["run_small_files", limit]] for limit in LIMITS},
        OTHER: [["run_racing", str(version), "4"] for version in range(4)],
        SAME: [["run_racing", "7", "4"]] * 4,
        READ_ONLY: [["run_read_only"]],
    }
    roots = {case: tmp / str(i) for i, case in enumerate(cases)}
    for root in roots.values():
        root.mkdir()
    publish(Lake(roots[READ_ONLY]), "1")
    folders = [p for p in roots[READ_ONLY].rglob("*") if p.is_dir()]
    for folder in (roots[READ_ONLY], *folders):
        folder.chmod(0o555)
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
    for folder in (roots[READ_ONLY], *folders):
        folder.chmod(0o755)
    return Hatched(roots, dict(zip(cases, json.loads(done.stdout), strict=True)))


def visible(root: Path) -> list[str]:
    """Files that a foreign tool would find by glob."""
    return [str(p) for p in root.glob("silver/*/*/*/*/dt=*/*")]


@pytest.mark.parametrize(("mode", "step"), CASES)
def test_a_killed_writer_leaves_nothing_half_written(
    hatched: Hatched, tmp_path: Path, mode: str, step: str
) -> None:
    assert hatched.answers[mode, step] == [""]
    lake = Lake(hatched.roots[mode, step])
    if step in ("published", "retired"):
        assert lake.verify(KEY).code_version == "2"
    elif mode == "first" or step == DISPLACED:
        with pytest.raises(MissingError):
            lake.read_bins(KEY)
        assert lake.list() == ()
        assert visible(lake.root) == []
    else:
        assert lake.verify(KEY).code_version == "1"
        assert lake.read_bins(KEY)["x"].tolist() == [1] * 5
    if step == DISPLACED:
        assert lake.sweep() == 2  # what was moved aside returns, what was to come goes
        assert lake.verify(KEY).code_version == "1"

    retried = publish(lake, "2", overwrite=mode != "first")
    assert retried == ("already there" if mode == "first" and step in STEPS[-2:] else "published")
    assert [p.name for p in lake.root.rglob(".*")] == []
    clean = Lake(tmp_path)
    publish(clean, "2")
    assert lake.verify(KEY).files == clean.verify(KEY).files
    for name in lake.read_manifest(KEY).files:
        assert (lake.folder(KEY) / name).read_bytes() == (clean.folder(KEY) / name).read_bytes()


def test_of_writers_with_other_data_one_wins(hatched: Hatched) -> None:
    answers, lake = hatched.answers[OTHER], Lake(hatched.roots[OTHER])
    assert sorted(a.split(":")[0] for a in answers) == [*["ImmutableError"] * 3, "published"]
    assert sum("taken by another writer with other data" in a for a in answers) == 3
    assert lake.verify(KEY).code_version == str(answers.index("published"))
    assert [p.name for p in lake.root.rglob(".*")] == []


def test_of_writers_with_the_same_data_one_writes(hatched: Hatched) -> None:
    assert sorted(hatched.answers[SAME]) == [*["already there"] * 3, "published"]
    Lake(hatched.roots[SAME]).verify(KEY)


@pytest.mark.parametrize("limit", LIMITS)
def test_a_write_refused_by_the_system_leaves_nothing(hatched: Hatched, limit: str) -> None:
    (answer,) = hatched.answers[limit]
    assert answer.startswith("LakeError")
    assert "File too large" in answer
    root = hatched.roots[limit]
    assert [p for p in root.rglob("*") if p.is_file() or p.name.startswith(".")] == []
    assert publish(Lake(root), "1") == "published"


def test_a_read_only_lake_is_read_and_refuses_writers(hatched: Hatched) -> None:
    (answer,) = hatched.answers[READ_ONLY]
    assert answer.startswith("1 1 LakeError: silver/grid")
    assert "Permission denied" in answer
    assert Lake(hatched.roots[READ_ONLY]).verify(KEY).code_version == "1"


if __name__ == "__main__":
    importlib.import_module("pandas")  # pyarrow imports it on first use: once here, not per child
    json.dump(nursery(json.load(sys.stdin)), sys.stdout)
