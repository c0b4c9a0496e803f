"""Small pictures of a partition for the asset's page: inline PNG, each below 50 kB.

They are for looking only: thinned out where a date is long, and computed from what was published.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np
from numpy.typing import NDArray

from qmachina.features.fields import GOLD_FIELDS
from qmachina.lake.home import Home
from qmachina.lake.layout import DatasetKey
from qmachina.market import PRICE_SCALE, UNDEF_PRICE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_BYTES = 50_000
_WIDTH, _DPI = 8.0, 80
_COLUMNS = 600
_BID, _ASK, _LINE = "#1b7f4c", "#b3362b", "#2b4b8c"


def picture(
    draw: Callable[..., None], height: float = 2.6, shape: tuple[int, int] = (1, 1)
) -> dg.MarkdownMetadataValue:
    """Return what ``draw(axes…)`` draws as Markdown with the image inside."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    draw(*np.ravel(figure.subplots(*shape)))
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[:, :, :3])
    for colours in (128, 32, 8):
        out = io.BytesIO()
        image.quantize(colours).save(out, "PNG", optimize=True)
        if out.tell() <= MAX_BYTES:
            break
    text = base64.b64encode(out.getvalue()).decode()
    return dg.MetadataValue.md(f"![plot](data:image/png;base64,{text})")


