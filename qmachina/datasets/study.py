"""experiments/study: every combination of a sweep on every date, ranked with honest intervals."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qmachina.datasets.build import Built, Progress, no_progress, publish
from qmachina.datasets.evaluation import price_path, scores_of
from qmachina.datasets.signals import SignalSpec, signal_key
from qmachina.errors import MissingError
from qmachina.evaluation.first_touch import EVALUATOR_VERSION
from qmachina.evaluation.sweep import SWEPT, combine, spec_at, sweep, to_rows
from qmachina.fields import Field
from qmachina.lake.contract import Table
from qmachina.lake.home import Home
from qmachina.lake.layout import DatasetKey
from qmachina.lake.manifest import ManifestDraft
from qmachina.lake.publication import Staging
from qmachina.lake.store import Lake
from qmachina.lake.writer import write_rows
from qmachina.sessions.calendar import Calendar
from qmachina.specs.instrument import InstrumentSpec
from qmachina.specs.library import SpecLibrary
from qmachina.specs.serving import ExperimentSpec, ServingSpec, run_id

CODE_VERSION = "1"
STUDY = "study.json"

TRIALS = Table.rows(
    (
        Field("date_index", "int64", "1", "Index into the study's dates."),
        Field("config", "int64", "1", "Number of the combination."),
        *(
            Field(name, SWEPT[name].name, "see evaluator", name.replace("_", " "))  # type: ignore[arg-type]
            for name in SWEPT.names or ()
        ),
    ),
    "trials",
)


def study_key(home: Home, experiment: ExperimentSpec) -> DatasetKey:
    """Return the address of a study."""
    return home.key("experiments", "study", experiment.name, experiment, None)


def evaluate_date(home: Home, experiment: ExperimentSpec, dt: date) -> NDArray:
    """Return the sweep's table of one date, one row a combination."""
    serving = experiment.serving
    path = price_path(home, serving, dt)
    scores, ready = scores_of(home, serving, dt)
    return sweep(path, scores, ready, serving.evaluator, whole_axes(experiment))


def whole_axes(experiment: ExperimentSpec) -> dict[str, list[float]]:
    """Return the axes with times as whole numbers, as the evaluator wants them."""
    return {
        name: [int(v) if name.endswith("_ms") else v for v in values]
        for name, values in experiment.axes.items()
    }


def _in_process(
    lake: Path, specs: tuple[Path, ...], instrument: str, experiment: str, dt: date
) -> NDArray:
    """Evaluate one date in a worker process, which rebuilds everything from text."""
    spec = InstrumentSpec.parse(json.loads(instrument))
    home = Home(Lake(lake), spec, Calendar.load(spec.calendar), SpecLibrary(specs))
    return evaluate_date(home, ExperimentSpec.parse(json.loads(experiment)), dt)


def build_study(
    home: Home,
    experiment: ExperimentSpec,
    *,
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Built:
    """Run a sweep over its dates and publish tables, ranking and run ids.

    Parameters
    ----------
    home : Home
        Signals of every date must have been published.
    experiment : ExperimentSpec
        What to try.
    workers : int
        Processes; dates are spread over them. The result does not depend on it.
    progress : callable
        Called with the number of dates done.
    """
    signals = SignalSpec.of(experiment.serving)
    inputs = {
        str(dt): home.lake.read_manifest(signal_key(home, signals, dt)).dataset_id
        for dt in map(home.session, experiment.dates)
    }
    key = study_key(home, experiment)
    draft = ManifestDraft.of(
        key,
        experiment,
        {**inputs, "instrument": home.instrument.id},
        f"{CODE_VERSION}.{EVALUATOR_VERSION}",
        (TRIALS,),
    )

    def write(staging: Staging) -> None:
        tables: dict[str, NDArray] = {}
        with _dates(home, experiment, workers) as results:
            for dt, table in results:
                tables[str(dt)] = table
                progress(len(tables))
        stacked = np.concatenate(list(tables.values()))
        n = len(stacked) // len(tables)
        columns: dict[str, NDArray] = {
            "date_index": np.repeat(np.arange(len(tables)), n),
            "config": np.tile(np.arange(n), len(tables)),
            **{name: np.ascontiguousarray(stacked[name]) for name in SWEPT.names or ()},
        }
        write_rows(staging.path / TRIALS.file_name, TRIALS, columns)
        runs = [
            row | {"run_id": _run(home, experiment, row, inputs)}
            for row in to_rows(combine(tables))
        ]
        body = {
            "name": experiment.name,
            "serving": experiment.serving.name,
            "dates": [str(d) for d in experiment.dates],
            "evaluator_version": EVALUATOR_VERSION,
            "inputs": inputs,
            "runs": runs,
        }
        (staging.path / STUDY).write_text(json.dumps(body, indent=1, allow_nan=False) + "\n")
        staging.counts.update(runs=n, dates=len(tables))

    return publish(home, draft, write, overwrite)


@contextmanager
def _dates(
    home: Home, experiment: ExperimentSpec, workers: int
) -> Iterator[Iterator[tuple[date, NDArray]]]:
    """Yield the table of each date in order, from this process or from a pool."""
    dates = experiment.dates
    if workers <= 1 or len(dates) == 1:
        yield ((dt, evaluate_date(home, experiment, dt)) for dt in dates)
        return
    texts = (json.dumps(home.instrument.canonical()), json.dumps(experiment.canonical()))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(dates)), mp_context=context) as pool:
        futures = [
            pool.submit(_in_process, home.root, home.library.folders, *texts, dt) for dt in dates
        ]
        try:
            yield ((dt, f.result()) for dt, f in zip(dates, futures, strict=True))
        finally:
            pool.shutdown(cancel_futures=True)


def serving_at(experiment: ExperimentSpec, row: dict[str, Any]) -> ServingSpec:
    """Return the complete serving spec of one run of a study."""
    evaluator = spec_at(row, experiment.serving.evaluator)
    return experiment.serving.model_copy(update={"evaluator": evaluator})


def _run(
    home: Home, experiment: ExperimentSpec, row: dict[str, Any], inputs: dict[str, str]
) -> str:
    return run_id(serving_at(experiment, row), home.instrument, inputs, EVALUATOR_VERSION)


def read_study(home: Home, key: DatasetKey) -> dict[str, Any]:
    """Return the ranking of a published study."""
    body: dict[str, Any] = json.loads(home.lake.read_file(key, STUDY))
    return body


def find_run(home: Home, prefix: str) -> tuple[DatasetKey, dict[str, Any], ExperimentSpec]:
    """Return the study and row of the run whose id starts with a prefix.

    Raises
    ------
    MissingError
        If no run or several match.
    """
    found = []
    for key in home.lake.list("experiments", "study", home.instrument.symbol):
        for row in read_study(home, key)["runs"]:
            if len(prefix) >= 8 and row["run_id"].startswith(prefix):
                found.append((key, row))
    if len({row["run_id"] for _, row in found}) != 1:
        raise MissingError(
            "no such run" if not found else "several runs match",
            subject=prefix,
            expected="at least 8 digits of one run id",
            remedy="List runs with qmachina runs",
        )
    key, row = found[-1]
    manifest = home.lake.read_manifest(key)
    return key, row, ExperimentSpec.parse(manifest.spec, subject=str(key))
