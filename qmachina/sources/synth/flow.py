"""Which event comes next: the queue-reactive flow of the synthetic market.

One step is one event. In order of precedence the market is

1. *pushed*: one side is eaten by executions and pulls until its best has moved some ticks;
2. *wide*: the spread is closed, after a push mostly by the side that pushed;
3. in a planted *burst* (see ``plan``);
4. in a *rush*: quick events after a move of the mid, which fill the new best queues;
5. *ordinary*: a distance from the touch is drawn, then add, cancel or modify, with odds that
   depend on how the queue there compares with its target; sometimes a small execution.

Pushes are what moves the price. They come at random times and their direction is a fair coin
that nobody in the market knows, so without a trend or a planted effect the mid is close to a
martingale while activity (``heat``) clusters: pushes and ordinary events speed up together
within the U shape of the day, random shots and aftershocks of large pushes.

References
----------
.. [1] Huang, Lehalle, Rosenbaum (2015), "Simulating and analyzing order book data: the
   queue-reactive model". Taken from it: intensities as functions of the queue's own size and
   its distance from the touch. Not taken: its reference price; pushes replace it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmachina.kernel import OK, kernel, step
from qmachina.sources.synth.events import (
    RESERVE,
    SNAPSHOT_FLAGS,
    SNAPSHOT_LAST,
    clear,
    put_snapshot_order,
)
from qmachina.sources.synth.ladder import N_LEVELS
from qmachina.sources.synth.rng import below, exponential, uniform
from qmachina.sources.synth.steps import burst, improve, ordinary, push, rush

#: Codes of `advance`: the day is over; the price has left the middle half of the ladder.
CLOSED = 1
OFF_LADDER = 2

#: What the day is at.
BEFORE_SNAPSHOT, IN_SNAPSHOT, LIVE, AFTER_CLOSE = 0, 1, 2, 3

#: One planned instant: a burst (kind 0) or a move (kind 1) in direction ``sign``.
PLAN = np.dtype([("ts", "i8"), ("kind", "i8"), ("sign", "i8")])

# Heat is 1 on average: a calm level, two kinds of shots that die away (slow, fast) with means
# rate x heat x life = 0.40 and 0.20, and the aftershocks of pushes, 0.20 (see `AFTERSHOCKS`).
_CALM = 0.20
_SHOT_PER_S = (1.0 / 240.0, 1.0 / 48.0)
_SHOT_HEAT = (0.40, 0.80)
LIFE_OF_AFTERSHOCKS_S = 12.0
_SHOT_LIFE_S = (240.0, LIFE_OF_AFTERSHOCKS_S)
MEAN_HEAT = (0.40, 0.40)
AFTERSHOCKS = 0.20

#: Ticks beyond one of a mean push, and the mean square of all its ticks: 80 % move one tick,
#: 13 % two, 5 % three and 2 % four to eight.
PUSH_EXCESS = 0.13 * 2 + 0.05 * 3 + 0.02 * 6
PUSH_SQUARE = 0.80 + 0.13 * 4 + 0.05 * 9 + 0.02 * 38

_TREND_PER_S = 1.0 / 90.0
_SHARED_PACKET = 0.06

# Mean waits inside the quick regimes, ns.
_PUSH_NS = 1_500_000.0
_CLOSE_NS = 1_000_000.0
_RUSH_NS = 3_000_000.0


@kernel
def advance(
    market: NDArray,
    rules: NDArray,
    profile: NDArray,
    plan: NDArray,
    orders: NDArray,
    levels: NDArray,
    out: NDArray,
) -> int:
    """Write the next records of the day into ``out``; how many is in ``market["written"]``.

    Parameters
    ----------
    market, orders, levels : ndarray of MARKET, ORDER, LEVEL
        The state; changed in place.
    rules, profile, plan : ndarray of RULES, PROFILE, PLAN
        The day's constants.
    out : ndarray of MBO_DTYPE, shape (n,)
        Longer than RESERVE. Always ends with a whole event.

    Returns
    -------
    int
        `OK` when ``out`` is full, `CLOSED` after the daily clear, or `OFF_LADDER`.
    """
    s = market[0]
    s["written"] = 0
    room = len(out) - RESERVE
    if s["phase"] <= IN_SNAPSHOT:
        snapshot(market, rules, orders, levels, out)
    while s["phase"] == LIVE and s["written"] < room:
        next_event(market, rules, profile, plan, orders, levels, out)
        if s["best"][0] < N_LEVELS // 4 or s["best"][1] > 3 * (N_LEVELS // 4):
            return OFF_LADDER
    return CLOSED if s["phase"] == AFTER_CLOSE else OK


@step
def snapshot(
    market: NDArray, rules: NDArray, orders: NDArray, levels: NDArray, out: NDArray
) -> None:
    """Write R and the resting orders: bids, then asks, from the touch outward, queue by queue."""
    s = market[0]
    cursor = s["cursor"]
    if s["phase"] == BEFORE_SNAPSHOT:
        s["clock"] = rules[0]["snapshot_ns"]
        s["received"] = rules[0]["snapshot_ns"]
        clear(market, rules, out, SNAPSHOT_FLAGS)
        cursor[0] = 0
        cursor[1] = s["best"][0]
        cursor[2] = levels[0, s["best"][0]]["head"]
        cursor[3] = s["resting"][0] + s["resting"][1]
        s["phase"] = IN_SNAPSHOT
    while s["written"] < len(out) and cursor[3] > 0:
        if cursor[2] >= 0:
            cursor[3] -= 1
            flags = SNAPSHOT_LAST if cursor[3] == 0 else SNAPSHOT_FLAGS
            put_snapshot_order(market, rules, orders, out, cursor[2], flags)
            cursor[2] = orders[cursor[2]]["next"]
        else:
            cursor[1] += 2 * cursor[0] - 1
            if cursor[1] < 0:
                cursor[0] = 1
                cursor[1] = s["best"][1]
            if levels[cursor[0], cursor[1]]["count"] > 0:
                cursor[2] = levels[cursor[0], cursor[1]]["head"]
    if cursor[3] == 0:
        s["phase"] = LIVE
        s["clock"] = rules[0]["open_ns"]
        s["received"] = rules[0]["open_ns"]


@step
def next_event(
    market: NDArray,
    rules: NDArray,
    profile: NDArray,
    plan: NDArray,
    orders: NDArray,
    levels: NDArray,
    out: NDArray,
) -> None:
    """Let time pass to the next event, planned instant or the close, and make it happen."""
    s = market[0]
    rng = s["rng"]
    spread = s["best"][1] - s["best"][0]
    if s["push_side"] >= 0:
        mean = _PUSH_NS
    elif spread > 1:
        mean = _CLOSE_NS
    elif s["burst_left"] > 0:
        mean = rules[0]["burst_gap"]
    elif s["rush"] > 0:
        mean = _RUSH_NS
    else:
        mean = rules[0]["event_gap"] / pace(market, rules)
    wait = 0
    if uniform(rng) >= _SHARED_PACKET:
        wait = 1 + int(mean * exponential(rng))
    due = plan[s["planned"]]["ts"] if s["planned"] < len(plan) else rules[0]["close_ns"]
    if s["clock"] + wait >= min(due, rules[0]["close_ns"]):
        if due < rules[0]["close_ns"]:
            pass_time(market, rules, due - s["clock"])
            begin_planned(market, rules, plan)
        else:
            pass_time(market, rules, rules[0]["close_ns"] - s["clock"])
            clear(market, rules, out, rules[0]["last_flag"])
            s["phase"] = AFTER_CLOSE
        return
    pass_time(market, rules, wait)
    if s["push_side"] >= 0:
        push(market, rules, orders, levels, out)
    elif spread > 1 and uniform(rng) < 0.85:
        improve(market, rules, orders, levels, out)
    elif s["burst_left"] > 0:
        burst(market, rules, orders, levels, out)
    elif s["rush"] > 0:
        rush(market, rules, profile, orders, levels, out)
    elif uniform(rng) < rules[0]["push_share"]:
        begin_push(market, rules)
    else:
        ordinary(market, rules, profile, orders, levels, out)


@step
def pace(market: NDArray, rules: NDArray) -> float:
    """Return the present activity against the day's mean: U shape times heat."""
    s = market[0]
    length = float(rules[0]["close_ns"] - rules[0]["open_ns"])
    x = 2.0 * (float(s["clock"] - rules[0]["open_ns"]) / length) - 1.0
    return (0.6 + 1.2 * x * x) * (_CALM + s["heat"][0] + s["heat"][1])


