"""What the page paints, pixel by pixel, against the values that were sent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.serving.pixels import K, assert_every_cell, centres, colours, picture, spot_tick, state
from tests.serving.served import INVALID_BOOK, RADIUS, Tape, next_frame

pytestmark = pytest.mark.browser


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
            next_frame(page)
            shown = state(page)
            assert (shown["field"], shown["scale"]["transform"]) == (field, transform)
            assert assert_every_cell(server, 0, last) > 100 * len(K)


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
    left, _ = centres(shown, pixels.shape, 40, spot)
    above = {tuple(p) for p in pixels[8:16, left : left + 30].reshape(-1, 3)}
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
