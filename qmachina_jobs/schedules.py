"""Schedules, written by hand: Dagster's own ignore the calendar's exclusions."""

# No postponed annotations here: Dagster reads them when it meets the function.

from datetime import UTC, timedelta
from typing import Any

import dagster as dg
from dagster import ScheduleDefinition, ScheduleEvaluationContext

from qmachina.datasets.evaluation import evaluation_key
from qmachina.errors import MissingError, QMachinaError
from qmachina.lake.home import Home
from qmachina_assets.resources import HomeResource


def daily_ingest(job: Any, sessions: dg.PartitionsDefinition) -> ScheduleDefinition:
    """Return the schedule that ingests yesterday's session: a safety net for the sensor."""

    @dg.schedule(
        name="daily_ingest",
        job=job,
        cron_schedule="0 6 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="06:00 UTC: yesterday's session, if it was one and is not in the lake yet.",
    )
    def daily(context: ScheduleEvaluationContext, home: HomeResource) -> Any:
        now = context.scheduled_execution_time.astimezone(UTC)
        day = (now - timedelta(days=1)).date()
        try:
            h = home.open()
            if not sessions.has_partition_key(str(day)):
                return dg.SkipReason(f"{day} is no session of {h.instrument.symbol}")
            if is_complete(h, day):
                return dg.SkipReason(f"{day} is in the lake")
            try:
                h.raw_file(day)
            except MissingError as e:
                return dg.SkipReason(e.line())
        except QMachinaError as e:
            raise dg.Failure(e.line(), allow_retries=False) from None
        return dg.RunRequest(run_key=f"daily:{day}", partition_key=str(day))

    return daily


def is_complete(home: Home, day: Any) -> bool:
    """Tell whether every evaluation of a date is in the lake."""
    for name in home.library.names("servings"):
        try:
            home.lake.read_manifest(evaluation_key(home, home.serving(name), day))
        except MissingError:
            return False
    return True
