"""One date through the whole chain."""

from __future__ import annotations

import base64
import json
import shutil

import dagster as dg
import numpy as np
import pytest

from qmachina.datasets.raw import registration
from qmachina.datasets.silver import silver_key
from qmachina.fields import Chunk
from qmachina.lake.manifest import ManifestDraft
from qmachina.lake.writer import PartitionWriter
from qmachina.sources.synth.files import generate, session_bounds
from qmachina_assets.plots import MAX_BYTES
from qmachina_assets.report import OVERWRITE
from tests.assets.world import MARKET, MONDAY, SECONDS, THURSDAY, TUESDAY, World

CHAIN = (
    "raw/mbo_dbn",
    "silver/grid",
    "gold/features",
    "signals/ema_ensemble",
    "signals/vacuum_pressure",
    "evaluation/ema_ensemble",
    "evaluation/vacuum_pressure",
)


def latest(world: World, asset: str, day: object = MONDAY) -> dg.AssetMaterialization:
    key = dg.AssetKey(asset.split("/"))
    records = world.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key, asset_partitions=[str(day)]), limit=1
    ).records
    assert records, f"{asset} was not materialised for {day}"
    found = records[0].asset_materialization
    assert found is not None
    return found


@pytest.mark.parametrize("asset", CHAIN)
def test_every_asset_says_what_it_made(built: World, asset: str) -> None:
    event = latest(built, asset)
    facts = {name: value.value for name, value in event.metadata.items()}
    manifest = json.loads((built.root / str(facts["path"]) / "manifest.json").read_text())
    assert facts["dataset_id"] == manifest["dataset_id"]
    if asset != "raw/mbo_dbn":
        assert event.tags["dagster/data_version"] == manifest["dataset_id"]
        assert facts["bytes"] == sum(f["bytes"] for f in manifest["files"].values())
    assert facts["seconds"] > 0
    assert facts["reused"] is False


def test_raw_is_identified_by_its_bytes(built: World) -> None:
    facts = registration(built.home, MONDAY)
    assert latest(built, "raw/mbo_dbn").tags["dagster/data_version"] == facts["sha256"]
    assert facts["records"] > 1000


def test_a_half_day_is_a_session_like_any_other(built: World) -> None:
    assert latest(built, CHAIN[-1], TUESDAY).partition == str(TUESDAY)


@pytest.mark.parametrize(
    ("asset", "picture"),
    [
        ("silver/grid", "price_path"),
        ("silver/grid", "depth"),
        ("silver/grid", "flow_by_hour"),
        ("gold/features", "distributions"),
        ("signals/vacuum_pressure", "score"),
        ("signals/ema_ensemble", "score"),
    ],
)
def test_pictures_are_small_images(built: World, asset: str, picture: str) -> None:
    text = str(latest(built, asset).metadata[picture].value)
    head, _, data = text.removesuffix(")").partition(",")
    assert head == "![plot](data:image/png;base64"
    image = base64.b64decode(data, validate=True)
    assert image.startswith(b"\x89PNG")
    assert 1000 < len(image) <= MAX_BYTES


def test_checks_are_recorded_for_the_date(built: World) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        world = World(built.resource, instance)
        result = world.run("signals", MONDAY)
    checks = {c.check_name: c for c in result.get_asset_check_evaluations()}
    assert {"is_finite", "is_ready", "has_few_ties"} <= set(checks)
    assert all(c.passed for c in result.get_asset_check_evaluations())


def test_a_second_run_reuses_everything(built: World) -> None:
    before = {p: p.stat().st_mtime_ns for p in built.root.rglob("manifest.json")}
    with dg.DagsterInstance.ephemeral() as instance:
        world = World(built.resource, instance)
        assert world.run("ingest", MONDAY).success
        assert latest(world, "silver/grid").metadata["reused"].value is True
    assert {p: p.stat().st_mtime_ns for p in built.root.rglob("manifest.json")} == before


def replace_monday(world: World) -> None:
    """Put a day of another market under Monday's name."""
    opened = session_bounds(MARKET, MONDAY)[1]
    other = MARKET.model_copy(update={"seed": 7})
    generate(other, [(MONDAY, opened, opened + SECONDS * 10**9)], world.home.raw_folder)


def test_a_replaced_file_replaces_a_date_only_by_permission(world: World) -> None:
    assert world.run("ingest", MONDAY).success
    before = registration(world.home, MONDAY)["sha256"]
    replace_monday(world)
    line = world.failure("ingest", MONDAY)
    assert "the partition exists and" in line
    assert OVERWRITE in line
    assert registration(world.home, MONDAY)["sha256"] == before
    assert world.run("ingest", MONDAY, tags={OVERWRITE: "true"}).success
    assert registration(world.home, MONDAY)["sha256"] != before


def test_an_upstream_date_that_is_missing_is_named(world: World) -> None:
    line = world.failure("signals", THURSDAY)
    assert "Materialise the asset silver/grid for 2024-12-26" in line


def test_a_failing_check_stops_the_run_before_the_next_layer(world: World) -> None:
    assert world.run("ingest", MONDAY).success
    for folder in ("gold", "signals", "evaluation"):
        shutil.rmtree(world.root / folder)
    damage_silver(world)
    result = world.run("ingest", MONDAY)
    assert not result.success
    broken = [c for c in result.get_asset_check_evaluations() if not c.passed]
    assert [c.check_name for c in broken] == ["obeys_laws"]
    assert not (world.root / "gold").exists()


def damage_silver(world: World) -> None:
    """Publish Monday's silver again with one depth that does not add up."""
    home = world.home
    key = silver_key(home, home.pipeline, MONDAY)
    old = home.lake.read_manifest(key)
    chunk = home.lake.read_chunk(key)
    depth = np.array(chunk.grid["bid_depth"])
    depth[300, 40] += 1
    broken = Chunk(chunk.bins, {**chunk.grid, "bid_depth": depth})
    tables = list(old.tables.values())
    draft = ManifestDraft(
        key=key,
        spec_kind=old.spec_kind,
        spec=old.spec,
        inputs=old.inputs,
        code_version=old.code_version,
        contract=old.contract,
    )
    shutil.rmtree(home.lake.folder(key))
    with home.lake.publish(draft) as staging:
        with PartitionWriter(staging.path, tables) as writer:
            writer.write(broken)
        staging.counts.update(old.counts)
        staging.anomalies.update(old.anomalies)
