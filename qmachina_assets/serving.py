"""serving/live: point an alias at an evaluated run, and back. Never automatic."""

# No postponed annotations here: Dagster reads them when it meets the function.

import dagster as dg
from dagster import AssetExecutionContext, AssetsDefinition, OpDefinition, OpExecutionContext
from pydantic import Field

from qmachina.datasets.promotion import promote, rollback
from qmachina.datasets.study import read_study
from qmachina.errors import MissingError
from qmachina.lake.home import Home
from qmachina.registry.reader import RegistryReader
from qmachina_assets import experiments
from qmachina_assets.report import one_line
from qmachina_assets.resources import HomeResource

KEY = dg.AssetKey(["serving", "live"])
#: The job has the plain name; Dagster wants op names of their own.
ROLLBACK_OP = "move_alias_back"
#: ``best:<experiment>`` stands for the first run of the experiment's latest study.
BEST = "best:"


class AliasConfig(dg.Config):
    """Which alias moves, and who says so."""

    alias: str = Field(
        description="Name to serve under: demo, candidate, shadow … live needs PASS."
    )
    actor: str = Field(description="Who decides; goes into the log.")
    reason: str = Field(description="Why; goes into the log.")


class PromoteConfig(AliasConfig):
    """What is promoted."""

    run_id: str = Field(
        description="Run id (or at least its first eight digits) of a study, or best:<experiment> "
        "for the first run of its latest study."
    )


def run_of(home: Home, text: str) -> str:
    """Return the run id that a promotion asks for.

    Raises
    ------
    MissingError
        If the experiment named by ``best:`` has no study.
    """
    if not text.startswith(BEST):
        return text
    name = text.removeprefix(BEST)
    manifests = [
        home.lake.read_manifest(key)
        for key in home.lake.list("experiments", "study", home.instrument.symbol)
        if key.spec_slug == name
    ]
    if not manifests:
        raise MissingError(
            "the experiment has no study", subject=name, remedy="Launch the job sweep first"
        )
    latest = max(manifests, key=lambda m: m.created_at_utc)
    return str(read_study(home, latest.key)["runs"][0]["run_id"])


def moved(home: Home, alias: str, before: str | None, reason: str) -> dict[str, str]:
    """Return what changed, for Dagster's record of it."""
    resolved = RegistryReader(home.root).resolve(alias)
    return {
        "alias": alias,
        "before": before or "nothing",
        "after": resolved.version.id,
        "name": resolved.version.name or "",
        "verdict": resolved.version.verdict,
        "reason": reason,
    }


def serving_assets() -> list[AssetsDefinition]:
    """Return the serving layer."""

    @dg.asset(
        key=KEY,
        group_name="serving",
        deps=[experiments.KEY],
        owners=["team:serving"],
        kinds={"json"},
        tags={"layer": "serving"},
        code_version="1",
        description="Publishes a run as an immutable serving spec, replays its golden vectors and "
        "points an alias at it, all or nothing. The registry is the truth; this is its record.",
    )
    def live(
        context: AssetExecutionContext, config: PromoteConfig, home: HomeResource
    ) -> dg.MaterializeResult:
        with one_line():
            h = home.open()
            before = RegistryReader(h.root).aliases().get(config.alias)
            run = run_of(h, config.run_id)
            id_ = promote(h, run, config.alias, actor=config.actor, reason=config.reason)
            extra = moved(h, config.alias, before, config.reason) | {"run_id": run}
            return dg.MaterializeResult(metadata=extra, data_version=dg.DataVersion(id_))

    return [live]


def rollback_op() -> OpDefinition:
    """Return the op of the rollback job."""

    @dg.op(
        name=ROLLBACK_OP,
        out=dg.Out(dg.Nothing),
        tags={"dagster/compute_kind": "json"},
        description="Points an alias back at its previous version.",
    )
    def back(context: OpExecutionContext, config: AliasConfig, home: HomeResource) -> None:
        with one_line():
            h = home.open()
            before = RegistryReader(h.root).aliases().get(config.alias)
            id_ = rollback(h, config.alias, actor=config.actor, reason=config.reason)
            context.log_event(
                dg.AssetMaterialization(
                    KEY,
                    metadata=moved(h, config.alias, before, config.reason),
                    tags={"dagster/data_version": id_},
                )
            )

    return back
