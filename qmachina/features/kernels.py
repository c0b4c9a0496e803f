"""The gold kernel: forces, composite, its derivatives and the state of each cell.

For each bin, in order:

1. ticks new to the window evict whoever holds their slot (tick mod 2K+1) and start empty;
2. each tick's forces give its raw composite, which joins the tick's history;
3. the histories are averaged over the windows;
4. differences over bin time give the derivatives, and all is rounded to float32 once.

All histories advance together, one value a bin, so one ring position serves every slot. The
means are summed anew from newest to oldest each bin: a running sum would be faster and drift.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qmachina.kernel import OK, kernel, step

#: Places of ``GoldState.clock``: next row of the ring, end of the last bin in ns.
HEAD, TIME = 0, 1
#: Values a tick needs for all three derivatives.
FULL = 4


class GoldState(NamedTuple):
    """What gold remembers; slot s holds the tick t of the window with t mod (2K+1) = s."""

    owner: NDArray[np.int64]  # (n_rows,): the tick whose history the slot holds
    n_values: NDArray[np.int64]  # (n_rows,): of that tick, at most max(longest window, FULL)
    ring: NDArray[np.float64]  # (longest window, n_rows): raw composites, 0 where none
    last: NDArray[np.float64]  # (3, n_rows): composite, d1, d2 of the last bin
    clock: NDArray[np.int64]  # (2,): HEAD, TIME


class GoldParams(NamedTuple):
    """The numbers of a GoldSpec as the kernel takes them."""

    forces: NDArray[np.float64]  # (7,): c1 .. c7
    floor: float
    windows: NDArray[np.int64]  # ascending
    weights: NDArray[np.float64]  # sum 1


class GoldInput(NamedTuple):
    """The columns of silver that gold reads, and prices as ticks."""

    v_add: NDArray[np.float32]  # (n_bins, n_rows), as the next five
    v_pull: NDArray[np.float32]
    v_fill: NDArray[np.float32]
    v_rest: NDArray[np.float32]
    a_add: NDArray[np.float32]
    a_pull: NDArray[np.float32]
    time: NDArray[np.int64]  # (n_bins,): end of the bin, ns; as the next six
    lowest: NDArray[np.int64]  # tick of row 0
    bid: NDArray[np.int64]  # best bid, ticks
    ask: NDArray[np.int64]  # best ask, ticks
    valid: NDArray[np.bool_]
    bid_sign: NDArray[np.int8]
    ask_sign: NDArray[np.int8]


class GoldOutput(NamedTuple):
    """The columns of GOLD_FIELDS, each (n_bins, n_rows)."""

    pressure_variant: NDArray[np.float32]
    vacuum_variant: NDArray[np.float32]
    composite: NDArray[np.float32]
    composite_d1: NDArray[np.float32]
    composite_d2: NDArray[np.float32]
    composite_d3: NDArray[np.float32]
    state5_code: NDArray[np.int8]
    bbo_state5_code: NDArray[np.int8]


@step
def positive(x: float) -> float:
    """Return x where it is above zero, else +0."""
    return x if x > 0.0 else 0.0


@step
def side_of_touch(tick: int, bid: int, ask: int) -> int:
    """Return -1 at or below the best bid, 1 at or above the best ask, 0 for neither or both.

    Both happens in a locked market. That tick is its own mirror image, so it can have no side.
    """
    return (1 if tick >= ask else 0) - (1 if tick <= bid else 0)


@step
def state5(side: int, dominance: float) -> int:
    """Return the state of a cell: dominance > 0 is pressure, < 0 vacuum, 0 undecided."""
    if side == 0 or dominance == 0.0:
        return 0
    if side > 0:
        return -1 if dominance > 0.0 else 2
    return 1 if dominance > 0.0 else -2


@step
def enter(state: GoldState, lowest: int) -> None:
    """Give every tick of the window its slot; who enters starts with an empty history."""
    n_rows = state.owner.shape[0]
    slot = lowest % n_rows
    for tick in range(lowest, lowest + n_rows):
        if state.n_values[slot] == 0 or state.owner[slot] != tick:
            state.owner[slot] = tick
            state.n_values[slot] = 0
            for i in range(state.ring.shape[0]):
                state.ring[i, slot] = 0.0
        slot = 0 if slot + 1 == n_rows else slot + 1


@step
def take_forces(
    state: GoldState, params: GoldParams, silver: GoldInput, t: int, out: GoldOutput
) -> None:
    """Write the forces of bin t and put each tick's raw composite into its history."""
    n_rows = state.owner.shape[0]
    c = params.forces
    head = state.clock[HEAD]
    most = max(state.ring.shape[0], FULL)
    slot = silver.lowest[t] % n_rows
    for r in range(n_rows):
        v_rest = np.float64(silver.v_rest[t, r])
        pressure = (
            c[0] * np.float64(silver.v_add[t, r])
            + c[1] * positive(v_rest)
            + c[2] * positive(np.float64(silver.a_add[t, r]))
        )
        vacuum = (
            c[3] * np.float64(silver.v_pull[t, r])
            + c[4] * np.float64(silver.v_fill[t, r])
            + c[5] * positive(-v_rest)
            + c[6] * positive(np.float64(silver.a_pull[t, r]))
        )
        out.pressure_variant[t, r] = np.float32(pressure)
        out.vacuum_variant[t, r] = np.float32(vacuum)
        state.ring[head, slot] = (pressure - vacuum) / (pressure + vacuum + params.floor)
        if state.n_values[slot] < most:
            state.n_values[slot] += 1
        slot = 0 if slot + 1 == n_rows else slot + 1
    state.clock[HEAD] = 0 if head + 1 == state.ring.shape[0] else head + 1


