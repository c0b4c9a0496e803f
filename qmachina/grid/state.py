"""What the grid remembers beside the book, as plain arrays, and the names of its registers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qmachina.book import state as b
from qmachina.grid import fields, mechanics
from qmachina.market import UNDEF_PRICE

# Registers of the grid, one int64 each.
(
    STARTED,  # whether bins have begun
    BIN_START,
    BIN_END,
    BIN_SEQ,
    LANDMARK,  # time of the landmark, -1 before the first event
    ANY_SUM,  # whether any decayed sum may be non-zero
    EVENTS,  # counters of the open bin
    RECORDS,
    TRADE_BUY_SIZE,
    TRADE_SELL_SIZE,
    TRADE_NONE_SIZE,
    TRADES,
    OFI,
    LOW_BID,  # extremes of the open bin, in ticks, meaningful while LOOKS > 0
    HIGH_BID,
    LOW_ASK,
    HIGH_ASK,
    LOOKS,
    SPOT,
    SPOT_SET,
    LAST_VALID_SET,  # best prices of the last valid bin
    LAST_VALID_BID,
    LAST_VALID_ASK,
    LAST_TIME,  # time of the last non-snapshot event, -1 if none
    STAMP,  # changes with every emission: tick counters with another stamp are void
    N_OUT,
    EMIT_DUE,
    N_REGISTERS,
) = range(28)

#: Integer columns of a bin that the kernel writes, in this order.
BIN_INTS: tuple[str, ...] = tuple(
    f.name for f in fields.BIN_FIELDS if f.name not in ("mid_price", "spot_valid")
)


class Grid(NamedTuple):
    """State per slot (see :class:`qmachina.book.state.Book`), and the face of the book."""

    sums: NDArray[np.float64]  # (6 channels * 4 rates, slots): forward sums
    flow: NDArray[np.int64]  # (slots, 10): counts in the open bin
    stamp: NDArray[np.int64]  # (slots,): emission the counts belong to
    last_event: NDArray[np.int64]  # (slots,)
    face: NDArray[np.int64]  # (5,): the book after the last event, see book.kernels.look
    before: NDArray[np.int64]  # (5,): the book before it
    reg: NDArray[np.int64]


class Constants(NamedTuple):
    """What a spec fixes for the kernels, and scratch they share."""

    rate: NDArray[np.float64]  # (4,)
    read_out: NDArray[np.float64]  # (7,)
    period_decay: NDArray[np.float64]  # (4,): decay over one landmark period
    weight: NDArray[np.float64]  # (4,): scratch, impulse weights
    coefficient: NDArray[np.float64]  # (7,): scratch, read-out coefficients
    joined: NDArray[np.float64]  # (3, rows): scratch
    result: NDArray[np.float64]  # (21, rows): scratch, the window before rounding
    bin_ns: int
    landmark_ns: int
    radius: int
    start_ns: int  # -1: from the first event
    end_ns: int  # UNDEF_PRICE: no end
    emit_events: bool


class Out(NamedTuple):
    """Closed bins, ``reg[N_OUT]`` of them."""

    bins: NDArray[np.int64]  # (len(BIN_INTS), capacity)
    counts: NDArray[np.int64]  # (13, capacity, rows)
    mechanics: NDArray[np.float32]  # (21, capacity, rows)
    last_event: NDArray[np.int64]  # (capacity, rows)


N_SUMS = b.N_FLOW_CHANNELS * mechanics.N_RATES


def new_grid(width: int) -> Grid:
    """Return an empty grid over ``width`` slots."""
    reg = np.zeros(N_REGISTERS, np.int64)
    reg[LANDMARK] = reg[LAST_TIME] = -1
    reg[STAMP] = 1
    return Grid(
        sums=np.zeros((N_SUMS, width)),
        flow=np.zeros((width, b.N_TICK_CHANNELS), np.int64),
        stamp=np.zeros(width, np.int64),
        last_event=np.zeros(width, np.int64),
        face=np.zeros(5, np.int64),
        before=np.zeros(5, np.int64),
        reg=reg,
    )


def new_out(capacity: int, rows: int) -> Out:
    """Return output buffers for ``capacity`` bins."""
    return Out(
        bins=np.zeros((len(BIN_INTS), capacity), np.int64),
        counts=np.zeros((len(fields.GRID_COUNTS), capacity, rows), np.int64),
        mechanics=np.zeros((len(fields.GRID_MECHANICS), capacity, rows), np.float32),
        last_event=np.zeros((capacity, rows), np.int64),
    )


NO_END = UNDEF_PRICE
