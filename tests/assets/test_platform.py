"""The real thing: webserver and daemon on free ports, a file that is dropped, jobs by command."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qmachina.cli import processes
from qmachina.lake.home import Home
from qmachina.registry.reader import RegistryReader
from tests.assets.world import CHRISTMAS, MONDAY, TUESDAY, make_lake

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Machine:
    """A lake and a Dagster home of its own, worked on through the command."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lake = root / "lake"
        self.home: Home = make_lake(self.lake).open()
        self.port = free_port()
        self.environment = {
            **os.environ,
            "QMACHINA_LAKE": str(self.lake),
            "DAGSTER_HOME": str(root / "dagster"),
            "QMACHINA_SENSOR_SECONDS": "2",
            "PORT_UI": str(self.port),
        }

    def call(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "qmachina.cli", *map(str, arguments)],
            env=self.environment,
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
        )

    def json(self, *arguments: object) -> Any:
        done = self.call(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def ask(self, query: str, **variables: object) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as reply:
            answer = json.load(reply)
        assert "errors" not in answer, answer
        return answer["data"]

    def runs(self) -> list[dict[str, Any]]:
        data = self.ask(
            "{ runsOrError { ... on Runs { results { runId jobName status "
            "tags { key value } } } } }"
        )
        return [
            {**r, "tags": {t["key"]: t["value"] for t in r["tags"]}}
            for r in data["runsOrError"]["results"]
        ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: Callable[[], Any], seconds: float = 240.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.5)
    raise AssertionError("it did not happen in time")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.call("down")


def test_a_dropped_file_is_ingested_and_all_works_from_the_page(
    machine: Machine, market: list[Path]
) -> None:
    # A shell ignores SIGINT for what it starts in the background; Dagster must not inherit that.
    started = subprocess.run(
        ["sh", "-c", 'trap "" INT; exec "$0" -m qmachina.cli up --no-serve', sys.executable],
        env=machine.environment,
        cwd=machine.root,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert started.returncode == 0, started.stderr
    before = machine.json("status")["processes"]
    assert [p["name"] for p in before] == ["ui", "daemon"]
    assert machine.json("up", "--no-serve")["processes"] == before  # nothing is started twice

    # One that died is noticed, and everything starts anew.
    os.kill(before[1]["pid"], signal.SIGKILL)
    wait_for(lambda: not processes.birth(before[1]["pid"]))
    revived = machine.call("up", "--no-serve")
    assert "daemon ended by itself" in revived.stderr
    before = machine.json("status")["processes"]
    assert [p["name"] for p in before] == ["ui", "daemon"]

    # A second home cannot have the port, and says who has it.
    other = Machine(machine.root / "second")
    other.environment["PORT_UI"] = str(machine.port)
    refused = other.call("up", "--no-serve")
    assert refused.returncode == 4
    assert f"port {machine.port} is taken" in refused.stderr
    assert f"pid {before[0]['pid']}: " in refused.stderr

    # Drop one file; the sensor ingests it, once.
    shutil.copy2(market[0], machine.home.raw_folder)
    run = wait_for(lambda: [r for r in machine.runs() if r["status"] in ("SUCCESS", "FAILURE")])[0]
    assert (run["status"], run["jobName"]) == ("SUCCESS", "ingest")
    assert run["tags"]["dagster/partition"] == str(MONDAY)
    assert run["tags"]["dagster/sensor_name"] == "raw_files"
    assert machine.json("status")["datasets"]["evaluation/ema_ensemble"]["sessions"] == 1
    nodes = machine.ask(
        "{ assetNodes { assetKey { path } partitionStats { numMaterialized numFailed } } }"
    )["assetNodes"]
    stats = {"/".join(n["assetKey"]["path"]): n["partitionStats"] for n in nodes}
    assert stats["gold/features"] == {"numMaterialized": 1, "numFailed": 0}

    # A run for a holiday, by API: Dagster accepts it, the asset does not.
    launched = machine.ask(
        "mutation($p: ExecutionParams!) { launchRun(executionParams: $p)"
        " { __typename ... on LaunchRunSuccess { run { runId } } } }",
        p={
            "selector": {
                "repositoryLocationName": "qmachina",
                "repositoryName": "__repository__",
                "jobName": "ingest",
            },
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": str(CHRISTMAS)}]},
        },
    )["launchRun"]["run"]["runId"]
    ended = wait_for(
        lambda: [
            r
            for r in machine.runs()
            if r["runId"] == launched and r["status"] in ("SUCCESS", "FAILURE")
        ]
    )
    assert ended[0]["status"] == "FAILURE"
    logs = machine.ask(
        "query($r: ID!) { logsForRun(runId: $r) { ... on EventConnection { events { __typename"
        " ... on ExecutionStepFailureEvent { error { message } } } } } }",
        r=launched,
    )["logsForRun"]["events"]
    messages = [
        e["error"]["message"] for e in logs if e["__typename"] == "ExecutionStepFailureEvent"
    ]
    assert any("2024-12-25 is not a session of CMES: it is a holiday" in m for m in messages)
    assert {p.name for p in machine.lake.rglob("dt=*")} == {f"dt={MONDAY}"}

    # A partition backfill from the page.
    shutil.rmtree(machine.lake / "evaluation")
    machine.ask(
        "mutation($b: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $b)"
        " { __typename ... on LaunchBackfillSuccess { backfillId } } }",
        b={
            "assetSelection": [{"path": ["evaluation", "ema_ensemble"]}],
            "partitionNames": [str(MONDAY)],
        },
    )
    wait_for(lambda: list((machine.lake / "evaluation").rglob(f"dt={MONDAY}")))

    assert machine.json("down")["stopped"] == ["ui", "daemon"]
    with processes.locked(machine.root / "dagster"):
        pass  # the lock is free, so no child lives on
    assert not any(processes.birth(p["pid"]) for p in before)
    assert machine.json("down")["stopped"] == []


def test_the_chain_by_commands_without_any_process(machine: Machine, market: list[Path]) -> None:
    machine.json("import", *market[:2])
    done = machine.json("backfill", "--dates", f"{MONDAY}:{TUESDAY}", "--workers", 2)
    assert sorted(d["date"] for d in done) == [str(MONDAY), str(TUESDAY)]
    again = machine.json("backfill", "--dates", f"{MONDAY}:{TUESDAY}")
    assert all(d["reused"] for d in again)

    study = machine.json("sweep", "ema_barriers")
    assert (study["dates"], study["runs"]) == (2, 27)
    rows = machine.json("runs", "--limit", 3)
    assert [r["rank"] for r in rows] == [1, 2, 3]
    assert rows[0]["run_id"] == study["best_run_id"]

    first = machine.json("promote", rows[0]["run_id"], "--alias", "demo", "--actor", "ann")
    assert first["stream"] == "ws://127.0.0.1:8002/v1/stream?serving=demo"
    machine.json("promote", rows[1]["run_id"][:8], "--alias", "demo")
    back = machine.json("rollback", "--alias", "demo")
    assert back["after"] == first["after"]
    assert RegistryReader(machine.lake).aliases() == {"demo": first["after"]}
    refused = machine.call("promote", rows[0]["run_id"], "--alias", "live")
    assert refused.returncode == 4
    assert "whose gate did not pass" in refused.stderr
    assert refused.stderr.count("Traceback") == 0

    path = machine.home.raw_file(MONDAY)
    path.write_bytes(path.read_bytes()[:-100])
    failed = machine.call("ingest", MONDAY, "--overwrite")
    assert failed.returncode == 3
    assert "truncated or damaged" in failed.stderr.splitlines()[-1]

    listed = machine.call("dagster", "asset", "list")
    assert listed.returncode == 0
    assert "silver/grid" in listed.stdout
    assert not (machine.root / ".dagster").exists()  # nothing litters the current folder
    assert sorted(p.name for p in machine.root.iterdir()) == ["dagster", "lake"]