@step
def average(
    state: GoldState, params: GoldParams, sums: NDArray[np.float64], mixed: NDArray[np.float64]
) -> None:
    """Write into ``mixed`` each slot's weighted mean over the windows.

    Slots with fewer values than a window have zeros beyond them, which add nothing.
    """
    n_rows = state.owner.shape[0]
    for s in range(n_rows):
        sums[s] = 0.0
        mixed[s] = 0.0
    row = state.clock[HEAD]
    taken = 0
    for w in range(params.windows.shape[0]):
        window = params.windows[w]
        weight = params.weights[w]
        while taken < window:
            row = state.ring.shape[0] - 1 if row == 0 else row - 1
            for s in range(n_rows):
                sums[s] += state.ring[row, s]
            taken += 1
        for s in range(n_rows):
            mixed[s] += weight * (sums[s] / np.float64(min(state.n_values[s], window)))


@step
def emit(
    state: GoldState,
    silver: GoldInput,
    t: int,
    seconds: float,
    mixed: NDArray[np.float64],
    out: GoldOutput,
) -> None:
    """Write composite, derivatives and states of bin t, and remember the former."""
    n_rows = state.owner.shape[0]
    last = state.last
    ask_move = -np.float64(silver.ask_sign[t])  # a rising ask leaves a vacuum above
    bid_move = np.float64(silver.bid_sign[t])  # a rising bid presses from below
    slot = silver.lowest[t] % n_rows
    for r in range(n_rows):
        n = state.n_values[slot]
        composite = mixed[slot]
        d1 = (composite - last[0, slot]) / seconds if n >= 2 else 0.0
        d2 = (d1 - last[1, slot]) / seconds if n >= 3 else 0.0
        d3 = (d2 - last[2, slot]) / seconds if n >= 4 else 0.0
        last[0, slot] = composite
        last[1, slot] = d1
        last[2, slot] = d2
        out.composite[t, r] = np.float32(composite)
        out.composite_d1[t, r] = np.float32(d1)
        out.composite_d2[t, r] = np.float32(d2)
        out.composite_d3[t, r] = np.float32(d3)
        side = 0
        if silver.valid[t]:
            side = side_of_touch(silver.lowest[t] + r, silver.bid[t], silver.ask[t])
        out.state5_code[t, r] = state5(side, composite)
        out.bbo_state5_code[t, r] = state5(side, ask_move if side > 0 else bid_move)
        slot = 0 if slot + 1 == n_rows else slot + 1


@kernel
def advance(
    state: GoldState,
    params: GoldParams,
    silver: GoldInput,
    sums: NDArray[np.float64],
    mixed: NDArray[np.float64],
    out: GoldOutput,
) -> int:
    """Take the bins of ``silver``, whose times ascend, and fill ``out``.

    ``sums`` and ``mixed`` are scratch of shape (n_rows,).
    """
    for t in range(silver.time.shape[0]):
        # Before the first bin there is no time, and every n_values says so.
        seconds = np.float64(silver.time[t] - state.clock[TIME]) / 1e9
        state.clock[TIME] = silver.time[t]
        enter(state, silver.lowest[t])
        take_forces(state, params, silver, t, out)
        average(state, params, sums, mixed)
        emit(state, silver, t, seconds, mixed, out)
    return OK
