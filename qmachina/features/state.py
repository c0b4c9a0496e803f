"""What a stage remembers, as named arrays: copied out and put back, never pickled."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from qmachina.errors import SchemaError


def snapshot(state: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Return a copy of every array."""
    return {name: array.copy() for name, array in state.items()}


def restore(
    state: Mapping[str, NDArray], saved: Mapping[str, NDArray], *, subject: object = None
) -> None:
    """Overwrite every array with the saved one of its name.

    All arrays are checked before the first is changed.

    Raises
    ------
    SchemaError
        If names, dtypes or shapes differ from those of the state.
    """
    if set(saved) != set(state):
        raise SchemaError(
            "a snapshot holds other arrays than the state",
            subject=subject,
            expected=sorted(state),
            found=sorted(saved),
        )
    for name, array in state.items():
        other = np.asarray(saved[name])
        if (other.dtype, other.shape) != (array.dtype, array.shape):
            raise SchemaError(
                f"array {name} of a snapshot does not fit",
                subject=subject,
                expected=(str(array.dtype), array.shape),
                found=(str(other.dtype), other.shape),
            )
    for name, array in state.items():
        array[...] = saved[name]
