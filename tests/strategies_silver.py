"""Random silver: plausible bins and grids in which spot moves, jumps and goes missing.

A :class:`Market` holds every tick that either a window or its mirror image can show, so that
silver can be cut from the market itself and from its mirror.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from qmachina import market
from qmachina.features.geometry import Geometry
from qmachina.fields import Chunk
from qmachina.grid.fields import BIN_FIELDS, GRID_FIELDS

TICK = 250_000_000
BIN_NS = 100_000_000
START_NS = 1_700_000_000_000_000_000

_MIRRORED = {
    "bid_depth": "ask_depth",
    "add_bid": "add_ask",
    "pull_bid": "pull_ask",
    "fill_bid": "fill_ask",
    "reset_bid": "reset_ask",
    "trade_buy": "trade_sell",
    "v_bid_depth": "v_ask_depth",
    "a_bid_depth": "a_ask_depth",
    "j_bid_depth": "j_ask_depth",
}
_MIRRORED |= {b: a for a, b in _MIRRORED.items()}


@dataclass(frozen=True, repr=False)
class Market:
    """Bins of a market. Grid columns hold the ticks spot - K - 1 .. spot + K + 1."""

    def __repr__(self) -> str:
        return f"<Market of {len(self.bid)} bins, radius {self.radius}>"

    radius: int
    bid: NDArray[np.int64]  # ticks; meaningless where absent
    ask: NDArray[np.int64]
    has_bid: NDArray[np.bool_]
    has_ask: NDArray[np.bool_]
    state: NDArray[np.int8]
    anchor_x2: int  # what spot follows before the first valid mid
    bid_size: NDArray[np.int64]
    ask_size: NDArray[np.int64]
    buy: NDArray[np.int64]
    sell: NDArray[np.int64]
    ofi: NDArray[np.int64]
    grid: dict[str, NDArray]

    @property
    def geometry(self) -> Geometry:
        return Geometry(BIN_NS, self.radius, TICK)

    @property
    def valid(self) -> NDArray[np.bool_]:
        return self.state == market.BookState.VALID

    @property
    def held_x2(self) -> NDArray[np.int64]:
        """Twice the mid that spot follows: this bin's, or the last valid one."""
        held, out = self.anchor_x2, []
        for bid, ask, valid in zip(self.bid, self.ask, self.valid, strict=True):
            held = int(bid + ask) if valid else held
            out.append(held)
        return np.array(out, np.int64)

    def mirrored(self) -> Market:
        """Swap the sides and negate the prices; spot is again the floor of the mid."""
        shift = np.where(self.held_x2 % 2 == 0, 0, 1)  # the floor of -x is one below -floor(x)
        grid = {}
        for name in self.grid:
            rows = self.grid[_MIRRORED.get(name, name)][:, ::-1]
            moved = rows.copy()
            odd = shift == 1
            # Row j is tick spot' + j with spot' = -spot - shift: one row further in the reverse.
            moved[odd, 1:] = rows[odd, :-1]
            grid[name] = moved
        return replace(
            self,
            bid=-self.ask,
            ask=-self.bid,
            has_bid=self.has_ask,
            has_ask=self.has_bid,
            anchor_x2=-self.anchor_x2,
            bid_size=self.ask_size,
            ask_size=self.bid_size,
            buy=self.sell,
            sell=self.buy,
            ofi=-self.ofi,
            grid=grid,
        )


def silver(m: Market) -> Chunk:
    """Return the silver chunk of a market, with every column of BIN_FIELDS and GRID_FIELDS."""
    spot = m.held_x2 // 2
    grid = {name: column[:, 1:-1].copy() for name, column in m.grid.items()}
    return Chunk(_bins(m, spot), grid)


