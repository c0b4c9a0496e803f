"""Run jobs in this process, recorded in Dagster's history: ``python -m qmachina_jobs.launch``.

    launch ingest --date 2026-01-05 --date 2026-01-06 [--missing] [--overwrite]
    launch sweep --config '{"experiment": "barriers"}'

What happens is written as JSON lines. Needs no daemon and no webserver. A date that fails does
not keep the others from being tried; the exit code is that of the first failure.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import dagster as dg
from dagster import ExecuteInProcessResult

from qmachina.errors import QMachinaError
from qmachina_assets import raw
from qmachina_assets.report import OVERWRITE
from qmachina_jobs.jobs import run_config
from qmachina_jobs.progress import write


def main(arguments: list[str]) -> int:
    """Run a job and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        from qmachina_jobs.definitions import defs
    except QMachinaError as e:
        write({"event": "done", "date": None, "error": e.line(), "exit_code": e.exit_code})
        return e.exit_code
    config = run_config(options.job, json.loads(options.config))
    tags = {OVERWRITE: "true"} if options.overwrite else {}
    code = 0
    with dg.DagsterInstance.get() as instance:
        for date in options.date or [None]:
            if options.missing and is_done(instance, defs, date):
                write({"event": "done", "date": date, "reused": True, "exit_code": 0})
                continue
            failed = run(instance, defs, options.job, date, config, tags)
            code = code or failed
    return code


def run(
    instance: dg.DagsterInstance,
    defs: dg.Definitions,
    job: str,
    date: str | None,
    config: dict[str, Any],
    tags: dict[str, str],
) -> int:
    """Run one job once, say how it ended, and return its exit code."""
    definition = defs.resolve_job_def(job)
    sessions = definition.partitions_def
    if date is not None and not (sessions and sessions.has_partition_key(date)):
        line = (
            f"job {job} has no partition {date}: not a session, not over yet, or before the first"
        )
        write({"event": "done", "date": date, "error": line, "exit_code": 3})
        return 3
    try:
        done = definition.execute_in_process(
            run_config={**config, "loggers": {"progress": {}}},
            instance=instance,
            partition_key=date,
            tags=tags,
            raise_on_error=False,
        )
    except dg.DagsterInvalidConfigError as e:
        write({"event": "done", "date": date, "error": _first(e), "exit_code": 2})
        return 2
    error, code = failure_of(done)
    write({"event": "done", "date": date, "run_id": done.run_id, "error": error, "exit_code": code})
    return code


def failure_of(done: ExecuteInProcessResult) -> tuple[str | None, int]:
    """Return the first failure of a run as one line with its exit code."""
    if done.success:
        return None, 0
    for event in done.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            known = data.user_failure_data
            if known is not None:
                code = known.metadata.get("exit_code")
                return str(known.description), int(code.value) if code else 3  # type: ignore[arg-type]
            return (data.error_display_string or "the step failed").strip().splitlines()[0], 1
    return "a blocking check failed, or the run could not start", 3


def is_done(instance: dg.DagsterInstance, defs: dg.Definitions, date: str | None) -> bool:
    """Tell whether Dagster's history and the lake both hold a date to its end."""
    from datetime import date as day

    from qmachina_assets.resources import HomeResource
    from qmachina_jobs.schedules import is_complete

    if date is None or not is_complete(HomeResource.find().open(), day.fromisoformat(date)):
        return False
    keys = [raw.KEY, *(k for k in defs.resolve_all_asset_keys() if k.path[0] == "evaluation")]
    return all(date in instance.get_materialized_partitions(key) for key in keys)


def _first(error: dg.DagsterInvalidConfigError) -> str:
    return " ".join(e.message for e in error.errors) or str(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m qmachina_jobs.launch", description=__doc__)
    parser.add_argument("job")
    parser.add_argument("--date", action="append", help="session; may be given several times")
    parser.add_argument("--config", default="{}", help="config of the job's op, JSON")
    parser.add_argument("--missing", action="store_true", help="leave out dates that are done")
    parser.add_argument("--overwrite", action="store_true", help="replace what the lake holds")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
