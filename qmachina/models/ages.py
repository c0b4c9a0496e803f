"""For how long a tick has been in the window, counted so that the mirror image counts the same.

Spot is the floor of the mid, so at an odd mid the window reaches one tick further down from the
touch than up, and its mirror image one tick further up than down. A tick that only one of the
two sees has a history in one and none in the other; once the market moves, such ticks come near
the touch. A model that reads histories and wants to obey the mirror law therefore counts from
when *both* windows saw the tick, and waits until the averages it reads are full.

Before the first valid mid nobody knows where the window's middle is, and no tick has an age.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qmachina.kernel import OK, kernel

#: Places of ``AgeState.mid``: whether a mid is known, and twice the last valid one, in ticks.
KNOWN, MID_X2 = 0, 1


class AgeState(NamedTuple):
    """Slot s holds the tick t of the window with t mod (2K+1) = s."""

    owner: NDArray[np.int64]  # (n_rows,): the tick
    age: NDArray[np.int64]  # (n_rows,): its bins in both windows without a break
    mid: NDArray[np.int64]  # (2,): KNOWN, MID_X2


def new_ages(n_rows: int) -> AgeState:
    """Return the state of a window that has seen nothing."""
    return AgeState(*(np.zeros(n, np.int64) for n in (n_rows, n_rows, 2)))


@kernel
def advance_ages(
    state: AgeState,
    cap: int,
    valid: NDArray[np.bool_],
    lowest: NDArray[np.int64],
    bid: NDArray[np.int64],
    ask: NDArray[np.int64],
    out: NDArray[np.int64],
) -> int:
    """Write the age of every cell, at most ``cap``; 0 where only one window has it.

    ``out`` has shape (n_bins, n_rows). ``lowest``, ``bid`` and ``ask`` are ticks.
    """
    n_bins, n_rows = out.shape
    radius = n_rows // 2
    for t in range(n_bins):
        if valid[t]:
            state.mid[KNOWN] = 1
            state.mid[MID_X2] = bid[t] + ask[t]
        from_tick = -(-state.mid[MID_X2] // 2) - radius
        to_tick = state.mid[MID_X2] // 2 + radius
        slot = lowest[t] % n_rows
        for r in range(n_rows):
            tick = lowest[t] + r
            if state.mid[KNOWN] == 0 or tick < from_tick or tick > to_tick:
                state.age[slot] = 0
            elif state.age[slot] > 0 and state.owner[slot] == tick:
                state.age[slot] = min(state.age[slot] + 1, cap)
            else:
                state.owner[slot] = tick
                state.age[slot] = 1
            out[t, r] = state.age[slot]
            slot = 0 if slot + 1 == n_rows else slot + 1
    return OK
