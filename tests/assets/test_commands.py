"""The commands on a lake, without Dagster's processes."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from qmachina.cli import processes
from qmachina.cli.main import run
from qmachina.cli.place import Place
from qmachina.errors import LockError
from qmachina.lake.layout import raw_date
from qmachina.sources.dbn import DbnReader
from tests.assets.world import CHRISTMAS, MONDAY, THURSDAY, TUESDAY, World, make_lake


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty lake of the market's instrument, and a Dagster home beside it."""
    make_lake(tmp_path / "lake")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    monkeypatch.delenv("QMACHINA_LAKE", raising=False)
    return tmp_path / "lake"


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def as_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    code, out, err = call(capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_import_checks_copies_and_repeats(
    lake: Path, market: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = as_json(capsys, "import", *market, "--lake", lake)
    assert [r["already_there"] for r in rows] == [False] * 3
    folder = Place(lake).open().raw_folder
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {
        p.name: p.read_bytes() for p in market
    }
    assert rows[0]["records"] > 1000
    assert rows[0]["date"] == str(MONDAY)
    again = as_json(capsys, "import", *market, "--lake", lake)
    assert [r["already_there"] for r in again] == [True] * 3


@pytest.mark.parametrize(
    ("name", "message", "code"),
    [
        ("market.dbn.zst", "the name says no date", 3),
        (f"x-{CHRISTMAS:%Y%m%d}.mbo.dbn.zst", "is not a session of CMES: it is a holiday", 3),
    ],
)
def test_import_refuses_by_name(
    lake: Path,
    market: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    message: str,
    code: int,
) -> None:
    shutil.copy2(market[0], tmp_path / name)
    # The good file that comes first is not copied either: all or nothing.
    found, _, err = call(capsys, "import", market[1], tmp_path / name, "--lake", lake)
    assert (found, message in err) == (code, True)
    assert err.startswith("qmachina: error: ")
    assert err.count("\n") == 1
    assert list(Place(lake).open().raw_folder.iterdir()) == []


def test_import_refuses_by_content(
    lake: Path, market: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / market[0].name
    cut.write_bytes(market[0].read_bytes()[:-500])
    code, _, err = call(capsys, "import", cut, "--lake", lake)
    assert code == 3
    assert "truncated or damaged" in err
    assert list(Place(lake).open().raw_folder.iterdir()) == []


def test_import_refuses_another_instrument(
    tmp_path: Path, market: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    make_lake(tmp_path / "other", symbol="ESM4")
    code, _, err = call(capsys, "import", market[0], "--lake", tmp_path / "other")
    assert code == 4
    assert "expected ESM4, found 900001 QMZ9" in err


def test_import_never_replaces(
    lake: Path, market: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    as_json(capsys, "import", market[0], "--lake", lake)
    other = tmp_path / market[0].name
    shutil.copy2(market[1], other)
    code, _, err = call(capsys, "import", other, "--lake", lake)
    assert code == 4
    assert "of this name with other content" in err
    renamed = tmp_path / f"renamed-{MONDAY:%Y%m%d}.mbo.dbn.zst"
    shutil.copy2(market[0], renamed)
    code, _, err = call(capsys, "import", renamed, "--lake", lake)
    assert code == 3
    assert f"another file of {MONDAY}" in err
    assert (Place(lake).open().raw_folder / market[0].name).read_bytes() == market[0].read_bytes()


SYNTH = ("--open-time", "08:30", "--close-time", "08:32", "--first", MONDAY)


def test_synth_makes_the_sessions_of_the_calendar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = as_json(capsys, "synth", "--out", tmp_path / "days", "--sessions", 3, *SYNTH)
    assert [raw_date(Path(p).name) for p in paths] == [MONDAY, TUESDAY, THURSDAY]
    spans = []
    for path in paths:
        with DbnReader(Path(path)) as reader:
            live = [int(c["ts_recv"][-1]) for c in reader.chunks()]
        spans.append(live[-1])
    day = 86_400 * 10**9
    whole, half = (spans[0] % day, spans[1] % day)
    assert 50e9 < whole - half < 70e9  # a half day of two minutes lasts one
    assert {Path(p).parent for p in paths} == {tmp_path / "days"}
    assert len(list((tmp_path / "days").iterdir())) == 3


def test_synth_extends_a_lake_and_repeats_the_same_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = tmp_path / "lake"
    first = as_json(capsys, "synth", "--lake", lake, "--sessions", 1, *SYNTH)
    before = Path(first[0]).read_bytes()
    more = as_json(capsys, "synth", "--lake", lake, "--sessions", 2, *SYNTH)
    assert more[0] == first[0]
    assert Path(first[0]).read_bytes() == before
    home = Place(lake).open()
    assert home.instrument.first_date == MONDAY
    assert [d for _, d in home.raw_files()] == [MONDAY, TUESDAY]
    code, _, err = call(capsys, "synth", "--lake", lake, "--seed", 9, "--sessions", 1, *SYNTH)
    assert code == 4
    assert "other content" in err
    assert Path(first[0]).read_bytes() == before


@pytest.mark.parametrize("given", [(), ("--out", "a", "--lake", "b")])
def test_synth_wants_one_target(given: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "synth", *given)
    assert code == 2
    assert "--out or --lake" in err


def test_no_lake_is_one_line_with_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (("status",), ("runs",), ("registry", "list"), ("ingest", "2024-12-23")):
        code, _, err = call(capsys, *command, "--lake", tmp_path)
        assert code == 3
        assert "no instrument is configured" in err
        assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("day", "message"),
    [("2024-12-25", "it is a holiday"), ("2024-12-28", "it is a Saturday"), ("x", "not a date")],
)
def test_ingest_refuses_what_is_no_session_at_once(
    lake: Path, capsys: pytest.CaptureFixture[str], day: str, message: str
) -> None:
    code, _, err = call(capsys, "ingest", day, "--lake", lake)
    assert code == 3
    assert message in err
    assert not (lake.parent / "dagster").exists()


def test_backfill_wants_raw_files(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "backfill", "--dates", f"{MONDAY}:{TUESDAY}", "--lake", lake)
    assert code == 3
    assert "2 sessions have no raw file" in err


def test_status_of_a_built_lake(
    built: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    found = as_json(capsys, "status", "--lake", built.root)
    assert found["running"] is False
    assert found["raw_files"] == 3
    assert found["datasets"]["silver/grid"] == {"sessions": 2, "latest": str(TUESDAY)}
    assert set(found["datasets"]) == {
        "raw/mbo_dbn", "silver/grid", "gold/features", "signals/ema_ensemble",
        "signals/vacuum_pressure", "evaluation/ema_ensemble", "evaluation/vacuum_pressure",
    }  # fmt: skip
    code, out, _ = call(capsys, "status", "--lake", built.root)
    assert code == 0
    assert "qmachina up" in out


def test_empty_registry_and_no_runs(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert as_json(capsys, "registry", "list", "--lake", lake) == []
    assert as_json(capsys, "registry", "verify", "--lake", lake) == {"entries": 0, "ok": True}
    assert as_json(capsys, "runs", "--lake", lake) == []
    code, _, err = call(capsys, "registry", "show", "demo", "--lake", lake)
    assert code == 3
    assert "no such alias" in err
    code, _, err = call(capsys, "promote", "12345678", "--alias", "demo", "--lake", lake)
    assert code == 3
    assert "no such run" in err


def test_validate_names_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert as_json(capsys, "validate")["problems"] == []
    source = Path(__file__).parents[2] / "qmachina_assets"
    shutil.copytree(source / "specs", tmp_path / "specs")
    shutil.copytree(source / "instruments", tmp_path / "instruments")
    path = tmp_path / "specs/servings/ema_ensemble.yaml"
    path.write_text(path.read_text().replace("composite]", "composite, no_such_column]"))
    code, out, _ = call(capsys, "validate", "--specs", tmp_path / "specs", "--json")
    problems = json.loads(out)["problems"]
    assert code == 3
    assert len(problems) == 3  # one an instrument
    assert all("no_such_column" in p for p in problems)


def test_verify_finds_a_changed_byte(
    built: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(built.root, tmp_path / "copy")
    found = as_json(capsys, "verify", "--lake", tmp_path / "copy")
    assert found == {"partitions": 14, "problems": []}
    path = next((tmp_path / "copy" / "silver").rglob("grid.parquet"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    code, _, err = call(capsys, "verify", "--lake", tmp_path / "copy")
    assert code == 3
    assert "grid.parquet was changed" in err


def test_a_lake_of_its_own_has_a_history_of_its_own(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Place(lake).dagster_home() == tmp_path / "dagster"  # an exported one wins
    monkeypatch.delenv("DAGSTER_HOME")
    make_lake(tmp_path / "b" / "lake")
    homes = {Place(lake).dagster_home(), Place(tmp_path / "b" / "lake").dagster_home()}
    assert len(homes) == 2
    assert all(h.name.startswith("qmz9-lake-") and h.parent.name == ".dagster" for h in homes)


def test_one_lock_a_home(tmp_path: Path) -> None:
    with (
        processes.locked(tmp_path),
        pytest.raises(LockError, match="another command runs"),
        processes.locked(tmp_path),
    ):
        pass
    with processes.locked(tmp_path):
        pass


def test_a_taken_port_names_its_holder() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LockError, match=f"port {port} is taken.*pid {os.getpid()}: .*python"):
            processes.require_free(port, "--port-ui")
    processes.require_free(port, "--port-ui")


def test_a_number_given_to_another_process_is_not_ours() -> None:
    born = processes.birth(os.getpid())
    assert processes.Process("ui", os.getpid(), born, None).alive
    assert not processes.Process("ui", os.getpid(), born + "0", None).alive
    assert not processes.Process("ui", 2**22 + 1, "", None).alive
