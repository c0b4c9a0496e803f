"""The raw-file sensor over successive ticks."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from qmachina_assets.report import OVERWRITE
from qmachina_jobs.sensors import MAX_REQUESTS
from tests.assets.world import CHRISTMAS, MONDAY, THURSDAY, TUESDAY, World, make_lake


class Ticks:
    """One sensor, tick after tick."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.defs = world.defs
        self.cursor: str | None = None
        self.skipped = ""

    def tick(self) -> list[dg.RunRequest]:
        sensor = self.defs.resolve_sensor_def("raw_files")
        context = dg.build_sensor_context(
            instance=self.world.instance,
            cursor=self.cursor,
            definitions=self.defs,
            resources={"home": self.world.resource},
        )
        data = sensor.evaluate_tick(context)
        self.cursor, self.skipped = data.cursor, data.skip_message or ""
        return list(data.run_requests or ())

    @property
    def folder(self) -> Path:
        return self.world.home.raw_folder


@pytest.fixture
def ticks(world: World) -> Ticks:
    return Ticks(world)


def dates(requests: list[dg.RunRequest]) -> list[str | None]:
    return [r.partition_key for r in requests]


ALL = [str(MONDAY), str(TUESDAY), str(THURSDAY)]


def test_a_file_is_asked_for_once_it_held_still_for_two_ticks(ticks: Ticks) -> None:
    assert ticks.tick() == []
    assert "met for the first time" in ticks.skipped
    assert dates(ticks.tick()) == ALL
    assert ticks.tick() == []
    assert ticks.skipped == "no new raw file"


def test_a_file_that_is_still_growing_waits(ticks: Ticks) -> None:
    path = ticks.world.home.raw_file(MONDAY)
    ticks.tick()
    with path.open("ab") as file:
        file.write(b"more")
    assert dates(ticks.tick()) == ALL[1:]
    assert dates(ticks.tick()) == ALL[:1]


def test_run_keys_say_name_size_and_time(ticks: Ticks) -> None:
    ticks.tick()
    request = ticks.tick()[0]
    path = ticks.world.home.raw_file(MONDAY)
    stat = path.stat()
    assert request.run_key == f"{path.name}:{stat.st_size}-{stat.st_mtime_ns}"


@pytest.mark.parametrize("cursor", [None, "", "{}", "nonsense", "[]", '{"seen": 3}'])
def test_a_lost_cursor_asks_with_the_same_keys(ticks: Ticks, cursor: str | None) -> None:
    ticks.tick()
    first = [r.run_key for r in ticks.tick()]
    ticks.cursor = cursor
    assert ticks.tick() == []
    assert [r.run_key for r in ticks.tick()] == first


def test_what_is_registered_with_this_very_file_is_not_asked_for_again(ticks: Ticks) -> None:
    assert ticks.world.run("ingest", MONDAY).success
    ticks.tick()
    assert dates(ticks.tick()) == ALL[1:]


def test_a_replaced_file_is_asked_for_with_permission_to_replace(ticks: Ticks) -> None:
    assert ticks.world.run("ingest", MONDAY).success
    path = ticks.world.home.raw_file(MONDAY)
    ticks.tick(), ticks.tick()
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
    assert ticks.tick() == []
    (request,) = ticks.tick()
    assert request.partition_key == str(MONDAY)
    assert request.tags[OVERWRITE] == "true"


def test_a_new_date_has_no_permission_to_replace(ticks: Ticks) -> None:
    ticks.tick()
    assert all(OVERWRITE not in r.tags for r in ticks.tick())


def test_what_is_no_session_or_says_no_date_is_reported(ticks: Ticks) -> None:
    source = ticks.world.home.raw_file(MONDAY)
    holiday = ticks.folder / source.name.replace("20241223", f"{CHRISTMAS:%Y%m%d}")
    shutil.copy2(source, holiday)
    (ticks.folder / "notes.txt").write_text("mine")
    (ticks.folder / f".{source.name}.part").write_bytes(b"half")
    (ticks.folder / f"{source.name}.part").write_bytes(b"half")
    ticks.tick()
    assert dates(ticks.tick()) == ALL
    assert ticks.tick() == []
    assert f"not a session, or its UTC date is not over: {holiday.name}" in ticks.skipped
    assert f"name says no date: {source.name}.part, notes.txt" in ticks.skipped


def test_a_full_lake_is_asked_for_in_shares(tmp_path: Path) -> None:
    resource = make_lake(tmp_path / "lake")
    home = resource.open()
    days = home.calendar.sessions(MONDAY, MONDAY.replace(year=2025))[: MAX_REQUESTS + 5]
    for day in days:
        (home.raw_folder / f"glbx-mdp3-{day:%Y%m%d}.mbo.dbn.zst").write_bytes(b"x")
    with dg.DagsterInstance.ephemeral() as instance:
        ticks = Ticks(World(resource, instance))
        assert ticks.tick() == []
        asked = [dates(ticks.tick()) for _ in range(3)]
    assert [len(share) for share in asked] == [MAX_REQUESTS, 5, 0]
    assert asked[0] + asked[1] == [str(d) for d in days]


def test_a_file_that_vanished_is_forgotten(ticks: Ticks) -> None:
    ticks.tick(), ticks.tick()
    name = ticks.world.home.raw_file(MONDAY).name
    ticks.world.home.raw_file(MONDAY).unlink()
    ticks.tick()
    cursor: dict[str, Any] = json.loads(ticks.cursor or "")
    assert name not in cursor["seen"]


def test_no_file_is_opened(ticks: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ticks.folder.iterdir():
        path.write_bytes(b"not a DBN file")
    ticks.tick()
    assert dates(ticks.tick()) == ALL
