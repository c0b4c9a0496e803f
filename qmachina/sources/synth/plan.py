"""The planted effect: when bursts and moves happen, and which way.

At ``open + (i + 1) * period`` a burst of adds on one side and pulls on the other begins. It
takes about ``planted_burst_ms`` and leaves the best prices alone. At ``lag`` after its begin
the price is pushed ``planted_move_ticks``: in the burst's direction with chance 0.5 + edge,
else in the other. Directions of bursts are fair coins. Nothing else in the market knows of
them, so the edge is the whole effect. As a placebo the edge is 0 and the rest the same.
"""

from __future__ import annotations

from datetime import date

import numpy as np
from numpy.typing import NDArray

from qmachina.sources.synth.flow import PLAN
from qmachina.sources.synth.rng import seeded, uniform
from qmachina.sources.synth.spec import SynthSpec

#: One planted instance: begin of the burst and of the move in ns, and their directions (+1, -1).
PLANTED = np.dtype(
    [("burst_ns", "i8"), ("move_ns", "i8"), ("burst_sign", "i8"), ("move_sign", "i8")]
)


def planted(spec: SynthSpec, day: date, open_ns: int, close_ns: int) -> NDArray:
    """Return what is planted in one session.

    Parameters
    ----------
    spec : SynthSpec
        The market.
    day : date
        The file's UTC date.
    open_ns, close_ns : int
        The session, ns since the epoch.

    Returns
    -------
    ndarray of PLANTED, shape (n,)
        In order of time; empty without an effect.
    """
    period, lag = spec.planted_period_ms * 1_000_000, spec.planted_lag_ms * 1_000_000
    if not (spec.planted_edge or spec.planted_placebo):
        return np.zeros(0, PLANTED)
    starts = np.arange(open_ns + period, close_ns - lag, period)
    rows = np.zeros(len(starts), PLANTED)
    rows["burst_ns"] = starts
    rows["move_ns"] = starts + lag
    rng = seeded(spec.seed, day.isoformat(), "plan")
    for row in rows:
        row["burst_sign"] = 1 if uniform(rng) < 0.5 else -1
        same = uniform(rng) < 0.5 + spec.planted_edge
        row["move_sign"] = row["burst_sign"] if same else -row["burst_sign"]
    return rows


def entries(rows: NDArray) -> NDArray:
    """Return planted instances as the entries the flow works through, in order of time."""
    plan = np.zeros((len(rows), 2), PLAN)
    plan["ts"][:, 0], plan["ts"][:, 1] = rows["burst_ns"], rows["move_ns"]
    plan["kind"][:, 1] = 1
    plan["sign"][:, 0], plan["sign"][:, 1] = rows["burst_sign"], rows["move_sign"]
    return plan.reshape(-1)
