"""raw/mbo_dbn: the vendor's file of a date, registered."""

# No postponed annotations here: Dagster reads them when it meets the function.

from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster import AssetExecutionContext, AssetsDefinition

from qmachina.datasets import raw
from qmachina.datasets.raw import register, registration
from qmachina_assets.partitions import require_session
from qmachina_assets.report import dated, may_overwrite, one_line, progress, relative, result
from qmachina_assets.resources import HomeResource

KEY = dg.AssetKey(["raw", "mbo_dbn"])


def raw_assets(sessions: dg.PartitionsDefinition) -> list[AssetsDefinition]:
    """Return the raw layer."""

    @dg.asset(
        **dated("raw", "mbo_dbn", sessions, "team:data", {"file"}),
        code_version=raw.CODE_VERSION,
        pool="decode",
        description="Registers the raw file of a session: fingerprint, header, counts. The file "
        "is read to its end, never copied. Its SHA-256 is the data version.",
    )
    def mbo_dbn(context: AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
        with one_line():
            h = home.open()
            dt = require_session(context, h)
            built = register(
                h, dt, overwrite=may_overwrite(context), progress=progress(context, "records")
            )
            facts = registration(h, dt)
            path = h.raw_file(dt)
            stat = path.stat()
            extra = _readable(facts) | {
                "file_path": relative(h, path),
                "stat": f"{stat.st_size}-{stat.st_mtime_ns}",
            }
            described = result(h, built, extra)
            return described._replace(data_version=dg.DataVersion(facts["sha256"]))

    return [mbo_dbn]


def _readable(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts with times as text."""
    times = {"first_ts_recv", "last_ts_recv", "start_ns", "end_ns"}
    return {
        k: str(datetime.fromtimestamp(v / 1e9, UTC)) if k in times else v
        for k, v in facts.items()
        if v is not None
    }
