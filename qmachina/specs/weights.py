"""Weights as specs hold them: none negative, one positive; what uses them normalises them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

#: One weight or coefficient; the bound keeps sums and products finite.
Weight = Annotated[float, Field(ge=0, le=1e6)]


def check_some(weights: Sequence[float], name: str) -> None:
    """Raise ValueError, for a pydantic validator, if no weight is positive."""
    if not any(w > 0 for w in weights):
        raise ValueError(f"{name} must have a positive sum")


def normalised(weights: Sequence[float]) -> tuple[float, ...]:
    """Return the weights divided by their sum, which is exactly rounded in every Python."""
    total = math.fsum(weights)
    return tuple(w / total for w in weights)
