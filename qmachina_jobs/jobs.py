"""Jobs: what is launched together. All run in process; parallelism is across runs."""

from __future__ import annotations

from typing import Any

import dagster as dg
from dagster import JobDefinition

from qmachina_assets import experiments, serving

KIND = "qmachina/kind"
INGEST_GROUPS = ("raw", "silver", "gold", "signals", "evaluation")

#: The one op of a job that takes a config.
CONFIGURED = {
    "sweep": experiments.KEY.to_python_identifier(),
    "promote": serving.KEY.to_python_identifier(),
    "rollback": serving.ROLLBACK_OP,
}


def run_config(job: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return the run config of a job whose one op takes this config."""
    return {"ops": {CONFIGURED[job]: {"config": config}}} if job in CONFIGURED else {}


def ingest_job() -> Any:
    """Return the job that takes a date from raw file to evaluation, with all checks."""
    return dg.define_asset_job(
        "ingest",
        dg.AssetSelection.groups(*INGEST_GROUPS),
        description="One session from raw file to evaluation, with all checks, in one process.",
        tags={KIND: "ingest", "dagster/max_runtime": "14400"},
    )


def asset_jobs() -> list[Any]:
    """Return the other jobs over assets."""
    return [
        dg.define_asset_job(
            "signals",
            dg.AssetSelection.groups("signals", "evaluation"),
            description="Scores and evaluations of one session that has silver and gold.",
            tags={KIND: "signals", "dagster/max_runtime": "14400"},
        ),
        dg.define_asset_job(
            "sweep",
            dg.AssetSelection.assets(experiments.KEY),
            description="A study: every combination of an experiment over the latest sessions, or "
            "over a range of dates. Config: experiment, last_n or first and last, workers.",
            tags={KIND: "sweep"},
        ),
        dg.define_asset_job(
            "promote",
            dg.AssetSelection.assets(serving.KEY),
            description="Publish a run of a study and point an alias at it. Config: run_id or "
            "best:<experiment>, alias, actor, reason.",
            tags={KIND: "promote"},
        ),
    ]


def rollback_job() -> JobDefinition:
    """Return the job that points an alias back."""
    op = serving.rollback_op()

    @dg.job(
        name="rollback",
        tags={KIND: "promote"},
        description="Point an alias back at its previous version. Config: alias, actor, reason.",
    )
    def rollback() -> None:
        op()

    return rollback
