"""What the default gold features compute: force coefficients, windows, weights."""

from __future__ import annotations

import itertools

from pydantic import Field, model_validator

from qmachina.specs.base import Spec
from qmachina.specs.weights import Weight, check_some, normalised

#: The longest composite window; a tick keeps that many values.
MAX_WINDOW = 100_000


class GoldSpec(Spec):
    """Everything that decides the gold dataset besides the silver it is made from.

    The forces of a tick are

        pressure = c1 v_add  + c2 max(v_rest_depth, 0) + c3 max(a_add, 0)
        vacuum   = c4 v_pull + c5 v_fill + c6 max(-v_rest_depth, 0) + c7 max(a_pull, 0)
    """

    c1: Weight = Field(default=1.0, description="Pressure: velocity of added size.")
    c2: Weight = Field(default=0.5, description="Pressure: growing depth.")
    c3: Weight = Field(default=0.3, description="Pressure: accelerating additions.")
    c4: Weight = Field(default=1.0, description="Vacuum: velocity of cancelled size.")
    c5: Weight = Field(default=1.5, description="Vacuum: velocity of executed size.")
    c6: Weight = Field(default=0.5, description="Vacuum: shrinking depth.")
    c7: Weight = Field(default=0.3, description="Vacuum: accelerating cancellations.")
    force_floor: float = Field(
        default=0.05,
        gt=0,
        le=1e6,
        description="Size/s added to the denominator of composite, so that idle ticks fade.",
    )
    windows: tuple[int, ...] = Field(
        default=(5, 10, 20, 40),
        min_length=1,
        description="Bins averaged by each window, ascending.",
    )
    window_weights: tuple[Weight, ...] = Field(
        default=(1.0, 1.0, 1.0, 1.0),
        min_length=1,
        description="Weight of each window; normalised to sum 1 where used.",
    )

    @model_validator(mode="after")
    def _possible(self) -> GoldSpec:
        if any(not 1 <= w <= MAX_WINDOW for w in self.windows):
            raise ValueError(f"windows must lie between 1 and {MAX_WINDOW}")
        if any(a >= b for a, b in itertools.pairwise(self.windows)):
            raise ValueError("windows must be distinct and ascending")
        if len(self.window_weights) != len(self.windows):
            raise ValueError("window_weights must have one value for each window")
        check_some(self.window_weights, "window_weights")
        return self

    @property
    def forces(self) -> tuple[float, ...]:
        """The coefficients c1 to c7."""
        return (self.c1, self.c2, self.c3, self.c4, self.c5, self.c6, self.c7)

    @property
    def normalised_weights(self) -> tuple[float, ...]:
        """The window weights, divided by their sum."""
        return normalised(self.window_weights)
