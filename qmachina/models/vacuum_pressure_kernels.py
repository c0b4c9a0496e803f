"""The kernels of vacuum_pressure: the spectrum of each cell, and the score of each bin.

Both standardise three derivatives and blend them; :func:`blend` is that formula.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qmachina.features import standardize
from qmachina.features.elementary import tanh
from qmachina.grid.mechanics import exp
from qmachina.kernel import OK, kernel, step

#: Places of ``ChainState.clock``: bins in the chain of base and of the score (at most 4), end of
#: the last bin in ns.
RUN, SCORE_RUN, TIME = 0, 1, 2
#: Bins of one cell taken before the next cell: what they touch stays in the first cache.
_BLOCK = 32


class Blend(NamedTuple):
    """How three derivatives become one number."""

    rule: standardize.Rule
    priors: NDArray[np.float64]  # (3,)
    weights: NDArray[np.float64]  # (3,), sum 1; a derivative of weight 0 is not needed
    tanh_scale: float


class CellParams(NamedTuple):
    """Parameters of the spectrum."""

    blend: Blend
    threshold: float
    settle: int  # bins until a tick's composite is the mean of full windows


class ChainState(NamedTuple):
    """What the score remembers besides its standardised columns."""

    last: NDArray[np.float64]  # (3,): base, d1, d2 of the last bin
    last_score: NDArray[np.float64]  # (3,): score and its first two derivatives
    clock: NDArray[np.int64]  # (3,): RUN, SCORE_RUN, TIME


class BinParams(NamedTuple):
    """Parameters of the score."""

    blend: Blend
    distance_weights: NDArray[np.float64]  # (n_rows,): of a tick at distance d
    total_weights: NDArray[np.float64]  # (n_rows,): of the distances up to d
    settle: int
    deadband: float
    pressure_weight: float
    vacuum_weight: float
    mixed_weight: float
    terms: NDArray[np.float64]  # (3, n_horizons): h, h^2 / 2, cubic scale h^3
    damping: NDArray[np.float64]  # (n_horizons,)


class Input(NamedTuple):
    """Columns of silver and gold, prices as ticks."""

    time: NDArray[np.int64]  # (n_bins,): end of the bin, ns; as the next five
    valid: NDArray[np.bool_]
    lowest: NDArray[np.int64]  # tick of row 0
    first_slot: NDArray[np.int64]  # its slot
    bid: NDArray[np.int64]
    ask: NDArray[np.int64]
    composite: NDArray[np.float32]  # (n_bins, n_rows), as the rest
    d1: NDArray[np.float32]
    d2: NDArray[np.float32]
    d3: NDArray[np.float32]
    state5: NDArray[np.int8]
    age: NDArray[np.int64]  # see qmachina.models.ages


class CellOutput(NamedTuple):
    """The columns of CELL_FIELDS."""

    flow_score: NDArray[np.float32]
    flow_state_code: NDArray[np.int8]
    flow_ready: NDArray[np.bool_]


class BinOutput(NamedTuple):
    """The columns of SCORE_FIELDS and BIN_FIELDS, then the projections."""

    score: NDArray[np.float64]
    ready: NDArray[np.bool_]
    shrinkage: NDArray[np.float64]
    base: NDArray[np.float64]
    bull: NDArray[np.float64]
    bear: NDArray[np.float64]
    mixed: NDArray[np.float64]
    base_d1: NDArray[np.float64]
    base_d2: NDArray[np.float64]
    base_d3: NDArray[np.float64]
    base_z1: NDArray[np.float64]
    base_z2: NDArray[np.float64]
    base_z3: NDArray[np.float64]
    projected: NDArray[np.float64]  # (n_horizons, n_bins)


@step
def within_one(x: float) -> float:
    """Return x clipped to [-1, 1]."""
    return min(max(x, -1.0), 1.0)


@kernel
def blend(params: Blend, z1: float, z2: float, z3: float) -> float:
    """Return the weighted mean of tanh(z / tanh_scale), within [-1, 1]."""
    w = params.weights
    s = params.tanh_scale
    return within_one(w[0] * tanh(z1 / s) + w[1] * tanh(z2 / s) + w[2] * tanh(z3 / s))


@kernel
def advance_cells(
    columns: standardize.State, params: CellParams, taken: Input, out: CellOutput
) -> int:
    """Score every cell of ``taken`` and fill ``out``.

    The tick t of the window with t mod (2K+1) = s has the columns 3s .. 3s+2. A derivative is a
    value from the age at which every composite in it is a mean of full windows; before, it is
    missing, which for an empty column means not to step at all.
    """
    rule = params.blend.rule
    settle = params.settle
    p1, p2, p3 = params.blend.priors[0], params.blend.priors[1], params.blend.priors[2]
    # A derivative without weight is left out altogether: each costs a third of the time.
    use1, use2, use3 = (
        params.blend.weights[0] > 0.0,
        params.blend.weights[1] > 0.0,
        params.blend.weights[2] > 0.0,
    )
    n_bins, n_rows = taken.age.shape
    for start in range(0, n_bins, _BLOCK):
        stop = min(start + _BLOCK, n_bins)
        for slot in range(n_rows):
            first = standardize.column_of(columns, 3 * slot)
            second = standardize.column_of(columns, 3 * slot + 1)
            third = standardize.column_of(columns, 3 * slot + 2)
            for t in range(start, stop):
                r = slot - taken.first_slot[t]
                if r < 0:
                    r += n_rows
                age = taken.age[t, r]
                if age == 1:
                    for i in range(3):
                        standardize.reset(columns, 3 * slot + i)
                z1 = z2 = z3 = 0.0
                ready1 = ready2 = ready3 = False
                if use1 and age > settle:
                    x = np.float64(taken.d1[t, r])
                    z1, _, _, _, ready1 = standardize.take(first, rule, p1, x)
                if use2 and age > settle + 1:
                    x = np.float64(taken.d2[t, r])
                    z2, _, _, _, ready2 = standardize.take(second, rule, p2, x)
                if use3 and age > settle + 2:
                    x = np.float64(taken.d3[t, r])
                    z3, _, _, _, ready3 = standardize.take(third, rule, p3, x)
                ready = taken.valid[t] and age > 0
                ready = ready and (ready1 or not use1)
                ready = ready and (ready2 or not use2) and (ready3 or not use3)
                score = 0.0
                code = 0
                if ready:
                    score = blend(params.blend, z1, z2, z3)
                    if score >= params.threshold:
                        code = 1
                    elif score <= -params.threshold:
                        code = -1
                out.flow_score[t, r] = np.float32(score)
                out.flow_state_code[t, r] = code
                out.flow_ready[t, r] = ready
    return OK


@step
def reach(params: BinParams, taken: Input, t: int) -> int:
    """Return the farthest distance at which both sides hold settled ticks; -1 if none does."""
    if not taken.valid[t]:
        return -1
    bid = taken.bid[t] - taken.lowest[t]
    ask = taken.ask[t] - taken.lowest[t]
    # K - ceil(spread / 2), and inside the grid whatever spot is.
    farthest = min(bid, taken.age.shape[1] - 1 - ask)
    for d in range(farthest + 1):
        if taken.age[t, bid - d] < params.settle or taken.age[t, ask + d] < params.settle:
            return d - 1
    return farthest


@step
def intensities(
    params: BinParams, taken: Input, t: int, farthest: int
) -> tuple[float, float, float]:
    """Return bull, bear and mixed over the distances 0 .. farthest on both sides.

    Each state occurs on one side alone, so each sum runs over one side from the touch outwards:
    the mirror image adds the same numbers in the same order.
    """
    bid = taken.bid[t] - taken.lowest[t]
    ask = taken.ask[t] - taken.lowest[t]
    below_pressure = below_vacuum = below_mixed = 0.0
    above_pressure = above_vacuum = above_mixed = 0.0
    for d in range(farthest + 1):
        w = params.distance_weights[d]
        code = taken.state5[t, bid - d]
        if code == 0 or abs(taken.composite[t, bid - d]) <= params.deadband:
            below_mixed += w
        elif code > 0:
            below_pressure += w
        else:
            below_vacuum += w
        code = taken.state5[t, ask + d]
        if code == 0 or abs(taken.composite[t, ask + d]) <= params.deadband:
            above_mixed += w
        elif code < 0:
            above_pressure += w
        else:
            above_vacuum += w
    total = 2.0 * params.total_weights[farthest]
    bull = params.pressure_weight * below_pressure + params.vacuum_weight * above_vacuum
    bear = params.pressure_weight * above_pressure + params.vacuum_weight * below_vacuum
    return bull / total, bear / total, (below_mixed + above_mixed) / total


@step
def derivatives(
    last: NDArray[np.float64], run: int, x: float, seconds: float
) -> tuple[float, float, float]:
    """Return the derivatives of a chain of ``run`` bins that ends with x, and remember them.

    Those the chain is too short for are NaN. ``last`` holds x, d1 and d2 of the last bin.
    """
    d1 = (x - last[0]) / seconds if run >= 2 else math.nan
    d2 = (d1 - last[1]) / seconds if run >= 3 else math.nan
    d3 = (d2 - last[2]) / seconds if run >= 4 else math.nan
    last[0] = x
    last[1] = d1
    last[2] = d2
    return d1, d2, d3


@step
def known(x: float) -> float:
    """Return x, or 0 where it is missing."""
    return x if x == x else 0.0


@step
def standardize_base(
    columns: standardize.State, params: Blend, index: int, x: float
) -> tuple[float, float, bool]:
    """Return z, lambda and readiness of one derivative of base."""
    column = standardize.column_of(columns, index)
    z, _, _, shrinkage, ready = standardize.take(column, params.rule, params.priors[index], x)
    # A derivative without weight holds nobody up.
    return z, shrinkage, ready or params.weights[index] == 0.0


@kernel
def advance_bins(
    state: ChainState, columns: standardize.State, params: BinParams, taken: Input, out: BinOutput
) -> int:
    """Score every bin of ``taken`` and fill ``out``."""
    weights = params.blend.weights
    for t in range(taken.time.shape[0]):
        seconds = np.float64(taken.time[t] - state.clock[TIME]) / 1e9
        state.clock[TIME] = taken.time[t]
        farthest = reach(params, taken, t)
        valid = farthest >= 0 and params.total_weights[farthest] > 0.0

        bull = bear = mixed = base = 0.0
        d1 = d2 = d3 = math.nan
        if valid:
            bull, bear, mixed = intensities(params, taken, t, farthest)
            base = (bull - bear) * max(1.0 - params.mixed_weight * mixed, 0.0)
            state.clock[RUN] = min(state.clock[RUN] + 1, 4)
            d1, d2, d3 = derivatives(state.last, state.clock[RUN], base, seconds)
        else:
            state.clock[RUN] = 0
        z1, lambda1, ready1 = standardize_base(columns, params.blend, 0, d1)
        z2, lambda2, ready2 = standardize_base(columns, params.blend, 1, d2)
        z3, lambda3, ready3 = standardize_base(columns, params.blend, 2, d3)
        ready = valid and ready1 and ready2 and ready3

        score = s1 = s2 = s3 = 0.0
        if ready:
            score = blend(params.blend, z1, z2, z3)
            state.clock[SCORE_RUN] = min(state.clock[SCORE_RUN] + 1, 4)
            s1, s2, s3 = derivatives(state.last_score, state.clock[SCORE_RUN], score, seconds)
        else:
            state.clock[SCORE_RUN] = 0
        for h in range(params.damping.shape[0]):
            ahead = params.terms[0, h] * known(s1)
            ahead += params.terms[1, h] * known(s2)
            ahead += params.terms[2, h] * known(s3)
            out.projected[h, t] = within_one((score + ahead) * params.damping[h])

        out.score[t] = score
        out.ready[t] = ready
        out.shrinkage[t] = weights[0] * lambda1 + weights[1] * lambda2 + weights[2] * lambda3
        out.base[t] = base
        out.bull[t] = bull
        out.bear[t] = bear
        out.mixed[t] = mixed
        out.base_d1[t] = known(d1)
        out.base_d2[t] = known(d2)
        out.base_d3[t] = known(d3)
        out.base_z1[t] = z1
        out.base_z2[t] = z2
        out.base_z3[t] = z3
    return OK


@kernel
def damp(rate: float, horizons: NDArray[np.float64], out: NDArray[np.float64]) -> int:
    """Write exp(-rate * horizon), |rate * horizon| <= 700 at most."""
    for i in range(horizons.shape[0]):
        out[i] = exp(-(rate * horizons[i]))
    return OK


def damping(rate: float, horizons: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the factor of each projection, by our own exponential."""
    out = np.empty(horizons.shape)
    damp(rate, horizons, out)
    return out
