"""qmachina warm: compile all kernels once, so that the first file does not wait for them."""

from __future__ import annotations

import time
from typing import Annotated

import numpy as np
import typer

from qmachina.book.book import OrderBook
from qmachina.book.mbp import MarketByPrice
from qmachina.cli import output
from qmachina.evaluation.first_touch import evaluate
from qmachina.evaluation.prices import from_bins
from qmachina.evaluation.sweep import sweep
from qmachina.features.geometry import Geometry
from qmachina.features.gold import GoldStage
from qmachina.grid.engine import Engine
from qmachina.models import registry
from qmachina.sources.tape import Tape
from qmachina.specs.evaluation import EvaluatorSpec
from qmachina.specs.gold import GoldSpec
from qmachina.specs.model import ModelSpec
from qmachina.specs.silver import SilverSpec

TICK = 250_000_000


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("warm")(warm)


def warm(
    json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Compile all kernels; takes about a minute once per machine and version, then nothing."""
    started = time.perf_counter()
    tape = Tape().snapshot((1, "B", 99, 5), (2, "A", 100, 6))
    for i in range(40):
        tape.add(10 + i, "B", 98, 1 + i).wait(ms=100)
    tape.execute(2, 2).cancel(10)
    records = tape.records()
    OrderBook(TICK).replay(records)
    for _ in MarketByPrice(TICK).rows([records]):
        pass
    engine = Engine(SilverSpec(), TICK)
    geometry = Geometry(engine.spec.bin_ns, engine.spec.grid_radius_ticks, TICK)
    gold = GoldStage(GoldSpec(), geometry)
    models = [registry.build(ModelSpec(model_id=name), geometry) for name in registry.MODELS]
    for chunk in engine.advance(records):
        features = gold.advance(chunk)
        for model in models:
            scores = model.advance(chunk, features)
        path = from_bins(chunk.bins, TICK, tick_value=1.0, bin_ns=geometry.bin_ns)
        ready = np.ones(path.n_bins, np.bool_)
        rules = EvaluatorSpec(
            tp_ticks=1.0, sl_ticks=2.0, max_hold_ms=1000, threshold=0.1, fee_per_contract=0.0
        )
        evaluate(path, scores.bins["score"], ready, rules)
        sweep(path, scores.bins["score"], ready, rules, {"tp_ticks": [1.0, 2.0]})
    for _ in engine.finish(int(records["ts_recv"][-1]) + 10**9):
        pass
    result = {"seconds": round(time.perf_counter() - started, 1)}
    if json:
        output.as_json(result)
    else:
        output.facts("Kernels are compiled", result)
