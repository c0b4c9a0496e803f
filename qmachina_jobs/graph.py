"""Everything of one home as Dagster definitions."""

from __future__ import annotations

import re
import warnings

import dagster as dg

from qmachina.lake.home import Home
from qmachina_assets.checks import checks
from qmachina_assets.evaluation import evaluation_assets
from qmachina_assets.experiments import experiment_assets
from qmachina_assets.gold import gold_assets
from qmachina_assets.partitions import session_partitions
from qmachina_assets.raw import raw_assets
from qmachina_assets.resources import HomeResource
from qmachina_assets.serving import serving_assets
from qmachina_assets.signals import signal_assets
from qmachina_assets.silver import silver_assets
from qmachina_jobs.jobs import asset_jobs, ingest_job, rollback_job
from qmachina_jobs.progress import progress_logger
from qmachina_jobs.schedules import daily_ingest
from qmachina_jobs.sensors import raw_files_sensor

#: Features of Dagster that are in use although it still calls them beta or preview.
KNOWN_UNSTABLE = (
    (dg.BetaWarning, "Parameter `backfill_policy`"),
    (dg.PreviewWarning, "Specifying a partitions_def on an AssetCheckSpec"),
)


def code_location(resource: HomeResource) -> dg.Definitions:
    """Return assets, checks, jobs, sensors and schedules of a home."""
    with warnings.catch_warnings():
        for category, message in KNOWN_UNSTABLE:
            warnings.filterwarnings("ignore", re.escape(message), category)
        return _definitions(resource, resource.open())


def _definitions(resource: HomeResource, home: Home) -> dg.Definitions:
    sessions = session_partitions(home)
    signals = signal_assets(home, sessions)
    ingest = ingest_job()
    return dg.Definitions(
        assets=[
            *raw_assets(sessions),
            *silver_assets(home, sessions),
            *gold_assets(home, sessions),
            *signals,
            *evaluation_assets(home, sessions),
            *experiment_assets([asset.key for asset in signals]),
            *serving_assets(),
        ],
        asset_checks=checks(home, sessions),
        jobs=[ingest, *asset_jobs(), rollback_job()],
        sensors=[raw_files_sensor(ingest, sessions)],
        schedules=[daily_ingest(ingest, sessions)],
        resources={"home": resource},
        executor=dg.in_process_executor,
        loggers={"console": dg.colored_console_logger, "progress": progress_logger},
    )
