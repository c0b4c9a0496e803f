"""Promote a run: freeze exactly what was evaluated, prove it by replay, publish it, alias it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from functools import partial
from typing import Any

from numpy.typing import NDArray

from qmachina.datasets.raw import carry_of, open_book
from qmachina.datasets.signals import SignalSpec, signal_key
from qmachina.datasets.study import find_run, serving_at
from qmachina.errors import MissingError, PreflightError, QMachinaError
from qmachina.lake.home import Home
from qmachina.lake.instrument import require_instrument
from qmachina.pipeline import FIXED_STREAM, Pipeline, grid_fields, hash_scores
from qmachina.registry.writer import Registry
from qmachina.specs.serving import PublishedServingSpec, RunSource, ServingSpec

#: Bins replayed to prove that a published spec still computes what was evaluated.
GOLDEN_BINS = 2000


def published_spec(home: Home, prefix: str) -> PublishedServingSpec:
    """Return the spec that promoting a run publishes."""
    key, row, experiment = find_run(home, prefix)
    serving = serving_at(experiment, row)
    golden_date = experiment.dates[-1]
    stored = _stored_scores(home, serving, golden_date)
    golden_hash, bins = hash_scores(stored, GOLDEN_BINS)
    return PublishedServingSpec(
        serving=serving,
        instrument=home.instrument,
        source=RunSource(
            run_id=row["run_id"],
            experiment_name=experiment.name,
            study_id=home.lake.read_manifest(key).dataset_id,
            dates=experiment.dates,
            golden_date=golden_date,
            golden_bins=bins,
            golden_hash=golden_hash,
        ),
    )


def promote(
    home: Home, prefix: str, alias: str, *, actor: str, reason: str, expected: str | None = None
) -> str:
    """Publish a run and point an alias at it, both or neither; return the serving id.

    Parameters
    ----------
    home : Home
        Lake and instrument.
    prefix : str
        Run id, or at least its first eight digits.
    alias : str
        Name to serve it under.
    actor, reason : str
        For the log.
    expected : str, optional
        Current target of the alias, for compare-and-swap; by default the one it has now.
    """
    registry = Registry(home.root)
    spec = published_spec(home, prefix)
    body = spec.canonical()
    current = registry.aliases().get(alias) if expected is None else expected
    evidence = {"verdict": spec.verdict, "run_id": spec.source.run_id}
    return registry.promote(
        body,
        alias,
        partial(check, home),
        expected=current,
        actor=actor,
        reason=reason,
        name=spec.serving.name,
        evidence=evidence,
    )


def check(home: Home, body: Mapping[str, Any]) -> None:
    """Run the preflight for its refusal alone."""
    preflight(home, body)


def preflight(home: Home, body: Mapping[str, Any]) -> PublishedServingSpec:
    """Validate everything a published spec refers to; replay its golden vectors.

    Raises
    ------
    PreflightError
        Listing what is wrong.
    """
    plain = {k: v for k, v in body.items() if k != "id"}
    try:
        spec = PublishedServingSpec.parse(plain, subject="serving spec")
        require_instrument(home.instrument, spec.instrument.product_type, spec.instrument.symbol)
        if spec.instrument.id != home.instrument.id:
            raise QMachinaError("the home's instrument file has changed since the evaluation")
        columns = grid_fields(spec.serving, spec.instrument)
        unknown = [n for n in spec.serving.stream_schema if n not in columns or n in FIXED_STREAM]
        if unknown:
            raise QMachinaError(f"stream_schema names no such columns: {', '.join(unknown)}")
        replay_golden(home, spec)
    except QMachinaError as e:
        raise PreflightError(f"preflight failed: {e.line()}") from e
    return spec


def replay_golden(home: Home, spec: PublishedServingSpec) -> None:
    """Recompute the golden scores from the raw file through the live pipeline.

    Raises
    ------
    PreflightError
        If one bit differs.
    """
    source = spec.source
    found, bins = hash_scores(
        _live_scores(home, spec.serving, source.golden_date), source.golden_bins
    )
    if (found, bins) != (source.golden_hash, source.golden_bins):
        raise PreflightError(
            "golden vectors differ: this code does not compute what was evaluated",
            subject=source.run_id[:8],
            expected=f"{source.golden_hash[:12]} over {source.golden_bins} bins",
            found=f"{found[:12]} over {bins} bins",
        )


def _live_scores(home: Home, serving: ServingSpec, dt: date) -> Iterator[NDArray]:
    book = open_book(home, home.raw_file(dt))
    start, end = home.bounds(serving.pipeline.silver, dt)
    pipeline = Pipeline(
        serving,
        home.instrument,
        start_ns=start,
        end_ns=end,
        carry=carry_of(home, serving.pipeline.silver, dt),
        subject=book.name,
    )
    for frame in pipeline.replay(book.chunks(), book.header.covered_until_ns):
        yield frame.scores.bins["score"]


def _stored_scores(home: Home, serving: ServingSpec, dt: date) -> Iterator[NDArray]:
    key = signal_key(home, SignalSpec.of(serving), dt)
    for group in home.lake.read_groups(key, "bins", ("score",)):
        yield group["score"]


def rollback(home: Home, alias: str, *, actor: str, reason: str) -> str:
    """Point an alias back at its previous target; return that serving id."""
    registry = Registry(home.root)
    current = registry.aliases().get(alias)
    if current is None:
        raise MissingError(
            "no such alias", subject=alias, expected=", ".join(registry.aliases()) or "none yet"
        )
    registry.rollback(alias, partial(check, home), expected=current, actor=actor, reason=reason)
    return registry.aliases()[alias]
