"""Commands on evaluated runs: sweep, runs, promote, rollback, registry."""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.table import Table

from qmachina.cli import jobs, output, processes
from qmachina.cli.lake_commands import Overwrite, Workers, day_of
from qmachina.cli.place import Place
from qmachina.cli.platform import (
    PORT_SERVE,
    InstrumentOption,
    Json,
    LakeOption,
    page_url,
    stream_url,
)
from qmachina.datasets.study import find_run, read_study
from qmachina.lake.home import Home
from qmachina.registry.reader import RegistryReader

Alias = Annotated[str, typer.Option(help="Name it is served under.", show_default=False)]
Actor = Annotated[str | None, typer.Option(help="Who decides. Default: the login name.")]
Reason = Annotated[str, typer.Option(help="Why; goes into the log.")]

_SHOWN = (
    "run_id", "experiment", "rank", "threshold", "tp_ticks", "sl_ticks", "max_hold_ms", "n",
    "net", "net_low", "dates_traded", "note",
)  # fmt: skip

registry_app = typer.Typer(
    no_args_is_help=True, help="What serves: list, show, verify.", rich_markup_mode=None
)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("sweep")(sweep)
    app.command("runs")(runs)
    app.command("promote")(promote)
    app.command("rollback")(rollback)
    app.add_typer(registry_app, name="registry")


def sweep(
    experiment: Annotated[str, typer.Argument(help="Name of an experiment spec.")],
    last_n: Annotated[int, typer.Option(min=1, help="The latest so many sessions.")] = 20,
    dates: Annotated[str | None, typer.Option(help="A range instead, A:B.")] = None,
    workers: Workers = 1,
    lake: LakeOption = None,
    instrument: InstrumentOption = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Run every combination of an experiment over dates, through Dagster."""
    place = Place.find(lake, instrument)
    config: dict[str, Any] = {"experiment": experiment, "workers": workers}
    if dates is None:
        config["last_n"] = last_n
    else:
        first, _, last = dates.partition(":")
        config |= {"first": str(day_of(first)), "last": str(day_of(last or first))}
    done = jobs.launch(place, "sweep", config=config, overwrite=overwrite).require()
    study = done.metadata("experiments/study")
    if json:
        output.as_json(study)
    else:
        keep = ("experiment", "first", "last", "dates", "runs", "best_run_id", "note")
        output.facts("Study", {k: study[k] for k in keep})


def runs(
    experiment: Annotated[str | None, typer.Argument(help="Only this experiment.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows of each study.")] = 10,
    lake: LakeOption = None,
    instrument: InstrumentOption = None,
    json: Json = False,
) -> None:
    """List the evaluated runs of all studies, each study best first."""
    home = Place.find(lake, instrument).open()
    rows = run_rows(home, experiment, limit)
    if json:
        output.as_json(rows)
    elif not rows:
        output.console.print("no study yet; run qmachina sweep EXPERIMENT")
    else:
        _table([{k: row[k] for k in _SHOWN} | {"run_id": row["run_id"][:8]} for row in rows])


def run_rows(home: Home, experiment: str | None, limit: int) -> list[dict[str, Any]]:
    """Return the first runs of every study, or of one experiment's studies."""
    rows = []
    for key in home.lake.list("experiments", "study", home.instrument.symbol):
        if experiment in (None, key.spec_slug):
            study = read_study(home, key)
            facts = {"experiment": study["name"], "study": key.spec_id8, "dates_of": study["dates"]}
            rows += [facts | row for row in study["runs"][:limit]]
    return rows


def promote(
    run_id: Annotated[str, typer.Argument(help="Run id, its first 8 digits, or best:EXPERIMENT.")],
    alias: Alias,
    actor: Actor = None,
    reason: Reason = "promoted on the command line",
    lake: LakeOption = None,
    instrument: InstrumentOption = None,
    json: Json = False,
) -> None:
    """Publish a run and point an alias at it, through Dagster; print its addresses."""
    place = Place.find(lake, instrument)
    home = place.open()
    if not run_id.startswith("best:"):
        find_run(home, run_id)
    _move(place, "promote", alias, actor, reason, json, {"run_id": run_id})


def rollback(
    alias: Alias,
    actor: Actor = None,
    reason: Reason = "rolled back on the command line",
    lake: LakeOption = None,
    instrument: InstrumentOption = None,
    json: Json = False,
) -> None:
    """Point an alias back at its previous version, through Dagster."""
    _move(Place.find(lake, instrument), "rollback", alias, actor, reason, json, {})


def _move(
    place: Place,
    job: str,
    alias: str,
    actor: str | None,
    reason: str,
    json: bool,
    more: dict[str, str],
) -> None:
    config = {"alias": alias, "actor": actor or getpass.getuser(), "reason": reason, **more}
    moved = jobs.launch(place, job, config=config).require().metadata("serving/live")
    alive = processes.running(place.dagster_home())
    port = next((p.port for p in alive if p.name == "serving" and p.port), PORT_SERVE)
    moved |= {"page": page_url(alias, port), "stream": stream_url(alias, port)}
    if json:
        output.as_json(moved)
    else:
        output.facts(f"Alias {alias}", moved)


@registry_app.command("list")
def registry_list(
    lake: LakeOption = None, instrument: InstrumentOption = None, json: Json = False
) -> None:
    """List published versions and where each alias points."""
    registry = RegistryReader(Place.find(lake, instrument).lake)
    aliases = registry.aliases()
    rows: list[dict[str, Any]] = [
        {
            "id": v.id,
            "name": v.name,
            "verdict": v.verdict,
            "aliases": [a for a, target in aliases.items() if target == v.id],
            "published": v.published_at_utc,
            "authors": list(v.authors),
            "withdrawn": v.withdrawn,
        }
        for v in registry.versions()
    ]
    if json:
        output.as_json(rows)
    elif not rows:
        output.console.print("nothing was promoted yet")
    else:
        _table([{**row, "id": row["id"][:12]} for row in rows])


@registry_app.command("show")
def registry_show(
    serving: Annotated[str, typer.Argument(help="Alias or version id.")],
    lake: LakeOption = None,
    instrument: InstrumentOption = None,
) -> None:
    """Print what an alias or id stands for, with its history, as JSON."""
    registry = RegistryReader(Place.find(lake, instrument).lake)
    found = registry.resolve(serving)
    history = [
        {"time": e.time, "actor": e.actor, "action": e.action, "to": e.to_id, "reason": e.reason}
        for e in registry.history(serving)
    ]
    output.as_json(
        {
            "id": found.version.id,
            "alias": found.alias,
            "verdict": found.version.verdict,
            "history": history,
            "body": found.body,
        }
    )


@registry_app.command("verify")
def registry_verify(
    lake: LakeOption = None, instrument: InstrumentOption = None, json: Json = False
) -> None:
    """Verify the chain of the log and the hash of every document."""
    entries = RegistryReader(Place.find(lake, instrument).lake).verify()
    if json:
        output.as_json({"entries": entries, "ok": True})
    else:
        output.console.print(f"{entries} entries, all as they were written")


def _table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows of the same keys for people."""
    table = Table(box=None, padding=(0, 1))
    for name in rows[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    output.console.print(table)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
