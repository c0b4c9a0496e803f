"""What the serving tests serve: a configuration, a made-up market, and the test as a server."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import numpy as np

from qmachina.fields import Field
from qmachina.market import UNDEF_PRICE, BookState
from qmachina.specs.instrument import InstrumentSpec
from serving import frames, wire

RADIUS = 50
BIN_NS = 100_000_000
TICK = 250_000_000
CENTRE = 24_000  # tick of 6000.00

GRID_FIELDS = wire.grid_fields(
    (
        Field("rest_depth", "int64", "size", "Resting size at the end of the bin."),
        Field("bid_depth", "int64", "size", "Resting bid size at the end of the bin."),
        Field("ask_depth", "int64", "size", "Resting ask size at the end of the bin."),
        Field("add_mass", "float32", "size", "Decayed sum of added size.", "force"),
        Field("pull_mass", "float32", "size", "Decayed sum of cancelled size.", "force"),
        Field("v_rest_depth", "float32", "size/s", "Velocity of resting depth.", "velocity"),
        Field("a_rest_depth", "float32", "size/s^2", "Its acceleration.", "acceleration"),
        Field("composite", "float32", "1", "(P - V) / (P + V + floor), mixed.", "force"),
        Field("flow_score", "float64", "1", "Spectrum score of the tick.", "signal"),
        Field("flow_state_code", "int8", "code", "Sign of a decided score.", "signal"),
        Field("touched", "bool", "flag", "Whether an event changed the tick."),
    )
)
BIN_FIELDS = (
    Field("score", "float64", "1", "Blend of the intensities, -1..1.", "signal"),
    Field("ready", "bool", "flag", "Whether the model has warmed up."),
    Field("signal", "int8", "sign", "Decided direction.", "signal"),
    Field("bull", "float32", "1", "Bull intensity.", "indicator"),
    Field("bear", "float32", "1", "Bear intensity.", "indicator"),
)


def instrument() -> InstrumentSpec:
    return InstrumentSpec(
        product_type="future_mbo",
        symbol="ESH6",
        root="ES",
        dataset="GLBX.MDP3",
        tick_size=Decimal("0.25"),
        multiplier=Decimal(50),
        calendar="CMES",
        time_zone="America/Chicago",
    )


def make_config(**changes: Any) -> frames.RuntimeConfig:
    """A runtime_config as the server would send it; arguments replace its parts."""
    parts: dict[str, Any] = {
        "epoch": "5e1f0001",
        "instrument": instrument(),
        "bin_ns": BIN_NS,
        "grid_radius_ticks": RADIUS,
        "grid_fields": GRID_FIELDS,
        "bin_fields": BIN_FIELDS,
        "model": frames.Model(model_id="vacuum_pressure", params={"w": 300}, warmup_bins=300),
        "serving": frames.Serving(
            serving_name="demo",
            serving_id="9c4e1a77d0b35f21",
            display_name="Vacuum pressure, 100 ms",
            verdict="UNDECIDED",
            source=frames.Origin(
                run_id="r-0042",
                experiment_name="vp_baseline",
                promoted_at_utc="2026-02-07T09:30:00Z",
            ),
        ),
        "source": frames.Source(kind="replay", dt="2026-02-06", speed=20.0),
        "visualization": {},
        "state_hash": "00ff12ab34cd",
    }
    return wire.runtime_config(**(parts | changes))


class Tape:
    """A made-up market, bin by bin: a walking price, walls, and forces that decay.

    Nothing here is a model of anything; it only has to look like a market and to touch every
    dtype of the wire. ``bin()`` returns silver columns, model outputs and the grid.
    """

    def __init__(self, seed: int = 7, warm_after: int = 0, radius: int = RADIUS) -> None:
        self.rng = np.random.default_rng(seed)
        self.radius, self.warm_after, self.n, self.event = radius, warm_after, 0, 0
        self.span = 1200
        self.base = CENTRE - self.span // 2
        ticks = np.arange(self.span)
        self.wall = 18 + 60 * (self.rng.random(self.span) < 0.04) + 30 * (ticks % 4 == 0)
        self.depth = self.wall.astype(float)
        self.pressure = np.zeros(self.span)
        self.vacuum = np.zeros(self.span)
        self.bid, self.drift, self.score = CENTRE, 0.0, 0.0
        self.last_event = np.zeros(self.span, np.int64)

    def bin(self, **changes: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Return (row, values, columns) of the next bin; ``changes`` replace parts of the row."""
        rng = self.rng
        self.drift = 0.985 * self.drift + rng.normal(0, 0.016)
        self.bid += int(rng.random() < abs(self.drift)) * int(np.sign(self.drift))
        at = self.bid - self.base
        distance = np.arange(self.span) - at - 0.5
        near = np.exp(-np.abs(distance) / 9)
        lean = np.where(distance > 0, -1.0, 1.0) * np.clip(self.drift * 6, -1, 1)
        rate = np.clip(near * 1.4 + self.wall / 900, 0, 3)
        adds = rng.poisson(rate * (1 + 0.6 * lean)) * rng.integers(1, 14, self.span)
        pulls = rng.poisson(rate * (1 - 0.7 * lean)) * rng.integers(1, 14, self.span)
        self.depth += adds - pulls + 0.06 * (self.wall * (0.5 + near * 0.4) - self.depth)
        self.depth = np.clip(self.depth, 0, None)
        before = self.pressure - self.vacuum
        self.pressure = 0.951 * self.pressure + adds * 0.5
        self.vacuum = 0.951 * self.vacuum + pulls * 0.55
        self.event += int(adds.sum() + pulls.sum()) // 4 + 1
        touched = (adds + pulls) > 0
        self.last_event[touched] = self.event

        cut = slice(at - self.radius, at + self.radius + 1)
        p, v = self.pressure[cut], self.vacuum[cut]
        rest = self.depth[cut].astype(np.int64)
        bids = distance[cut] < 0
        flow = np.tanh((p - v) / 40)
        net = (p - v) - before[cut]
        columns = {
            "last_event_id": self.last_event[cut].copy(),
            "pressure_variant": p.astype(np.float32),
            "vacuum_variant": v.astype(np.float32),
            "rest_depth": rest,
            "bid_depth": np.where(bids, rest, 0),
            "ask_depth": np.where(bids, 0, rest),
            "add_mass": (p * 8).astype(np.float32),
            "pull_mass": (v * 8).astype(np.float32),
            "v_rest_depth": (p - v).astype(np.float32),
            "a_rest_depth": (net * 10).astype(np.float32),
            "composite": ((p - v) / (p + v + 0.05)).astype(np.float32),
            "flow_score": flow,
            "flow_state_code": np.where(np.abs(flow) > 0.15, np.sign(flow), 0).astype(np.int8),
            "touched": touched[cut],
        }
        self.score = 0.9 * self.score + 0.1 * float(np.tanh(8 * self.drift + rng.normal(0, 0.5)))
        ready = self.n >= self.warm_after
        values = {
            "score": self.score if ready else 0.0,
            "ready": ready,
            "signal": int(np.sign(self.score)) if ready and abs(self.score) > 0.3 else 0,
            "bull": np.float32(max(self.score, 0)),
            "bear": np.float32(max(-self.score, 0)),
        }
        start = 1_770_388_200_000_000_000 + self.n * BIN_NS  # 2026-02-06 08:30 in Chicago
        row = {
            "bin_seq": self.n,
            "ts_ns": start + BIN_NS,
            "bin_start_ns": start,
            "bin_end_ns": start + BIN_NS,
            "event_id": self.event,
            "bin_event_count": int(adds.sum() + pulls.sum()) // 4,
            "mid_price": (2 * self.bid + 1) * 0.125,
            "mid_x2": 2 * self.bid + 1,
            "spot_ref_price_int": self.bid * TICK,
            "best_bid_price_int": self.bid * TICK,
            "best_ask_price_int": (self.bid + 1) * TICK,
            "best_bid_size": int(rest[self.radius]) + 1,
            "best_ask_size": int(rest[self.radius + 1]) + 1,
            "book_valid": True,
            "spot_valid": True,
            "book_state": int(BookState.VALID),
        }
        self.n += 1
        return row | changes, values, columns


