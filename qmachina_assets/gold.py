"""gold/features: forces, composite, states."""

# No postponed annotations here: Dagster reads them when it meets the function.

import dagster as dg
from dagster import AssetExecutionContext, AssetsDefinition

from qmachina.datasets import gold
from qmachina.datasets.gold import build_gold, gold_tables
from qmachina.lake.home import Home
from qmachina_assets import silver
from qmachina_assets.partitions import require_session
from qmachina_assets.plots import gold_plot
from qmachina_assets.report import dated, may_overwrite, one_line, progress, result, schema_of
from qmachina_assets.resources import HomeResource

KEY = dg.AssetKey(["gold", "features"])


def gold_assets(home: Home, sessions: dg.PartitionsDefinition) -> list[AssetsDefinition]:
    """Return the gold layer."""

    @dg.asset(
        **dated("gold", "features", sessions, "team:features", {"parquet", "numba"}),
        deps=[silver.KEY],
        code_version=gold.CODE_VERSION,
        metadata=schema_of(gold_tables(home.pipeline)),
        description="Pressure, vacuum, composite and states of every tick, from silver alone. "
        "Deterministic: no thresholds, no scores.",
    )
    def features(context: AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
        with one_line():
            h = home.open()
            dt = require_session(context, h)
            built = build_gold(
                h,
                h.pipeline,
                dt,
                overwrite=may_overwrite(context),
                progress=progress(context, "bins"),
            )
            return result(h, built, gold_plot(h, built.manifest.key))

    return [features]
