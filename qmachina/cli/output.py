"""How the command line prints: plain error lines, JSON for scripts, tables for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

#: For people: tables and progress. Width follows the terminal.
console = Console(highlight=False)
#: Progress and notes go here, so that ``--json`` output stays clean.
notes = Console(stderr=True, highlight=False)


def error(line: str) -> None:
    """Print one plain error line on stderr."""
    sys.stderr.write(f"qmachina: error: {line}\n")


def note(line: str) -> None:
    """Print one plain note on stderr."""
    sys.stderr.write(f"qmachina: note: {line}\n")


def as_json(value: object) -> None:
    """Print a value as JSON on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


def facts(title: str, values: Mapping[str, object]) -> None:
    """Print name-value pairs as a table; nested mappings become ``a 1, b 2``."""
    table = Table(title=title, show_header=False, title_justify="left", box=None, padding=(0, 2))
    for name, value in values.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{k} {v}" for k, v in value.items() if v) or "none"
        table.add_row(name.replace("_", " "), "absent" if value is None else str(value))
    console.print(table)


@contextmanager
def progress(what: str, subject: str) -> Iterator[Callable[[int], None]]:
    """Show records done on stderr while a long step runs; yields the function to call."""
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description} {task.completed:,} records"),
        TimeElapsedColumn(),
        console=notes,
        transient=True,
        disable=not notes.is_terminal,
    )
    with bar:
        task = bar.add_task(f"{what} {subject}", total=None)
        yield lambda done: bar.update(task, completed=done)