def thin(n: int, most: int = 2 * _COLUMNS) -> slice:
    """Return a slice that leaves at most ``most`` of ``n`` elements."""
    return slice(None, None, max(1, -(-n // most)))


def silver_plots(home: Home, key: DatasetKey) -> dict[str, Any]:
    """Return price path, depth around spot and flow over the day."""
    bins = home.lake.read_bins(
        key,
        (
            "ts_ns",
            "best_bid_price_int",
            "best_ask_price_int",
            "spot_ref_price_int",
            "trade_buy_size",
            "trade_sell_size",
            "bin_event_count",
        ),
    )
    if not len(bins["ts_ns"]):
        return {}
    return {
        "price_path": picture(lambda a: _prices(a, bins)),
        "depth": picture(lambda a: _depth(a, home, key, bins), 3.2),
        "flow_by_hour": picture(lambda left, right: _flow(left, right, bins), shape=(1, 2)),
    }


def _prices(axes: Axes, bins: dict[str, NDArray]) -> None:
    kept = thin(len(bins["ts_ns"]))
    for name, colour in (("best_bid", _BID), ("best_ask", _ASK)):
        price = bins[f"{name}_price_int"][kept]
        shown = np.where(price == UNDEF_PRICE, np.nan, price / PRICE_SCALE)
        axes.step(_times(bins["ts_ns"][kept]), shown, where="post", lw=0.8, c=colour, label=name)
    axes.legend(loc="upper left", frameon=False, fontsize=7)
    _clock(axes, "price")


def _depth(axes: Axes, home: Home, key: DatasetKey, bins: dict[str, NDArray]) -> None:
    tick = home.instrument.tick_size_int
    spot = bins["spot_ref_price_int"] // tick
    kept = np.arange(len(spot))[thin(len(spot), _COLUMNS)]
    rows, start = [], 0
    for group in home.lake.read_groups(key, "grid", ("rest_depth",)):
        depth = group["rest_depth"].reshape(-1, _rows(home, key))
        here = kept[(kept >= start) & (kept < start + len(depth))]
        rows.append(depth[here - start])
        start += len(depth)
    depth = np.concatenate(rows)
    radius = depth.shape[1] // 2
    low = int(np.min(spot[kept])) - radius
    height = int(np.max(spot[kept])) + radius - low + 1
    stride = max(1, -(-height // 400))
    image = np.full((height // stride + 1, len(kept)), np.nan)
    for column, (bin_spot, values) in enumerate(zip(spot[kept], depth, strict=True)):
        at = (int(bin_spot) - low - radius + np.arange(2 * radius + 1)) // stride
        image[at, column] = values
    times = _times(bins["ts_ns"][kept])
    edges = np.linspace(low, low + height, image.shape[0]) * tick / PRICE_SCALE
    axes.pcolormesh(times, edges, np.log1p(image), cmap="magma", rasterized=True)
    _clock(axes, "price")
    axes.set_title("resting size (log)", fontsize=8)


def _rows(home: Home, key: DatasetKey) -> int:
    return home.lake.read_manifest(key).tables["grid"].rows_per_bin


def _flow(traded: Axes, events: Axes, bins: dict[str, NDArray]) -> None:
    hour = (bins["ts_ns"] - 1) // 3_600_000_000_000  # a bin belongs to the hour it ends in
    hours, index = np.unique(hour, return_inverse=True)
    names = [f"{h % 24:02d}" for h in hours]
    buy, sell, count = (
        np.bincount(index, weights=bins[n])
        for n in ("trade_buy_size", "trade_sell_size", "bin_event_count")
    )
    traded.bar(names, buy, color=_BID, label="buying")
    traded.bar(names, -sell, color=_ASK, label="selling")
    traded.legend(frameon=False, fontsize=7)
    traded.set_title("traded size by UTC hour", fontsize=8)
    events.bar(names, count, color=_LINE)
    events.set_title("events by UTC hour", fontsize=8)
    for axes in (traded, events):
        axes.tick_params(labelsize=7)


def gold_plot(home: Home, key: DatasetKey) -> dict[str, Any]:
    """Return the distribution of every feature over a sample of bins."""
    names = [f.name for f in GOLD_FIELDS]
    samples: dict[str, list[NDArray]] = {n: [] for n in names}
    for group in home.lake.read_groups(key, "grid", names):
        for n in names:
            values = group[n].ravel()
            samples[n].append(values[thin(len(values), 5000)])
    if not any(len(s) for s in samples.values()):
        return {}

    def draw(*axes: Axes) -> None:
        for a, n in zip(axes, names, strict=True):
            values = np.concatenate(samples[n])
            values = values[np.isfinite(values)].astype(np.float64)
            a.hist(values, bins=40, color=_LINE, log=True)
            a.set_title(n, fontsize=7)
            a.tick_params(labelsize=6)

    return {"distributions": picture(draw, 3.6, (2, 4))}


def signal_plot(home: Home, key: DatasetKey, ts_ns: NDArray) -> dict[str, Any]:
    """Return score over time and its distribution."""
    bins = home.lake.read_bins(key, ("score", "ready"))
    if not bins["ready"].any():
        return {}

    def draw(path: Axes, spread: Axes) -> None:
        kept = thin(len(ts_ns))
        score = np.where(bins["ready"], bins["score"], np.nan)[kept]
        path.plot(_times(ts_ns[kept]), score, lw=0.6, c=_LINE)
        _clock(path, "score")
        spread.hist(bins["score"][bins["ready"]], bins=60, color=_LINE, log=True)
        spread.set_title("ready scores", fontsize=8)
        spread.tick_params(labelsize=7)

    return {"score": picture(draw, shape=(1, 2))}


def equity_plot(home: Home, key: DatasetKey) -> dict[str, Any]:
    """Return the running net result over the trades of a date."""
    net = home.lake.read_numpy(key, "trades", ("net",))["net"]
    if not len(net):
        return {}

    def draw(axes: Axes) -> None:
        axes.step(np.arange(1, len(net) + 1), np.cumsum(net), where="post", c=_LINE, lw=0.9)
        axes.axhline(0.0, c="grey", lw=0.5)
        axes.set_xlabel("trade", fontsize=7)
        axes.set_ylabel("net, ticks", fontsize=7)
        axes.tick_params(labelsize=7)

    return {"equity": picture(draw)}


def study_plot(runs: list[dict[str, Any]], most: int = 20) -> dict[str, Any]:
    """Return the best runs' net result a trade with their intervals over dates."""
    shown = [r for r in runs if r["net"] is not None][:most]
    if not shown:
        return {}

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        for x, row in enumerate(shown, 1):
            if row["net_low"] is not None and row["net_high"] is not None:
                axes.plot([x, x], [row["net_low"], row["net_high"]], c="grey", lw=1)
            axes.plot([x], [row["net"]], "o", c=_LINE, ms=4)
        axes.axhline(0.0, c="grey", lw=0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("rank", fontsize=7)
        axes.set_ylabel("net ticks a trade", fontsize=7)
        axes.tick_params(labelsize=7)

    return {"ranking": picture(draw)}


def _times(ts_ns: NDArray) -> NDArray:
    return ts_ns.astype("datetime64[ns]")


def _clock(axes: Axes, label: str) -> None:
    from matplotlib.dates import AutoDateLocator, DateFormatter

    axes.xaxis.set_major_locator(AutoDateLocator(maxticks=8))
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M"))
    axes.set_ylabel(label, fontsize=7)
    axes.tick_params(labelsize=7)
