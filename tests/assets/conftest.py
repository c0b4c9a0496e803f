"""A tiny synthetic market, made once, and lakes that begin with its files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from qmachina.sources.synth.files import generate, session_bounds
from tests.assets.world import MARKET, MONDAY, SECONDS, THURSDAY, TUESDAY, World, make_lake


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three files of a minute each."""
    folder = tmp_path_factory.mktemp("market")
    sessions = []
    for day in (MONDAY, TUESDAY, THURSDAY):
        opened = session_bounds(MARKET, day)[1]
        sessions.append((day, opened, opened + SECONDS * 1_000_000_000))
    return generate(MARKET, sessions, folder)


@pytest.fixture
def world(tmp_path: Path, market: list[Path]) -> Iterator[World]:
    """A fresh lake with all three files and an ephemeral Dagster."""
    resource = make_lake(tmp_path / "lake")
    for path in market:
        shutil.copy2(path, resource.open().raw_folder)
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(resource, instance)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, market: list[Path]) -> Iterator[World]:
    """A lake in which Monday and Tuesday went through the whole chain; do not change it."""
    resource = make_lake(tmp_path_factory.mktemp("built") / "lake")
    for path in market:
        shutil.copy2(path, resource.open().raw_folder)
    with dg.DagsterInstance.ephemeral() as instance:
        world = World(resource, instance)
        for day in (MONDAY, TUESDAY):
            assert world.run("ingest", day).success
        yield world
