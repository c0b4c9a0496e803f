"""Runs that report themselves as JSON lines on stdout, for the command line to show."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import dagster as dg
from dagster import DagsterEvent, DagsterEventType, InitLoggerContext

#: Long texts are pictures; they are for the asset's page.
_MAX_TEXT = 500


class _JsonLines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        meta: dict[str, Any] = getattr(record, "dagster_meta", {})
        event = meta.get("dagster_event")
        if event is not None:
            line = of_event(event)
        elif record.levelno >= logging.INFO:
            line = of_message(record, meta)
        else:
            return
        if line is not None:
            write(line)


@dg.logger(None, description="JSON lines on stdout.")
def progress_logger(context: InitLoggerContext) -> logging.Logger:
    """Return a logger that writes what happens as JSON lines."""
    del context
    logger = logging.Logger("qmachina.progress", logging.DEBUG)  # Dagster logs events at DEBUG
    logger.addHandler(_JsonLines())
    return logger


def write(line: dict[str, Any]) -> None:
    """Write one JSON line."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def of_message(record: logging.LogRecord, meta: dict[str, Any]) -> dict[str, Any] | None:
    """Return a logged message as a line."""
    text = meta.get("orig_message", record.getMessage())
    return {"event": "message", "step": meta.get("step_key"), "text": text}


def of_event(event: DagsterEvent) -> dict[str, Any] | None:
    """Return an event as a line; None for those nobody waits for."""
    if event.event_type == DagsterEventType.STEP_START:
        return {"event": "start", "step": event.step_key}
    if event.event_type == DagsterEventType.ASSET_MATERIALIZATION:
        done = event.step_materialization_data.materialization
        return {
            "event": "asset",
            "asset": "/".join(done.asset_key.path),
            "date": done.partition,
            "metadata": {k: v for k, m in done.metadata.items() if (v := _plain(m)) is not None},
        }
    if event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
        check = event.asset_check_evaluation_data
        return {
            "event": "check",
            "check": f"{'/'.join(check.asset_key.path)}:{check.check_name}",
            "passed": check.passed,
        }
    return None


def _plain(value: dg.MetadataValue) -> Any:
    inner = value.value
    if isinstance(inner, str):
        return inner if len(inner) <= _MAX_TEXT else None
    return inner if isinstance(inner, (bool, int, float, dict)) else None
