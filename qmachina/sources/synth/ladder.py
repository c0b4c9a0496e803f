"""The resting orders of the synthetic market: first-in first-out queues on a ladder of levels.

A level is an index into a fixed ladder; its price in ticks is ``level + base``. Sides are 0 for
bids and 1 for asks. Orders live in a pool of slots, linked into the queue of their level.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmachina.kernel import kernel, step

#: Levels of the ladder. The price may wander a quarter of it in a day; a night re-centres it.
N_LEVELS = 32_768

#: One resting order. ``ts`` and ``sequence`` are those of its last change.
ORDER = np.dtype(
    [
        ("id", "i8"),
        ("ts", "i8"),
        ("sequence", "i8"),
        ("size", "i8"),
        ("level", "i4"),
        ("side", "i4"),
        ("next", "i4"),
        ("previous", "i4"),
    ]
)

#: One level: first and last slot of the queue (-1 none), number of orders, total size.
LEVEL = np.dtype([("head", "i4"), ("tail", "i4"), ("count", "i8"), ("size", "i8")])

#: What changes from event to event besides orders and levels; see ``flow`` for the regimes.
MARKET = np.dtype(
    [
        ("rng", "i8", (4,)),
        ("base", "i8"),  # price of level 0, in ticks
        ("best", "i8", (2,)),  # level of best bid, best ask
        ("resting", "i8", (2,)),  # orders on each side
        ("free", "i8"),  # first unused slot, chained by ``next``
        ("next_id", "i8"),
        ("sequence", "i8"),
        ("clock", "i8"),  # ts_event of the latest event
        ("received", "i8"),  # ts_recv of the latest record
        ("phase", "i8"),  # what the day is at: see ``flow``
        ("cursor", "i8", (4,)),  # snapshot: side, level, slot, orders still to write
        ("heat", "f8", (2,)),  # excess activity, slow and fast
        ("trend", "i8"),  # direction of the trend regime: -1, 0, 1
        ("push_side", "i8"),  # side being eaten, -1 none
        ("push_levels", "i8"),  # levels still to be eaten
        ("lean", "i8"),  # side that closes a wide spread first, -1 either
        ("rush", "i8"),  # quick events left after a move of the mid
        ("burst_side", "i8"),  # side supported by the planted burst
        ("burst_left", "i8"),
        ("planned", "i8"),  # next entry of the plan
        ("written", "i8"),  # records in the chunk
    ]
)


@step
def insert(
    market: NDArray,
    orders: NDArray,
    levels: NDArray,
    side: int,
    level: int,
    size: int,
    order_id: int,
    ts: int,
    sequence: int,
) -> int:
    """Put a new order at the end of a level's queue.

    Parameters
    ----------
    market, orders, levels : ndarray of MARKET, ORDER, LEVEL; shapes (1,), (n,), (2, N_LEVELS)
        The book; changed in place. A slot must be free.
    side, level : int
        Where the order goes.
    size, order_id, ts, sequence : int
        The order: contracts, id, ns, number.

    Returns
    -------
    int
        The order's slot.
    """
    slot = market[0]["free"]
    order = orders[slot]
    market[0]["free"] = order["next"]
    order["id"] = order_id
    order["ts"] = ts
    order["sequence"] = sequence
    order["size"] = size
    order["side"] = side
    link(market, orders, levels, slot, level)
    return slot


@step
def link(market: NDArray, orders: NDArray, levels: NDArray, slot: int, level: int) -> None:
    """Append an order, taken from the free list or unlinked before, to a queue of its side."""
    order = orders[slot]
    side = order["side"]
    place = levels[side, level]
    order["level"] = level
    order["next"] = -1
    order["previous"] = place["tail"]
    if place["count"] == 0:
        place["head"] = slot
    else:
        orders[place["tail"]]["next"] = slot
    place["tail"] = slot
    place["count"] += 1
    place["size"] += order["size"]
    market[0]["resting"][side] += 1
    if (2 * side - 1) * (level - market[0]["best"][side]) < 0:
        market[0]["best"][side] = level


@kernel
def unlink(market: NDArray, orders: NDArray, levels: NDArray, slot: int) -> None:
    """Take an order out of its queue; the best price follows if the queue was the last there."""
    order = orders[slot]
    side = order["side"]
    place = levels[side, order["level"]]
    if order["previous"] >= 0:
        orders[order["previous"]]["next"] = order["next"]
    else:
        place["head"] = order["next"]
    if order["next"] >= 0:
        orders[order["next"]]["previous"] = order["previous"]
    else:
        place["tail"] = order["previous"]
    place["count"] -= 1
    place["size"] -= order["size"]
    market[0]["resting"][side] -= 1
    best = market[0]["best"][side]
    while 0 < best < N_LEVELS - 1 and levels[side, best]["count"] == 0:
        best += 2 * side - 1
    market[0]["best"][side] = best


@kernel
def release(market: NDArray, orders: NDArray, slot: int) -> None:
    """Return the slot of an unlinked order to the pool."""
    orders[slot]["next"] = market[0]["free"]
    market[0]["free"] = slot


@step
def resize(orders: NDArray, levels: NDArray, slot: int, size: int) -> None:
    """Give an order another size without moving it in its queue."""
    order = orders[slot]
    levels[order["side"], order["level"]]["size"] += size - order["size"]
    order["size"] = size
