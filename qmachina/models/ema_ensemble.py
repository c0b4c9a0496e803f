"""ema_ensemble: do fast averages of the mid stand above slow ones? Needs no book grid.

    EMA_p <- EMA_p + 2 / (p + 1) * (mid - EMA_p), from the first valid mid on
    score  = tanh(tanh_scale * sum_i w_i sign(EMA_{p_i} - EMA_{p_{i+1}})),   p ascending, sum w = 1

Averages count valid bins: an invalid bin changes nothing, shows the held averages, and has
score 0, not ready. All prices are mids in ticks; bins hold twice the mid, an integer, so simple
averages are exact. Candles of the closing mids come along for the page.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Param
from pydantic import model_validator

from qmachina.errors import SpecError
from qmachina.features.columns import bin_column, check_time
from qmachina.features.elementary import tanh
from qmachina.features.geometry import Geometry
from qmachina.fields import Chunk, Field
from qmachina.kernel import OK, kernel
from qmachina.models.base import SCORE_FIELDS, Model
from qmachina.specs.base import Spec
from qmachina.specs.weights import Weight, check_some, normalised

#: Places of ``State.clock``: valid mids seen, place in the ring, start of the candle, its valid
#: mids, end of the last bin.
SEEN, HEAD, CANDLE, IN_CANDLE, TIME = 0, 1, 2, 3, 4


class EmaEnsembleParams(Spec):
    """Parameters of ema_ensemble."""

    periods: tuple[int, ...] = Param(
        default=(5, 10, 20, 50), min_length=2, description="EMA periods, bins, ascending."
    )
    pair_weights: tuple[Weight, ...] = Param(
        default=(0.4, 0.3, 0.2), description="Weight of each neighbouring pair, normalised."
    )
    tanh_scale: float = Param(default=1.5, gt=0, le=100, description="Steepness of the score.")
    sma_periods: tuple[int, ...] = Param(
        default=(10, 20), description="Periods of simple averages, bins, ascending."
    )
    candle_ms: int = Param(
        default=1000, ge=1, le=86_400_000, description="Candle length; whole bins."
    )

    @model_validator(mode="after")
    def _possible(self) -> EmaEnsembleParams:
        for name in ("periods", "sma_periods"):
            periods = getattr(self, name)
            if any(not 1 <= p <= 100_000 for p in periods):
                raise ValueError(f"{name} must lie between 1 and 100000")
            if any(a >= b for a, b in itertools.pairwise(periods)):
                raise ValueError(f"{name} must be distinct and ascending")
        if len(self.pair_weights) != len(self.periods) - 1:
            raise ValueError("pair_weights must have one value for each neighbouring pair")
        check_some(self.pair_weights, "pair_weights")
        return self


class State(NamedTuple):
    """What the model remembers, in half ticks."""

    ema: NDArray[np.float64]  # (n_periods,)
    ring: NDArray[np.int64]  # (longest simple period,): the last valid mids
    sums: NDArray[np.int64]  # (n_sma_periods,): over the last min(seen, p) of them
    candle: NDArray[np.int64]  # (4,): open, high, low, close
    clock: NDArray[np.int64]  # (5,): SEEN, HEAD, CANDLE, IN_CANDLE, TIME


class Weights(NamedTuple):
    """The parameters as the kernel takes them."""

    alphas: NDArray[np.float64]  # (n_periods,)
    pairs: NDArray[np.float64]  # (n_periods - 1,), sum 1
    sma_periods: NDArray[np.int64]
    tanh_scale: float
    longest: int  # of the EMA periods
    bin_ns: int
    candle_ns: int


class Output(NamedTuple):
    """The columns of ``bin_fields``; averages as (n_columns, n_bins)."""

    score: NDArray[np.float64]
    ready: NDArray[np.bool_]
    averages: NDArray[np.float64]  # EMAs, then simple averages
    candle_start: NDArray[np.int64]
    candle: NDArray[np.float64]  # (4, n_bins)


@kernel
def advance(
    state: State,
    weights: Weights,
    time: NDArray[np.int64],
    mid_x2: NDArray[np.int64],
    valid: NDArray[np.bool_],
    out: Output,
) -> int:
    """Take bins in time order and fill ``out``."""
    clock, ema, ring, sums, candle = state.clock, state.ema, state.ring, state.sums, state.candle
    n_ema = ema.shape[0]
    for t in range(time.shape[0]):
        clock[TIME] = time[t]
        start = time[t] - weights.bin_ns
        start -= start % weights.candle_ns
        if start != clock[CANDLE]:
            clock[CANDLE] = start
            clock[IN_CANDLE] = 0
            for i in range(3):
                candle[i] = candle[3]  # flat at the last close until a mid is valid
        if valid[t]:
            x = mid_x2[t]
            for i in range(n_ema):
                mid = np.float64(x)
                ema[i] = mid if clock[SEEN] == 0 else ema[i] + weights.alphas[i] * (mid - ema[i])
            for i in range(sums.shape[0]):
                period = weights.sma_periods[i]
                sums[i] += x
                if clock[SEEN] >= period:
                    oldest = clock[HEAD] - period
                    sums[i] -= ring[oldest if oldest >= 0 else oldest + ring.shape[0]]
            ring[clock[HEAD]] = x
            clock[HEAD] = 0 if clock[HEAD] + 1 == ring.shape[0] else clock[HEAD] + 1
            clock[SEEN] += 1
            if clock[IN_CANDLE] == 0:
                for i in range(3):
                    candle[i] = x
            clock[IN_CANDLE] += 1
            candle[1] = max(candle[1], x)
            candle[2] = min(candle[2], x)
            candle[3] = x

        score = 0.0
        ready = valid[t] and clock[SEEN] >= weights.longest
        if ready:
            lean = 0.0
            for i in range(n_ema - 1):
                if ema[i] > ema[i + 1]:
                    lean += weights.pairs[i]
                elif ema[i] < ema[i + 1]:
                    lean -= weights.pairs[i]
            score = tanh(weights.tanh_scale * lean)
        out.score[t] = score
        out.ready[t] = ready
        for i in range(n_ema):
            out.averages[i, t] = 0.5 * ema[i]
        for i in range(sums.shape[0]):
            taken = max(min(clock[SEEN], weights.sma_periods[i]), 1)
            out.averages[n_ema + i, t] = 0.5 * (np.float64(sums[i]) / np.float64(taken))
        out.candle_start[t] = start
        for i in range(4):
            out.candle[i, t] = 0.5 * np.float64(candle[i])
    return OK


class EmaEnsemble(Model):
    """The model of this module."""

    model_id = "ema_ensemble"
    Params = EmaEnsembleParams
    requires_silver = ("bin_end_ns", "mid_x2", "book_valid")

    def __init__(self, params: EmaEnsembleParams, geometry: Geometry) -> None:
        super().__init__(params, geometry)
        self.params = params
        if params.candle_ms * 1_000_000 % geometry.bin_ns:
            raise SpecError(
                "a candle is not a whole number of bins",
                subject=self.model_id,
                expected=f"a multiple of {geometry.bin_ns / 1e6:g} ms",
                found=f"{params.candle_ms} ms",
            )
        self._weights = Weights(
            alphas=np.array([2.0 / (p + 1) for p in params.periods]),
            pairs=np.array(normalised(params.pair_weights)),
            sma_periods=np.array(params.sma_periods, np.int64),
            tanh_scale=params.tanh_scale,
            longest=params.periods[-1],
            bin_ns=geometry.bin_ns,
            candle_ns=params.candle_ms * 1_000_000,
        )
        self._state = State(
            ema=np.zeros(len(params.periods)),
            ring=np.zeros(max(params.sma_periods, default=1), np.int64),
            sums=np.zeros(len(params.sma_periods), np.int64),
            candle=np.zeros(4, np.int64),
            clock=np.zeros(5, np.int64),
        )

    @property
    def warmup_bins(self) -> int:
        """Bins before the slowest EMA has seen its period."""
        return self.params.periods[-1] - 1

    @property
    def bin_fields(self) -> tuple[Field, ...]:
        """Score, averages and the candle the bin belongs to."""
        averages = (
            *((f"ema_{p}", f"Exponential average of mid, {p} bins.") for p in self.params.periods),
            *((f"sma_{p}", f"Simple average of mid, {p} bins.") for p in self.params.sma_periods),
        )
        return (
            *SCORE_FIELDS,
            *(Field(name, "float64", "ticks", text, "signal") for name, text in averages),
            Field("candle_start_ns", "int64", "ns", "Start of the candle the bin belongs to."),
            *(
                Field(f"candle_{part}", "float64", "ticks", f"{part.title()} of mid so far.")
                for part in ("open", "high", "low", "close")
            ),
        )

    def advance(self, silver: Chunk, gold: Chunk) -> Chunk:
        """Take the next bins; see :meth:`Model.advance`. Gold may be empty."""
        time = bin_column(silver, "bin_end_ns", "int64")
        mid_x2 = bin_column(silver, "mid_x2", "int64")
        valid = bin_column(silver, "book_valid", "bool")
        check_time(time, int(self._state.clock[TIME]), self.model_id)
        n = silver.n_bins
        n_averages = len(self.params.periods) + len(self.params.sma_periods)
        out = Output(
            np.empty(n),
            np.empty(n, np.bool_),
            np.empty((n_averages, n)),
            np.empty(n, np.int64),
            np.empty((4, n)),
        )
        advance(self._state, self._weights, time, mid_x2, valid, out)
        columns = (out.score, out.ready, *out.averages, out.candle_start, *out.candle)
        return Chunk({f.name: c for f, c in zip(self.bin_fields, columns, strict=True)})

    def _arrays(self) -> Mapping[str, NDArray]:
        return self._state._asdict()
