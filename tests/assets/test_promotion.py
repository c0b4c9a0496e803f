"""Sweep, promote and roll back as jobs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from qmachina.datasets.study import read_study
from qmachina.registry.reader import RegistryReader
from qmachina_assets import experiments, serving
from qmachina_assets.resources import HomeResource
from tests.assets.world import CHRISTMAS, MONDAY, THURSDAY, TUESDAY, World

ACT = {"actor": "ann", "reason": "a test"}
SWEEP = {"experiment": "ema_barriers", "last_n": 5}


@pytest.fixture
def world(built: World, tmp_path: Path) -> Iterator[World]:
    """A copy of the built lake, to change at will."""
    shutil.copytree(built.root, tmp_path / "lake")
    resource = HomeResource(lake=str(tmp_path / "lake"))
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(resource, instance)


def runs(world: World, **config: object) -> list[str]:
    assert world.run("sweep", config={**SWEEP, **config}).success
    keys = world.home.lake.list("experiments", "study")
    return [row["run_id"] for row in read_study(world.home, keys[-1])["runs"]]


def test_a_sweep_takes_the_latest_scored_sessions(world: World) -> None:
    assert world.run("sweep", config=SWEEP).success
    event = world.instance.get_latest_materialization_event(experiments.KEY)
    assert event is not None
    assert event.asset_materialization is not None
    facts = {k: v.value for k, v in event.asset_materialization.metadata.items()}
    assert (facts["first"], facts["last"], facts["dates"]) == (str(MONDAY), str(TUESDAY), 2)
    assert facts["runs"] == 27
    assert str(facts["best"]).count("\n") == 11


def test_a_range_must_be_complete(world: World) -> None:
    config = {"experiment": "ema_barriers", "first": str(MONDAY), "last": str(THURSDAY)}
    line = world.failure("sweep", config=config)
    assert f"Materialise the asset signals/ema_ensemble for {THURSDAY}" in line
    config["last"] = str(CHRISTMAS)  # a range may end on a holiday
    assert world.run("sweep", config=config).success


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"experiment": "nothing"}, "no such experiment"),
        ({"experiment": "ema_barriers", "first": "2024-12-23"}, "first and last belong together"),
        ({"experiment": "ema_barriers", "first": "x", "last": "y"}, "not a date"),
        ({"experiment": "ema_barriers", "last_n": 0}, "last_n must be positive"),
    ],
)
def test_an_impossible_sweep_says_why(
    world: World, config: dict[str, object], message: str
) -> None:
    assert message in world.failure("sweep", config=config)


def test_two_workers_rank_as_one_does(world: World) -> None:
    alone = runs(world)
    shutil.rmtree(world.root / "experiments")
    assert runs(world, workers=2) == alone


def test_promote_and_roll_back(world: World) -> None:
    first, second = runs(world)[:2]
    registry = RegistryReader(world.root)
    targets = []
    for run in (first, second[:10]):
        assert world.run("promote", config={"run_id": run, "alias": "demo", **ACT}).success
        targets.append(registry.aliases()["demo"])
    assert targets[0] != targets[1]
    assert world.run("rollback", config={"alias": "demo", **ACT}).success
    assert registry.aliases()["demo"] == targets[0]
    assert [e.actor for e in registry.history("demo")] == ["ann"] * 3

    events = world.instance.fetch_materializations(serving.KEY, limit=10).records
    moves = [e.asset_materialization for e in events]
    versions = [m.tags["dagster/data_version"] for m in moves if m is not None]
    assert versions == [targets[0], targets[1], targets[0]]
    befores = [m.metadata["before"].value for m in moves if m is not None]
    assert befores == [targets[1], targets[0], "nothing"]


def test_the_best_run_of_an_experiment_can_be_named(world: World) -> None:
    best = runs(world)[0]
    config = {"run_id": "best:ema_barriers", "alias": "demo", **ACT}
    assert world.run("promote", config=config).success
    assert RegistryReader(world.root).resolve("demo").body["source"]["run_id"] == best


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"run_id": "f" * 64, "alias": "demo"}, "no such run"),
        ({"run_id": "best:barriers", "alias": "demo"}, "the experiment has no study"),
        ({"run_id": "best:ema_barriers", "alias": "Not A Name"}, "not a name"),
        ({"run_id": "best:ema_barriers", "alias": "live"}, "whose gate did not pass"),
    ],
)
def test_a_refused_promotion_changes_nothing(
    world: World, config: dict[str, object], message: str
) -> None:
    runs(world)
    assert message in world.failure("promote", config={**config, **ACT})
    assert RegistryReader(world.root).entries() == ()
    assert world.instance.get_latest_materialization_event(serving.KEY) is None


def test_there_must_be_something_to_go_back_to(world: World) -> None:
    back = {"config": {"alias": "demo", **ACT}}
    assert "no such alias" in world.failure("rollback", **back)
    config = {"run_id": runs(world)[0], "alias": "demo", **ACT}
    assert world.run("promote", config=config).success
    assert "no earlier version" in world.failure("rollback", **back)


@pytest.mark.parametrize("missing", ["run_id", "alias", "actor", "reason"])
def test_a_promotion_without_who_what_why_is_rejected_at_submit(world: World, missing: str) -> None:
    config = {"run_id": "f" * 64, "alias": "demo", **ACT}
    del config[missing]
    with pytest.raises(dg.DagsterInvalidConfigError, match=missing):
        world.run("promote", config=config)


def test_changed_raw_bytes_are_caught_by_the_golden_replay(world: World) -> None:
    runs(world)
    path = world.home.raw_file(TUESDAY)
    shutil.copyfile(world.home.raw_file(MONDAY), path)
    line = world.failure("promote", config={"run_id": "best:ema_barriers", "alias": "demo", **ACT})
    assert "golden vectors differ" in line
