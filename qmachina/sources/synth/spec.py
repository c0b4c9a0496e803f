"""What market to make."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field, model_validator

from qmachina import market
from qmachina.specs.base import Spec
from qmachina.specs.instrument import InstrumentSpec, TickSize, TimeZone
from qmachina.specs.silver import TIME_OF_DAY


class SynthSpec(Spec):
    """Everything that decides a synthetic market besides its sessions.

    The defaults resemble an index future: price near 5000 in steps of 0.25, about 7,000
    resting orders, some 200,000 records and 60 ticks of movement in an hour.
    """

    seed: int = Field(default=1, ge=0, description="Another seed is another market.")
    symbol: str = Field(
        default="QMZ9", pattern=r"^[A-Za-z0-9]{1,21}$", description="Raw symbol; not a real one."
    )
    root: str = Field(default="QM", pattern=r"^[A-Za-z0-9]{1,21}$", description="Product root.")
    dataset: str = Field(
        default="GLBX.MDP3",
        pattern=r"^[A-Z0-9]+\.[A-Z0-9]+$",
        max_length=15,
        description="Dataset code in the metadata.",
    )
    publisher: int = Field(default=1, ge=1, le=65_535, description="Publisher id of all records.")
    instrument_id: int = Field(default=900_001, ge=1, le=2**32 - 1, description="Instrument id.")
    tick_size: TickSize = Field(default=Decimal("0.25"), description="Smallest price step.")
    multiplier: Decimal = Field(default=Decimal(50), gt=0, description="Currency per point.")
    start_price: Decimal = Field(
        default=Decimal(5000), description="Best bid of the first day, a multiple of tick_size."
    )
    open_time: str = Field(
        default="08:30", pattern=TIME_OF_DAY, description="First event, exchange-local."
    )
    close_time: str = Field(
        default="15:00", pattern=TIME_OF_DAY, description="Daily clear, exchange-local."
    )
    time_zone: TimeZone = Field(default="America/Chicago", description="IANA zone of the exchange.")
    publisher_specific: bool = Field(
        default=False, description="Set the publisher's bit too: an event ends with 130, not 128."
    )
    events_per_s: float = Field(
        default=40.0, gt=0, le=10_000, description="Mean rate of ordinary events."
    )
    volatility_ticks: float = Field(
        default=60.0,
        ge=0,
        le=400,
        description="Standard deviation of an hour's move, in ticks; falls short above 150.",
    )
    trend: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Excess share of pushes along a trend of about a minute: genuine momentum.",
    )
    depth_ticks: int = Field(
        default=700, ge=50, le=4000, description="Ticks from the touch that hold orders."
    )
    orders_scale: float = Field(
        default=1.0, ge=0.5, le=10, description="Multiplies the number of resting orders."
    )
    planted_edge: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="A planted burst is followed by a move of its sign with chance 0.5 + edge.",
    )
    planted_placebo: bool = Field(
        default=False, description="With edge 0: bursts and moves all the same, unrelated."
    )
    planted_period_ms: int = Field(
        default=10_000, ge=500, description="From one planted burst to the next."
    )
    planted_lag_ms: int = Field(default=1_000, ge=1, description="From burst to move.")
    planted_move_ticks: int = Field(default=3, ge=1, le=20, description="Size of the move.")
    planted_orders: int = Field(default=16, ge=1, le=200, description="Events of a burst.")
    planted_burst_ms: int = Field(default=80, ge=1, description="Mean length of a burst.")

    @model_validator(mode="after")
    def _possible(self) -> SynthSpec:
        if self.start_price % self.tick_size:
            raise ValueError("start_price is not a multiple of tick_size")
        if self.planted_burst_ms >= self.planted_lag_ms:
            raise ValueError("planted_burst_ms must be below planted_lag_ms")
        if self.planted_lag_ms >= self.planted_period_ms:
            raise ValueError("planted_lag_ms must be below planted_period_ms")
        if self.planted_placebo and self.planted_edge:
            raise ValueError("planted_placebo needs planted_edge 0")
        return self

    @property
    def tick_size_int(self) -> int:
        """Tick size in units of 1e-9."""
        return market.tick_size_int(self.tick_size)

    def instrument(self) -> InstrumentSpec:
        """Return the instrument that this market trades."""
        return InstrumentSpec(
            product_type="future_mbo",
            symbol=self.symbol,
            root=self.root,
            dataset=self.dataset,
            publisher=self.publisher,
            tick_size=self.tick_size,
            multiplier=self.multiplier,
            calendar="CMES",
            time_zone=self.time_zone,
        )
