"""The graph is the one that was agreed on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from qmachina.errors import MissingError
from qmachina.models.registry import MODELS
from qmachina_assets.resources import HomeResource
from qmachina_jobs.graph import code_location
from tests.assets.graph import text_of
from tests.assets.world import make_lake

SNAPSHOT = Path(__file__).with_name("graph.txt")


def test_the_graph_is_the_committed_one(tmp_path: Path) -> None:
    found = text_of(code_location(make_lake(tmp_path / "lake")))
    assert found == SNAPSHOT.read_text(), (
        "run python -m tests.assets.graph > tests/assets/graph.txt"
    )


def test_definitions_are_loadable(tmp_path: Path) -> None:
    dg.Definitions.validate_loadable(code_location(make_lake(tmp_path / "lake")))


def test_every_model_has_a_signal(tmp_path: Path) -> None:
    graph = code_location(make_lake(tmp_path / "lake")).resolve_asset_graph()
    names = {key.path[1] for key in graph.get_all_asset_keys() if key.path[0] == "signals"}
    assert names >= set(MODELS)


def test_a_spec_that_varies_a_model_gets_a_signal_of_its_own(tmp_path: Path) -> None:
    resource = make_lake(tmp_path / "lake")
    folder = tmp_path / "lake" / "specs" / "servings"
    folder.mkdir(parents=True)
    source = Path(__file__).parents[2] / "qmachina_assets/specs/servings/ema_ensemble.yaml"
    text = source.read_text().replace("name: ema_ensemble", "name: sluggish", 1)
    text = text.replace(
        "  model_id: ema_ensemble", "  model_id: ema_ensemble\n  params: {tanh_scale: 2.5}"
    )
    (folder / "sluggish.yaml").write_text(text)
    graph = code_location(resource).resolve_asset_graph()
    signal, evaluation = (dg.AssetKey([layer, "sluggish"]) for layer in ("signals", "evaluation"))
    assert signal in graph.get(evaluation).parent_keys


def test_columns_and_owners_are_described(tmp_path: Path) -> None:
    defs = code_location(make_lake(tmp_path / "lake"))
    silver = defs.resolve_assets_def(dg.AssetKey(["silver", "grid"])).specs_by_key
    spec = silver[dg.AssetKey(["silver", "grid"])]
    columns = {c.name: c.description for c in spec.metadata["dagster/column_schema"].columns}
    assert columns["bins.best_bid_price_int"] == "Best bid, 2^63 - 1 where absent. [1e-9]"
    assert "grid.v_add" in columns
    assert spec.description


def test_a_missing_instrument_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QMACHINA_LAKE", str(tmp_path))
    with pytest.raises(
        MissingError, match=r"instrument\.yaml: no instrument is configured.*--lake"
    ):
        HomeResource.find()


def test_the_environment_names_lake_and_instrument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_lake(tmp_path / "lake")
    other = tmp_path / "other.yaml"
    (tmp_path / "lake" / "instrument.yaml").rename(other)
    monkeypatch.setenv("QMACHINA_LAKE", str(tmp_path / "lake"))
    monkeypatch.setenv("QMACHINA_INSTRUMENT_CONFIG_PATH", str(other))
    assert HomeResource.find().open().instrument.symbol == "QMZ9"


def test_the_core_and_its_commands_do_not_load_dagster() -> None:
    code = (
        "import sys, qmachina.cli.main, qmachina.datasets.promotion;"
        "sys.exit(any(m.split('.')[0] == 'dagster' for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
