"""The wire is what docs/wire.md says: closed, exact, readable in one line."""

from __future__ import annotations

import copy
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qmachina.errors import SchemaError
from qmachina.fields import Field, names
from qmachina.market import UNDEF_PRICE, BookState
from serving import frames, wire
from tests.serving.served import (
    BIN_FIELDS,
    GRID_FIELDS,
    INVALID_BOOK,
    Tape,
    instrument,
    make_config,
)

DOC = (Path(__file__).parents[2] / "docs" / "wire.md").read_text(encoding="utf-8")


def a_bin(seq: int = 3, **changes: Any) -> frames.GridUpdate:
    row, values, _ = Tape().bin(**changes)
    return wire.grid_update(seq, row, values, BIN_FIELDS)


SERVER_FRAMES: list[frames.Frame] = [
    make_config(),
    a_bin(),
    a_bin(**INVALID_BOOK),
    frames.End(reason="end of the recording"),
    wire.error("it broke"),
    wire.skipped(4, 9),
    frames.Gap(from_seq=1, to_seq=2**63 - 1),
    frames.ServingChanged(runtime_config=make_config(epoch="0b")),
]
CLIENT_FRAMES: list[frames.Frame] = [
    frames.Resume(epoch="0a", seq=41),
    frames.Ack(seq=57),
]


def parse(frame: frames.Frame, text: str) -> frames.Frame:
    known = frames.parse_client if frame in CLIENT_FRAMES else frames.parse_server
    return known(text)


# ---- text frames


@pytest.mark.parametrize("frame", [*SERVER_FRAMES, *CLIENT_FRAMES], ids=lambda f: f.type)
def test_text_frames_come_back_equal(frame: frames.Frame) -> None:
    assert parse(frame, frame.encode()) == frame


def documented_keys(title: str) -> set[str]:
    """The first column of the table under a heading of docs/wire.md."""
    section = DOC.split(f"### {title}\n")[1].split("\n#")[0]
    cells = re.findall(r"^\| ([^|]+) \|", section, re.M)
    return {key.strip() for cell in cells[1:] if "---" not in cell for key in cell.split(",")}


@pytest.mark.parametrize(("title", "frame"), [("runtime_config", 0), ("grid_update", 1)])
def test_keys_are_those_of_the_contract(title: str, frame: int) -> None:
    assert set(json.loads(SERVER_FRAMES[frame].encode())) == documented_keys(title)


def test_nested_keys_are_those_of_the_contract() -> None:
    config = json.loads(make_config().encode())
    for key in ("instrument", "model_config", "serving", "source"):
        line = re.search(rf"^\| {key} \| `\{{(.*?)\}}[`;]", DOC, re.M)
        assert line is not None
        inner = re.sub(r"\{.*?\}", "", line[1])
        documented = set(re.findall(r"(\w+)(?=:|,|$)", re.sub(r":[^,]*", "", inner)))
        assert set(config[key]) == documented, key
    column = {"name", "dtype", "role", "unit", "meaning"}
    assert all(set(f) == column for f in config["grid_schema_fields"])


#: Dictionaries that the contract leaves open.
OPEN = {"params", "visualization"}


