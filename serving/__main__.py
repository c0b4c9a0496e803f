"""Start a serving process: ``python -m serving --lake DIR`` or ``… --file FILE``."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import NoReturn

from fastapi import FastAPI

from qmachina.errors import QMachinaError
from qmachina.lake.home import Home
from serving import process
from serving.app import create_app
from serving.catalogue import Catalogue, LakeCatalogue
from serving.settings import TOKEN, Settings
from serving.view import NAME, SPECS, Choice, FileCatalogue

#: Bins of a viewed file that are shown at once: the warm-up of its model.
_VIEW_LEAD = 300
#: A start that takes longer than this is compiling kernels.
_PATIENCE_S = 4.0
INSTRUMENT = "QMACHINA_INSTRUMENT_CONFIG_PATH"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _serve(options)
    except QMachinaError as e:
        sys.stderr.write(f"qmachina: error: {e.line()}\n")
        return e.exit_code
    except KeyboardInterrupt:
        return 130


def _serve(options: argparse.Namespace) -> int:
    catalogue: Catalogue
    if options.file is not None:
        choice = Choice(
            options.instrument,
            options.publisher,
            options.tick_size,
            options.cell_ms,
            options.radius,
            options.start,
        )
        catalogue = viewed = FileCatalogue(options.file, choice)
        for note in viewed.notes:
            sys.stderr.write(f"qmachina: note: {options.file.name}: {note}\n")
        speed = viewed.default_speed if options.speed == 0 else options.speed
        # Something to look at from the first moment, and a score that is warm.
        settings = _settings(options, speed, _VIEW_LEAD if options.lead is None else options.lead)
        names: tuple[str, ...] = (NAME,)
    else:
        override = options.instrument or os.environ.get(INSTRUMENT)
        home = Home.open(
            options.lake, options.specs or [SPECS], Path(override) if override else None
        )
        speed = 1.0 if options.speed == 0 else options.speed
        settings = _settings(options, speed, options.lead or 0)
        catalogue = LakeCatalogue(home, options.date, options.start)
        names = tuple(catalogue.listing().aliases)
        if not names:
            sys.stderr.write("qmachina: note: no alias points at anything yet: promote a run\n")
    run(catalogue, settings, names)
    return 0


def _settings(options: argparse.Namespace, speed: float | None, lead_bins: int) -> Settings:
    return Settings(
        host=options.host,
        port=options.port,
        token=os.environ.get(TOKEN) or None,
        speed=speed,
        lead_bins=lead_bins,
    )


def run(catalogue: Catalogue, settings: Settings, names: Sequence[str]) -> None:
    """Listen, say where each name's page is, and serve until interrupted."""
    listening = process.listen(settings)
    address = process.address(settings, listening)
    pages = [f"/?serving={name}" for name in names] or ["/"]
    sys.stdout.write("".join(f"{address}{page}\n" for page in pages))
    sys.stdout.flush()
    app = create_app(catalogue, settings)
    waiting = threading.Timer(_PATIENCE_S, _explain, [app])
    waiting.daemon = True
    waiting.start()
    try:
        process.server_of(app).run(sockets=[listening])
    finally:
        waiting.cancel()


def _explain(app: FastAPI) -> None:
    if "still starting" in app.state.readiness.problems:
        sys.stderr.write(
            "qmachina: note: compiling, which happens once and takes up to a minute; the page "
            "fills when it is done\n"
        )


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line, as everywhere in qMachina."""

    def error(self, message: str) -> NoReturn:
        """Complain and exit with 2."""
        sys.stderr.write(f"qmachina: error: {message}\n")
        sys.exit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m serving", description="Stream promoted servings, or one file.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--lake", type=Path, help="lake whose promoted versions are streamed")
    what.add_argument("--file", type=Path, help="one .dbn or .dbn.zst file of the mbo schema")
    parser.add_argument("--host", default="127.0.0.1", help=f"others need the token {TOKEN}")
    parser.add_argument("--port", type=int, default=8002, help="0 takes any free one")
    parser.add_argument("--speed", type=_speed, default=0, help="0.25 to 1000, or max")
    parser.add_argument("--start", help="exchange-local HH:MM; bins before it are not streamed")
    parser.add_argument("--instrument", help="instrument file; with --file: id or raw symbol")
    parser.add_argument("--lead", type=int, help="first bins that are shown at once, unpaced")
    lake = parser.add_argument_group("with --lake")
    lake.add_argument("--date", type=_date, help="session to replay")
    lake.add_argument("--specs", type=Path, action="append", help="folder of authored specs")
    file = parser.add_argument_group("with --file")
    file.add_argument("--publisher", type=int, help="publisher id")
    file.add_argument("--tick-size", help="in currency; inferred by default")
    file.add_argument("--cell-ms", type=int, help="bin width, ms")
    file.add_argument("--radius", type=int, help="ticks each way")
    return parser


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(f"must be YYYY-MM-DD, was {text!r}") from e


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.25 <= speed <= 1000:
        raise argparse.ArgumentTypeError("must be 0.25 to 1000, or max")
    return speed


if __name__ == "__main__":
    sys.exit(main())
