"""The page on the real server: what it holds and paints is what the pipeline computes offline."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qmachina.datasets.gold import build_gold
from qmachina.datasets.promotion import promote
from qmachina.datasets.raw import open_book, register
from qmachina.datasets.signals import SignalSpec, build_signal
from qmachina.datasets.silver import build_silver
from qmachina.datasets.study import build_study, read_study
from qmachina.lake.home import Home
from qmachina.pipeline import Pipeline
from qmachina.registry.reader import RegistryReader
from qmachina.specs.serving import ExperimentSpec, PublishedServingSpec
from serving.catalogue import LakeCatalogue
from tests.serving.lake_fixture import ACTOR, DAY, SPECS, open_lake, running
from tests.serving.pixels import colours, levels, state
from tests.serving.served import wait_until

pytestmark = pytest.mark.browser

INSTRUMENTS = SPECS.parent / "instruments"
BITSTAMP = date(2015, 5, 1)


def offline(home: Home, dt: date, n: int) -> dict[str, np.ndarray]:
    """Return forces, validity and readiness of the first n bins, from the pipeline alone."""
    resolved = RegistryReader(home.root).resolve("demo").body
    body = {k: v for k, v in resolved.items() if k != "id"}
    serving = PublishedServingSpec.parse(body).serving
    book = open_book(home, home.raw_file(dt))
    start, end = home.bounds(serving.pipeline.silver, dt)
    pipeline = Pipeline(serving, home.instrument, start_ns=start, end_ns=end)
    parts: dict[str, list[np.ndarray]] = {}
    for frame in pipeline.replay(book.chunks(), book.header.covered_until_ns):
        columns = {
            "pressure_variant": frame.column("pressure_variant"),
            "vacuum_variant": frame.column("vacuum_variant"),
            "valid": frame.silver.bins["book_valid"],
            "ready": frame.scores.bins["ready"],
            "end": frame.silver.bins["bin_end_ns"],
        }
        for name, values in columns.items():
            parts.setdefault(name, []).append(values.copy())
        if sum(map(len, parts["end"])) >= n:
            break
    return {name: np.concatenate(values)[:n] for name, values in parts.items()}


def compare(page: Any, truth: dict[str, np.ndarray], first: int) -> int:
    """Compare what a paused page holds and has painted with the truth; return how many cells."""
    shown = state(page)
    assert shown["field"] == "net_force"
    table = colours(shown["palette"])
    last = page.evaluate("window.__qm.drawnSeq()")
    radius = (truth["pressure_variant"].shape[1] - 1) // 2
    cells = 0
    for seq in range(max(0, last - 60), last):
        i = first + seq
        got = page.evaluate(
            "([seq, radius]) => Array.from({length: 2 * radius + 1}, (_, r) => ["
            "__qm.value(seq, r - radius, 'pressure_variant'),"
            "__qm.value(seq, r - radius, 'vacuum_variant'),"
            "__qm.pixel(seq, r - radius)])",
            [seq, radius],
        )
        held = np.array([row[:2] for row in got], np.float32)
        for c, name in enumerate(("pressure_variant", "vacuum_variant")):
            assert held[:, c].tobytes() == truth[name][i].tobytes(), f"bin {seq} {name}"
        if not (truth["valid"][i] and truth["ready"][i]):
            continue  # drawn, but hatched or paler
        force = held[:, 0].astype(float) - held[:, 1].astype(float)
        expected = table[levels(shown["scale"], force)]
        for row, colour in zip(got, expected, strict=True):
            if row[2] is not None:
                assert np.abs(np.array(row[2][:3]) - colour).max() <= 2, f"bin {seq}"
                cells += 1
    return cells


def test_the_page_shows_what_the_pipeline_computes(tmp_path: Path, page: Any, bundle: Path) -> None:
    home, _ = open_lake(tmp_path)
    truth = offline(home, DAY, 1801)
    with running(home, speed=20.0, lead_bins=300) as server:
        page.goto(
            server.url.replace("ws://", "http://").replace("/v1/stream", "/") + "?serving=demo"
        )
        wait_until(page, "window.__qm.state().received > 420", 60)
        page.keyboard.press("Space")
        assert compare(page, truth, 0) > 2000


@pytest.mark.slow
def test_a_day_of_bitstamp_promoted_and_streamed_at_20x(
    tmp_path: Path, page: Any, bundle: Path, real_data: Path
) -> None:
    lake = tmp_path / "lake"
    lake.mkdir()
    shutil.copy(INSTRUMENTS / "btcusd.yaml", lake / "instrument.yaml")
    home = Home.open(lake, [SPECS])
    home.raw_folder.mkdir(parents=True)
    shutil.copy(real_data / "real" / "bitstamp-btcusd-20150501.mbo.dbn.zst", home.raw_folder)
    serving = home.serving("vacuum_pressure")
    register(home, BITSTAMP)
    build_silver(home, home.pipeline, BITSTAMP)
    build_gold(home, home.pipeline, BITSTAMP)
    build_signal(home, SignalSpec.of(serving), BITSTAMP)
    axes = {"threshold": (0.3,)}
    study = ExperimentSpec(name="one", serving=serving, axes=axes, dates=(BITSTAMP,))
    runs = read_study(home, build_study(home, study).manifest.key)["runs"]
    promote(home, runs[0]["run_id"], "demo", **ACTOR)
    truth = offline(home, BITSTAMP, 4500)
    midnight = 1_430_438_400 * 10**9
    first = int(np.argmax(truth["end"] > midnight + 3600 * 10**9))
    catalogue = LakeCatalogue(home, start="01:00")
    with running(home, catalogue, speed=20.0) as server:
        page.goto(
            server.url.replace("ws://", "http://").replace("/v1/stream", "/") + "?serving=demo"
        )
        wait_until(page, "window.__qm.state().received > 150", 90)
        page.keyboard.press("Space")
        assert compare(page, truth, first) > 500
        assert state(page)["connection"]
