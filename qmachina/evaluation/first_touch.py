"""Evaluate one score on one date: take-profit, stop-loss or time, whichever comes first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmachina.errors import QMachinaError
from qmachina.evaluation.exits import Offsets
from qmachina.evaluation.prices import Path
from qmachina.evaluation.rules import rules_of
from qmachina.evaluation.sides import Sides, see
from qmachina.evaluation.trades import TALLY, TRADE, Trades
from qmachina.evaluation.triggers import checked_scores, find_triggers, may_trigger
from qmachina.evaluation.walk import walk_trades
from qmachina.kernel import OK
from qmachina.specs.evaluation import EvaluatorSpec

#: Part of every run id: a change of any rule or of the summation order changes it.
EVALUATOR_VERSION = 1

#: Stands for first-passage tables where there are none.
NO_TABLE = np.empty((2, 0, 0), np.uint16)


def evaluate(path: Path, scores: NDArray, ready: NDArray[np.bool_], spec: EvaluatorSpec) -> Trades:
    """Trade a score on one date, bin by bin.

    Parameters
    ----------
    path : Path
        Prices of the date.
    scores : ndarray of float, shape (n_bins,)
        Score of each bin from data up to its end; NaN where undefined.
    ready : ndarray of bool, shape (n_bins,)
        Whether every operator behind the score has warmed up.
    spec : EvaluatorSpec
        The rules.

    Raises
    ------
    DataError
        If scores do not fit the path or a ready score is infinite.
    """
    return evaluate_on(see(path, spec), rules_of(spec, path), path, scores, ready, spec)


def evaluate_on(
    sides: Sides,
    rules: NDArray,
    path: Path,
    scores: NDArray,
    ready: NDArray[np.bool_],
    spec: EvaluatorSpec,
    up: Offsets = NO_TABLE,
    down: Offsets = NO_TABLE,
) -> Trades:
    """Trade a score on prepared prices and rules, with first-passage tables if rules say so."""
    triggers = find_triggers(path, scores, ready, spec)
    # A trade takes at least three bins: signal, entry, exit. One row more, as none means no rows.
    rows = np.zeros(min(triggers.rows.shape[0], path.n_bins // 3) + 1, TRADE)
    tally = np.zeros(1, TALLY)
    status = walk_trades(
        rules,
        sides.bins,
        sides.lines,
        triggers.rows,
        triggers.next_index,
        up,
        down,
        path.n_bins,
        np.zeros(1, np.int64),
        rows,
        tally,
    )
    if status != OK:
        raise QMachinaError("the buffer for trades is too small", found=rows.shape[0])
    rows = rows[: int(tally[0]["n"] + tally[0]["tie_dropped"])]
    score, is_ready = checked_scores(path, scores, ready)
    rows["score"] = score[rows["signal_bin"]]
    is_dropped = rows["tie"] & (spec.tie == "drop")
    tradable = path.tradable
    return Trades(
        table=rows[~is_dropped],
        dropped=rows[is_dropped],
        tally=tally,
        eligible_bins=int(np.count_nonzero(may_trigger(path, spec) & is_ready)),
        usable_bins=int(np.count_nonzero(tradable)),
        session_bins=int(np.count_nonzero(path.in_session)),
        spec=spec,
        bin_ns=path.bin_ns,
        tick_value=path.tick_value,
    )