@step
def pass_time(market: NDArray, rules: NDArray, wait: int) -> None:
    """Move the clock; heat cools, shots and changes of trend arrive. No wait: the same packet."""
    s = market[0]
    rng = s["rng"]
    if wait <= 0:
        return
    seconds = float(wait) * 1e-9
    for i in range(2):
        s["heat"][i] *= max(0.0, 1.0 - seconds / _SHOT_LIFE_S[i])
        if uniform(rng) < seconds * _SHOT_PER_S[i]:
            s["heat"][i] += _SHOT_HEAT[i] * exponential(rng)
    if uniform(rng) < seconds * _TREND_PER_S:
        s["trend"] = below(rng, 3) - 1
    s["clock"] += wait
    latency = 60_000 + int(30_000.0 * exponential(rng))
    s["received"] = max(s["received"], s["clock"] + latency)
    s["sequence"] += 1


@step
def begin_planned(market: NDArray, rules: NDArray, plan: NDArray) -> None:
    """Start the burst or the move that is due."""
    s = market[0]
    entry = plan[s["planned"]]
    s["planned"] += 1
    if entry["kind"] == 0:
        s["burst_side"] = 0 if entry["sign"] > 0 else 1
        s["burst_left"] = rules[0]["burst_events"]
    else:
        s["burst_left"] = 0
        s["push_side"] = 1 if entry["sign"] > 0 else 0
        s["push_levels"] = rules[0]["move_levels"]


@step
def begin_push(market: NDArray, rules: NDArray) -> None:
    """Start a push of one to eight ticks; without a trend its direction is a fair coin."""
    s = market[0]
    rng = s["rng"]
    up = 0.5 + 0.5 * rules[0]["trend"] * s["trend"]
    s["push_side"] = 1 if uniform(rng) < up else 0
    u = uniform(rng)
    if u < 0.80:
        s["push_levels"] = 1
    elif u < 0.93:
        s["push_levels"] = 2
    elif u < 0.98:
        s["push_levels"] = 3
    else:
        s["push_levels"] = 4 + below(rng, 5)
    if s["push_levels"] > 1:
        s["heat"][1] += rules[0]["aftershock"] * s["push_levels"]
