"""Commands that become the serving process: view, serve.

The core does not import what stands on it; it starts ``python -m serving`` in its own place,
so that signals and the exit code are that process's.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from qmachina.cli.files import File, Instrument, Publisher, TickSize

Port = Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 takes any free one.")]
Host = Annotated[
    str, typer.Option(help="Address. One that others reach needs the token QMACHINA_TOKEN.")
]
Start = Annotated[
    str | None,
    typer.Option(help="Exchange-local HH:MM; earlier bins are computed, not shown."),
]
Lead = Annotated[
    int | None,
    typer.Option(min=0, help="First bins that are shown at once. Default: view 300, serve 0."),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("view")(view)
    app.command("serve")(serve)


def view(
    file: File,
    instrument: Instrument = None,
    publisher: Publisher = None,
    tick_size: TickSize = None,
    speed: Annotated[
        str | None,
        typer.Option(help="Times real time, or max. Default: some twenty bins a second."),
    ] = None,
    start: Start = None,
    cell_ms: Annotated[
        int | None, typer.Option(help="Bin width. Default: 100, or 1000 for a quiet file.")
    ] = None,
    radius: Annotated[int | None, typer.Option(help="Ticks each way. Default: 50.")] = None,
    lead: Lead = None,
    port: Port = 8002,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Accepted for scripts; none is ever opened.")
    ] = False,
) -> None:
    """Show any one file as a live heatmap: no lake, no promotion. Prints the page's address."""
    del no_browser
    _become_serving(
        ("--file", file),
        ("--instrument", instrument),
        ("--publisher", publisher),
        ("--tick-size", tick_size),
        ("--speed", speed),
        ("--start", start),
        ("--cell-ms", cell_ms),
        ("--radius", radius),
        ("--lead", lead),
        ("--port", port),
    )


def serve(
    lake: Annotated[Path, typer.Option(help="The lake.")] = Path("lake"),
    host: Host = "127.0.0.1",
    port: Port = 8002,
    speed: Annotated[str, typer.Option(help="Times real time, or max.")] = "1",
    date: Annotated[
        str | None, typer.Option(help="Session to replay, YYYY-MM-DD. Default: the latest.")
    ] = None,
    start: Start = None,
    lead: Lead = None,
    instrument: Annotated[
        Path | None, typer.Option(help="Instrument file instead of the lake's.")
    ] = None,
    specs: Annotated[Path | None, typer.Option(help="Folder of authored specs.")] = None,
) -> None:
    """Stream the promoted versions of a lake, by alias or id, with the live page."""
    _become_serving(
        ("--lake", lake),
        ("--host", host),
        ("--port", port),
        ("--speed", speed),
        ("--date", date),
        ("--start", start),
        ("--lead", lead),
        ("--instrument", instrument),
        ("--specs", specs),
    )


def _become_serving(*options: tuple[str, object]) -> None:
    # One text with "=", so that a value that begins with a dash stays a value.
    given = [f"{name}={value}" for name, value in options if value is not None]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", "serving", *given])
