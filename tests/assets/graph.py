"""The graph as text: ``python -m tests.assets.graph`` prints what ``graph.txt`` must hold."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import dagster as dg

from qmachina_jobs.graph import code_location
from tests.assets.world import make_lake


def text_of(defs: dg.Definitions) -> str:
    """Return assets, checks, jobs, sensors and schedules, sorted, one a line."""
    graph = defs.resolve_asset_graph()
    lines = []
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        sessions = node.partitions_def
        lines.append(
            f"asset {key.to_user_string()}"
            f" group={node.group_name}"
            f" owners={','.join(sorted(node.owners))}"
            f" kinds={','.join(sorted(node.kinds))}"
            f" code={node.code_version}"
            f" partitions={type(sessions).__name__ if sessions else 'none'}"
            f" deps={','.join(sorted(k.to_user_string() for k in node.parent_keys)) or 'none'}"
        )
    for check in sorted(graph.asset_check_keys, key=str):
        spec = graph.get_check_spec(check)
        partitions = "sessions" if spec.partitions_def else "none"
        lines.append(
            f"check {check.to_user_string()} blocking={spec.blocking} partitions={partitions}"
        )
    for job in sorted(defs.resolve_all_job_defs(), key=lambda j: j.name):
        if not job.name.startswith("__"):
            ops = ",".join(sorted(n.name for n in job.nodes))
            lines.append(f"job {job.name} executor={job.executor_def.name} ops={ops}")
    for sensor in sorted(defs.sensors or (), key=lambda s: s.name):
        lines.append(f"sensor {sensor.name} job={sensor.job_name} {sensor.default_status.value}")
    for schedule in sorted(defs.schedules or (), key=lambda s: s.name):
        lines.append(
            f"schedule {schedule.name} job={schedule.job_name} {schedule.cron_schedule}"
            f" {schedule.execution_timezone} {schedule.default_status.value}"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(text_of(code_location(make_lake(Path(folder) / "lake"))))
