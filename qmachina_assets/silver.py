"""silver/grid: bins and dense grid."""

# No postponed annotations here: Dagster reads them when it meets the function.

import dagster as dg
from dagster import AssetExecutionContext, AssetsDefinition

from qmachina.datasets import silver
from qmachina.datasets.silver import build_silver, silver_tables
from qmachina.lake.home import Home
from qmachina_assets import raw
from qmachina_assets.partitions import require_session
from qmachina_assets.plots import silver_plots
from qmachina_assets.report import dated, may_overwrite, one_line, progress, result, schema_of
from qmachina_assets.resources import HomeResource

KEY = dg.AssetKey(["silver", "grid"])


def silver_assets(home: Home, sessions: dg.PartitionsDefinition) -> list[AssetsDefinition]:
    """Return the silver layer."""

    @dg.asset(
        **dated("silver", "grid", sessions, "team:data", {"parquet", "numba"}),
        deps=[raw.KEY],
        code_version=silver.CODE_VERSION,
        pool="decode",
        metadata=schema_of(silver_tables(home.pipeline.silver)),
        description="Replays the raw file through the level-3 book into bins and the dense grid "
        "around spot. Checked against the laws of the book before it is published.",
    )
    def grid(context: AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
        with one_line():
            h = home.open()
            dt = require_session(context, h)
            built = build_silver(
                h,
                h.pipeline,
                dt,
                overwrite=may_overwrite(context),
                progress=progress(context, "records"),
            )
            return result(h, built, silver_plots(h, built.manifest.key))

    return [grid]
