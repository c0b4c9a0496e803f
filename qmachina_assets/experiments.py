"""experiments/study: a sweep over dates, launched with a config."""

# No postponed annotations here: Dagster reads them when it meets the function.

from collections.abc import Iterable
from datetime import date

import dagster as dg
from dagster import AssetExecutionContext, AssetsDefinition
from pydantic import Field

from qmachina.datasets import study
from qmachina.datasets.signals import SignalSpec, signal_key
from qmachina.datasets.study import build_study, read_study
from qmachina.errors import MissingError, SpecError
from qmachina.lake.home import Home
from qmachina.specs.serving import ExperimentSpec
from qmachina_assets.plots import study_plot
from qmachina_assets.report import may_overwrite, one_line, progress, result
from qmachina_assets.resources import HomeResource

KEY = dg.AssetKey(["experiments", "study"])
_SHOWN = ("rank", "threshold", "tp_ticks", "sl_ticks", "max_hold_ms", "n", "net", "net_low")


class StudyConfig(dg.Config):
    """Which sweep, over which sessions."""

    experiment: str = Field(
        description="Name of an experiment spec, e.g. barriers: qmachina_assets/specs/experiments "
        "or specs/experiments of the lake."
    )
    last_n: int = Field(
        default=20,
        description="The latest so many sessions that have scores; unless first and last are set.",
    )
    first: str = Field(default="", description="First session, YYYY-MM-DD; needs last.")
    last: str = Field(default="", description="Last session, YYYY-MM-DD; needs first.")
    workers: int = Field(default=1, description="Processes; the result does not depend on it.")


def experiment_of(home: Home, config: StudyConfig) -> ExperimentSpec:
    """Return the complete experiment a config asks for.

    Raises
    ------
    SpecError
        If the experiment or the dates are not possible.
    MissingError
        If no session has scores.
    """
    nothing = home.library.experiment(config.experiment, [date.min], home.instrument.pipeline)
    if bool(config.first) != bool(config.last):
        raise SpecError("first and last belong together", subject="sweep config")
    if config.first:
        dates = home.calendar.sessions(_day(config.first), _day(config.last))
    else:
        if config.last_n < 1:
            raise SpecError("last_n must be positive", subject="sweep config", found=config.last_n)
        dates = scored_sessions(home, SignalSpec.of(nothing.serving))[-config.last_n :]
    if not dates:
        raise MissingError(
            "no session has scores",
            subject=config.experiment,
            remedy=f"Materialise signals/{nothing.serving.model.model_id}",
        )
    return home.library.experiment(config.experiment, dates, home.instrument.pipeline)


def scored_sessions(home: Home, spec: SignalSpec) -> tuple[date, ...]:
    """Return the sessions whose scores are in the lake, in order."""
    slug = signal_key(home, spec, date.min).spec_slug
    keys = home.lake.list("signals", spec.model.model_id, home.instrument.symbol, spec.id8)
    return tuple(sorted(k.dt for k in keys if k.dt is not None and k.spec_slug == slug))


def experiment_assets(signals: Iterable[dg.AssetKey]) -> list[AssetsDefinition]:
    """Return the experiments layer."""

    @dg.asset(
        key=KEY,
        group_name="experiments",
        deps=list(signals),
        owners=["team:research"],
        kinds={"parquet", "numba"},
        tags={"layer": "experiments"},
        code_version=study.CODE_VERSION,
        description="Every combination of a sweep on every date, ranked by the lower end of the "
        "interval over dates. The best of many is a place to look, not evidence.",
    )
    def sweep(
        context: AssetExecutionContext, config: StudyConfig, home: HomeResource
    ) -> dg.MaterializeResult:
        with one_line():
            h = home.open()
            experiment = experiment_of(h, config)
            context.log.info(f"{experiment.name}: {len(experiment.dates)} dates")
            built = build_study(
                h,
                experiment,
                workers=config.workers,
                overwrite=may_overwrite(context),
                progress=progress(context, "dates"),
            )
            runs = read_study(h, built.manifest.key)["runs"]
            best = runs[0]
            extra = {
                "experiment": experiment.name,
                "first": str(experiment.dates[0]),
                "last": str(experiment.dates[-1]),
                "best_run_id": best["run_id"],
                "note": best["note"],
                "best": ranking(runs[:10]),
                **study_plot(runs),
            }
            return result(h, built, extra)

    return [sweep]


def ranking(runs: list[dict[str, object]]) -> dg.MarkdownMetadataValue:
    """Return the first runs as a Markdown table."""
    lines = [" | ".join(("run", *_SHOWN)), " | ".join("---" for _ in range(len(_SHOWN) + 1))]
    for row in runs:
        cells = [str(row["run_id"])[:8]]
        cells += [f"{v:.4g}" if isinstance(v := row[n], float) else str(v) for n in _SHOWN]
        lines.append(" | ".join(cells))
    return dg.MetadataValue.md("\n".join(f"| {line} |" for line in lines))


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as e:
        raise SpecError(
            "not a date", subject="sweep config", expected="YYYY-MM-DD", found=text
        ) from e
