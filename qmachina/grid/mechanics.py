"""Exponentially decayed sums of impulses, and the exact read-out of v, a and j from them.

An impulse of size ``x`` at time ``t_n`` adds ``x * exp(r_i (t_n - L))`` to the forward sums
``Z_i`` of its tick and channel, one for each rate ``r_i = 1 / tau_i`` of velocity,
acceleration, jerk and mass. ``L`` is the landmark. Read at time ``T`` the decayed sum is
``z_i = Z_i * exp(-r_i (T - L))``, so a tick that nothing touches needs no work.

The cascade smooth, differentiate, smooth, differentiate, smooth,

    V(s) = 1 / (1 + tau_v s)    A(s) = s V(s) / (1 + tau_a s)    J(s) = s A(s) / (1 + tau_j s)

has partial fractions that make v, a and j fixed linear combinations of the same sums:

    v = r_v z_v
    a = r_v r_a / (r_a - r_v) * (r_a z_a - r_v z_v)
    j = r_v r_a r_j * sum_i r_i^2 z_i / prod_{m != i} (r_m - r_i)        i, m in {v, a, j}

Landmarks stand at midnight UTC + n P. Crossing one multiplies every sum by ``exp(-r_i P)``;
crossing m of them does so m times, so the state does not depend on how often it is read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qmachina.kernel import Int, kernel
from qmachina.specs.silver import SilverSpec

#: Decayed sums per channel, in this order.
VELOCITY, ACCELERATION, JERK, MASS = 0, 1, 2, 3
N_RATES = 4
#: Sums smaller than this become zero at a landmark, so that idle ticks end up exactly idle.
NEGLIGIBLE = 1e-200

_LOG2E = 1.4426950408889634
_LN2_HI = 6.93147180369123816490e-01
_LN2_LO = 1.90821492927058770002e-10


@kernel
def exp(x: Any) -> Any:
    """Return e**x for |x| <= 700 (below -700: as at -700), accurate to 2 ulp.

    Our own, so that results do not depend on a math library: range reduction by ln 2 in two
    parts, a Taylor polynomial of degree 13 on [-0.347, 0.347], scaling through the exponent
    bits. No branch.
    """
    x = max(x, -700.0)
    k = np.floor(x * _LOG2E + 0.5)
    r = (x - k * _LN2_HI) - k * _LN2_LO
    q = 1.0 / 6227020800.0
    q = q * r + 1.0 / 479001600.0
    q = q * r + 1.0 / 39916800.0
    q = q * r + 1.0 / 3628800.0
    q = q * r + 1.0 / 362880.0
    q = q * r + 1.0 / 40320.0
    q = q * r + 1.0 / 5040.0
    q = q * r + 1.0 / 720.0
    q = q * r + 1.0 / 120.0
    q = q * r + 1.0 / 24.0
    q = q * r + 1.0 / 6.0
    q = q * r + 0.5
    p = 1.0 + (r + (r * r) * q)
    scale = np.int64((np.int64(k) + 1023) << 52).view(np.float64)
    return p * scale


def rates(spec: SilverSpec) -> NDArray[np.float64]:
    """Return the four rates 1 / tau in 1/s: velocity, acceleration, jerk, mass."""
    taus = (spec.tau_velocity, spec.tau_acceleration, spec.tau_jerk, spec.tau_rest_decay)
    return np.array([1.0 / t for t in taus])


def read_out(spec: SilverSpec) -> NDArray[np.float64]:
    """Return the fixed read-out weights of the decayed sums.

    Returns
    -------
    ndarray of float64, shape (7,)
        ``[v0, a0, a1, j0, j1, j2, m3]`` with v = v0 z_v; a = a0 z_v + a1 z_a;
        j = j0 z_v + j1 z_a + j2 z_j; mass = m3 z_m.
    """
    rv, ra, rj, _ = (float(r) for r in rates(spec))
    a = rv * ra / (ra - rv)
    c = rv * ra * rj
    return np.array(
        [
            rv,
            -a * rv,
            a * ra,
            c * rv * rv / ((ra - rv) * (rj - rv)),
            c * ra * ra / ((rv - ra) * (rj - ra)),
            c * rj * rj / ((rv - rj) * (ra - rj)),
            1.0,
        ]
    )


@kernel
def impulse_weights(rate: NDArray[np.float64], age_ns: Int, out: NDArray[np.float64]) -> None:
    """Write exp(rate_i * age) for the four rates; age is event time minus landmark, in ns."""
    age = np.float64(age_ns) * 1e-9
    for i in range(4):
        out[i] = exp(rate[i] * age)


@kernel
def read_coefficients(
    rate: NDArray[np.float64], weights: NDArray[np.float64], age_ns: Int, out: NDArray[np.float64]
) -> None:
    """Fold the decay since the landmark into the read-out weights.

    ``out`` (7 values) turns forward sums Z into v, a, j and mass as :func:`read_out` does for
    decayed sums. ``age_ns`` is read time minus landmark, at least 0.
    """
    age = np.float64(age_ns) * 1e-9
    ev = exp(-(rate[0] * age))
    ea = exp(-(rate[1] * age))
    ej = exp(-(rate[2] * age))
    out[0] = weights[0] * ev
    out[1] = weights[1] * ev
    out[2] = weights[2] * ea
    out[3] = weights[3] * ev
    out[4] = weights[4] * ea
    out[5] = weights[5] * ej
    out[6] = weights[6] * exp(-(rate[3] * age))
