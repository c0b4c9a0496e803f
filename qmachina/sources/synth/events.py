"""One event of the synthetic market: the records it makes and what it does to the book.

Every kernel here writes a whole event into ``out``, its last record with F_LAST, and never
leaves the book crossed: callers pass levels that lie behind the opposite best.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmachina.kernel import step
from qmachina.market import RTYPE_MBO, UNDEF_PRICE, Action, Flag, Side
from qmachina.sources.synth.ladder import insert, link, release, resize, unlink
from qmachina.sources.synth.rng import below, uniform

#: Most orders one execution may fill, and room an event may need in ``out``.
MAX_FILLS = 200
RESERVE = 512

#: What does not change during a day; see ``day`` for the values.
RULES = np.dtype(
    [
        ("publisher", "i8"),
        ("instrument", "i8"),
        ("tick", "i8"),  # tick size, 1e-9
        ("last_flag", "i8"),  # flags of the last record of an event
        ("snapshot_ns", "i8"),
        ("open_ns", "i8"),
        ("close_ns", "i8"),
        ("event_gap", "f8"),  # mean time between ordinary events at normal heat, ns
        ("push_share", "f8"),  # pushes per ordinary step
        ("aftershock", "f8"),  # heat a tick of a push of several ticks
        ("trend", "f8"),  # excess share of pushes along the trend regime
        ("burst_gap", "f8"),  # mean time between the events of a planted burst, ns
        ("burst_events", "i8"),
        ("move_levels", "i8"),  # ticks of a planted move
    ]
)

SNAPSHOT_FLAGS = int(Flag.SNAPSHOT | Flag.BAD_TS_RECV)
SNAPSHOT_LAST = int(Flag.SNAPSHOT | Flag.BAD_TS_RECV | Flag.LAST)

# Plain integers: kernels read them as constants.
_ADD = int(Action.ADD)
_CANCEL = int(Action.CANCEL)
_MODIFY = int(Action.MODIFY)
_CLEAR = int(Action.CLEAR)
_TRADE = int(Action.TRADE)
_FILL = int(Action.FILL)
_BID = int(Side.BID)
_ASK = int(Side.ASK)
_NO_SIDE = int(Side.NONE)
_RTYPE = int(RTYPE_MBO)
_LENGTH = 14  # of the record, in units of four bytes


@step
def put(
    market: NDArray,
    rules: NDArray,
    out: NDArray,
    action: int,
    side: int,
    price: int,
    size: int,
    order_id: int,
    flags: int,
) -> None:
    """Write one live record, stamped with the market's clock, to the next row of ``out``."""
    s = market[0]
    record = out[s["written"]]
    record["length"] = _LENGTH
    record["rtype"] = _RTYPE
    record["publisher_id"] = rules[0]["publisher"]
    record["instrument_id"] = rules[0]["instrument"]
    record["ts_event"] = s["clock"]
    record["order_id"] = order_id
    record["price"] = price
    record["size"] = size
    record["flags"] = flags
    record["channel_id"] = 0
    record["action"] = action
    record["side"] = side
    record["ts_recv"] = s["received"]
    record["ts_in_delta"] = 9_000 + (s["received"] - s["clock"]) // 16
    record["sequence"] = s["sequence"]
    s["written"] += 1


@step
def put_order(
    market: NDArray,
    rules: NDArray,
    orders: NDArray,
    out: NDArray,
    action: int,
    slot: int,
    flags: int,
) -> None:
    """Write a record about a resting order, with its price and size."""
    order = orders[slot]
    put(
        market,
        rules,
        out,
        action,
        _BID if order["side"] == 0 else _ASK,
        (order["level"] + market[0]["base"]) * rules[0]["tick"],
        order["size"],
        order["id"],
        flags,
    )


@step
def put_snapshot_order(
    market: NDArray, rules: NDArray, orders: NDArray, out: NDArray, slot: int, flags: int
) -> None:
    """Write an order of the opening snapshot: historical ts_event and sequence, one ts_recv."""
    put_order(market, rules, orders, out, _ADD, slot, flags)
    record = out[market[0]["written"] - 1]
    record["ts_event"] = orders[slot]["ts"]
    record["sequence"] = orders[slot]["sequence"]
    record["ts_in_delta"] = 0


@step
def clear(market: NDArray, rules: NDArray, out: NDArray, flags: int) -> None:
    """Write an R record. The market's own book stays, as the next day's snapshot needs it."""
    put(market, rules, out, _CLEAR, _NO_SIDE, UNDEF_PRICE, 0, 0, flags)


@step
def new_id(market: NDArray) -> int:
    """Draw an order id above all earlier ones, with gaps as if other instruments shared them."""
    market[0]["next_id"] += 1 + below(market[0]["rng"], 24)
    return market[0]["next_id"]


