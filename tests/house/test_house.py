"""The house rules that a machine can hold: words, sizes, docs, edges."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from qmachina import errors
from qmachina.book.state import Anomaly
from qmachina.features.fields import GOLD_FIELDS
from qmachina.features.geometry import Geometry
from qmachina.grid.fields import BIN_FIELDS, GRID_FIELDS
from qmachina.models.registry import MODELS

ROOT = Path(__file__).parents[2]
PACKAGES = ("qmachina", "qmachina_assets", "qmachina_jobs", "serving")
MODULES = sorted(
    p for name in PACKAGES for p in (ROOT / name).rglob("*.py") if "web" not in p.parts
)


def all_fields():
    geometry = Geometry(100_000_000, 50, 250_000_000)
    models = [model(model.Params(), geometry) for model in MODELS.values()]
    scores = [f for m in models for f in (*m.bin_fields, *m.cell_fields)]
    return [*BIN_FIELDS, *GRID_FIELDS, *GOLD_FIELDS, *scores]


def test_every_column_is_in_the_glossary_with_its_unit():
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \| (.*?) \|", (ROOT / "docs/glossary.md").read_text(), re.M
    )
    for f in all_fields():
        assert (f.name, f.dtype, f.unit) in rows, f"{f.name} is not in docs/glossary.md"


def test_every_anomaly_and_error_is_in_the_glossary():
    text = (ROOT / "docs/glossary.md").read_text()
    for kind in Anomaly:
        assert f"| `{kind.name.lower()}` |" in text
    abstract = {"QMachinaError", "DataError", "LakeError", "RefusedError"}
    for name, value in vars(errors).items():
        if isinstance(value, type) and name not in abstract:
            assert f"| {name} |" in text, name


def test_silver_and_gold_have_different_columns():
    silver = {f.name for f in (*BIN_FIELDS, *GRID_FIELDS)}
    assert not silver & {f.name for f in GOLD_FIELDS}


def test_modules_are_small():
    lengths = {p: len(p.read_text().splitlines()) for p in MODULES if p.name != "__init__.py"}
    long = {str(p.relative_to(ROOT)): n for p, n in lengths.items() if n > 600}
    assert not long
    assert statistics.median(lengths.values()) < 200


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_say_what_they_are(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "module docstring"
    if path.name == "__init__.py":
        assert len(tree.body) == 1, "an __init__ is a docstring and nothing else"


def test_nothing_pickles():
    for path in MODULES:
        assert not re.search(
            r"^\s*(import|from) (pickle|cloudpickle|joblib)\b", path.read_text(), re.M
        )


def test_kernels_neither_raise_nor_print():
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef):
                continue
            marks = {d.id for d in node.decorator_list if isinstance(d, ast.Name)}
            if marks & {"kernel", "step"}:
                assert ast.get_docstring(node), f"{path.name}:{node.name}"
                forbidden = (ast.Raise, ast.Assert, ast.Dict, ast.JoinedStr, ast.Try)
                for inner in ast.walk(node):
                    assert not isinstance(inner, forbidden), f"{path.name}:{node.name}"


@pytest.mark.parametrize("module", ["qmachina.pipeline", "qmachina.datasets.promotion"])
def test_the_core_loads_neither_dagster_nor_fastapi(module):
    code = (
        f"import sys, {module}; "
        "sys.exit(any(m.split('.')[0] in ('dagster', 'fastapi', 'uvicorn') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_changelog_opens_with_the_version():
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.M)
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert version
    assert first
    assert first[1] == version[1]


def test_documents_hold_no_machine_paths():
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *MODULES]:
        assert not re.search(r"/(?:work|root|home/\w+)/", path.read_text()), path
