"""Reading the heatmap: its pixels, and the colours they should have."""

from __future__ import annotations

import base64
import io
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

from tests.serving.served import RADIUS, Server

K = np.arange(-RADIUS, RADIUS + 1)


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
