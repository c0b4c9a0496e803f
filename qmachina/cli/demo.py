"""qmachina demo: from nothing to a running heatmap, on a market of our own."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from qmachina.cli import jobs, output, platform, processes
from qmachina.cli.place import DEMO, Place, project_root
from qmachina.cli.platform import PORT_SERVE, PORT_UI, PortServe, PortUi
from qmachina.cli.synthetic import SPEC, market_lake, sessions_of
from qmachina.datasets.study import read_study, study_key
from qmachina.errors import MissingError
from qmachina.lake.home import Home
from qmachina.lake.instrument import FILE_NAME
from qmachina.registry.reader import RegistryReader

#: A Friday before a half day and a holiday.
FIRST = date(2024, 12, 20)
SESSIONS = 5
#: Half an hour a date: enough to warm up and to trade, little enough to wait for.
MARKET = SPEC.model_copy(update={"open_time": "08:30", "close_time": "09:00"})
EXPERIMENTS = ("barriers", "ema_barriers")
ALIAS = "demo"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("demo")(demo)


def demo(
    serve: Annotated[
        bool, typer.Option("--serve/--no-serve", help="Start page, stream and Dagster's page.")
    ] = True,
    port_ui: PortUi = PORT_UI,
    port_serve: PortServe = PORT_SERVE,
) -> None:
    """Make a synthetic market, run the whole chain through Dagster, promote, and serve it.

    Five sessions, a half day among them. What is there already is not made again.
    """
    lake = project_root() / "lake" / DEMO
    say = output.notes.print
    say(f"1/5 market: {SESSIONS} sessions from {FIRST} on, in lake/{DEMO}")
    days = sessions_of(MARKET, FIRST, SESSIONS)
    if not has_market(lake, days):
        market_lake(MARKET, lake, FIRST, SESSIONS)
    place = Place(lake.resolve())
    home = place.open()
    say("2/5 raw file → silver → gold → signals → evaluation, two dates at a time")
    jobs.launch(place, "ingest", dates=days, missing=True, workers=2).require()
    say(f"3/5 sweeps: {', '.join(EXPERIMENTS)}")
    for name in EXPERIMENTS:
        if best_of(home, name, days) is None:
            span = {"first": str(days[0]), "last": str(days[-1])}
            jobs.launch(place, "sweep", config={"experiment": name, **span}).require()
    say(f"4/5 promote the best run of {EXPERIMENTS[0]} to alias {ALIAS}")
    promote_best(place, home, days)
    if not serve:
        say(f"5/5 left out; start it with qmachina up --lake lake/{DEMO}")
        return
    say("5/5 page, stream and Dagster")
    platform.up(place.lake, None, port_ui, port_serve, True, False)
    ports = {p.name: p.port for p in processes.running(place.dagster_home())}
    for line in next_steps(ports.get("ui") or port_ui, ports.get("serving") or port_serve):
        output.console.print(line, markup=False, soft_wrap=True)


def has_market(lake: Path, days: Sequence[date]) -> bool:
    """Tell whether the demo's lake has its instrument and a raw file of every day."""
    if not (lake / FILE_NAME).is_file():
        return False
    there = {day for _, day in Place(lake.resolve()).open().raw_files()}
    return there.issuperset(days)


def best_of(home: Home, experiment: str, days: Sequence[date]) -> str | None:
    """Return the first run of an experiment over the days, None before it ran."""
    spec = home.library.experiment(experiment, days, home.instrument.pipeline)
    try:
        return str(read_study(home, study_key(home, spec))["runs"][0]["run_id"])
    except MissingError:
        return None


def promote_best(place: Place, home: Home, days: Sequence[date]) -> None:
    """Point the demo's alias at the best run, unless it is there."""
    best = best_of(home, EXPERIMENTS[0], days)
    assert best is not None
    registry = RegistryReader(home.root)
    if ALIAS in registry.aliases():
        if registry.resolve(ALIAS).body["source"]["run_id"] == best:
            return
    config = {
        "run_id": best,
        "alias": ALIAS,
        "actor": getpass.getuser(),
        "reason": "best run of the demo",
    }
    jobs.launch(place, "promote", config=config).require()


def next_steps(port_ui: int, port_serve: int) -> list[str]:
    """Return where things are and what to try next."""
    lake = f"--lake lake/{DEMO}"
    return [
        "",
        f"heatmap   {platform.page_url(ALIAS, port_serve)}",
        f"stream    {platform.stream_url(ALIAS, port_serve)}",
        f"Dagster   http://127.0.0.1:{port_ui}",
        "",
        "Try next:",
        f"  qmachina runs {lake}                      what was evaluated, and how sure that is",
        f"  qmachina promote RUN_ID --alias demo {lake}   the page switches while you watch",
        f"  qmachina rollback --alias demo {lake}     and back",
        f"  qmachina synth {lake} --sessions 6 --first {FIRST} --close-time "
        f"{MARKET.close_time}   another day; the sensor ingests it",
        "  qmachina view FILE                        any DBN file of your own as a heatmap",
        "",
        "Stop everything: make down",
    ]
