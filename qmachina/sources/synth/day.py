"""One date of the synthetic market: constants from the spec, state from the day before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Self

import numpy as np
from numpy.typing import NDArray

from qmachina.errors import SpecError
from qmachina.kernel import OK
from qmachina.market import DAY_NS, MBO_DTYPE, Flag
from qmachina.sources.synth import flow, ladder
from qmachina.sources.synth.events import RESERVE, RULES
from qmachina.sources.synth.plan import entries, planted
from qmachina.sources.synth.rng import seeded
from qmachina.sources.synth.spec import SynthSpec
from qmachina.sources.synth.steps import PROFILE, seed

# Orders further out than the market reaches, left by a price that moved, are cancelled in time.
_STALE_TICKS = 1024


@dataclass
class MarketState:
    """The market between two records: resting orders, clock, moods, random generator.

    Parameters
    ----------
    market : ndarray of MARKET, shape (1,)
    orders : ndarray of ORDER, shape (n_slots,)
    levels : ndarray of LEVEL, shape (2, N_LEVELS)
    """

    market: NDArray
    orders: NDArray
    levels: NDArray

    def snapshot(self) -> dict[str, NDArray]:
        """Return a copy of everything, as plain arrays."""
        return {
            "market": self.market.copy(),
            "orders": self.orders.copy(),
            "levels": self.levels.copy(),
        }

    @classmethod
    def restore(cls, arrays: dict[str, NDArray]) -> Self:
        """Return the state a snapshot was taken of."""
        return cls(**{name: array.copy() for name, array in arrays.items()})

    @property
    def best_ticks(self) -> tuple[int, int]:
        """Best bid and best ask, in ticks."""
        s = self.market[0]
        return int(s["best"][0] + s["base"]), int(s["best"][1] + s["base"])


def generate_day(
    spec: SynthSpec,
    day: date,
    open_ns: int,
    close_ns: int,
    previous: MarketState | None = None,
    chunk_size: int = 65_536,
) -> tuple[Iterator[NDArray], MarketState]:
    """Make the records of one date.

    The file opens with R and a snapshot at 00:00 UTC, goes on with live events from open to
    close and ends with the daily clear. With a previous state the snapshot is exactly the
    book at that day's end, before its clear: orders live until cancelled. Without one, a book
    is seeded around the start price. The result depends on the spec, the date, the session
    and the previous state only.

    Parameters
    ----------
    spec : SynthSpec
        The market.
    day : date
        UTC date of the file.
    open_ns, close_ns : int
        The session, ns since the epoch; inside the date.
    previous : MarketState, optional
        Final state of the day before; not changed.
    chunk_size : int
        Records a chunk; it changes where chunks end and nothing else.

    Returns
    -------
    chunks : iterator of ndarray of MBO_DTYPE
        The records, made as they are asked for.
    state : MarketState
        Advances with the iterator; the day's final state when that is exhausted.

    Raises
    ------
    SpecError
        If the session is not inside the date, or while iterating if the price runs away.
    """
    midnight = (day - date(1970, 1, 1)).days * DAY_NS
    if not midnight <= open_ns < close_ns < midnight + DAY_NS:
        raise SpecError(
            "session is not inside its UTC date",
            subject=f"{spec.symbol} {day}",
            found=f"{_utc(open_ns)} to {_utc(close_ns)}",
        )
    if chunk_size < 2 * RESERVE:
        raise SpecError("chunk_size is too small", expected=2 * RESERVE, found=chunk_size)
    rules = _rules(spec, midnight, open_ns, close_ns)
    profile = depth_profile(spec)
    rng = seeded(spec.seed, day.isoformat(), "flow")
    if previous is None:
        state = _empty(spec, profile)
        state.market["rng"] = rng
        best_bid = ladder.N_LEVELS // 2
        seed(state.market, rules, profile, state.orders, state.levels, best_bid)
    else:
        state = _overnight(previous)
        state.market["rng"] = rng
    plan = entries(planted(spec, day, open_ns, close_ns))
    return _chunks(spec, day, state, rules, profile, plan, chunk_size), state


def depth_profile(spec: SynthSpec) -> NDArray:
    """Return, per distance from the touch, the target number of orders and the reach of events.

    Returns
    -------
    ndarray of PROFILE, shape (n_distances,)
        ``target`` rises to a hump some ten ticks out and falls slowly; ``reach`` is cumulative.
    """
    distance = np.arange(spec.depth_ticks + _STALE_TICKS, dtype=np.float64)
    profile = np.zeros(len(distance), PROFILE)
    x = (distance + 2.0) / 10.0
    target = spec.orders_scale * (36.0 * x / (1.0 + x * x) + 3.0)
    profile["target"] = np.where(distance < spec.depth_ticks, target, 0.0)
    share = 1.0 / (1.0 + (distance / 5.0) * (distance / 5.0)) + 0.05 / (1.0 + distance / 50.0)
    # Summed in order: the same last bit whatever a library's blocking of sums.
    total = 0.0
    for i, value in enumerate(share.tolist()):
        total += value
        profile["reach"][i] = total
    profile["reach"] /= total
    return profile


def _rules(spec: SynthSpec, midnight: int, open_ns: int, close_ns: int) -> NDArray:
    pushes_per_s = spec.volatility_ticks**2 / 3600.0 / flow.PUSH_SQUARE
    steps_per_s = spec.events_per_s + pushes_per_s
    rules = np.zeros(1, RULES)
    r = rules[0]
    r["publisher"] = spec.publisher
    r["instrument"] = spec.instrument_id
    r["tick"] = spec.tick_size_int
    r["last_flag"] = int(Flag.LAST) | (
        int(Flag.PUBLISHER_SPECIFIC) if spec.publisher_specific else 0
    )
    r["snapshot_ns"] = midnight
    r["open_ns"] = open_ns
    r["close_ns"] = close_ns
    r["event_gap"] = 1e9 / steps_per_s
    r["push_share"] = pushes_per_s / steps_per_s
    # Each push sets off the same share of another one, however many there are.
    excess = flow.PUSH_EXCESS * flow.LIFE_OF_AFTERSHOCKS_S * pushes_per_s
    r["aftershock"] = min(flow.AFTERSHOCKS / excess, 0.5) if excess else 0.0
    r["trend"] = spec.trend
    r["burst_gap"] = spec.planted_burst_ms * 1e6 / spec.planted_orders
    r["burst_events"] = spec.planted_orders
    r["move_levels"] = spec.planted_move_ticks
    return rules


def _empty(spec: SynthSpec, profile: NDArray) -> MarketState:
    n_slots = int(4.0 * profile["target"].sum()) + 16_384
    market = np.zeros(1, ladder.MARKET)
    orders = np.zeros(n_slots, ladder.ORDER)
    levels = np.zeros((2, ladder.N_LEVELS), ladder.LEVEL)
    levels["head"] = levels["tail"] = -1
    orders["next"] = np.arange(1, n_slots + 1)
    orders["next"][-1] = -1
    m = market[0]
    m["base"] = int(spec.start_price / spec.tick_size) - ladder.N_LEVELS // 2
    m["best"] = 0, ladder.N_LEVELS - 1
    m["next_id"] = 6_800_000_000_000
    m["sequence"] = 1_000_000
    _start_of_day(m)
    return MarketState(market, orders, levels)


def _start_of_day(m: np.void) -> None:
    m["phase"] = flow.BEFORE_SNAPSHOT
    m["heat"] = flow.MEAN_HEAT
    m["push_side"] = m["lean"] = -1
    for name in ("trend", "push_levels", "rush", "burst_left", "planned"):
        m[name] = 0


# Keep the book, forget the moods. A price far from the middle gets the ladder re-centred.
def _overnight(previous: MarketState) -> MarketState:
    state = MarketState.restore(previous.snapshot())
    market, orders, levels = state.market, state.orders, state.levels
    m = market[0]
    _start_of_day(m)
    shift = int(m["best"][0]) - ladder.N_LEVELS // 2
    if abs(shift) < ladder.N_LEVELS // 16:
        return state
    live = np.zeros(len(orders), bool)
    for side in range(2):
        for level in np.flatnonzero(levels["count"][side]):
            slot = int(levels["head"][side, level])
            while slot >= 0:
                live[slot] = True
                slot = int(orders["next"][slot])
    target = orders["level"] - shift
    # Left behind by half the ladder: such an order does not survive the night.
    for index in np.flatnonzero(live & ((target < 0) | (target >= ladder.N_LEVELS))):
        ladder.unlink(market, orders, levels, int(index))
        ladder.release(market, orders, int(index))
        live[index] = False
    orders["level"][live] -= shift
    levels[...] = np.roll(levels, -shift, axis=1)
    m["base"] += shift
    m["best"] -= shift
    return state


def _chunks(
    spec: SynthSpec,
    day: date,
    state: MarketState,
    rules: NDArray,
    profile: NDArray,
    plan: NDArray,
    chunk_size: int,
) -> Iterator[NDArray]:
    status = OK
    while status == OK:
        out = np.zeros(chunk_size, MBO_DTYPE)
        status = flow.advance(state.market, rules, profile, plan, state.orders, state.levels, out)
        if status == flow.OFF_LADDER:
            raise SpecError(
                "price has run away from the start of the day",
                subject=f"{spec.symbol} {day}",
                found=f"best bid at tick {state.best_ticks[0]}",
                remedy="Lower volatility_ticks or trend.",
            )
        n_records = int(state.market[0]["written"])
        state.market["written"] = 0  # where chunks end is no part of the state
        yield out[:n_records]


def _utc(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="seconds")
