"""The text frames of the stream, as closed models.

This module is the JSON half of ``docs/wire.md``: an unknown, missing or mistyped key is refused
in both directions. 64-bit integers are decimal strings on the wire, because JSON numbers in a
browser are doubles. How bins become frames is in `serving.wire`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic import Field as Described

from qmachina.errors import SchemaError
from qmachina.fields import DType, Field, Role
from qmachina.specs.base import Spec, problems
from qmachina.specs.instrument import InstrumentSpec

#: What the page draws by default: pressure_variant - vacuum_variant, a subtraction for display.
NET_FORCE = "net_force"

_INT64 = re.compile(r"-?(0|[1-9][0-9]{0,18})")


def _from_text(value: object, info: ValidationInfo) -> object:
    # Only text counts on the wire; Python callers pass plain integers.
    if info.mode != "json":
        return value
    if not isinstance(value, str) or not _INT64.fullmatch(value):
        raise ValueError("must be a decimal string")
    return int(value)


def _in_range(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise ValueError("does not fit 64 bits")
    return value


#: A 64-bit integer: ``int`` in Python, decimal text on the wire.
Int64 = Annotated[
    int,
    BeforeValidator(_from_text),
    AfterValidator(_in_range),
    PlainSerializer(str, return_type=str),
]
Hex = Annotated[str, Described(pattern=r"^[0-9a-f]+$")]


class Part(Spec):
    """A closed, strictly typed piece of a frame."""

    model_config = ConfigDict(strict=True)


class Frame(Part):
    """One text frame."""

    def encode(self) -> str:
        """Return the frame as compact JSON text."""
        return self.model_dump_json(by_alias=True)


class WireField(Part):
    """One column as the page is told of it."""

    name: str
    dtype: DType
    role: Role
    unit: str
    meaning: str

    @classmethod
    def of(cls, field: Field) -> Self:
        """Return the wire form of a field."""
        return cls(
            name=field.name,
            dtype=field.dtype,
            role=field.role,
            unit=field.unit,
            meaning=field.meaning,
        )


class Instrument(Part):
    """What is traded, in which steps."""

    symbol: str
    product_type: str
    dataset: str
    tick_size_int: Int64
    price_decimals: int
    currency: str
    multiplier: str
    time_zone: str

    @classmethod
    def of(cls, spec: InstrumentSpec) -> Self:
        """Return the wire form of an instrument spec."""
        exponent = spec.tick_size.normalize().as_tuple().exponent
        return cls(
            symbol=spec.symbol,
            product_type=spec.product_type,
            dataset=spec.dataset,
            tick_size_int=spec.tick_size_int,
            price_decimals=max(0, -int(exponent)),
            currency=spec.currency,
            multiplier=f"{spec.multiplier.normalize():f}",
            time_zone=spec.time_zone,
        )


class Model(Part):
    """The model behind the score."""

    model_id: str
    params: dict[str, Any]
    warmup_bins: int = Described(ge=0)


class Origin(Part):
    """The run a serving version was promoted from."""

    run_id: str
    experiment_name: str
    promoted_at_utc: str


class Serving(Part):
    """Which serving version is streamed; ``serving_name`` is None when addressed by id."""

    serving_name: str | None
    serving_id: str
    display_name: str
    verdict: str
    source: Origin


class Source(Part):
    """Where the events come from; ``speed`` None means as fast as possible."""

    kind: Literal["replay", "live"]
    dt: str = Described(pattern=r"^\d{4}-\d{2}-\d{2}$")
    speed: float | None = Described(gt=0)


class Visualization(Part):
    """How the page should start; open, because a serving spec may add hints."""

    model_config = ConfigDict(extra="allow")

    default_field: str = NET_FORCE


class RuntimeConfig(Frame):
    """Everything the page must know before the first bin."""

    # The wire calls a key "model_config", which pydantic reserves.
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    type: Literal["runtime_config"]
    protocol_version: Literal[1]
    epoch: Hex
    stream_format: Literal["dense_grid"]
    instrument: Instrument
    bin_ns: Int64
    grid_radius_ticks: int = Described(ge=1)
    grid_rows: int
    grid_schema_fields: tuple[WireField, ...]
    bin_schema_fields: tuple[WireField, ...]
    model: Model = Described(alias="model_config")
    serving: Serving
    source: Source
    visualization: Visualization
    state_hash: Hex

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.bin_ns <= 0 or self.instrument.tick_size_int <= 0:
            raise ValueError("bin_ns and tick_size_int must be positive")
        if self.grid_rows != 2 * self.grid_radius_ticks + 1:
            raise ValueError("grid_rows must be 2 grid_radius_ticks + 1")
        default = self.visualization.default_field
        drawable = {f.name for f in self.grid_schema_fields} | {NET_FORCE}
        if default not in drawable:
            raise ValueError(f"default_field {default} is no column of the grid")
        return self


class GridUpdate(Frame):
    """One bin, without its grid; the binary message follows."""

    type: Literal["grid_update"]
    seq: Int64
    bin_seq: Int64
    ts_ns: Int64
    bin_start_ns: Int64
    bin_end_ns: Int64
    event_id: Int64
    bin_event_count: int
    mid_price: float
    mid_x2: Int64
    spot_ref_price_int: Int64
    best_bid_price_int: Int64 | None
    best_ask_price_int: Int64 | None
    best_bid_size: Int64
    best_ask_size: Int64
    book_valid: bool
    spot_valid: bool
    book_state: Literal["unsynced", "building", "empty", "one_sided", "valid", "crossed"]
    values: dict[str, bool | int | float | str]


class End(Frame):
    """Data ends; the server closes with 1000."""

    type: Literal["end"] = "end"
    reason: str


class Error(Frame):
    """Something failed; the server closes with 1008 (request, set-up) or 1011 (producer)."""

    type: Literal["error"] = "error"
    message: str


class Skipped(Frame):
    """A slow client was moved forward over the bins ``from_seq..to_seq``."""

    type: Literal["skipped"] = "skipped"
    from_seq: Int64
    to_seq: Int64
    bins: int

    @model_validator(mode="after")
    def _counted(self) -> Self:
        if self.bins != self.to_seq - self.from_seq + 1 or self.bins < 1:
            raise ValueError("bins must count from_seq..to_seq")
        return self


class Gap(Frame):
    """The answer to a resume whose bins are gone from the ring."""

    type: Literal["gap"] = "gap"
    from_seq: Int64
    to_seq: Int64


class ServingChanged(Frame):
    """The alias moved: bins of the new epoch follow."""

    type: Literal["serving_changed"] = "serving_changed"
    runtime_config: RuntimeConfig


class Resume(Frame):
    """A client asks for the bins after ``seq`` of an epoch."""

    type: Literal["resume"] = "resume"
    epoch: Hex
    seq: Int64


class Ack(Frame):
    """A client names the last bin it drew."""

    type: Literal["ack"] = "ack"
    seq: Int64


ServerFrame = RuntimeConfig | GridUpdate | End | Error | Skipped | Gap | ServingChanged
ClientFrame = Resume | Ack
_SERVER: TypeAdapter[ServerFrame] = TypeAdapter(
    Annotated[ServerFrame, Described(discriminator="type")]
)
_CLIENT: TypeAdapter[ClientFrame] = TypeAdapter(
    Annotated[ClientFrame, Described(discriminator="type")]
)


def parse_server(text: str | bytes) -> ServerFrame:
    """Parse one text frame of the server.

    Raises
    ------
    SchemaError
        If the text is not exactly one frame of the contract; every wrong key is named.
    """
    return _parse(_SERVER, text, "server frame")


def parse_client(text: str | bytes) -> ClientFrame:
    """Parse one text frame of a client.

    Raises
    ------
    SchemaError
        If the text is not exactly one frame of the contract; every wrong key is named.
    """
    return _parse(_CLIENT, text, "client frame")


def _parse(adapter: TypeAdapter[Any], text: str | bytes, subject: str) -> Any:
    try:
        return adapter.validate_json(text)
    except ValidationError as e:
        raise SchemaError(problems(e), subject=subject) from e