def reversed_rows(m: Market) -> tuple[Chunk, Chunk]:
    """Return silver and its mirror image over the *same* ticks: row r becomes row 2K - r.

    Spot of the image is minus spot even where the mid is odd (there it is the ceiling of the
    mid), so both windows hold the same ticks and every history in them is the same.
    """
    plain = silver(m)
    image = m.mirrored()
    bins = _bins(image, -(m.held_x2 // 2))
    grid = {name: plain.grid[_MIRRORED.get(name, name)][:, ::-1].copy() for name in plain.grid}
    return plain, Chunk(bins, grid)


def _bins(m: Market, spot: NDArray[np.int64]) -> dict[str, NDArray]:
    n = len(m.bid)
    valid = m.valid
    x2 = np.where(valid, m.bid + m.ask, 0)
    ask_move, bid_move = np.zeros(n, np.int64), np.zeros(n, np.int64)
    last: tuple[int, int] | None = None
    for t in np.flatnonzero(valid):
        if last is not None:
            bid_move[t], ask_move[t] = m.bid[t] - last[0], m.ask[t] - last[1]
        last = (m.bid[t], m.ask[t])
    bid = np.where(m.has_bid, m.bid * TICK, market.UNDEF_PRICE)
    ask = np.where(m.has_ask, m.ask * TICK, market.UNDEF_PRICE)
    end = START_NS + BIN_NS * (1 + np.arange(n, dtype=np.int64))
    ones = np.ones(n, np.int64)
    columns = {
        "bin_seq": np.arange(n, dtype=np.int64),
        "ts_ns": end,
        "bin_start_ns": end - BIN_NS,
        "bin_end_ns": end,
        "bin_event_count": ones,
        "bin_record_count": ones,
        "event_id": np.arange(n, dtype=np.int64),
        "mid_price": np.where(valid, x2 / 2 * (TICK * 1e-9), 0.0),
        "mid_x2": x2,
        "spot_ref_price_int": spot * TICK,
        "spot_valid": valid,
        "best_bid_price_int": bid,
        "best_ask_price_int": ask,
        "best_bid_size": np.where(m.has_bid, m.bid_size, 0),
        "best_ask_size": np.where(m.has_ask, m.ask_size, 0),
        "lowest_best_bid_int": bid,
        "highest_best_bid_int": bid,
        "lowest_best_ask_int": ask,
        "highest_best_ask_int": ask,
        "trade_buy_size": m.buy,
        "trade_sell_size": m.sell,
        "trade_unattributed_size": 0 * ones,
        "trade_count": ones,
        "ofi_best": m.ofi,
        "book_valid": valid,
        "book_state": m.state,
        "best_ask_move_ticks": ask_move,
        "best_bid_move_ticks": bid_move,
        "ask_reprice_sign": np.sign(ask_move).astype(np.int8),
        "bid_reprice_sign": np.sign(bid_move).astype(np.int8),
        "microstate_id": (3 * (np.sign(ask_move) + 1) + np.sign(bid_move) + 1).astype(np.int8),
        "chase_up_flag": (ask_move > 0) & (bid_move > 0),
        "chase_down_flag": (ask_move < 0) & (bid_move < 0),
    }
    # A column that silver gains and this generator lacks must not go unnoticed.
    return {f.name: columns[f.name].astype(f.numpy) for f in BIN_FIELDS}


def make_market(
    seed: int,
    n_bins: int,
    radius: int,
    *,
    start_x2: int = 20_001,
    move: float = 0.3,
    jump: float = 0.02,
    invalid: float = 0.05,
    idle: float = 0.3,
    spreads: tuple[int, ...] = (0, 0, 0, 2),
    unsynced_bins: int = 0,
) -> Market:
    """Return a random market.

    ``move`` and ``jump`` are the chances per bin that the mid moves half a tick and that it
    leaps; ``invalid`` that the book is not valid; ``idle`` that a tick never sees any flow.
    The spread is one of ``spreads`` (even numbers), plus one where the mid is odd.
    """
    r = np.random.default_rng(seed)
    step = np.where(r.random(n_bins) < move, r.choice([-1, 1], n_bins), 0)
    leap = r.integers(-8 * radius, 8 * radius + 1, n_bins)
    step = np.where(r.random(n_bins) < jump, leap, step)
    x2 = start_x2 + np.cumsum(step)
    spread = r.choice(np.array(spreads), n_bins) + x2 % 2
    bid, ask = (x2 - spread) // 2, (x2 + spread) // 2

    state = np.full(n_bins, market.BookState.VALID, np.int8)
    has_bid, has_ask = np.ones(n_bins, bool), np.ones(n_bins, bool)
    broken = r.random(n_bins) < invalid
    broken[:unsynced_bins] = True
    kind = r.integers(0, 4, n_bins)
    crossed = broken & (kind == 0)
    bid, ask = np.where(crossed, ask + 1, bid), np.where(crossed, bid, ask)
    state[broken] = market.BookState.ONE_SIDED
    state[crossed] = market.BookState.CROSSED
    has_bid[broken & ((kind == 1) | (kind == 3))] = False
    has_ask[broken & ((kind == 2) | (kind == 3))] = False
    state[broken & (kind == 3)] = market.BookState.EMPTY
    state[:unsynced_bins] = market.BookState.UNSYNCED

    market_without_grid = Market(
        radius, bid, ask, has_bid, has_ask, state, start_x2,
        *(r.integers(0, 50, n_bins) for _ in range(2)),
        *(r.integers(0, 20, n_bins) for _ in range(2)),
        r.integers(-30, 30, n_bins), {},
    )  # fmt: skip
    spot = market_without_grid.held_x2 // 2
    ticks = spot[:, None] + np.arange(-radius - 1, radius + 2)
    active = (ticks * 2_654_435_761 % 997) / 997 >= idle
    return replace(market_without_grid, grid=_grid(r, ticks, active, bid, ask))


def _grid(
    r: np.random.Generator,
    ticks: NDArray[np.int64],
    active: NDArray[np.bool_],
    bid: NDArray[np.int64],
    ask: NDArray[np.int64],
) -> dict[str, NDArray]:
    shape = ticks.shape
    on_bid, on_ask = ticks <= bid[:, None], ticks >= ask[:, None]
    columns: dict[str, NDArray] = {}
    for f in GRID_FIELDS:
        if f.name in ("bin_seq", "k"):
            continue
        if f.name.startswith(("v_", "a_", "j_")) or f.name.endswith("_mass"):
            x = r.normal(size=shape) * np.exp(r.normal(size=shape))
            if f.name in ("v_add", "v_pull", "v_fill") or f.name.endswith("_mass"):
                x = np.abs(x)  # decayed sums of sizes
            quiet = r.random(shape) < 0.3
            columns[f.name] = np.where(active & ~quiet, x, 0.0).astype(np.float32)
        else:
            x = r.integers(0, 30, shape)
            if f.name.endswith("bid") or f.name == "bid_depth":
                x = np.where(on_bid, x, 0)
            elif f.name.endswith("ask") or f.name == "ask_depth":
                x = np.where(on_ask, x, 0)
            columns[f.name] = np.where(active, x, 0).astype(f.numpy)
    columns["rest_depth"] = columns["bid_depth"] + columns["ask_depth"]
    return columns


@st.composite
def markets(
    draw: st.DrawFn,
    *,
    min_bins: int = 1,
    max_bins: int = 60,
    max_radius: int = 6,
    still: bool = False,
) -> Market:
    """Draw a market; ``still`` ones never move their mid (their spread changes)."""
    return make_market(
        draw(st.integers(0, 2**32 - 1)),
        draw(st.integers(min_bins, max_bins)),
        draw(st.integers(2, max_radius)),
        start_x2=draw(st.sampled_from([20_001, 20_002, -37, 0, 1])),
        move=0.0 if still else draw(st.sampled_from([0.0, 0.1, 0.6])),
        jump=0.0 if still else draw(st.sampled_from([0.0, 0.02, 0.2])),
        invalid=draw(st.sampled_from([0.0, 0.05, 0.3])),
        idle=draw(st.sampled_from([0.0, 0.3, 0.9])),
        spreads=draw(st.sampled_from([(0,), (2,), (0, 0, 2), (0, 2, 4, 8)])),
        unsynced_bins=draw(st.sampled_from([0, 0, 3])),
    )


@st.composite
def cuts(draw: st.DrawFn, n_bins: int) -> list[tuple[int, int]]:
    """Draw a partition of ``n_bins`` bins into chunks, some of them empty."""
    inner = draw(st.lists(st.integers(0, n_bins), max_size=6))
    edges = [0, *sorted(inner), n_bins]
    return list(itertools.pairwise(edges))
