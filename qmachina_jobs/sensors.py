"""Sensors: raw files as they arrive."""

# No postponed annotations here: Dagster reads them when it meets the function.

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg
from dagster import SensorDefinition, SensorEvaluationContext

from qmachina.errors import QMachinaError
from qmachina.lake.home import Home
from qmachina_assets import raw
from qmachina_assets.report import OVERWRITE
from qmachina_assets.resources import HomeResource

#: Runs asked for in one tick; the rest waits.
MAX_REQUESTS = 20
INTERVAL = "QMACHINA_SENSOR_SECONDS"


@dataclass
class Tick:
    """What one look at the raw folder found.

    Parameters
    ----------
    seen, pending : dict of str to str
        File name to size and time of change: handled, and met once. The next tick's cursor.
    ready : list of (str, date)
        Files to ingest now, by name.
    waiting, unparsable, not_sessions, unreadable : list of str
        Files that are not, and why.
    """

    seen: dict[str, str] = field(default_factory=dict)
    pending: dict[str, str] = field(default_factory=dict)
    ready: list[tuple[str, date]] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    unparsable: list[str] = field(default_factory=list)
    not_sessions: list[str] = field(default_factory=list)

    def cursor(self) -> str:
        """Return what the next tick must know."""
        return json.dumps({"seen": self.seen, "pending": self.pending}, sort_keys=True)

    def summary(self) -> str:
        """Return what there is to say of the files that are not ingested."""
        parts = [
            f"{words}: {', '.join(names)}"
            for words, names in (
                (
                    "met for the first time, still changing, or beyond this tick's share",
                    self.waiting,
                ),
                ("not a session, or its UTC date is not over", self.not_sessions),
                ("name says no date", self.unparsable),
            )
            if names
        ]
        return "; ".join(parts) or "no new raw file"


def look(home: Home, cursor: str | None, is_partition: Callable[[str], bool]) -> Tick:
    """Compare the raw folder with what the last tick saw.

    A file is ready when two ticks find it with the same size and time of change. Files are
    only stat'ed here, never read. A cursor that is lost or unreadable costs one more tick.
    """
    before = _parse(cursor)
    tick = Tick()
    for path, day in home.raw_files():
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue  # moved away while we looked
        now = f"{stat.st_size}-{stat.st_mtime_ns}"
        if day is None:
            tick.unparsable.append(path.name)
        elif not is_partition(str(day)):
            tick.not_sessions.append(path.name)
        elif before["seen"].get(path.name) == now:
            tick.seen[path.name] = now
        elif before["pending"].get(path.name) != now or len(tick.ready) == MAX_REQUESTS:
            tick.pending[path.name] = now
            tick.waiting.append(path.name)
        else:
            tick.seen[path.name] = now
            tick.ready.append((path.name, day))
    return tick


def _parse(cursor: str | None) -> dict[str, dict[str, str]]:
    try:
        body = json.loads(cursor or "{}")
        return {k: dict(body.get(k, {})) for k in ("seen", "pending")}
    except (ValueError, TypeError, AttributeError):
        return {"seen": {}, "pending": {}}


def raw_files_sensor(job: Any, sessions: dg.PartitionsDefinition) -> SensorDefinition:
    """Return the sensor that ingests raw files as they arrive."""

    @dg.sensor(
        name="raw_files",
        job=job,
        minimum_interval_seconds=int(os.environ.get(INTERVAL, "15")),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="New or changed files in the raw folder, once they hold still, are ingested. "
        f"At most {MAX_REQUESTS} runs a tick.",
    )
    def raw_files(context: SensorEvaluationContext, home: HomeResource) -> Any:
        try:
            tick = look(home.open(), context.cursor, sessions.has_partition_key)
        except QMachinaError as e:
            raise dg.Failure(e.line(), allow_retries=False) from None
        requests = [
            dg.RunRequest(
                run_key=f"{name}:{tick.seen[name]}", partition_key=str(day), tags=_replaces(known)
            )
            for name, day in tick.ready
            if (known := registered_stat(context.instance, str(day))) != tick.seen[name]
        ]
        if not requests:
            return dg.SensorResult(cursor=tick.cursor(), skip_reason=tick.summary())
        if tick.waiting or tick.not_sessions or tick.unparsable:
            context.log.info(tick.summary())
        return dg.SensorResult(run_requests=requests, cursor=tick.cursor())

    return raw_files


def registered_stat(instance: dg.DagsterInstance, partition: str) -> str | None:
    """Return size and time of change of the file a date was last registered with.

    Run keys are forgotten with their runs; this is not.
    """
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=raw.KEY, asset_partitions=[partition]), limit=1
    ).records
    for record in records:
        event = record.asset_materialization
        stat = event.metadata.get("stat") if event else None
        if stat is not None:
            return str(stat.value)
    return None


def _replaces(known: str | None) -> dict[str, str]:
    """Return the tags of a run: a file that was replaced on purpose replaces its date."""
    return {} if known is None else {OVERWRITE: "true"}
