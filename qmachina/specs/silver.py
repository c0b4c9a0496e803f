"""What the engine computes: clock, bins, window, time constants."""

from __future__ import annotations

import itertools
import math
from typing import Literal

from pydantic import Field, model_validator

from qmachina.market import DAY_NS
from qmachina.specs.base import Spec

TIME_OF_DAY = r"^([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?$"

#: Two time constants closer than this make the read-out of acceleration and jerk ill-posed.
MIN_TAU_RATIO = 1.05


class SilverSpec(Spec):
    """Everything that decides the silver dataset besides the input file and the instrument."""

    start_time: str | None = Field(
        default=None, pattern=TIME_OF_DAY, description="First bin, exchange-local, inclusive."
    )
    end_time: str | None = Field(
        default=None, pattern=TIME_OF_DAY, description="End of the last bin, exchange-local."
    )
    cell_width_ms: int = Field(default=100, ge=1, le=86_400_000, description="Bin width.")
    grid_radius_ticks: int = Field(default=50, ge=1, le=2000, description="K: ticks each way.")
    n_absolute_ticks: int = Field(
        default=8192, ge=64, le=1 << 20, description="Ticks held densely around the anchor."
    )
    tau_velocity: float = Field(default=2.0, gt=0, description="Time constant, s.")
    tau_acceleration: float = Field(default=5.0, gt=0, description="Time constant, s.")
    tau_jerk: float = Field(default=10.0, gt=0, description="Time constant, s.")
    tau_rest_decay: float = Field(default=30.0, gt=0, description="Time constant of mass, s.")
    clock: Literal["recv", "event"] = Field(
        default="recv", description="Which time stamp drives the clock; monotonised either way."
    )
    emit: Literal["bin", "event"] = Field(
        default="bin", description="Emit at bin ends, or after every event (for study)."
    )
    carry_minutes: int = Field(
        default=0, ge=0, le=1440, description="Tail of the previous date's file fed first."
    )
    assume_synced_after: float | None = Field(
        default=None, ge=0, description="Seconds after the first record of an unsynced start."
    )
    strict: bool = Field(default=False, description="Treat every anomaly as an error.")

    @model_validator(mode="after")
    def _possible(self) -> SilverSpec:
        if DAY_NS % self.bin_ns:
            raise ValueError("cell_width_ms must divide a day")
        if self.grid_radius_ticks >= self.n_absolute_ticks // 8 - 1:
            raise ValueError("grid_radius_ticks must be below n_absolute_ticks / 8 - 1")
        taus = (self.tau_velocity, self.tau_acceleration, self.tau_jerk)
        for a, b in itertools.combinations(taus, 2):
            if max(a, b) / min(a, b) < MIN_TAU_RATIO:
                raise ValueError("tau_velocity, tau_acceleration, tau_jerk must differ by 5 %")
        if self.landmark_ns * 1e-9 / min(*taus, self.tau_rest_decay) > 300:
            raise ValueError("the shortest time constant is too short for this bin width")
        if self.start_time and self.end_time and seconds(self.start_time) >= seconds(self.end_time):
            raise ValueError("start_time must precede end_time")
        for time in (self.start_time, self.end_time):
            if time and seconds(time) * 1000 % self.cell_width_ms:
                raise ValueError("start_time and end_time must be whole bins")
        return self

    @property
    def bin_ns(self) -> int:
        """Bin width in nanoseconds."""
        return self.cell_width_ms * 1_000_000

    @property
    def n_rows(self) -> int:
        """Rows of the grid: 2K + 1."""
        return 2 * self.grid_radius_ticks + 1

    @property
    def landmark_ns(self) -> int:
        """Distance of two landmarks: 50 shortest time constants, rounded up to whole bins."""
        shortest = min(self.tau_velocity, self.tau_acceleration, self.tau_jerk, self.tau_rest_decay)
        bins = math.ceil(50.0 * shortest * 1e9 / self.bin_ns)
        return max(bins, 1) * self.bin_ns


def seconds(time_of_day: str) -> int:
    """Return HH:MM or HH:MM:SS as seconds since midnight."""
    parts = [int(p) for p in time_of_day.split(":")]
    return parts[0] * 3600 + parts[1] * 60 + (parts[2] if len(parts) > 2 else 0)
