"""The shape of a grid: how wide a bin is, how many ticks a window holds, how big a tick is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qmachina.errors import SpecError


@dataclass(frozen=True)
class Geometry:
    """What a stage must know of the grid it reads.

    Row ``r`` of a bin is the absolute tick ``spot + r - radius``.

    Parameters
    ----------
    bin_ns : int
        Bin width in nanoseconds.
    radius : int
        K: ticks each way from spot, at least 1.
    tick_size_int : int
        Tick size in units of 1e-9.

    Raises
    ------
    SpecError
        If a value is not positive.
    """

    bin_ns: int
    radius: int
    tick_size_int: int

    def __post_init__(self) -> None:
        for name in ("bin_ns", "radius", "tick_size_int"):
            if getattr(self, name) < 1:
                raise SpecError(
                    f"{name} must be positive", subject="geometry", found=getattr(self, name)
                )

    @property
    def n_rows(self) -> int:
        """Rows of the grid: 2K + 1."""
        return 2 * self.radius + 1

    def ticks(self, price_int: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return on-grid prices (int64, 1e-9 units) as absolute ticks."""
        return price_int // self.tick_size_int
