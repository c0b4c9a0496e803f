"""What the book remembers, as plain arrays, and the names of its registers and counters."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qmachina.book import table

#: Sides as array indices.
BID, ASK = 0, 1

#: Channels of an impulse. Sizes are positive, except for the signed resets.
ADD_BID, ADD_ASK, PULL_BID, PULL_ASK, FILL_BID, FILL_ASK = 0, 1, 2, 3, 4, 5
RESET_BID, RESET_ASK, TRADE_BUY, TRADE_SELL, TRADE_NONE = 6, 7, 8, 9, 10
N_FLOW_CHANNELS = 6
N_TICK_CHANNELS = 10

#: Records one event may hold.
MAX_EVENT_RECORDS = 65_536
#: Ticks beyond this magnitude are refused: sums of two must stay in 64 bits.
MAX_TICK = 1 << 60

#: Status codes of the book, beside kernel.OK.
OFF_GRID, UNDEFINED_PRICE, TICK_RANGE, BAD_SIDE, BAD_ACTION, EVENT_TOO_LONG, BAD_TIME, STRICT = (
    range(1, 9)
)
#: The kernel must be called again after its shell made room or moved the anchor.
GROW_ORDERS, GROW_PENDING, GROW_FAR, GROW_IMPULSES, REANCHOR, OUT_FULL = range(20, 26)


class Anomaly(IntEnum):
    """What can be wrong with a feed and yet be handled in a fixed way."""

    DUPLICATE_ADD = 0
    OVERSIZED_CANCEL = 1
    UNKNOWN_CANCEL = 2
    UNKNOWN_MODIFY = 3
    ZERO_SIZE = 4
    UNMATCHED_FILL = 5
    UNTERMINATED = 6
    TIME_REGRESSION = 7


#: Anomalies up to this one are errors under ``strict``; the later ones are ordinary in feeds.
LAST_STRICT = Anomaly.ZERO_SIZE

# Registers: scalars of the book, one int64 each.
(
    ANCHORED,
    BASE,  # absolute tick of array index 0
    BEST_BID,  # array index of the best bid inside the arrays, -1 if none
    BEST_ASK,  # array index of the best ask inside the arrays, n if none
    N_ORDERS,
    N_ORDERS_BID,
    N_ORDERS_ASK,
    N_PENDING,
    N_FAR,
    N_LEVELS_BID,
    N_LEVELS_ASK,
    FAR_BIDS_ABOVE,  # bid levels above the arrays: they beat every bid inside
    FAR_ASKS_BELOW,
    FAR_BEST_BID,  # slot of the best far bid, or -1; trusted unless stale
    FAR_BEST_ASK,
    FAR_BID_STALE,
    FAR_ASK_STALE,
    SYNCED,
    SNAPSHOT_OPEN,
    TOB_TICK_BID,
    TOB_TICK_ASK,
    TOB_SIZE_BID,
    TOB_SIZE_ASK,
    CLOCK,
    FIRST_TIME,
    EVENT_ID,
    N_RECORDS,
    N_IMPULSES,
    RESETS,  # reset impulses of the current event
    LAST_ANOMALY,  # kind + 1 of the latest strict anomaly of the current record
    ORDERS_LOG2,
    PENDING_LOG2,
    FAR_LOG2,
    FAR_DEMAND,  # far rows the next event may claim, when they do not fit
    N_REGISTERS,
) = range(35)

#: Padding that keeps columns of state arrays off the same cache sets.
_PAD = 40


class Book(NamedTuple):
    """All state of one book.

    Level arrays are indexed by slot: slots below ``n`` are the ticks ``BASE + slot``, later
    ones are rows of ``far``, the table of ticks outside the arrays.
    """

    orders: NDArray[np.uint64]  # (rows, 3): id, 2 * tick + side, 2 * size + 1
    pending: NDArray[np.uint64]  # (rows, 3): id, ts_event, 2 * size + 1
    far: NDArray[np.uint64]  # (rows, 3): tick, 0, 1
    depth: NDArray[np.int64]  # (2, n + far rows + pad)
    order_count: NDArray[np.int64]  # (2, n + far rows + pad)
    n: NDArray[np.int64]  # (1,): ticks inside the arrays
    reg: NDArray[np.int64]
    anomalies: NDArray[np.int64]


class Impulses(NamedTuple):
    """What one event did: filled from 0 at every event, ``reg[N_IMPULSES]`` entries."""

    slot: NDArray[np.int64]
    channel: NDArray[np.int64]
    size: NDArray[np.int64]


def slots(n: int, far_log2: int) -> int:
    """Return how many columns a state array indexed by slot needs."""
    return n + (1 << far_log2) + _PAD


def new_book(n: int, orders_log2: int = 12, far_log2: int = 10) -> Book:
    """Return an empty book over ``n`` ticks."""
    reg = np.zeros(N_REGISTERS, np.int64)
    reg[BEST_BID] = -1
    reg[BEST_ASK] = n
    reg[FAR_BEST_BID] = reg[FAR_BEST_ASK] = -1
    reg[FIRST_TIME] = -1
    reg[ORDERS_LOG2], reg[PENDING_LOG2], reg[FAR_LOG2] = orders_log2, 6, far_log2
    width = slots(n, far_log2)
    return Book(
        orders=table.empty(orders_log2),
        pending=table.empty(6),
        far=table.empty(far_log2),
        depth=np.zeros((2, width), np.int64),
        order_count=np.zeros((2, width), np.int64),
        n=np.array([n], np.int64),
        reg=reg,
        anomalies=np.zeros(len(Anomaly), np.int64),
    )


def new_impulses(capacity: int) -> Impulses:
    """Return impulse buffers for events of up to ``capacity`` impulses."""
    return Impulses(
        np.zeros(capacity, np.int64), np.zeros(capacity, np.int64), np.zeros(capacity, np.int64)
    )
