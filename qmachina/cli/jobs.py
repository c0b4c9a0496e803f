"""Run Dagster jobs as subprocesses and show what they do.

The command itself never imports Dagster: it starts ``python -m qmachina_jobs.launch`` with the
home set and reads its JSON lines. Runs appear in Dagster's history; no daemon is needed.
"""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from qmachina.cli import output
from qmachina.cli.place import Place, require_project
from qmachina.errors import QMachinaError, RefusedError

Line = dict[str, Any]


@dataclass
class Outcome:
    """What became of a job.

    Parameters
    ----------
    assets : list of dict
        Every materialisation: ``asset``, ``date``, ``metadata``.
    done : list of dict
        The end of every run: ``date``, ``run_id``, ``error``, ``exit_code``.
    """

    assets: list[Line] = field(default_factory=list)
    done: list[Line] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0, or that of the first failure."""
        return next((int(d["exit_code"]) for d in self.done if d["exit_code"]), 0)

    def metadata(self, asset: str) -> dict[str, Any]:
        """Return the metadata of the last materialisation of an asset."""
        found = [a["metadata"] for a in self.assets if a["asset"] == asset]
        return dict(found[-1]) if found else {}

    def require(self) -> Outcome:
        """Raise the first failure, if there is one."""
        for end in self.done:
            if end["exit_code"] == RefusedError.exit_code:
                raise RefusedError(_labelled(end))
            if end["exit_code"]:
                raise QMachinaError(_labelled(end))
        return self


def launch(
    place: Place,
    job: str,
    *,
    dates: Sequence[date] = (),
    config: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    missing: bool = False,
    workers: int = 1,
) -> Outcome:
    """Run a job, once a date, and return what became of it.

    Parameters
    ----------
    place : Place
        Lake and Dagster home.
    job : str
        Its name.
    dates : sequence of date
        Partitions; none for a job without.
    config : mapping, optional
        Config of the job's one op.
    overwrite : bool
        Replace what the lake holds.
    missing : bool
        Leave out dates that are done.
    workers : int
        Processes; dates are dealt out among them.
    """
    command = [sys.executable, "-m", "qmachina_jobs.launch", job]
    command += ["--config", json.dumps(dict(config or {}))]
    command += ["--overwrite"] * overwrite + ["--missing"] * missing
    share = max(1, min(workers, len(dates)))
    commands = [
        [*command, *(part for d in dates[i::share] for part in ("--date", str(d)))]
        for i in range(share)
    ]
    place.prepare_dagster_home()
    outcome = Outcome()
    with _bar(job, max(1, len(dates))) as bar:
        for line in _lines(commands, place):
            bar(line)
            if line["event"] == "asset":
                outcome.assets.append(line)
            elif line["event"] == "done":
                outcome.done.append(line)
    missed = max(1, len(dates)) - len(outcome.done)
    if missed and not outcome.exit_code:
        raise QMachinaError(f"job {job} stopped before its end", remedy="See the lines above")
    return outcome


def _lines(commands: Sequence[Sequence[str]], place: Place) -> Iterator[Line]:
    """Yield the lines of all commands as they come."""
    lines: queue.Queue[Line | None] = queue.Queue()
    environment, root = place.environment(), require_project()
    # A kill must reach the children as Ctrl-C does, through the clean-up below.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    children = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=root)
        for command in commands
    ]
    for child in children:
        threading.Thread(target=_read, args=(child, lines), daemon=True).start()
    try:
        for _ in children:
            while (line := lines.get()) is not None:
                yield line
    finally:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
            child.wait()


def _read(child: subprocess.Popen[str], lines: queue.Queue[Line | None]) -> None:
    assert child.stdout is not None
    for text in child.stdout:
        try:
            line = json.loads(text)
        except ValueError:
            line = None
        if isinstance(line, dict) and "event" in line:
            lines.put(line)
        else:
            sys.stderr.write(text)
    lines.put(None)


@contextlib.contextmanager
def _bar(job: str, total: int) -> Iterator[Any]:
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=output.notes,
        transient=True,
        disable=not output.notes.is_terminal,
    )
    with progress:
        task = progress.add_task(job, total=total)

        def show(line: Line) -> None:
            if line["event"] == "done":
                progress.advance(task)
                output.notes.print(f"{job} {_ending(line)}", markup=False, soft_wrap=True)
            elif line["event"] == "start":
                progress.update(task, description=f"{job} {str(line['step']).replace('__', '/')}")
            elif line["event"] == "message":
                step = str(line["step"]).replace("__", "/")
                progress.update(task, description=f"{job} {step} {line['text']}")

        yield show


def _ending(line: Line) -> str:
    label = f"{line['date']}: " if line.get("date") else ""
    if line.get("error"):
        return f"{label}failed: {line['error']}"
    return f"{label}{'already there' if line.get('reused') else 'done'}"


def _labelled(line: Line) -> str:
    return f"{line['date']}: {line['error']}" if line.get("date") else str(line["error"])
