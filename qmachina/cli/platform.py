"""Commands around Dagster and serving: up, down, status, dev, dagster."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from qmachina.cli import output, processes
from qmachina.cli.place import WORKSPACE, Place, require_project
from qmachina.cli.processes import Process, Service
from qmachina.errors import RefusedError
from qmachina.lake.home import Home
from qmachina.registry.reader import RegistryReader

PORT_UI, PORT_SERVE = 3000, 8002
_READY_SECONDS = 120.0

LakeOption = Annotated[
    Path | None,
    typer.Option(
        "--lake", help="The lake. Default: QMACHINA_LAKE, else lake/ of the project.",
        show_default=False,
    ),
]  # fmt: skip
InstrumentOption = Annotated[
    Path | None,
    typer.Option("--instrument", help="Instead of the lake's instrument.yaml.", show_default=False),
]
PortUi = Annotated[int, typer.Option(envvar="PORT_UI", min=1, max=65535, help="Dagster's page.")]
PortServe = Annotated[
    int, typer.Option(envvar="PORT_SERVE", min=1, max=65535, help="Stream and page.")
]
Serve = Annotated[bool, typer.Option("--serve/--no-serve", help="Start serving too.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("up")(up)
    app.command("down")(down)
    app.command("status")(status)
    app.command("dev")(dev)
    app.command(
        "dagster",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        add_help_option=False,
    )(dagster)


def up(
    lake: LakeOption = None,
    instrument: InstrumentOption = None,
    port_ui: PortUi = PORT_UI,
    port_serve: PortServe = PORT_SERVE,
    serve: Serve = True,
    json: Json = False,
) -> None:
    """Start Dagster (page and daemon) and serving, detached; does nothing if they run."""
    place = Place.find(lake, instrument)
    home = place.prepare_dagster_home()
    alive, known = processes.running(home), processes.read_state(home)
    if alive and alive != known:
        gone = ", ".join(p.name for p in known if not p.alive)
        output.note(f"{gone} ended by itself; starting everything anew")
        processes.stop(home, alive)
        alive = ()
    if not alive:
        wanted = services(place, port_ui, port_serve, serve)
        with processes.locked(home) as lock:
            started = start_all(place, home, wanted, lock)
        try:
            processes.wait_ready(home, wanted, started, _READY_SECONDS)
            processes.require_loaded(port_ui)
        except BaseException:
            processes.stop(home, started)
            raise
    report(place, json)


def start_all(
    place: Place, home: Path, wanted: Sequence[Service], lock: int
) -> tuple[Process, ...]:
    """Start services after making sure that their ports are free."""
    for service in wanted:
        if service.port is not None:
            option = "--port-ui" if service.name == "ui" else "--port-serve"
            processes.require_free(service.port, option)
    return processes.start(home, wanted, place.environment(), lock)


def services(place: Place, port_ui: int, port_serve: int, serve: bool) -> list[Service]:
    """Return what runs for a place, all on the loopback address."""
    workspace = ["-w", str(require_project() / WORKSPACE)]
    python, host = [sys.executable, "-m"], ["--host", processes.HOST]
    found = [
        Service(
            "ui",
            [*python, "dagster_webserver", *host, "--port", str(port_ui), *workspace],
            port_ui,
            "/server_info",
        ),
        Service("daemon", [*python, "dagster._daemon", "run", *workspace]),
    ]
    if serve:
        command = [*python, "serving", "--lake", str(place.lake), *host]
        found.append(
            Service(
                "serving",
                [*command, "--port", str(port_serve), "--lead", "600"],
                port_serve,
                "/health",
            )
        )
    return found


def down(
    lake: LakeOption = None,
    instrument: InstrumentOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Of every lake of the project, this one included.")
    ] = False,
    json: Json = False,
) -> None:
    """Stop Dagster and serving. Runs that are under way end by themselves and are recorded."""
    homes = (
        sorted((require_project() / ".dagster").glob("*/"))
        if everything
        else [Place.find(lake, instrument).dagster_home()]
    )
    stopped = []
    for home in homes:
        alive = processes.running(home)
        if alive:
            processes.stop(home, alive)
        stopped += [p.name for p in alive]
    if json:
        output.as_json({"stopped": stopped})
    else:
        output.console.print(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


def dev(
    lake: LakeOption = None,
    instrument: InstrumentOption = None,
    port_ui: PortUi = PORT_UI,
    port_serve: PortServe = PORT_SERVE,
    serve: Serve = True,
) -> None:
    """Run Dagster and serving in the foreground until Ctrl-C, logs on the terminal's files."""
    place = Place.find(lake, instrument)
    home = place.prepare_dagster_home()
    wanted = services(place, port_ui, port_serve, serve)
    with processes.locked(home) as lock:
        started = start_all(place, home, wanted, lock)
        try:
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            processes.wait_ready(home, wanted, started, _READY_SECONDS)
            processes.require_loaded(port_ui)
            report(place, False)
            output.console.print(f"logs in {home / processes.LOGS}; Ctrl-C stops")
            while all(p.alive for p in started):
                time.sleep(0.5)
        except KeyboardInterrupt:
            pass
        finally:
            processes.stop(home, started)


