"""signals/<name>: one asset for every registered model, and for every spec that varies one."""

# No postponed annotations here: Dagster reads them when it meets the function.

import dagster as dg
from dagster import AssetExecutionContext, AssetsDefinition

from qmachina.datasets import signals
from qmachina.datasets.signals import SignalSpec, build_model, build_signal, signal_tables
from qmachina.datasets.silver import silver_key
from qmachina.lake.home import Home
from qmachina.models.registry import MODELS
from qmachina.specs.model import ModelSpec
from qmachina_assets import gold, silver
from qmachina_assets.partitions import require_session
from qmachina_assets.plots import signal_plot
from qmachina_assets.report import dated, may_overwrite, one_line, progress, result, schema_of
from qmachina_assets.resources import HomeResource


def signal_specs(home: Home) -> dict[str, SignalSpec]:
    """Return the signals of a home by asset name.

    A model's signal has the model's name: that of the serving spec of the same name, or the
    model's defaults where there is none. A serving spec with other parameters adds a signal
    under its own name.
    """
    authored = {n: SignalSpec.of(home.serving(n)) for n in home.library.names("servings")}
    found = {
        model_id: authored.get(model_id)
        or SignalSpec(pipeline=home.pipeline, model=ModelSpec(model_id=model_id))
        for model_id in sorted(MODELS)
    }
    for name, spec in authored.items():
        if spec not in found.values():
            found[name] = spec
    return found


def signal_name(home: Home, spec: SignalSpec) -> str:
    """Return the asset name of a signal."""
    return next(name for name, known in signal_specs(home).items() if known == spec)


def signal_assets(home: Home, sessions: dg.PartitionsDefinition) -> list[AssetsDefinition]:
    """Return the signals layer."""
    return [_signal(home, name, spec, sessions) for name, spec in signal_specs(home).items()]


def _signal(
    home: Home, name: str, spec: SignalSpec, sessions: dg.PartitionsDefinition
) -> AssetsDefinition:
    @dg.asset(
        **dated("signals", name, sessions, "team:research", {"parquet", "numba"}),
        deps=[silver.KEY, gold.KEY],
        code_version=signals.CODE_VERSION,
        metadata={
            **schema_of(signal_tables(build_model(home, spec))),
            "model": spec.model.canonical(),
            "spec_id": spec.id,
        },
        description=f"Scores of the model {spec.model.model_id}, one a bin, from silver and gold. "
        f"Parameters {spec.id8}.",
    )
    def signal(context: AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
        with one_line():
            h = home.open()
            dt = require_session(context, h)
            built = build_signal(
                h, spec, dt, overwrite=may_overwrite(context), progress=progress(context, "bins")
            )
            times = h.lake.read_bins(silver_key(h, spec.pipeline, dt), ("ts_ns",))["ts_ns"]
            return result(h, built, signal_plot(h, built.manifest.key, times))

    return signal
