"""Random draws that are the same on every machine: xoshiro128++ and comparisons only.

The generator works on four 32-bit words kept in int64, so that nothing overflows and the
same source runs with compilation switched off.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from qmachina.kernel import kernel

_MASK = 0xFFFFFFFF
_UNIT = 1.0 / 4294967296.0


def seeded(*parts: object) -> NDArray[np.int64]:
    """Return the generator's state for a seed and whatever distinguishes this stream from others.

    Parameters
    ----------
    *parts : object
        Hashed by their text, e.g. seed, date and the name of the stream.

    Returns
    -------
    ndarray of int64, shape (4,)
        Four 32-bit words, not all zero.
    """
    digest = hashlib.sha256("|".join(str(part) for part in parts).encode()).digest()
    words = np.frombuffer(digest[:16], dtype="<u4").astype(np.int64)
    words[0] |= 1
    return words


@kernel
def draw_word(rng: NDArray) -> int:
    """Draw 32 random bits.

    Parameters
    ----------
    rng : ndarray of int64, shape (4,)
        State of the generator; changed in place.

    Returns
    -------
    int
        Uniform on 0 .. 2^32 - 1.

    References
    ----------
    .. [1] Blackman, Vigna (2021), "Scrambled linear pseudorandom number generators".
    """
    total = (rng[0] + rng[3]) & _MASK
    result = (((total << 7) | (total >> 25)) + rng[0]) & _MASK
    shifted = (rng[1] << 9) & _MASK
    rng[2] ^= rng[0]
    rng[3] ^= rng[1]
    rng[1] ^= rng[2]
    rng[0] ^= rng[3]
    rng[2] ^= shifted
    rng[3] = ((rng[3] << 11) | (rng[3] >> 21)) & _MASK
    return result


@kernel
def uniform(rng: NDArray) -> float:
    """Draw a number strictly between 0 and 1 (multiples of 2^-33)."""
    return (draw_word(rng) + 0.5) * _UNIT


@kernel
def below(rng: NDArray, n: int) -> int:
    """Draw an integer from 0 .. n - 1; n is positive and far below 2^31."""
    return (draw_word(rng) * n) >> 32


@kernel
def exponential(rng: NDArray) -> float:
    """Draw from the exponential law of mean 1 without taking a logarithm.

    Notes
    -----
    The length N of the first falling run of uniforms that starts at U is even, with U <= x,
    with probability 1 - exp(-x) for x <= 1; a run of odd length adds one and tries again.

    References
    ----------
    .. [1] von Neumann (1951), "Various techniques used in connection with random digits".
    """
    whole = 0.0
    while True:
        first = uniform(rng)
        last = first
        length = 1
        while True:
            nxt = uniform(rng)
            length += 1
            if nxt > last:
                break
            last = nxt
        if length % 2 == 0:
            return whole + first
        whole += 1.0
