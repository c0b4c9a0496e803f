"""The live page driven as people drive it: the test is its server, frames are the real ones."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from serving import frames, wire
from tests.serving.pixels import assert_every_cell, picture, state
from tests.serving.served import (
    BIN_FIELDS,
    GRID_FIELDS,
    RADIUS,
    Server,
    Tape,
    make_config,
    next_frame,
    wait_until,
)

pytestmark = pytest.mark.browser


# ---- values and texts


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
    next_frame(page)


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


# ---- view


def test_pause_keeps_the_picture_and_resume_shows_all(make_server: Any, page: Any) -> None:
    server = make_server()
    server.drawn(server.bins(100))
    server.settle()
    page.keyboard.press(" ")
    next_frame(page)
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


def test_pan_zoom_and_follow(make_server: Any, page: Any) -> None:
    server = make_server()
    server.drawn(server.bins(200))
    server.settle()
    start = state(page)["view"]
    page.mouse.move(400, 400)
    page.mouse.wheel(0, -300)
    next_frame(page)
    view = state(page)["view"]
    assert view["ticks"] < start["ticks"]
    assert view["columns"] == start["columns"]
    page.keyboard.down("Shift")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Shift")
    next_frame(page)
    view = state(page)["view"]
    assert view["columns"] < start["columns"]
    assert view["followTime"]
    page.mouse.down()
    page.mouse.move(560, 403, steps=6)
    page.mouse.up()
    next_frame(page)
    away = state(page)["view"]
    assert not away["followTime"]
    assert away["followPrice"]
    server.bins(20)
    server.settle()
    assert state(page)["view"]["right"] == away["right"]
    assert "behind" in page.inner_text("#pill")
    page.click("#pill")
    next_frame(page)
    assert state(page)["view"]["followTime"]
    page.click("#follow-price")
    next_frame(page)
    assert page.get_attribute("#follow-price", "aria-pressed") == "false"
    page.locator("#overlay").dblclick(position={"x": 400, "y": 300})
    next_frame(page)
    assert state(page)["view"]["ticks"] == start["ticks"]
    assert state(page)["view"]["followPrice"]


def test_keys_and_controls(make_server: Any, page: Any) -> None:
    server = make_server()
    server.drawn(server.bins(80))
    server.settle()

    def after(key: str) -> dict[str, Any]:
        page.keyboard.press(key)
        next_frame(page)
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
    next_frame(page)
    assert state(page)["view"]["paused"]
    assert not page.locator("#sheet").is_visible()


# ---- connection


def notices(page: Any) -> str:
    return page.inner_text("#notices")


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


def test_bins_are_acknowledged(make_server: Any, page: Any) -> None:
    server = make_server()
    last = server.bins(12)
    server.drawn(last)
    for _ in range(50):  # once a second, when there is something new
        page.wait_for_timeout(100)
        if frames.Ack(seq=last) in server.heard:
            break
    assert server.heard[-1] == frames.Ack(seq=last)
    assert state(page)["connection"]["kind"] == "open"


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


def test_the_end_is_the_end(make_server: Any, page: Any) -> None:
    server = make_server()
    server.drawn(server.bins(5))
    server.send(frames.End(reason="the recording is over"))
    server.socket.close(code=1000, reason="the recording is over")
    page.wait_for_timeout(1000)
    assert "The stream has ended: the recording is over" in notices(page)
    assert page.inner_text("#connection") == "■ ended"
    assert len(server.connections) == 1


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


def test_without_a_serving_the_page_asks_for_one(page: Any, site: str) -> None:
    page.goto(f"{site}/")
    page.fill("#chooser-name", "demo")
    server = Server(page, make_config(), Tape())
    page.click("#chooser button")
    wait_until(page, "!!window.__qm && window.__qm.state().epoch !== null")
    assert server.urls[0].endswith("/v1/stream?serving=demo")
