"""Bad input: the run fails with the line that says why, and leaves nothing behind."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import databento_dbn
import numpy as np
import yaml

from qmachina.market import DAY_NS
from qmachina.sources.dbn import DbnReader
from qmachina.sources.write import write_dbn
from tests.assets.world import MARKET, MONDAY, World, make_lake


def raw(world: World) -> Path:
    return world.home.raw_file(MONDAY)


def records(path: Path) -> np.ndarray:
    with DbnReader(path) as reader:
        return np.concatenate([chunk.copy() for chunk in reader.chunks()])


def rewrite(path: Path, content: np.ndarray, symbols: dict[str, int]) -> None:
    start = int(content["ts_recv"][0]) // DAY_NS * DAY_NS
    write_dbn(
        path,
        content,
        dataset=MARKET.dataset,
        symbols=symbols,
        start_ns=start,
        end_ns=start + DAY_NS,
    )


def test_a_truncated_file(world: World) -> None:
    path = raw(world)
    path.write_bytes(path.read_bytes()[:-2000])
    line = world.failure("ingest", MONDAY)
    assert line.startswith(path.name)
    assert "truncated or damaged" in line
    assert world.partitions() == []


def test_an_empty_file(world: World) -> None:
    raw(world).write_bytes(b"")
    assert "file is empty" in world.failure("ingest", MONDAY)
    assert world.partitions() == []


def test_another_schema(world: World) -> None:
    header = databento_dbn.Metadata(
        dataset=MARKET.dataset,
        start=0,
        stype_in=databento_dbn.SType.RAW_SYMBOL,
        stype_out=databento_dbn.SType.INSTRUMENT_ID,
        symbols=[],
        partial=[],
        not_found=[],
        mappings=[],
        schema=databento_dbn.Schema.TRADES,
    )
    raw(world).write_bytes(header.encode())
    line = world.failure("ingest", MONDAY)
    assert "file holds another schema (expected mbo, found trades)" in line
    assert world.partitions() == []


def test_two_other_instruments(world: World) -> None:
    path = raw(world)
    rewrite(path, records(path), {"AAA": 1, "BBB": MARKET.instrument_id})
    line = world.failure("ingest", MONDAY)
    assert "does not hold the home's instrument" in line
    assert "AAA" in line
    assert "BBB" in line
    assert world.partitions() == []


def test_two_publishers_and_no_choice(world: World) -> None:
    plain = yaml.safe_load((world.root / "instrument.yaml").read_text())
    del plain["publisher"]
    (world.root / "instrument.yaml").write_text(yaml.safe_dump(plain))
    path = raw(world)
    content = records(path)
    content["publisher_id"][len(content) // 2 :] = 2
    rewrite(path, content, {MARKET.symbol: MARKET.instrument_id})
    line = world.failure("ingest", MONDAY)
    assert "publisher" in line
    assert world.partitions() == []


def test_a_wrong_tick_size(tmp_path: Path, market: list[Path]) -> None:
    resource = make_lake(tmp_path / "lake", tick_size="0.5")
    shutil.copy2(market[0], resource.open().raw_folder)
    with dg.DagsterInstance.ephemeral() as instance:
        world = World(resource, instance)
        line = world.failure("ingest", MONDAY)
        assert "tick" in line
        assert market[0].name in line
        # The file is what it says, so it is registered; nothing is made from it.
        assert {p.relative_to(world.root).parts[0] for p in world.partitions()} == {"raw"}


def test_two_files_of_one_date(world: World) -> None:
    path = raw(world)
    shutil.copy2(path, path.with_name(f"another-{MONDAY:%Y%m%d}.mbo.dbn.zst"))
    assert "several raw files of 2024-12-23" in world.failure("ingest", MONDAY)
    assert world.partitions() == []


def test_a_missing_file(world: World) -> None:
    raw(world).unlink()
    assert "there is no raw file of 2024-12-23" in world.failure("ingest", MONDAY)


def test_a_file_changed_after_its_registration(world: World) -> None:
    assert world.run("ingest", MONDAY).success
    shutil.rmtree(world.root / "silver")
    path = raw(world)
    content = records(path)
    rewrite(path, content[: len(content) // 2], {MARKET.symbol: MARKET.instrument_id})
    result = world.failure("ingest", MONDAY)
    assert "exists" in result  # registering again is refused before silver reads it


def test_deliberate_errors_are_one_line_without_traceback(world: World) -> None:
    raw(world).write_bytes(b"")
    result = world.run("ingest", MONDAY)
    (event,) = [e for e in result.all_events if e.is_step_failure]
    error = event.step_failure_data.error
    assert error is not None
    assert error.cause is None
    known = event.step_failure_data.user_failure_data
    assert known is not None
    assert "\n" not in (known.description or "")
    assert known.metadata["exit_code"].value == 3