@step
def draw_size(rng: NDArray) -> int:
    """Draw an order's size: mostly one contract, round lots, now and then a block."""
    u = uniform(rng)
    if u < 0.58:
        return 1
    if u < 0.82:
        return 2 + below(rng, 4)
    if u < 0.92:
        return 5 + 5 * below(rng, 2)
    if u < 0.99:
        return 6 + below(rng, 25)
    return 50 * (1 + below(rng, 4))


@step
def pick(market: NDArray, orders: NDArray, levels: NDArray, side: int, level: int) -> int:
    """Choose an order of a non-empty queue: mostly a young one near its end, else any."""
    rng = market[0]["rng"]
    count = levels[side, level]["count"]
    back = below(rng, 4) + below(rng, 4)
    if back >= count or uniform(rng) < 0.4:
        back = below(rng, count)
    slot = levels[side, level]["tail"]
    for _ in range(back):
        slot = orders[slot]["previous"]
    return slot


@step
def add(
    market: NDArray,
    rules: NDArray,
    orders: NDArray,
    levels: NDArray,
    out: NDArray,
    side: int,
    level: int,
    size: int,
) -> None:
    """Make a new order. A slot must be free."""
    s = market[0]
    order_id = new_id(market)
    slot = insert(market, orders, levels, side, level, size, order_id, s["clock"], s["sequence"])
    put_order(market, rules, orders, out, _ADD, slot, rules[0]["last_flag"])


@step
def cancel(
    market: NDArray, rules: NDArray, orders: NDArray, levels: NDArray, out: NDArray, slot: int
) -> None:
    """Take an order off the book."""
    put_order(market, rules, orders, out, _CANCEL, slot, rules[0]["last_flag"])
    unlink(market, orders, levels, slot)
    release(market, orders, slot)


@step
def modify(
    market: NDArray,
    rules: NDArray,
    orders: NDArray,
    levels: NDArray,
    out: NDArray,
    slot: int,
    level: int,
    size: int,
) -> None:
    """Give an order another level or size; only a smaller size keeps its place in the queue."""
    order = orders[slot]
    if level == order["level"] and size <= order["size"]:
        resize(orders, levels, slot, size)
    else:
        unlink(market, orders, levels, slot)
        order["size"] = size
        link(market, orders, levels, slot, level)
    order["ts"] = market[0]["clock"]
    order["sequence"] = market[0]["sequence"]
    put_order(market, rules, orders, out, _MODIFY, slot, rules[0]["last_flag"])


@step
def execute(
    market: NDArray,
    rules: NDArray,
    orders: NDArray,
    levels: NDArray,
    out: NDArray,
    side: int,
    size: int,
    n_levels: int,
) -> None:
    """Match an aggressive order against a side, as CME reports it.

    For each level T (aggressor's side, total), then F for each order; after all fills the book
    changes: C for an order that is gone, M with what is left of one that is not. The changes
    may arrive in the next packet, that is with a later ts_recv inside the same event.

    Parameters
    ----------
    market, rules, orders, levels, out : ndarray
        As everywhere in this module; changed in place.
    side : int
        Resting side that is hit; must not be empty.
    size, n_levels : int
        Contracts wanted, and how many levels they may reach. At most `MAX_FILLS` orders.
    """
    s = market[0]
    aggressor = _BID if side == 1 else _ASK
    resting = _ASK if side == 1 else _BID
    aggressor_id = new_id(market)
    left = size
    n_fills = 0
    level = s["best"][side]
    last = level + (2 * side - 1) * 4 * n_levels
    while n_levels > 0 and left > 0 and n_fills < MAX_FILLS and level != last:
        slot = levels[side, level]["head"]
        if levels[side, level]["count"] > 0:
            price = (level + s["base"]) * rules[0]["tick"]
            trade = s["written"]
            total = 0
            put(market, rules, out, _TRADE, aggressor, price, 0, aggressor_id, 0)
            while slot >= 0 and left > 0 and n_fills < MAX_FILLS:
                filled = min(orders[slot]["size"], left)
                put(market, rules, out, _FILL, resting, price, filled, orders[slot]["id"], 0)
                left -= filled
                total += filled
                n_fills += 1
                slot = orders[slot]["next"]
            out[trade]["size"] = total
            n_levels -= 1
        level += 2 * side - 1
    if uniform(s["rng"]) < 0.5:
        s["received"] += 4_000 + below(s["rng"], 20_000)
        s["sequence"] += 1
    left = size - left
    while left > 0:
        slot = levels[side, s["best"][side]]["head"]
        filled = min(orders[slot]["size"], left)
        left -= filled
        if filled == orders[slot]["size"]:
            put_order(market, rules, orders, out, _CANCEL, slot, 0)
            unlink(market, orders, levels, slot)
            release(market, orders, slot)
        else:
            resize(orders, levels, slot, orders[slot]["size"] - filled)
            orders[slot]["ts"] = s["clock"]
            orders[slot]["sequence"] = s["sequence"]
            put_order(market, rules, orders, out, _MODIFY, slot, 0)
    out[s["written"] - 1]["flags"] = rules[0]["last_flag"]
