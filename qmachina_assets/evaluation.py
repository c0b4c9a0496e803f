"""evaluation/<serving spec>: the paper trades of a serving spec, one asset each."""

# No postponed annotations here: Dagster reads them when it meets the function.

from typing import Any

import dagster as dg
from dagster import AssetExecutionContext, AssetsDefinition

from qmachina.datasets import evaluation
from qmachina.datasets.evaluation import TRADE_TABLE, build_evaluation, read_metrics
from qmachina.datasets.signals import SignalSpec
from qmachina.evaluation.first_touch import EVALUATOR_VERSION
from qmachina.lake.home import Home
from qmachina_assets import silver
from qmachina_assets.partitions import require_session
from qmachina_assets.plots import equity_plot
from qmachina_assets.report import dated, may_overwrite, one_line, result, schema_of
from qmachina_assets.resources import HomeResource
from qmachina_assets.signals import signal_name


def evaluation_assets(home: Home, sessions: dg.PartitionsDefinition) -> list[AssetsDefinition]:
    """Return the evaluation layer."""
    return [_evaluation(home, name, sessions) for name in home.library.names("servings")]


def _evaluation(home: Home, name: str, sessions: dg.PartitionsDefinition) -> AssetsDefinition:
    serving = home.serving(name)
    scores = dg.AssetKey(["signals", signal_name(home, SignalSpec.of(serving))])

    @dg.asset(
        **dated("evaluation", name, sessions, "team:research", {"parquet", "numba"}),
        deps=[scores, silver.KEY],
        code_version=f"{evaluation.CODE_VERSION}.{EVALUATOR_VERSION}",
        metadata={
            **schema_of([TRADE_TABLE]),
            "evaluator": serving.evaluator.canonical(),
            "spec_id": serving.id,
        },
        description=f"Paper trades of the serving spec {name} at the touch, after costs, and "
        "what they amount to. One date is no evidence.",
    )
    def trades(context: AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
        with one_line():
            h = home.open()
            dt = require_session(context, h)
            built = build_evaluation(h, serving, dt, overwrite=may_overwrite(context))
            metrics = _flat(read_metrics(h, serving, dt))
            return result(h, built, metrics | equity_plot(h, built.manifest.key))

    return trades


def _flat(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers Dagster can plot over dates: no nulls, one level."""
    flat: dict[str, Any] = {}
    for name, value in metrics.items():
        for key, number in (
            ((f"{name}_{k}", v) for k, v in value.items())
            if isinstance(value, dict)
            else ((name, value),)
        ):
            if number is not None:
                flat[key] = number
    return flat
