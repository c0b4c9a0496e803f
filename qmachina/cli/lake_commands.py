"""Commands on a lake: import, synth, ingest, backfill, validate, verify."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from qmachina.cli import jobs, output
from qmachina.cli.imports import import_files
from qmachina.cli.place import Place, authored_specs
from qmachina.cli.platform import InstrumentOption, Json, LakeOption
from qmachina.cli.synthetic import SPEC, make_days, market_lake
from qmachina.cli.validation import problems_of
from qmachina.errors import QMachinaError, SpecError

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what the lake holds.")]
Workers = Annotated[int, typer.Option(min=1, max=64, help="Processes.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("import")(import_)
    app.command("synth")(synth)
    app.command("ingest")(ingest)
    app.command("backfill")(backfill)
    app.command("validate")(validate)
    app.command("verify")(verify)


def import_(
    files: Annotated[list[Path], typer.Argument(help="DBN files of the mbo schema.")],
    lake: LakeOption = None,
    instrument: InstrumentOption = None,
    json: Json = False,
) -> None:
    """Check files to their last record and copy them into the lake's raw folder.

    The name must say the date, the content must be the home's instrument. All files are
    checked before the first is copied; a file that is there already is left alone.
    """
    home = Place.find(lake, instrument).open()
    imported = import_files(home, files)
    if json:
        output.as_json(imported)
    else:
        for row in imported:
            done = "already there" if row["already_there"] else "imported"
            output.console.print(f"{row['file']}: {done}, {row['records']:,} records", markup=False)


def synth(
    sessions: Annotated[int, typer.Option(min=1, max=1000, help="How many sessions.")] = 5,
    first: Annotated[str, typer.Option(help="Start looking for sessions here.")] = "2025-01-02",
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another market.")] = 1,
    open_time: Annotated[str, typer.Option(help="Exchange-local HH:MM.")] = SPEC.open_time,
    close_time: Annotated[str, typer.Option(help="Exchange-local HH:MM.")] = SPEC.close_time,
    out: Annotated[Path | None, typer.Option(help="Folder of the files.")] = None,
    lake: Annotated[
        Path | None, typer.Option(help="A lake instead: raw folder and instrument.yaml.")
    ] = None,
    json: Json = False,
) -> None:
    """Make synthetic DBN days of an index future, half days included. Same seed, same bytes."""
    if (out is None) == (lake is None):
        raise typer.BadParameter("give --out or --lake, and not both")
    update = {"seed": seed, "open_time": open_time, "close_time": close_time}
    spec = type(SPEC).parse(SPEC.canonical() | update, subject="synth")
    day = day_of(first)
    if lake is not None:
        paths = market_lake(spec, lake, day, sessions)
    else:
        assert out is not None
        paths = make_days(spec, out, day, sessions)
    if json:
        output.as_json([str(p) for p in paths])
    else:
        for path in paths:
            output.console.print(str(path), markup=False, soft_wrap=True)


def ingest(
    dates: Annotated[list[str], typer.Argument(metavar="DATE…", help="Sessions, YYYY-MM-DD.")],
    lake: LakeOption = None,
    instrument: InstrumentOption = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Take dates from raw file to evaluation, through Dagster."""
    place = Place.find(lake, instrument)
    home = place.open()
    wanted = [home.session(day_of(text)) for text in dates]
    _finish(jobs.launch(place, "ingest", dates=wanted, overwrite=overwrite), json)


def backfill(
    dates: Annotated[str, typer.Option(help="First and last session, A:B.", show_default=False)],
    lake: LakeOption = None,
    instrument: InstrumentOption = None,
    workers: Workers = 2,
    force: Annotated[bool, typer.Option("--force", help="Run dates that are done too.")] = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Ingest all sessions of a range that have a raw file and are not done."""
    place = Place.find(lake, instrument)
    home = place.open()
    first, _, last = dates.partition(":")
    sessions = home.calendar.sessions(day_of(first), day_of(last or first))
    there = {day for _, day in home.raw_files()}
    wanted = [d for d in sessions if d in there]
    if absent := [str(d) for d in sessions if d not in there]:
        shown = ", ".join(absent[:5]) + (" …" if len(absent) > 5 else "")
        output.note(f"{len(absent)} sessions have no raw file: {shown}")
    if not wanted:
        raise QMachinaError("no session of the range has a raw file", subject=dates)
    done = jobs.launch(
        place,
        "ingest",
        dates=wanted,
        workers=workers,
        missing=not (force or overwrite),
        overwrite=overwrite,
    )
    _finish(done, json)


def validate(
    specs: Annotated[
        list[Path] | None, typer.Option(help="Folders of specs. Default: the project's.")
    ] = None,
    json: Json = False,
) -> None:
    """Check every authored spec against every instrument file; for CI."""
    folders = specs or [authored_specs()]
    checked, problems = problems_of(folders)
    if json:
        output.as_json({"checked": checked, "problems": problems})
    else:
        for problem in problems:
            output.error(problem)
        if not problems:
            output.console.print(f"{checked} specs are valid")
    if problems:
        raise typer.Exit(3)


def verify(
    lake: LakeOption = None, instrument: InstrumentOption = None, json: Json = False
) -> None:
    """Recompute every checksum of the lake and compare every table with its contract."""
    home = Place.find(lake, instrument).open()
    problems = []
    keys = home.lake.list(symbol=home.instrument.symbol)
    for key in keys:
        try:
            home.lake.verify(key)
        except QMachinaError as e:
            problems.append(e.line())
    if json:
        output.as_json({"partitions": len(keys), "problems": problems})
    else:
        for problem in problems:
            output.error(problem)
        if not problems:
            output.console.print(f"{len(keys)} partitions, all as they were published")
    if problems:
        raise typer.Exit(3)


def _finish(outcome: jobs.Outcome, json: bool) -> None:
    if json:
        output.as_json(outcome.done)
    outcome.require()


def day_of(text: str) -> date:
    """Return an ISO date, or raise SpecError."""
    try:
        return date.fromisoformat(text)
    except ValueError as e:
        raise SpecError("not a date", expected="YYYY-MM-DD", found=text) from e
