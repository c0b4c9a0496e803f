from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from qmachina.errors import (
    LakeError,
    LockError,
    MissingError,
    SelectionError,
    SessionError,
    SpecError,
)
from qmachina.lake.instrument import load_instrument, require_instrument
from qmachina.lake.layout import DatasetKey, raw_date, raw_folder
from qmachina.lake.raw import find_raw, list_raw
from qmachina.specs.instrument import InstrumentSpec

ES = InstrumentSpec.parse(
    {
        "product_type": "future_mbo",
        "symbol": "ESM4",
        "root": "ES",
        "dataset": "GLBX.MDP3",
        "tick_size": "0.25",
        "calendar": "CMES",
        "time_zone": "America/Chicago",
    }
)
PARTS = {
    "layer": "silver",
    "dataset": "grid",
    "product_type": "future_mbo",
    "symbol": "ESM4",
    "spec_slug": "default",
    "spec_id8": "0123abcd",
    "dt": date(2024, 5, 8),
}


def test_the_path_of_a_key() -> None:
    assert str(DatasetKey(**PARTS)) == (
        "silver/grid/product_type=future_mbo/symbol=ESM4/default-0123abcd/dt=2024-05-08"
    )
    assert DatasetKey(**PARTS).asset == "silver/grid"


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("layer", "platinum"),
        ("dataset", "../grid"),
        ("dataset", "Grid"),
        ("dataset", ""),
        ("product_type", "bond"),
        ("symbol", "ES/M4"),
        ("symbol", ".."),
        ("symbol", ""),
        ("spec_slug", "a-b"),
        ("spec_id8", "0123ABCD"),
        ("spec_id8", "0123abc"),
        ("dt", None),
        ("dt", "yesterday"),
    ],
)
def test_no_part_is_free_text(part: str, value: object) -> None:
    with pytest.raises(SpecError):
        DatasetKey.parse({**PARTS, part: value})


def test_only_research_layers_go_without_a_date() -> None:
    study = DatasetKey.parse({**PARTS, "layer": "experiments", "dataset": "study", "dt": None})
    assert study.path.name == "default-0123abcd"
    assert DatasetKey.from_path(study.path) == study


@pytest.mark.parametrize(
    "path",
    [
        "",
        "silver/grid",
        "silver/grid/product_type=future_mbo/symbol=ESM4/default-0123abcd",
        "silver/grid/product_type=future_mbo/symbol=ESM4/default-0123abcd/dt=2024-13-01",
        "silver/grid/product_type=future_mbo/symbol=ESM4/default/dt=2024-05-08",
        "tin/grid/product_type=future_mbo/symbol=ESM4/default-0123abcd/dt=2024-05-08",
        "/silver/grid/product_type=future_mbo/symbol=ESM4/default-0123abcd/dt=2024-05-08",
        "silver/grid/product_type=future_mbo/symbol=../default-0123abcd/dt=2024-05-08",
    ],
)
def test_other_paths_are_no_keys(path: str) -> None:
    with pytest.raises(LakeError):
        DatasetKey.from_path(path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("glbx-mdp3-20240508.mbo.dbn.zst", date(2024, 5, 8)),
        ("xnas-itch-arl-20250717.mbo.dbn.zst", date(2025, 7, 17)),
        ("glbx-mdp3-20240508.mbo.ESM4.dbn.zst", date(2024, 5, 8)),
        ("glbx-mdp3-20240508.mbo.dbn", date(2024, 5, 8)),
        ("20240508.dbn", date(2024, 5, 8)),
        ("glbx-mdp3-20240508.definition.dbn.zst", None),
        ("glbx-mdp3-20240508-20240509.mbo.dbn.zst", None),
        ("glbx-mdp3-20240532.mbo.dbn.zst", None),
        ("glbx-mdp3-120240508.mbo.dbn.zst", None),
        ("glbx-mdp3-20240508.mbo.csv.zst", None),
        ("glbx-mdp3-20240508.mbo.dbn.zst.part", None),
        ("../glbx-mdp3-20240508.mbo.dbn", None),
        ("ESM4.mbo.dbn.zst", None),
        ("", None),
    ],
)
def test_the_date_in_a_raw_name(name: str, expected: date | None) -> None:
    assert raw_date(name) == expected


def test_find_raw_wants_exactly_one_file(tmp_path: Path) -> None:
    day = date(2024, 5, 8)
    with pytest.raises(MissingError, match=r"no raw file of 2024-05-08.*import"):
        find_raw(tmp_path, ES, day)
    folder = tmp_path / raw_folder(ES)
    assert folder.relative_to(tmp_path).as_posix() == (
        "raw/source=databento/product_type=future_mbo/symbol=ES/table=market_by_order_dbn"
    )
    folder.mkdir(parents=True)
    for name in (
        "glbx-mdp3-20240508.mbo.dbn.zst",
        "glbx-mdp3-20240509.mbo.dbn.zst",
        ".x",
        "readme",
    ):
        (folder / name).touch()
    assert find_raw(tmp_path, ES, day) == folder / "glbx-mdp3-20240508.mbo.dbn.zst"
    assert [(path.name, dt) for path, dt in list_raw(tmp_path, ES)] == [
        ("glbx-mdp3-20240508.mbo.dbn.zst", day),
        ("glbx-mdp3-20240509.mbo.dbn.zst", date(2024, 5, 9)),
        ("readme", None),
    ]
    (folder / "again-20240508.dbn").touch()
    with pytest.raises(SelectionError, match=r"again-20240508\.dbn, glbx-mdp3-20240508"):
        find_raw(tmp_path, ES, day)


TEXT = """
product_type: future_mbo
symbol: ESM4
root: ES
dataset: GLBX.MDP3
tick_size: 0.25
calendar: CMES
time_zone: America/Chicago
"""


def test_the_instrument_of_a_home(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="--instrument"):
        load_instrument(tmp_path)
    (tmp_path / "instrument.yaml").write_text(TEXT)
    assert load_instrument(tmp_path) == ES
    other = tmp_path / "other.yaml"
    other.write_text(TEXT.replace("ESM4", "ESU4"))
    assert load_instrument(tmp_path, other).symbol == "ESU4"
    other.write_text(TEXT + "colour: blue\n")
    with pytest.raises(SpecError, match="colour"):
        load_instrument(tmp_path, other)
    other.write_text(TEXT.replace("CMES", "MOON"))
    with pytest.raises(SessionError, match="MOON"):
        load_instrument(tmp_path, other)


def test_another_instrument_is_locked_out() -> None:
    require_instrument(ES, "future_mbo", "ESM4")
    for product_type, symbol in (("future_mbo", "ESU4"), ("equity_mbo", "ESM4")):
        with pytest.raises(LockError, match=rf"future_mbo ESM4, found {product_type} {symbol}"):
            require_instrument(ES, product_type, symbol)
