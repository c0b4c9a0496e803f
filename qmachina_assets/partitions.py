"""Partitions are trading sessions, and every asset makes sure that its date is one."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import dagster as dg
from dagster import AssetExecutionContext

from qmachina.lake.home import Home

#: Tags in which a run says which dates it was asked for.
_ASKED = (
    "dagster/partition",
    "dagster/asset_partition_range_start",
    "dagster/asset_partition_range_end",
)
_SATURDAYS, _SUNDAYS = "0 0 * * 6", "0 0 * * 0"


def session_partitions(home: Home) -> dg.DailyPartitionsDefinition:
    """Return the sessions of a home's instrument, from its first date, as UTC dates.

    The partition of a date exists once the date is over (UTC); a half day is a session.
    """
    calendar = home.calendar
    first = max(home.instrument.first_date, calendar.first)
    excluded: list[str | datetime] = []
    end = None
    if not calendar.weekends:
        closed = calendar.holidays(first, calendar.last)
        excluded = [_SATURDAYS, _SUNDAYS, *(datetime(d.year, d.month, d.day) for d in closed)]
        end = str(calendar.last + timedelta(days=1))
    return dg.DailyPartitionsDefinition(
        start_date=str(first), end_date=end, timezone="UTC", exclusions=excluded or None
    )


def require_session(context: AssetExecutionContext, home: Home) -> date:
    """Return the one session a step is about, or fail without retry.

    A run that is launched by tag or API for a date between two sessions is accepted by
    Dagster, which then silently works on the next session: asked and given are compared here.
    """
    asked = {context.run.tags[tag] for tag in _ASKED if tag in context.run.tags}
    for text in sorted(asked):
        home.session(_parse(text))
    given = set(context.partition_keys)
    if asked - given or len(given) != 1:
        raise dg.Failure(
            f"asked for {', '.join(sorted(asked)) or 'no date'}, "
            f"given {', '.join(sorted(given)) or 'none'}: a run is about one session",
            allow_retries=False,
        )
    return home.session(_parse(given.pop()))


def _parse(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise dg.Failure(f"{text!r} is not a date", allow_retries=False) from None
