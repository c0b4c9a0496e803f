"""Checks of published partitions. Blocking ones stop the run before anything builds on a date.

They ask again, of the stored bytes, what the builders asked before they published: a date that
fails at the builder never becomes readable at all.
"""

# No postponed annotations here: Dagster reads them when it meets the function.

from collections.abc import Callable, Iterator
from datetime import date
from itertools import islice
from typing import Any

import dagster as dg
import numpy as np
from dagster import AssetCheckExecutionContext, AssetChecksDefinition

from qmachina.datasets.evaluation import read_metrics
from qmachina.datasets.gold import gold_key
from qmachina.datasets.signals import SignalSpec, signal_key
from qmachina.datasets.silver import silver_key, silver_tables
from qmachina.errors import SchemaError
from qmachina.features.fields import GOLD_FIELDS
from qmachina.grid.fields import BIN_FIELDS, GRID_COUNTS, GRID_MECHANICS
from qmachina.grid.invariants import SilverLaws
from qmachina.lake.home import Home
from qmachina.specs.serving import ServingSpec
from qmachina_assets import gold, silver
from qmachina_assets.report import one_line
from qmachina_assets.resources import HomeResource
from qmachina_assets.signals import signal_specs

MIN_VALID_SHARE = 0.5
MAX_ANOMALY_SHARE = 0.01
MAX_TIE_RATE = 0.05
#: Chunks of stored silver whose laws are checked again; the builder checked them all.
_LAW_CHUNKS = 5

#: What a check finds: whether it passed, and the numbers behind it.
Finding = tuple[bool, dict[str, Any]]


def checks(home: Home, sessions: dg.PartitionsDefinition) -> list[AssetChecksDefinition]:
    """Return all checks."""
    found = [
        _check(sessions, silver.KEY, "has_valid_bins", valid_bins, True,
               f"There are bins, and at least {MIN_VALID_SHARE:.0%} have a valid book."),
        _check(sessions, silver.KEY, "obeys_laws", silver_laws, True,
               "Bins are consecutive and depth is conserved, tick by tick, in the stored bytes."),
        _check(sessions, silver.KEY, "has_few_anomalies", few_anomalies, False,
               f"At most {MAX_ANOMALY_SHARE:.0%} of the records are odd; warns."),
        _check(sessions, gold.KEY, "is_finite", gold_finite, True,
               "No feature is infinite or not a number."),
    ]  # fmt: skip
    for name, spec in signal_specs(home).items():
        key = dg.AssetKey(["signals", name])
        found += [
            _check(sessions, key, "is_finite", _of(score_finite, spec), True,
                   "Scores are finite, and 0 where they are not ready."),
            _check(sessions, key, "is_ready", _of(score_ready, spec), False,
                   "Some bins are ready; warns, a short date may have none."),
        ]  # fmt: skip
    for name in home.library.names("servings"):
        found.append(
            _check(sessions, dg.AssetKey(["evaluation", name]), "has_few_ties",
                   _of(few_ties, home.serving(name)), False,
                   f"At most {MAX_TIE_RATE:.0%} of the trades hit both barriers in one bin; warns."
                   )
        )  # fmt: skip
    return found


def _check(
    sessions: dg.PartitionsDefinition,
    asset: dg.AssetKey,
    name: str,
    judge: Callable[[Home, date], Finding],
    blocking: bool,
    description: str,
) -> AssetChecksDefinition:
    """Return one check of one date. Partitioned checks are a preview in Dagster: only here."""

    @dg.asset_check(
        asset=asset,
        name=name,
        blocking=blocking,
        description=description,
        partitions_def=sessions,
    )
    def check(context: AssetCheckExecutionContext, home: HomeResource) -> dg.AssetCheckResult:
        with one_line():
            h = home.open()
            passed, facts = judge(h, h.session(date.fromisoformat(context.partition_key)))
            severity = dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN
            return dg.AssetCheckResult(passed=passed, severity=severity, metadata=facts)

    return check


def _of(judge: Callable[[Home, Any, date], Finding], spec: Any) -> Callable[[Home, date], Finding]:
    return lambda home, dt: judge(home, spec, dt)


def valid_bins(home: Home, dt: date) -> Finding:
    """Judge how much of a date has a valid book."""
    counts = home.lake.read_manifest(silver_key(home, home.pipeline, dt)).counts
    share = counts["valid_bins"] / counts["bins"] if counts["bins"] else 0.0
    return share >= MIN_VALID_SHARE, {"bins": counts["bins"], "valid_share": share}


def silver_laws(home: Home, dt: date) -> Finding:
    """Judge the stored bytes of a date by the laws of silver."""
    key, spec = silver_key(home, home.pipeline, dt), home.pipeline.silver
    columns = [f.name for f in (*BIN_FIELDS[1:], *GRID_COUNTS, *GRID_MECHANICS)]
    chunks = home.lake.read_chunks(key, columns, expect=silver_tables(spec))
    laws = SilverLaws(home.instrument.tick_size_int, 0 if spec.emit == "event" else spec.bin_ns)
    bins = 0
    try:
        for chunk in islice(chunks, _LAW_CHUNKS):
            laws.check(chunk)
            bins += chunk.n_bins
    except SchemaError as e:
        return False, {"broken": e.line(), "bins": bins}
    return True, {"bins": bins}


def few_anomalies(home: Home, dt: date) -> Finding:
    """Judge how many records of a date were odd."""
    manifest = home.lake.read_manifest(silver_key(home, home.pipeline, dt))
    odd, records = sum(manifest.anomalies.values()), manifest.counts["records"]
    share = odd / records if records else 0.0
    return share <= MAX_ANOMALY_SHARE, {"anomalies": odd, "share": share}


def gold_finite(home: Home, dt: date) -> Finding:
    """Judge whether every feature of a date is a number."""
    names = [f.name for f in GOLD_FIELDS if f.dtype.startswith("float")]
    bad = dict.fromkeys(names, 0)
    for group in home.lake.read_groups(gold_key(home, home.pipeline, dt), "grid", names):
        for name in names:
            bad[name] += int(np.count_nonzero(~np.isfinite(group[name])))
    return not any(bad.values()), {"not_finite": bad}


def score_finite(home: Home, spec: SignalSpec, dt: date) -> Finding:
    """Judge whether the scores of a date are numbers, and 0 where they may not be used."""
    infinite = unready = 0
    for bins in _scores(home, spec, dt):
        infinite += int(np.count_nonzero(~np.isfinite(bins["score"])))
        unready += int(np.count_nonzero(bins["score"][~bins["ready"]]))
    return not infinite + unready, {"not_finite": infinite, "not_ready_but_scored": unready}


def score_ready(home: Home, spec: SignalSpec, dt: date) -> Finding:
    """Judge whether any score of a date may be used."""
    counts = home.lake.read_manifest(signal_key(home, spec, dt)).counts
    share = counts["ready_bins"] / counts["bins"] if counts["bins"] else 0.0
    return share > 0.0, {"ready_share": share}


def few_ties(home: Home, serving: ServingSpec, dt: date) -> Finding:
    """Judge how many trades depend on which barrier of one bin came first."""
    rate = read_metrics(home, serving, dt)["tie_rate"] or 0.0
    return rate <= MAX_TIE_RATE, {"tie_rate": rate}


def _scores(home: Home, spec: SignalSpec, dt: date) -> Iterator[dict[str, Any]]:
    yield from home.lake.read_groups(signal_key(home, spec, dt), "bins", ("score", "ready"))
