"""What one step of the market does in each regime; ``flow`` says when which one holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmachina.kernel import kernel, step
from qmachina.sources.synth.events import add, cancel, draw_size, execute, modify, pick
from qmachina.sources.synth.ladder import insert
from qmachina.sources.synth.rng import below, uniform

#: One row a distance from the touch: mean number of orders, cumulative share of events.
PROFILE = np.dtype([("target", "f8"), ("reach", "f8")])

_EXECUTION_SHARE = 0.03
_MODIFY_SHARE = 0.07
_ROUND_TICKS = 20
_ROUND_FACTOR = 1.6
_RUSH_EVENTS = 14
_WIDEST = 24
_FEWEST = 32


@step
def push(market: NDArray, rules: NDArray, orders: NDArray, levels: NDArray, out: NDArray) -> None:
    """Eat the best of the pushed side by one execution or pull; end when it has moved enough."""
    s = market[0]
    rng = s["rng"]
    side = s["push_side"]
    spread = s["best"][1] - s["best"][0]
    if s["resting"][side] < _FEWEST or spread > _WIDEST:
        s["push_side"] = -1
        return
    if spread > 1 and uniform(rng) < 0.35:
        join(market, rules, orders, levels, out, 1 - side)
        return
    best = s["best"][side]
    size = levels[side, best]["size"]
    u = uniform(rng)
    if u < 0.12:
        execute(market, rules, orders, levels, out, side, 4 * size, min(s["push_levels"], 3))
    elif u < 0.45:
        execute(market, rules, orders, levels, out, side, 1 + below(rng, size), 1)
    else:
        cancel(market, rules, orders, levels, out, pick(market, orders, levels, side, best))
    s["push_levels"] -= abs(s["best"][side] - best)
    if s["push_levels"] <= 0:
        s["push_side"] = -1
        s["lean"] = 1 - side
        s["rush"] = _RUSH_EVENTS


@step
def join(
    market: NDArray, rules: NDArray, orders: NDArray, levels: NDArray, out: NDArray, side: int
) -> None:
    """Add an order one tick inside a wide spread."""
    if market[0]["free"] >= 0:
        level = market[0]["best"][side] - (2 * side - 1)
        add(market, rules, orders, levels, out, side, level, draw_size(market[0]["rng"]))


@step
def improve(
    market: NDArray, rules: NDArray, orders: NDArray, levels: NDArray, out: NDArray
) -> None:
    """Close a wide spread by a tick: the side that pushed, if one did, nearly always wins."""
    s = market[0]
    side = below(s["rng"], 2)
    if s["lean"] >= 0 and uniform(s["rng"]) < 0.9:
        side = s["lean"]
    join(market, rules, orders, levels, out, side)
    s["rush"] = _RUSH_EVENTS
    if s["best"][1] - s["best"][0] == 1:
        s["lean"] = -1


@step
def burst(market: NDArray, rules: NDArray, orders: NDArray, levels: NDArray, out: NDArray) -> None:
    """Make one event of a planted burst: an add near the touch, or a pull behind the other one."""
    s = market[0]
    rng = s["rng"]
    s["burst_left"] -= 1
    if uniform(rng) < 0.6 and s["free"] >= 0:
        side = s["burst_side"]
        level = s["best"][side] + (2 * side - 1) * below(rng, 4)
        add(market, rules, orders, levels, out, side, level, draw_size(rng))
    else:
        side = 1 - s["burst_side"]
        level = s["best"][side] + (2 * side - 1) * (1 + below(rng, 4))
        if levels[side, level]["count"] > 1:
            cancel(market, rules, orders, levels, out, pick(market, orders, levels, side, level))


@step
def rush(
    market: NDArray,
    rules: NDArray,
    profile: NDArray,
    orders: NDArray,
    levels: NDArray,
    out: NDArray,
) -> None:
    """Make one quick event at the new touch, almost always towards its target."""
    s = market[0]
    rng = s["rng"]
    s["rush"] -= 1
    side = below(rng, 2)
    distance = min(below(rng, 3), below(rng, 3))
    level = s["best"][side] + (2 * side - 1) * distance
    count = levels[side, level]["count"]
    if count < profile[distance]["target"] and s["free"] >= 0:
        add(market, rules, orders, levels, out, side, level, draw_size(rng))
    elif count > 1:
        cancel(market, rules, orders, levels, out, pick(market, orders, levels, side, level))


@step
def ordinary(
    market: NDArray,
    rules: NDArray,
    profile: NDArray,
    orders: NDArray,
    levels: NDArray,
    out: NDArray,
) -> None:
    """Make one event of the queue-reactive flow, or none where nothing is possible.

    At a distance with n orders and target m the next event is an add with chance
    0.5 + 0.45 (m - n) / m, kept within 0.04 .. 0.96, else a cancel: queues hover around their
    targets. Round prices attract more orders. Executions take at most half of the best level.
    """
    s = market[0]
    rng = s["rng"]
    side = below(rng, 2)
    away = 2 * side - 1
    if uniform(rng) < _EXECUTION_SHARE:
        size = draw_size(rng)
        half = 1 + levels[side, s["best"][side]]["size"] // 2
        execute(market, rules, orders, levels, out, side, min(size, half), 1)
        return
    distance = draw_distance(rng, profile)
    level = s["best"][side] + away * distance
    count = levels[side, level]["count"]
    target = profile[distance]["target"]
    if (level + s["base"]) % _ROUND_TICKS == 0:
        target *= _ROUND_FACTOR
    if count > 0 and uniform(rng) < _MODIFY_SHARE:
        slot = pick(market, orders, levels, side, level)
        if uniform(rng) < 0.55:
            modify(market, rules, orders, levels, out, slot, level, draw_size(rng))
        else:
            # Away from the opposite best by construction: one tick spread leaves no room inside.
            nearest = s["best"][1 - side] + away
            goal = level + (1 + below(rng, 3)) * (2 * below(rng, 2) - 1)
            if (goal - nearest) * away < 0:
                goal = nearest
            if goal != level:
                modify(market, rules, orders, levels, out, slot, goal, orders[slot]["size"])
        return
    more = 0.05
    if target > 0.0:
        more = min(max(0.5 + 0.45 * (target - count) / target, 0.04), 0.96)
    elif count == 0:
        return
    if uniform(rng) < more and s["free"] >= 0 and target > 0.0:
        add(market, rules, orders, levels, out, side, level, draw_size(rng))
    elif count > 0 and s["resting"][side] > _FEWEST:
        cancel(market, rules, orders, levels, out, pick(market, orders, levels, side, level))


@step
def draw_distance(rng: NDArray, profile: NDArray) -> int:
    """Draw a distance from the touch by the cumulative shares of the profile."""
    u = uniform(rng)
    low = 0
    high = len(profile) - 1
    while low < high:
        middle = (low + high) // 2
        if profile[middle]["reach"] < u:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def seed(
    market: NDArray,
    rules: NDArray,
    profile: NDArray,
    orders: NDArray,
    levels: NDArray,
    best_bid: int,
) -> None:
    """Fill an empty book around a best bid: queues near target, orders up to three days old."""
    s = market[0]
    rng = s["rng"]
    for side in range(2):
        for distance in range(len(profile)):
            level = best_bid - distance if side == 0 else best_bid + 1 + distance
            target = profile[distance]["target"]
            if (level + s["base"]) % _ROUND_TICKS == 0:
                target *= _ROUND_FACTOR
            count = int(target * (0.6 + 0.8 * uniform(rng)))
            if distance == 0:
                count = max(count, 1)
            age = 3.0 * 86_400e9
            for _ in range(count):
                age *= uniform(rng)
                if s["free"] < 0:
                    return
                s["next_id"] += 1 + below(rng, 24)
                insert(
                    market,
                    orders,
                    levels,
                    side,
                    level,
                    draw_size(rng),
                    s["next_id"],
                    rules[0]["snapshot_ns"] - 1 - int(age),
                    below(rng, 1_000_000),
                )
