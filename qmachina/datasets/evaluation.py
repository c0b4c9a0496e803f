"""evaluation/first_touch: the paper trades of one serving spec on one date, and their metrics."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qmachina.datasets.build import Built, publish
from qmachina.datasets.signals import SignalSpec, signal_key
from qmachina.datasets.silver import silver_key
from qmachina.evaluation.first_touch import EVALUATOR_VERSION, evaluate
from qmachina.evaluation.metrics import measure
from qmachina.evaluation.prices import Path, from_bins
from qmachina.evaluation.skill import information_coefficient
from qmachina.evaluation.trades import TRADE
from qmachina.fields import Field
from qmachina.lake.contract import Table
from qmachina.lake.home import Home
from qmachina.lake.layout import DatasetKey
from qmachina.lake.manifest import ManifestDraft
from qmachina.lake.publication import Staging
from qmachina.lake.writer import write_rows
from qmachina.specs.serving import ServingSpec

CODE_VERSION = "1"
METRICS = "metrics.json"

_PATH_COLUMNS = (
    "ts_ns",
    "best_bid_price_int",
    "best_ask_price_int",
    "lowest_best_bid_int",
    "highest_best_bid_int",
    "lowest_best_ask_int",
    "highest_best_ask_int",
    "book_valid",
    "book_state",
)
_UNITS = {"cost": "ticks", "net": "ticks", "score": "1", "reason": "code", "side": "sign"}

TRADE_TABLE = Table.rows(
    tuple(
        Field(
            name,
            np.dtype(TRADE.fields[name][0]).name,  # type: ignore[index,arg-type]
            _UNITS.get(name, "bins" if name.endswith("_bin") else "half-ticks or flag"),
            f"{name.replace('_', ' ')} of the trade, see the evaluator",
        )
        for name in TRADE.names or ()
    ),
    "trades",
)


def evaluation_key(home: Home, serving: ServingSpec, dt: date) -> DatasetKey:
    """Return the address of a date's evaluation."""
    return home.key("evaluation", "first_touch", serving.name, serving, dt)


def price_path(home: Home, serving: ServingSpec, dt: date) -> Path:
    """Return the prices of a date, with bins inside the calendar's session marked."""
    bins = home.lake.read_bins(silver_key(home, serving.pipeline, dt), _PATH_COLUMNS)
    opened, closed = home.calendar.open_close_ns(dt)
    end = bins["ts_ns"]
    return from_bins(
        bins,
        home.instrument.tick_size_int,
        tick_value=home.instrument.tick_value,
        bin_ns=serving.pipeline.silver.bin_ns,
        in_session=(end > opened) & (end <= closed),
    )


def scores_of(
    home: Home, serving: ServingSpec, dt: date
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the stored score and ready flag of each bin of a date."""
    key = signal_key(home, SignalSpec.of(serving), dt)
    bins = home.lake.read_bins(key, ("score", "ready"))
    return bins["score"], bins["ready"]


def build_evaluation(
    home: Home, serving: ServingSpec, dt: date, *, overwrite: bool = False
) -> Built:
    """Trade a stored score on paper; a date too short to trade gives null metrics."""
    home.session(dt)
    signal = home.lake.read_manifest(signal_key(home, SignalSpec.of(serving), dt))
    silver = home.lake.read_manifest(silver_key(home, serving.pipeline, dt))
    draft = ManifestDraft.of(
        evaluation_key(home, serving, dt),
        serving,
        {"signals": signal.dataset_id, "silver/grid": silver.dataset_id},
        f"{CODE_VERSION}.{EVALUATOR_VERSION}",
        (TRADE_TABLE,),
    )

    def write(staging: Staging) -> None:
        path = price_path(home, serving, dt)
        scores, ready = scores_of(home, serving, dt)
        trades = evaluate(path, scores, ready, serving.evaluator)
        metrics: dict[str, Any] = measure(trades)
        metrics["information_coefficient"] = {
            str(h): value
            for h, value in information_coefficient(path, scores, ready, serving.evaluator).items()
        }
        text = json.dumps(metrics, indent=1, allow_nan=False) + "\n"
        (staging.path / METRICS).write_text(text)
        columns = {name: np.ascontiguousarray(trades.table[name]) for name in TRADE.names or ()}
        write_rows(staging.path / TRADE_TABLE.file_name, TRADE_TABLE, columns)
        staging.counts.update(trades=len(trades.table), bins=path.n_bins)

    return publish(home, draft, write, overwrite)


def read_metrics(home: Home, serving: ServingSpec, dt: date) -> dict[str, Any]:
    """Return the stored metrics of a date."""
    content = home.lake.read_file(evaluation_key(home, serving, dt), METRICS)
    metrics: dict[str, Any] = json.loads(content)
    return metrics
