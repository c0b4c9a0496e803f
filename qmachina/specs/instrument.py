"""The instrument of a home: what is traded, where, in which steps, on which days."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from qmachina import market
from qmachina.errors import SpecError
from qmachina.specs.base import NAME_PATTERN, Spec

ProductType = Literal["future_mbo", "equity_mbo", "crypto_mbo"]


def _tick(value: Decimal) -> Decimal:
    try:
        market.tick_size_int(value)
    except (SpecError, ArithmeticError, ValueError) as e:
        raise ValueError(str(e)) from e
    return value.normalize()


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError) as e:
        raise ValueError("not an IANA time zone") from e
    return value


#: A tick size in currency: positive, no finer than 1e-9.
TickSize = Annotated[Decimal, AfterValidator(_tick)]
#: The name of an IANA time zone.
TimeZone = Annotated[str, AfterValidator(_zone)]


class InstrumentSpec(Spec):
    """One instrument, as ``instrument.yaml`` in the lake describes it."""

    product_type: ProductType = Field(description="Kind of product; part of every lake path.")
    symbol: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._]*$", description="Raw symbol in the file's symbology."
    )
    root: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._]*$", description="Product root; names the raw folder."
    )
    dataset: str = Field(
        pattern=r"^[A-Z0-9]+\.[A-Z0-9]+$", description="Databento dataset, e.g. GLBX.MDP3."
    )
    publisher: int | None = Field(
        default=None, ge=1, le=65535, description="Publisher id; needed when a file holds several."
    )
    tick_size: TickSize = Field(description="Smallest price step, in currency.")
    multiplier: Decimal = Field(
        default=Decimal(1), gt=0, description="Currency per one point and one contract."
    )
    size_unit: Decimal = Field(
        default=Decimal(1), gt=0, description="Contracts (shares, coins) per counted size unit."
    )
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$", description="Currency code.")
    calendar: str = Field(description="Exchange calendar: XNAS, CMES or 24/7.")
    time_zone: TimeZone = Field(description="IANA zone of the exchange.")
    pipeline: str = Field(
        default="baseline",
        pattern=NAME_PATTERN,
        description="Name of the pipeline spec that the home's assets use.",
    )
    first_date: date = Field(default=date(2010, 1, 1), description="First partition offered.")

    @property
    def tick_size_int(self) -> int:
        """Tick size in units of 1e-9."""
        return market.tick_size_int(self.tick_size)

    @property
    def tick_value(self) -> float:
        """Currency per tick and contract."""
        return float(self.tick_size * self.multiplier)