def status(
    lake: LakeOption = None, instrument: InstrumentOption = None, json: Json = False
) -> None:
    """Say what runs, where, on which data."""
    report(Place.find(lake, instrument), json)


def dagster(context: typer.Context) -> None:
    """Run Dagster's own command with the home set, e.g. qmachina dagster asset list."""
    arguments = list(context.args)
    if arguments[:1] == ["dev"]:
        raise RefusedError(
            "dagster dev starts a daemon that knows no lock", remedy="Use qmachina dev"
        )
    place = Place.find()
    home = place.prepare_dagster_home()
    if "--help" not in arguments:
        arguments += _location(arguments[:1])
    processes.default_signals()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.chdir(home)
    os.execve(sys.executable, [sys.executable, "-m", "dagster", *arguments], place.environment())


def _location(group: list[str]) -> list[str]:
    """Return the options by which a group of Dagster's commands is told what to load."""
    root = require_project()
    if group == ["asset"]:
        return ["-m", "qmachina_jobs.definitions", "-d", str(root)]
    if group in (["definitions"], ["job"], ["sensor"], ["schedule"]):
        return ["-w", str(root / WORKSPACE)]
    return []


def report(place: Place, json: bool) -> None:
    """Print the state of a place."""
    state = state_of(place)
    if json:
        output.as_json(state)
        return
    home = place.open()
    alive = {p["name"]: p for p in state["processes"]}
    output.facts(
        f"{home.instrument.symbol} in {state['lake']}",
        {
            **{name: f"{p['url'] or 'running'} (pid {p['pid']})" for name, p in alive.items()},
            **({} if alive else {"running": "nothing; start with qmachina up"}),
            "raw_files": state["raw_files"],
            "sessions": {k: v["sessions"] for k, v in state["datasets"].items()},
            "pages": ", ".join(state["pages"].values()) or "none; promote a run first",
            **({"warning": state["warning"]} if state["warning"] else {}),
        },
    )


def state_of(place: Place) -> dict[str, Any]:
    """Return the state of a place as plain data."""
    home = place.open()
    alive = processes.running(place.dagster_home())
    aliases = RegistryReader(home.root).aliases()
    port = next((p.port for p in alive if p.name == "serving"), None)
    return {
        "lake": str(place.lake),
        "instrument": home.instrument.symbol,
        "product_type": home.instrument.product_type,
        "dagster_home": str(place.dagster_home()),
        "running": bool(alive),
        "processes": [
            {
                "name": p.name,
                "pid": p.pid,
                "port": p.port,
                "url": f"http://{processes.HOST}:{p.port}" if p.port else None,
            }
            for p in alive
        ],
        "raw_files": len(home.raw_files()),
        "datasets": datasets_of(home),
        "aliases": aliases,
        "pages": {a: page_url(a, port or PORT_SERVE) for a in aliases},
        "streams": {a: stream_url(a, port or PORT_SERVE) for a in aliases},
        "warning": home.calendar.check_horizon(datetime.now(UTC).date()),
    }


def datasets_of(home: Home) -> dict[str, dict[str, Any]]:
    """Return for each dated dataset how many sessions the lake holds, and the latest."""
    found: dict[str, list[str]] = {}
    for key in home.lake.list(symbol=home.instrument.symbol):
        if key.dt is not None:
            name = key.spec_slug if key.layer == "evaluation" else key.dataset
            found.setdefault(f"{key.layer}/{name}", []).append(str(key.dt))
    return {
        name: {"sessions": len(set(dates)), "latest": max(dates)}
        for name, dates in sorted(found.items())
    }


def page_url(alias: str, port: int) -> str:
    """Return the address of an alias' live page."""
    return f"http://{processes.HOST}:{port}/?serving={alias}"


def stream_url(alias: str, port: int) -> str:
    """Return the address of an alias' stream."""
    return f"ws://{processes.HOST}:{port}/v1/stream?serving={alias}"