INVALID_BOOK = {
    "book_valid": False,
    "spot_valid": False,
    "book_state": int(BookState.ONE_SIDED),
    "best_ask_price_int": UNDEF_PRICE,
    "best_ask_size": 0,
    "mid_price": 0.0,
    "mid_x2": 0,
}


class Server:
    """The test as the streaming server of one page: frames come from the production encoder."""

    def __init__(self, page: Any, config: frames.RuntimeConfig, tape: Tape) -> None:
        self.page, self.config, self.tape = page, config, tape
        fields = [
            Field(f.name, f.dtype, f.unit, f.meaning, f.role) for f in config.grid_schema_fields
        ]
        self.encoder = wire.ArrowEncoder(fields, config.grid_radius_ticks)
        self.seq = 0
        self.connections: list[Any] = []
        self.urls: list[str] = []
        self.heard: list[frames.ClientFrame] = []
        self.sent: dict[int, dict[str, Any]] = {}
        self.greets = True
        page.route_web_socket(re.compile(r"/v1/stream"), self._accept)

    def _accept(self, socket: Any) -> None:
        self.connections.append(socket)
        self.urls.append(socket.url)
        socket.on_message(lambda text: self.heard.append(wire_client(text)))
        if self.greets:
            socket.send(self.config.encode())

    @property
    def socket(self) -> Any:
        return self.connections[-1]

    def send(self, frame: frames.Frame) -> None:
        self.socket.send(frame.encode())

    def bins(self, count: int, columns: dict[str, Any] | None = None, **changes: Any) -> int:
        """Send the next bins of the tape and return the last sequence number."""
        for _ in range(count):
            row, values, made = self.tape.bin(**changes)
            grid = made | (columns or {})
            self.sent[self.seq] = {"row": row, "values": values, "grid": grid}
            self.send(wire.grid_update(self.seq, row, values, BIN_FIELDS))
            self.socket.send(self.encoder.encode(grid))
            self.seq += 1
        return self.seq - 1

    def lose(self, count: int) -> None:
        """Let bins pass that the page never gets."""
        for _ in range(count):
            self.tape.bin()
            self.seq += 1

    def drawn(self, seq: int) -> None:
        """Wait until the page has drawn a bin."""
        wait_until(self.page, f"window.__qm.drawnSeq() >= {seq}")

    def settle(self) -> None:
        """Wait until texts and frames that are under way have been drawn."""
        self.page.wait_for_timeout(600)
        next_frame(self.page)


def next_frame(page: Any) -> None:
    """Wait until the page has drawn what the last input changed."""
    page.evaluate("new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")


def wait_until(page: Any, claim: str, seconds: float = 15.0) -> None:
    """Wait until a JavaScript expression is true.

    Playwright's own waiting evaluates text inside the page, which the page's policy forbids.
    """
    for _ in range(int(seconds * 50)):
        if page.evaluate(claim):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"not true within {seconds} s: {claim}")


def wire_client(text: str) -> frames.ClientFrame:
    return frames.parse_client(text)