def objects(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all closed objects inside a JSON value."""
    found = [path] if isinstance(value, dict) and (not path or path[-1] not in OPEN) else []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        if isinstance(inner, dict | list) and key not in OPEN and key != "values":
            found += objects(inner, (*path, key))
    return found


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


@pytest.mark.parametrize("frame", [*SERVER_FRAMES, *CLIENT_FRAMES], ids=lambda f: f.type)
def test_every_object_of_every_frame_is_closed(frame: frames.Frame) -> None:
    plain = json.loads(frame.encode())
    for path in objects(plain):
        changed = copy.deepcopy(plain)
        at(changed, path)["surprise"] = 1
        with pytest.raises(SchemaError, match="surprise"):
            parse(frame, json.dumps(changed))
        for key in at(plain, path):
            changed = copy.deepcopy(plain)
            del at(changed, path)[key]
            with pytest.raises(SchemaError):
                parse(frame, json.dumps(changed))


def test_open_dictionaries_stay_open() -> None:
    config = make_config(visualization={"default_field": "composite", "palette": "berlin"})
    again = frames.parse_server(config.encode())
    assert again == config
    assert json.loads(config.encode())["visualization"]["palette"] == "berlin"


@pytest.mark.parametrize("frame", SERVER_FRAMES, ids=lambda f: f.type)
def test_wide_integers_are_text(frame: frames.Frame) -> None:
    plain = json.loads(frame.encode())
    for key in (k for k in plain if k.endswith(("_ns", "_int", "_size", "seq", "_x2", "_id"))):
        assert plain[key] is None or isinstance(plain[key], str), key
        for wrong in (1, 1.0, "1.0", "01", "0x1", "", " 1", "1_0", str(2**63), "9" * 30):
            with pytest.raises(SchemaError):
                parse(frame, json.dumps(plain | {key: wrong}))


@settings(deadline=None, max_examples=40)
@given(
    seq=st.integers(0, 2**63 - 1),
    price=st.integers(-(2**63), 2**63 - 2),
    mid=st.floats(allow_nan=False, allow_infinity=False),
    score=st.floats(allow_nan=False, allow_infinity=False),
    bull=st.floats(width=32, allow_nan=False, allow_infinity=False),
)
def test_numbers_survive_exactly(
    seq: int, price: int, mid: float, score: float, bull: float
) -> None:
    row, values, _ = Tape().bin(best_bid_price_int=price, mid_price=mid)
    values |= {"score": score, "bull": np.float32(bull)}
    back = frames.parse_server(wire.grid_update(seq, row, values, BIN_FIELDS).encode())
    assert isinstance(back, frames.GridUpdate)
    assert (back.seq, back.best_bid_price_int, back.mid_price) == (seq, price, mid)
    assert (back.values["score"], back.values["bull"]) == (score, bull)


def test_numpy_scalars_and_absent_prices() -> None:
    row, values, _ = Tape().bin(
        best_ask_price_int=np.int64(UNDEF_PRICE),
        book_state=np.int8(BookState.ONE_SIDED),
        book_valid=np.False_,
        mid_price=np.float64(0),
        bin_event_count=np.int64(7),
    )
    update = json.loads(wire.grid_update(0, row, values, BIN_FIELDS).encode())
    assert update["best_ask_price_int"] is None
    assert update["book_state"] == "one_sided"
    assert update["book_valid"] is False
    assert update["bin_event_count"] == 7
    assert isinstance(update["values"]["ready"], bool)
    assert isinstance(update["values"]["signal"], int)


def test_every_key_carries_its_own_column() -> None:
    row, values, _ = Tape().bin()
    numbers = {key: i + 1 for i, key in enumerate(k for k in row if k != "book_state")}
    numbers |= {"book_valid": 1, "spot_valid": 0, "book_state": 0}
    update = json.loads(wire.grid_update(99, numbers, values, BIN_FIELDS).encode())
    assert update.pop("seq") == "99"
    assert update.pop("book_state") == "unsynced"
    assert (update.pop("book_valid"), update.pop("spot_valid")) == (True, False)
    assert update.pop("values") == {k: pytest.approx(float(v)) for k, v in values.items()}
    assert update.pop("type") == "grid_update"
    assert {key: int(value) for key, value in update.items()} == {k: numbers[k] for k in update}


def test_wide_model_outputs_travel_as_text() -> None:
    field = Field("order", "int64", "1", "A number beyond 2^53.")
    row, _, _ = Tape().bin()
    update = json.loads(wire.grid_update(0, row, {"order": np.int64(2**62)}, [field]).encode())
    assert update["values"] == {"order": str(2**62)}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_bin_without_a_finite_number_is_refused(bad: float) -> None:
    row, values, _ = Tape().bin()
    with pytest.raises(SchemaError, match=r"grid_update 5.*score"):
        wire.grid_update(5, row, values | {"score": bad}, BIN_FIELDS)
    with pytest.raises(SchemaError, match="mid_price"):
        wire.grid_update(5, row | {"mid_price": bad}, values, BIN_FIELDS)


def test_a_bin_must_be_complete() -> None:
    row, values, _ = Tape().bin()
    with pytest.raises(SchemaError, match="no column mid_x2"):
        wire.grid_update(5, {k: v for k, v in row.items() if k != "mid_x2"}, values, BIN_FIELDS)
    for wrong in ({"score": 1.0}, values | {"more": 1}):
        with pytest.raises(SchemaError, match="differ from bin_schema_fields"):
            wire.grid_update(5, row, wrong, BIN_FIELDS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid_fields": GRID_FIELDS[1:]}, "k: the grid lacks a column"),
        ({"grid_fields": (*GRID_FIELDS, GRID_FIELDS[-1])}, "named twice"),
        ({"bin_fields": (*BIN_FIELDS, BIN_FIELDS[0])}, "named twice"),
        ({"visualization": {"default_field": "nothing"}}, "nothing is no column"),
        ({"epoch": "XYZ"}, "epoch"),
        ({"bin_ns": 0}, "bin_ns"),
        ({"grid_radius_ticks": 0}, "grid_radius_ticks"),
    ],
)
def test_an_impossible_configuration_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        make_config(**changes)


@pytest.mark.parametrize(
    ("tick", "decimals", "tick_int"),
    [("0.25", 2, "250000000"), ("1", 0, "1000000000"), ("10", 0, "10000000000"), ("1e-8", 8, "10")],
)
def test_the_instrument_on_the_wire(tick: str, decimals: int, tick_int: str) -> None:
    spec = instrument().model_copy(update={"tick_size": Decimal(tick)})
    plain = json.loads(make_config(instrument=spec).encode())["instrument"]
    assert (plain["price_decimals"], plain["tick_size_int"]) == (decimals, tick_int)
    assert plain["multiplier"] == "50"


def test_skipped_counts_its_bins() -> None:
    assert wire.skipped(4, 9).bins == 6
    with pytest.raises(SchemaError, match="count"):
        frames.parse_server('{"type":"skipped","from_seq":"4","to_seq":"9","bins":5}')


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '{"type":"ack"}', '{"type":1}', b"\xff"])
def test_what_is_no_frame_is_refused(text: str | bytes) -> None:
    with pytest.raises(SchemaError):
        frames.parse_server(text)
    with pytest.raises(SchemaError):
        frames.parse_client(text)


# ---- the close reason


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet=st.sampled_from("ab é€𝄞"), min_size=30, max_size=150))
@example("a" * 123)
@example("a" * 124)
@example("a" * 122 + "é")
@example("a" * 121 + "𝄞")
@example("")
def test_the_close_reason_is_the_longest_whole_prefix(message: str) -> None:
    reason = wire.close_reason(message)
    assert message.startswith(reason)
    assert len(reason.encode()) <= 123
    following = message[len(reason) : len(reason) + 1]
    assert not following or len((reason + following).encode()) > 123


def test_broken_unicode_does_not_break_the_error() -> None:
    message = "file \udcff.dbn"
    assert frames.parse_server(wire.error(message).encode()) == wire.error("file ?.dbn")
    assert wire.close_reason(message) == "file ?.dbn"


# ---- the binary message

DTYPES = ("bool", "int8", "int32", "int64", "float32", "float64")


@st.composite
def grids(draw: st.DrawFn) -> tuple[tuple[Field, ...], int, dict[str, np.ndarray]]:
    radius = draw(st.integers(1, 9))
    dtypes = draw(st.lists(st.sampled_from(DTYPES), max_size=8))
    fields = wire.grid_fields(Field(f"c{i}", d, "1", "?") for i, d in enumerate(dtypes))
    seed = draw(st.integers(0, 2**32 - 1))
    raw = np.random.default_rng(seed)
    columns = {}
    for field in fields[1:]:
        size = 2 * radius + 1
        if field.dtype == "bool":
            columns[field.name] = raw.random(size) < 0.5
        else:
            # Any bits: the extremes, not-a-numbers and infinities of each dtype.
            columns[field.name] = np.frombuffer(raw.bytes(size * field.numpy.itemsize), field.numpy)
    return fields, radius, columns


@settings(deadline=None, max_examples=60)
@given(grids())
def test_the_binary_message_carries_every_bit(
    made: tuple[tuple[Field, ...], int, dict[str, np.ndarray]],
) -> None:
    fields, radius, columns = made
    message = wire.ArrowEncoder(fields, radius).encode(columns)
    table = pa.ipc.open_stream(message).read_all()
    assert tuple(table.column_names) == names(fields)
    assert table.num_rows == 2 * radius + 1
    assert table["k"].to_pylist() == list(range(-radius, radius + 1))
    for field in fields[1:]:
        column = table[field.name]
        assert column.null_count == 0
        back = column.combine_chunks().to_numpy(zero_copy_only=False)
        assert back.dtype == field.numpy
        assert back.tobytes() == columns[field.name].tobytes()


def test_the_message_is_what_arrow_itself_writes() -> None:
    encoder = wire.ArrowEncoder(GRID_FIELDS, 50)
    _, _, columns = Tape().bin()
    table = pa.ipc.open_stream(encoder.encode(columns)).read_all()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, encoder.schema) as writer:
        writer.write_table(table)
    assert sink.getvalue().to_pybytes() == encoder.encode(columns)


def test_pandas_reads_a_message_in_one_line() -> None:
    _, _, columns = Tape().bin()
    message = wire.ArrowEncoder(GRID_FIELDS, 50).encode(columns)
    frame = pa.ipc.open_stream(message).read_pandas()
    assert frame.set_index("k").loc[0, "rest_depth"] == columns["rest_depth"][50]


def test_the_schema_is_constant_and_views_are_fine() -> None:
    encoder = wire.ArrowEncoder(GRID_FIELDS, 50)
    first, second = Tape(seed=1).bin()[2], Tape(seed=2).bin()[2]
    head = encoder.schema.serialize().to_pybytes()
    assert encoder.encode(first).startswith(head)
    assert encoder.encode(second).startswith(head)
    assert len(encoder.encode(first)) == len(encoder.encode(second))
    strided = {name: np.repeat(column, 2)[::2] for name, column in first.items()}
    assert encoder.encode(strided) == encoder.encode(first)


def test_columns_that_do_not_fit_are_refused() -> None:
    encoder = wire.ArrowEncoder(GRID_FIELDS, 50)
    _, _, good = Tape().bin()
    k = np.arange(-50, 51, dtype=np.int32)
    faults = [
        ({n: c for n, c in good.items() if n != "composite"}, "composite: column is missing"),
        (good | {"composite": good["composite"].astype(float)}, "composite.*float32.*float64"),
        (good | {"composite": good["composite"][:-1]}, r"composite.*\(100,\)"),
        (good | {"k": k[::-1]}, "k: rows are not"),
        (good | {"k": k[1:]}, "k: rows are not"),
    ]
    for columns, message in faults:
        with pytest.raises(SchemaError, match=message):
            encoder.encode(columns)
    assert encoder.encode(good | {"k": k, "unasked": k}) == encoder.encode(good)


def test_schemas_that_break_the_promise_are_refused() -> None:
    wrong = Field("pressure_variant", "float64", "size/s", "?", "force")
    with pytest.raises(SchemaError, match=r"pressure_variant.*float32.*float64"):
        wire.grid_fields([wrong])
    with pytest.raises(SchemaError, match="vacuum_variant"):
        wire.ArrowEncoder(GRID_FIELDS[:3], 5)
    with pytest.raises(SchemaError, match="twice"):
        wire.ArrowEncoder((*GRID_FIELDS, GRID_FIELDS[0]), 5)
    with pytest.raises(SchemaError, match="radius"):
        wire.ArrowEncoder(GRID_FIELDS, 0)


def test_the_columns_of_every_stream_come_first() -> None:
    described = Field("vacuum_variant", "float32", "size/s", "As gold describes it.", "force")
    fields = wire.grid_fields([Field("composite", "float32", "1", "?"), described])
    assert names(fields) == (*names(wire.ALWAYS), "composite")
    assert described in fields
