"""From bins to messages: the frames of a bin, its binary message and the close reason.

Encodes what ``docs/wire.md`` describes and knows no socket, clock or queue. The text frames
are the models of `serving.frames`; ``frame.encode()`` gives the text to send.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationError

from qmachina.errors import SchemaError
from qmachina.fields import DType, Field, names
from qmachina.market import UNDEF_PRICE, BookState
from qmachina.specs.base import problems
from qmachina.specs.instrument import InstrumentSpec
from serving.frames import (
    Error,
    GridUpdate,
    Instrument,
    Model,
    RuntimeConfig,
    Serving,
    Skipped,
    Source,
    Visualization,
    WireField,
)

PROTOCOL_VERSION: Final = 1
#: A WebSocket control frame carries 125 bytes, two of them the close code.
CLOSE_REASON_BYTES: Final = 123

#: The columns every binary message has, whatever the serving spec names.
ALWAYS: tuple[Field, ...] = (
    Field("k", "int32", "ticks", "Ticks from spot, -K..+K.", "grid_index"),
    Field("last_event_id", "int64", "1", "Number of the last event that changed this tick."),
    Field("pressure_variant", "float32", "size/s", "Force that builds depth at the tick.", "force"),
    Field("vacuum_variant", "float32", "size/s", "Force that removes depth at the tick.", "force"),
)


def runtime_config(
    *,
    epoch: str,
    instrument: InstrumentSpec,
    bin_ns: int,
    grid_radius_ticks: int,
    grid_fields: Sequence[Field],
    bin_fields: Sequence[Field],
    model: Model,
    serving: Serving,
    source: Source,
    visualization: Mapping[str, Any],
    state_hash: str,
) -> RuntimeConfig:
    """Return the frame that opens a stream.

    Parameters
    ----------
    epoch, state_hash : str
        Lower-case hexadecimal text.
    instrument : InstrumentSpec
        The instrument of the serving process.
    bin_ns : int
        Bin width in nanoseconds.
    grid_radius_ticks : int
        K; the grid has 2K + 1 rows.
    grid_fields : sequence of Field
        Columns of the binary message, in order: those of the `ArrowEncoder`.
    bin_fields : sequence of Field
        Keys of ``grid_update.values``.
    model, serving, source
        Identity and provenance, see the classes.
    visualization : mapping
        Hints of the serving spec; ``default_field`` is net_force where not given.

    Raises
    ------
    SchemaError
        If the parts do not fit each other; every problem is named.
    """
    try:
        return RuntimeConfig.model_validate(
            {
                "type": "runtime_config",
                "protocol_version": PROTOCOL_VERSION,
                "epoch": epoch,
                "stream_format": "dense_grid",
                "instrument": Instrument.of(instrument),
                "bin_ns": bin_ns,
                "grid_radius_ticks": grid_radius_ticks,
                "grid_rows": 2 * grid_radius_ticks + 1,
                "grid_schema_fields": tuple(map(WireField.of, _complete(grid_fields))),
                "bin_schema_fields": tuple(map(WireField.of, _unique(bin_fields))),
                "model_config": model,
                "serving": serving,
                "source": source,
                "visualization": Visualization(**visualization),
                "state_hash": state_hash,
            }
        )
    except ValidationError as e:
        raise SchemaError(problems(e), subject="runtime_config") from e


def grid_update(
    seq: int, row: Mapping[str, Any], values: Mapping[str, Any], fields: Sequence[Field]
) -> GridUpdate:
    """Return the text frame of one bin.

    Parameters
    ----------
    seq : int
        Number of the bin in the epoch.
    row : mapping of str to scalar
        The silver columns of the bin; columns the wire does not carry are not sent.
    values : mapping of str to scalar
        The model outputs of the bin: exactly the names in ``fields``.
    fields : sequence of Field
        The ``bin_schema_fields`` of the stream.

    Raises
    ------
    SchemaError
        If a column is missing, a value is not finite, or ``values`` differs from ``fields``.
    """
    if set(values) != set(names(fields)):
        raise SchemaError(
            "values differ from bin_schema_fields",
            subject=f"grid_update {seq}",
            expected=sorted(names(fields)),
            found=sorted(values),
        )
    try:
        return GridUpdate.model_validate(
            {
                "type": "grid_update",
                "seq": seq,
                "bin_seq": int(row["bin_seq"]),
                "ts_ns": int(row["ts_ns"]),
                "bin_start_ns": int(row["bin_start_ns"]),
                "bin_end_ns": int(row["bin_end_ns"]),
                "event_id": int(row["event_id"]),
                "bin_event_count": int(row["bin_event_count"]),
                "mid_price": float(row["mid_price"]),
                "mid_x2": int(row["mid_x2"]),
                "spot_ref_price_int": int(row["spot_ref_price_int"]),
                "best_bid_price_int": _price(row["best_bid_price_int"]),
                "best_ask_price_int": _price(row["best_ask_price_int"]),
                "best_bid_size": int(row["best_bid_size"]),
                "best_ask_size": int(row["best_ask_size"]),
                "book_valid": bool(row["book_valid"]),
                "spot_valid": bool(row["spot_valid"]),
                "book_state": BookState(int(row["book_state"])).name.lower(),
                "values": {f.name: _SCALAR[f.dtype](values[f.name]) for f in fields},
            }
        )
    except KeyError as e:
        raise SchemaError(f"bin has no column {e.args[0]}", subject=f"grid_update {seq}") from e
    except ValidationError as e:
        raise SchemaError(problems(e), subject=f"grid_update {seq}") from e


#: How a scalar of each dtype travels in ``grid_update.values``.
_SCALAR: Mapping[DType, Any] = {
    "bool": bool,
    "int8": int,
    "int32": int,
    "int64": lambda value: str(int(value)),
    "float32": float,
    "float64": float,
}


def _price(value: Any) -> int | None:
    price = int(value)
    return None if price == UNDEF_PRICE else price


def skipped(from_seq: int, to_seq: int) -> Skipped:
    """Return the frame that tells a slow client what it missed (both ends inclusive)."""
    return Skipped(from_seq=from_seq, to_seq=to_seq, bins=to_seq - from_seq + 1)


def error(message: str) -> Error:
    """Return an error frame; text that is not valid Unicode is made so."""
    return Error(message=message.encode(errors="replace").decode())


def close_reason(message: str) -> str:
    """Return a message cut to 123 bytes of UTF-8, never inside a character."""
    return message.encode(errors="replace")[:CLOSE_REASON_BYTES].decode(errors="ignore")


def _unique(fields: Iterable[Field]) -> tuple[Field, ...]:
    found = tuple(fields)
    doubled = sorted({n for n in names(found) if names(found).count(n) > 1})
    if doubled:
        raise SchemaError("columns are named twice", found=", ".join(doubled))
    return found


def _complete(fields: Iterable[Field]) -> tuple[Field, ...]:
    # What the page relies on without asking: names and dtypes of ALWAYS.
    found = _unique(fields)
    have = {f.name: f.dtype for f in found}
    for field in ALWAYS:
        if have.get(field.name) != field.dtype:
            raise SchemaError(
                "the grid lacks a column that every stream has",
                subject=field.name,
                expected=field.dtype,
                found=have.get(field.name, "nothing"),
            )
    return found


def grid_fields(extra: Iterable[Field]) -> tuple[Field, ...]:
    """Return the columns of a stream: those of every stream, then what its spec names.

    Names of `ALWAYS` in ``extra`` replace the description, not the place; their dtype must
    agree.

    Raises
    ------
    SchemaError
        If a name occurs twice or a column of `ALWAYS` has another dtype.
    """
    given = {f.name: f for f in _unique(extra)}
    head = [given.pop(f.name, f) for f in ALWAYS]
    return _complete((*head, *given.values()))


class ArrowEncoder:
    """Encode one bin's grid as an Arrow IPC stream with a constant schema.

    A message is schema, one record batch of 2K + 1 rows and the end mark; it is complete in
    itself and reads back with ``pyarrow.ipc.open_stream``.

    Parameters
    ----------
    fields : sequence of Field
        Columns in order; those of `ALWAYS` must be among them.
    radius : int
        K, in ticks.

    Raises
    ------
    SchemaError
        If a column of `ALWAYS` is missing or a name occurs twice.
    """

    #: End of an Arrow IPC stream: continuation mark and a length of zero.
    _END: ClassVar[bytes] = b"\xff\xff\xff\xff\x00\x00\x00\x00"

    def __init__(self, fields: Sequence[Field], radius: int) -> None:
        if radius < 1:
            raise SchemaError("radius must be positive", found=radius)
        self.fields = _complete(fields)
        self.schema = pa.schema(
            [pa.field(f.name, pa.from_numpy_dtype(f.numpy), nullable=False) for f in self.fields]
        )
        self._k = np.arange(-radius, radius + 1, dtype=np.int32)
        # The schema is the same in every message: encoded once, sent each time, so that a
        # message needs no memory of earlier ones.
        self._head = self.schema.serialize().to_pybytes()

    def encode(self, columns: Mapping[str, NDArray]) -> bytes:
        """Return the binary message of one bin.

        Parameters
        ----------
        columns : mapping of str to ndarray, shape (2K + 1,)
            One array a field, with the field's dtype; ``k`` may be left out. Columns beyond
            the schema are not sent.

        Raises
        ------
        SchemaError
            If a column is missing or has another dtype or shape, or k is not -K..+K.
        """
        arrays = [pa.array(self._column(f, columns)) for f in self.fields]
        batch = pa.RecordBatch.from_arrays(arrays, schema=self.schema)
        return b"".join((self._head, batch.serialize(), self._END))

    def _column(self, field: Field, columns: Mapping[str, NDArray]) -> NDArray:
        column = columns.get(field.name)
        if field.name == "k":
            if column is not None and not np.array_equal(column, self._k):
                raise SchemaError("rows are not -K..+K in order", subject="k")
            return self._k
        if column is None:
            raise SchemaError("column is missing", subject=field.name)
        if column.dtype != field.numpy or column.shape != self._k.shape:
            raise SchemaError(
                "column does not fit the schema",
                subject=field.name,
                expected=f"{field.numpy}{self._k.shape}",
                found=f"{column.dtype}{column.shape}",
            )
        return column
