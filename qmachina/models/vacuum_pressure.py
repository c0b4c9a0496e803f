"""vacuum_pressure: which side of the touch gives way, cell by cell and as one score a bin.

*Spectrum*, per cell: composite's three derivatives, each standardised along its absolute tick,
squashed by tanh and blended to ``flow_score`` in [-1, 1].

*Score*, per bin: the states of the cells near the touch, weighted by distance, give the
intensities bull, bear and mixed; bull minus bear is ``base``; the derivatives of base are
standardised, squashed and blended to ``score``. Projections extrapolate the score.

An invalid bin says nothing: score 0, ready false, in cells as well. What happens to memory:

* cells advance, because a tick's forces do not depend on the touch;
* the chain of base's derivatives starts anew after an invalid bin. A difference across a gap
  would be an average over the gap, of another scale than its neighbours in the window;
* windows count bins: an invalid bin is a missing value in them, not a bin that never was.

A tick counts once it has been in the window for ``settle_bins``, so that its composite is a mean
of full windows; the score reaches from the touch to the first tick, on either side, that does
not. See :mod:`qmachina.models.ages` for why the mirror law needs this.

Distance is counted from the touch (d = 0 is the best price), and bull and bear share their
weights: unequal ones would break the mirror law. Default priors suit bins of 100 ms in a busy
future; other widths want others, because derivatives of noise grow as bins shrink. The default
score uses the first derivative alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Param
from pydantic import ValidationError, model_validator

from qmachina.errors import SpecError
from qmachina.features import standardize
from qmachina.features.columns import bin_column, check_time, check_touch, grid_column
from qmachina.features.geometry import Geometry
from qmachina.features.standardize import StandardizeSpec
from qmachina.fields import Chunk, Field, names
from qmachina.models import vacuum_pressure_kernels as kernels
from qmachina.models.ages import advance_ages, new_ages
from qmachina.models.base import SCORE_FIELDS, Model
from qmachina.specs.base import Spec, problems
from qmachina.specs.gold import GoldSpec
from qmachina.specs.weights import Weight, check_some, normalised

Three = tuple[float, float, float]
ThreeWeights = tuple[Weight, Weight, Weight]


class VacuumPressureParams(Spec):
    """Parameters of vacuum_pressure. Triples belong to the first, second, third derivative."""

    settle_bins: int = Param(
        default=40,
        ge=1,
        le=100_000,
        description="Bins a tick waits until its composite counts: gold's longest window.",
    )
    flow_window: int = Param(default=300, ge=1, description="Bins a cell is compared with.")
    flow_min_count: int = Param(
        default_factory=lambda known: standardize.default_min_count(known["flow_window"]),
        description="Values a cell needs; default max(30, flow_window / 4).",
    )
    flow_priors: Three = Param(
        default=(0.2, 1.0, 15.0), description="Prior scales of composite's derivatives."
    )
    flow_weights: ThreeWeights = Param(
        default=(0.55, 0.30, 0.15), description="Weights in flow_score, normalised."
    )
    flow_tanh_scale: float = Param(default=3.0, gt=0, description="z at which tanh bends.")
    flow_threshold: float = Param(
        default=0.15, gt=0, lt=1, description="|flow_score| from which a cell has a state."
    )
    exclusion_ticks: int = Param(
        default=0, ge=0, le=2000, description="Ticks next to the touch left out on each side."
    )
    decay: float = Param(
        default=0.0, ge=0, le=10, description="p of the distance weight (1 + d)^-p."
    )
    deadband: float = Param(
        default=0.0, ge=0, lt=1, description="Cells with |composite| up to this are mixed."
    )
    pressure_weight: Weight = Param(default=1.0, description="Of pressure in bull and bear.")
    vacuum_weight: Weight = Param(default=1.0, description="Of vacuum in bull and bear.")
    mixed_weight: Weight = Param(
        default=0.0, description="How much the share of mixed cells damps base."
    )
    window: int = Param(default=300, ge=1, description="Bins that base is compared with.")
    min_count: int = Param(
        default_factory=lambda known: standardize.default_min_count(known["window"]),
        description="Values base needs; default max(30, window / 4).",
    )
    priors: Three = Param(
        default=(0.15, 2.0, 30.0), description="Prior scales of base's derivatives."
    )
    weights: ThreeWeights = Param(
        default=(1.0, 0.0, 0.0), description="Weights in score, normalised."
    )
    tanh_scale: float = Param(default=3.0, gt=0, description="z at which tanh bends.")
    d0: float = Param(default=8.0, description="Observations a prior is worth.")
    z_clip: float = Param(default=12.0, description="Largest |z|.")
    projection_horizons_ms: tuple[int, ...] = Param(
        default=(1000, 2000), description="Horizons of projected scores; whole bins."
    )
    projection_cubic: bool = Param(default=False, description="Whether to use the third term.")
    projection_cubic_scale: float = Param(
        default=1 / 6, ge=0, le=1, description="Factor of the third term."
    )
    projection_damping: float = Param(
        default=0.0, ge=0, le=100, description="Rate at which projections fade, 1/s."
    )

    @model_validator(mode="after")
    def _possible(self) -> VacuumPressureParams:
        check_some(self.flow_weights, "flow_weights")
        check_some(self.weights, "weights")
        check_some((self.pressure_weight, self.vacuum_weight), "pressure_weight, vacuum_weight")
        horizons = self.projection_horizons_ms
        if any(h <= 0 for h in horizons) or len(set(horizons)) != len(horizons):
            raise ValueError("projection_horizons_ms must be positive and distinct")
        try:
            for prior in self.flow_priors:
                self.standardize("flow_", prior)
            for prior in self.priors:
                self.standardize("", prior)
        except ValidationError as e:
            raise ValueError(problems(e)) from e
        return self

    def standardize(self, prefix: str, prior: float) -> StandardizeSpec:
        """Return the standardiser of one channel of the spectrum (``flow_``) or of the score."""
        return StandardizeSpec(
            window=getattr(self, f"{prefix}window"),
            min_count=getattr(self, f"{prefix}min_count"),
            prior=prior,
            d0=self.d0,
            z_clip=self.z_clip,
        )


BIN_FIELDS: tuple[Field, ...] = (
    Field("shrinkage", "float64", "1", "Weight of the prior scale in the score, (0, 1]."),
    Field("base", "float64", "1", "Bull minus bear, damped by mixed.", "signal"),
    Field("bull", "float64", "1", "Weighted share of bullish cells."),
    Field("bear", "float64", "1", "Weighted share of bearish cells."),
    Field("mixed", "float64", "1", "Weighted share of undecided cells."),
    Field("base_d1", "float64", "1/s", "First derivative of base; 0 where missing.", "velocity"),
    Field("base_d2", "float64", "1/s^2", "Second derivative of base.", "acceleration"),
    Field("base_d3", "float64", "1/s^3", "Third derivative of base.", "jerk"),
    Field("base_z1", "float64", "1", "base_d1 standardised; 0 where not ready."),
    Field("base_z2", "float64", "1", "base_d2 standardised; 0 where not ready."),
    Field("base_z3", "float64", "1", "base_d3 standardised; 0 where not ready."),
)

CELL_FIELDS: tuple[Field, ...] = (
    Field("flow_score", "float32", "1", "Spectrum score of the cell in [-1, 1].", "signal"),
    Field("flow_state_code", "int8", "code", "1 building, -1 fading, 0 neither.", "indicator"),
    Field("flow_ready", "bool", "flag", "Whether flow_score may be used; it is 0 where not."),
)


class VacuumPressure(Model):
    """The model of this module."""

    model_id = "vacuum_pressure"
    Params = VacuumPressureParams
    requires_silver = (
        "bin_end_ns",
        "spot_ref_price_int",
        "best_bid_price_int",
        "best_ask_price_int",
        "book_valid",
    )
    requires_gold = ("composite", "composite_d1", "composite_d2", "composite_d3", "state5_code")
    bin_width_ms = (10, 1000)

    def __init__(self, params: VacuumPressureParams, geometry: Geometry) -> None:
        super().__init__(params, geometry)
        self.params = params
        for h in params.projection_horizons_ms:
            if h * 1_000_000 % geometry.bin_ns:
                raise SpecError(
                    "a projection horizon is not a whole number of bins",
                    subject=self.model_id,
                    expected=f"a multiple of {geometry.bin_ns / 1e6:g} ms",
                    found=f"{h} ms",
                )
        n = geometry.n_rows
        self._ages = new_ages(n)
        self._cells = standardize.new_state(params.flow_window, 3 * n)
        self._chain = kernels.ChainState(np.zeros(3), np.zeros(3), np.zeros(3, np.int64))
        self._base = standardize.new_state(params.window, 3)
        self._names = names(self.bin_fields)
        self._cell_params = kernels.CellParams(
            _blend(params, "flow_", params.flow_priors, params.flow_weights),
            params.flow_threshold,
            params.settle_bins,
        )
        weights = distance_weights(geometry.n_rows, params.exclusion_ticks, params.decay)
        horizons = np.array([h / 1e3 for h in params.projection_horizons_ms])
        third = params.projection_cubic_scale if params.projection_cubic else 0.0
        square = horizons * horizons
        self._bin_params = kernels.BinParams(
            blend=_blend(params, "", params.priors, params.weights),
            distance_weights=weights,
            total_weights=np.cumsum(weights),
            settle=params.settle_bins,
            deadband=params.deadband,
            pressure_weight=params.pressure_weight,
            vacuum_weight=params.vacuum_weight,
            mixed_weight=params.mixed_weight,
            terms=np.array([horizons, 0.5 * square, third * (square * horizons)]),
            damping=kernels.damping(params.projection_damping, horizons),
        )

    @classmethod
    def check_gold(cls, params: VacuumPressureParams, gold: GoldSpec) -> None:
        """Refuse a tick that counts before its composite is a mean of full windows."""
        if params.settle_bins < gold.windows[-1]:
            raise SpecError(
                "settle_bins is shorter than gold's longest window",
                subject=cls.model_id,
                expected=f"at least {gold.windows[-1]}",
                found=params.settle_bins,
            )

    @classmethod
    def min_radius(cls, params: VacuumPressureParams) -> int:
        """Return the radius that leaves one tick a side outside the exclusion at spread 1."""
        return params.exclusion_ticks + 1

    @property
    def warmup_bins(self) -> int:
        """Bins before the highest weighted derivative of settled ticks has enough values."""
        highest = max(i for i, w in enumerate(self.params.weights, start=1) if w > 0)
        return self.params.settle_bins - 1 + highest + self.params.min_count - 1

    @property
    def horizon_bins(self) -> int:
        """Bins of the longest projection."""
        longest = max(self.params.projection_horizons_ms, default=0)
        return longest * 1_000_000 // self.geometry.bin_ns

    @property
    def bin_fields(self) -> tuple[Field, ...]:
        """Score, what it is made of, and a projection for each horizon."""
        projected = (
            Field(f"projected_{h}ms", "float64", "1", f"Score expected {h} ms ahead.", "signal")
            for h in self.params.projection_horizons_ms
        )
        return (*SCORE_FIELDS, *BIN_FIELDS, *projected)

    @property
    def cell_fields(self) -> tuple[Field, ...]:
        """The spectrum."""
        return CELL_FIELDS

    def advance(self, silver: Chunk, gold: Chunk) -> Chunk:
        """Take the next bins; see :meth:`Model.advance`."""
        taken = self._input(silver, gold)
        shape = (silver.n_bins, self.geometry.n_rows)
        cells = kernels.CellOutput._make(np.empty(shape, f.numpy) for f in CELL_FIELDS)
        projected = np.empty((len(self.params.projection_horizons_ms), silver.n_bins))
        fixed = [np.empty(silver.n_bins, f.numpy) for f in SCORE_FIELDS + BIN_FIELDS]
        bins = kernels.BinOutput._make([*fixed, projected])
        # No age beyond that of the last derivative makes a difference.
        cap = self.params.settle_bins + 3
        advance_ages(self._ages, cap, taken.valid, taken.lowest, taken.bid, taken.ask, taken.age)
        kernels.advance_cells(self._cells, self._cell_params, taken, cells)
        kernels.advance_bins(self._chain, self._base, self._bin_params, taken, bins)
        columns = (*fixed, *projected)
        return Chunk(dict(zip(self._names, columns, strict=True)), cells._asdict())

    def _arrays(self) -> Mapping[str, NDArray]:
        states: dict[str, Any] = {
            "tick": self._ages,
            "cell": self._cells,
            "chain": self._chain,
            "base": self._base,
        }
        return {
            f"{kind}_{name}": array
            for kind, state in states.items()
            for name, array in state._asdict().items()
        }

    def _input(self, silver: Chunk, gold: Chunk) -> kernels.Input:
        shape = (silver.n_bins, self.geometry.n_rows)
        time = bin_column(silver, "bin_end_ns", "int64")
        bid = bin_column(silver, "best_bid_price_int", "int64")
        ask = bin_column(silver, "best_ask_price_int", "int64")
        valid = bin_column(silver, "book_valid", "bool")
        spot = self.geometry.ticks(bin_column(silver, "spot_ref_price_int", "int64"))
        check_time(time, int(self._chain.clock[kernels.TIME]), self.model_id)
        check_touch(bid, ask, valid, self.model_id)
        lowest = spot - self.geometry.radius
        bid, ask = self.geometry.ticks(bid), self.geometry.ticks(ask)
        age = np.empty(shape, np.int64)
        return kernels.Input(
            time=time,
            valid=valid,
            lowest=lowest,
            first_slot=lowest % self.geometry.n_rows,
            bid=bid,
            ask=ask,
            composite=grid_column(gold, "composite", "float32", shape),
            d1=grid_column(gold, "composite_d1", "float32", shape),
            d2=grid_column(gold, "composite_d2", "float32", shape),
            d3=grid_column(gold, "composite_d3", "float32", shape),
            state5=grid_column(gold, "state5_code", "int8", shape),
            age=age,
        )


def distance_weights(n: int, exclusion_ticks: int, decay: float) -> NDArray[np.float64]:
    """Return (1 + d)^-decay for d = 0 .. n-1, and 0 inside the exclusion.

    Computed in decimal arithmetic, because the bits of a float power depend on the math library.
    """
    with localcontext() as context:
        context.prec = 40
        powers = [float(Decimal(1 + d) ** -Decimal(decay)) for d in range(n)]
    return np.array([0.0 if d < exclusion_ticks else w for d, w in enumerate(powers)])


def _blend(
    params: VacuumPressureParams, prefix: str, priors: Three, weights: Three
) -> kernels.Blend:
    return kernels.Blend(
        rule=standardize.rule_of(params.standardize(prefix, priors[0])),
        priors=np.array(priors),
        weights=np.array(normalised(weights)),
        tanh_scale=getattr(params, f"{prefix}tanh_scale"),
    )
