"""Elementary functions whose bits depend on no math library: the same here, there and live."""

from __future__ import annotations

from qmachina.grid.mechanics import exp
from qmachina.kernel import kernel

#: Below this magnitude the rational form is used, above it the exponential.
_SMALL = 0.625


@kernel
def tanh(x: float) -> float:
    """Return the hyperbolic tangent, exactly odd, accurate to a few units in the last place.

    Small arguments take the eighth convergent of Lambert's continued fraction, whose error
    there is below 5e-18; large ones (1 - e) / (1 + e) with e = exp(-2 |x|), which loses nothing
    because e is below 0.29.
    """
    y = x * x
    if y < _SMALL * _SMALL:
        above = 2027025.0 + y * (270270.0 + y * (6930.0 + y * 36.0))
        below = 2027025.0 + y * (945945.0 + y * (51975.0 + y * (630.0 + y)))
        return x * above / below
    e = exp(-2.0 * abs(x))
    t = (1.0 - e) / (1.0 + e)
    return t if x > 0.0 else -t
