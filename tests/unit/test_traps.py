"""Tapes written by hand say what they mean, and every trap holds what its name promises."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import databento
import numpy as np
import pytest
from numpy.typing import NDArray

from qmachina.errors import SpecError
from qmachina.market import DAY_NS, MBO_DTYPE, UNDEF_PRICE
from qmachina.sources.tape import START_NS, Tape
from qmachina.sources.traps import REFUSED, TRAPS, VERSIONS
from qmachina.sources.write import write_dbn

TICK = 250_000_000
SNAPSHOT, TOB, LAST = 32, 64, 128


def text(records: NDArray) -> str:
    """One word a record: action, side, order id, ticks and size; ``.`` marks F_LAST."""
    words = []
    for r in records:
        price = "-" if r["price"] == UNDEF_PRICE else f"{r['price'] / TICK:g}"
        end = "." if r["flags"] & LAST else ""
        words.append(f"{chr(r['action'])}{chr(r['side'])}{r['order_id']}@{price}x{r['size']}{end}")
    return " ".join(words)


# --- the tape ---


def test_a_tape_reads_as_it_was_written() -> None:
    tape = Tape().add(1, "B", 100, 5).add(2, "A", 101, 7)
    tape.trade("B", 101, 3, last=False).fill(2, 3, last=False).modify(2, size=4)
    tape.cancel(2, 1).cancel(2).modify(1, tick=99).clear()
    assert text(tape.records()) == (
        "AB1@100x5. AA2@101x7. TB0@101x3 FA2@101x3 MA2@101x4. "
        "CA2@101x1. CA2@101x3. MB1@99x5. RN0@-x0."
    )
    assert len(tape) == 9


def test_time_moves_from_event_to_event() -> None:
    tape = Tape(step_ns=10, latency_ns=3).add(1, "B", 100, 5, last=False).add(2, "A", 101, 7)
    records = tape.wait(ms=1).cancel(1).wait(-4).cancel(2).records()
    recv = (records["ts_recv"].astype(np.int64) - START_NS).tolist()
    assert recv == [0, 0, 1_000_010, 1_000_016]
    assert (records["ts_recv"] - records["ts_event"] == 3).all()
    assert records["sequence"].tolist() == [1, 2, 3, 4]
    start = datetime.datetime(2026, 1, 5, 14, 30, tzinfo=datetime.UTC)
    assert int(start.timestamp()) * 1_000_000_000 == START_NS


def test_executions_in_the_manner_of_two_venues() -> None:
    tape = Tape().add(1, "B", 100, 5)
    tape.execute(1, 2).execute(1, 1, one_event=False).execute(1, 2)
    assert text(tape.records()[1:]) == (
        "TA0@100x2 FB1@100x2 MB1@100x3. TA0@100x1. FB1@100x1. CB1@100x1. "
        "TA0@100x2 FB1@100x2 CB1@100x2."
    )
    times = tape.records()["ts_event"].astype(np.int64) - START_NS + 50_000
    assert times.tolist() == [0] + [1_000_000] * 3 + [2_000_000] * 3 + [3_000_000] * 3


def test_books_are_remembered_apart() -> None:
    tape = Tape(publisher=39).add(1, "B", 100, 5).switch(publisher=40).add(1, "A", 200, 6)
    tape.switch(instrument=5).add(1, "A", 300, 7).switch(instrument=900_001)
    tape.clear().switch(publisher=39).cancel(1)
    records = tape.records()
    assert text(records[3:]) == "RN0@-x0. CB1@100x5."
    assert records["publisher_id"].tolist() == [39, 40, 40, 40, 39]
    assert records["instrument_id"].tolist() == [900_001, 900_001, 5, 900_001, 900_001]


def test_any_field_can_be_set() -> None:
    tape = Tape().add(1, "B", 0, 5, price=7, flags=4, ts_in_delta=-1, channel_id=3, sequence=9)
    record = tape.records()[0]
    assert (record["price"], record["flags"], record["ts_in_delta"]) == (7, 132, -1)
    assert (record["channel_id"], record["sequence"]) == (3, 9)


def test_mistakes_of_the_writer_are_errors() -> None:
    with pytest.raises(SpecError, match="order 3 is not on the tape"):
        Tape().cancel(3)
    with pytest.raises(SpecError, match=r"no such field.*colour"):
        Tape().add(1, "B", 1, 1, colour=2)


def test_snapshot_looks_like_a_real_one() -> None:
    tape = Tape().add(9, "B", 1, 1).snapshot((1, "B", 99, 5), (2, "A", 100, 6)).cancel(1)
    records = tape.records()[1:]
    assert text(records) == "RN0@-x0 AB1@99x5 AA2@100x6. CB1@99x5."
    assert records["flags"].tolist() == [40, 40, 168, 128]
    assert len(set(records["ts_recv"][:3].tolist())) == 1
    assert (np.diff(records["sequence"][1:3].astype(np.int64)) < 0).all()
    assert (records["ts_event"][1:3] < records["ts_recv"][1:3] - 10**9).all()
    bare = Tape().snapshot((1, "B", 99, 5), clear=False, last=False).records()
    assert (text(bare), bare["flags"].tolist()) == ("AB1@99x5", [40])
    assert Tape().snapshot().records()["flags"].tolist() == [168]


# --- the traps ---


@pytest.mark.parametrize("name", [*TRAPS, *REFUSED])
def test_traps_are_explained_legal_files(name: str, tmp_path: Path) -> None:
    builder = {**TRAPS, **REFUSED}[name]
    assert "Right: " in builder.__doc__ or "Refused: " in builder.__doc__
    records = builder()
    assert records.dtype == MBO_DTYPE
    assert records.tobytes() == builder().tobytes()
    midnight = START_NS // DAY_NS * DAY_NS
    path = write_dbn(
        tmp_path / f"{name}.mbo.dbn.zst",
        records,
        dataset="GLBX.MDP3",
        symbols={"QMZ9": int(records["instrument_id"][0])},
        start_ns=midnight,
        end_ns=midnight + 3 * DAY_NS,
        version=VERSIONS.get(name, 3),
    )
    store = databento.DBNStore.from_bytes(path.read_bytes())
    assert store.metadata.version == VERSIONS.get(name, 3)
    assert store.to_ndarray().tobytes() == records.tobytes()
    assert (records["ts_recv"] < midnight + 3 * DAY_NS).all()


def live(records: NDArray) -> NDArray:
    return records[records["flags"] & SNAPSHOT == 0]


def recv_steps(records: NDArray) -> list[int]:
    return np.diff(records["ts_recv"].astype(np.int64)).tolist()


#: What each trap must hold for its name to be true.
CLAIMS: dict[str, Callable[[NDArray], bool]] = {
    "separate_trade_fill_cancel": lambda r: "TB0@100x2. FA3@100x2. CA3@100x2." in text(r),
    "fill_then_fill": lambda r: "FA3@100x2 TB0@100x3 FA3@100x3 CA3@100x6." in text(r),
    "fill_never_settled": lambda r: text(live(r)) == "FA3@100x6. CA3@100x6. FB1@99x5. RN0@-x0.",
    "fill_then_move": lambda r: text(live(r)) == "TB0@100x2 FA3@100x2 MA3@102x4.",
    "cancel_between_fill_and_modify": lambda r: (
        text(live(r)) == "TB0@100x2 FA3@100x2 CA4@101x9 MA3@100x4."
    ),
    "clear_without_last": lambda r: (
        text(live(r)).startswith("RN0@-x0 AB11") and recv_steps(live(r))[0] == 0
    ),
    "clear_inside_snapshot": lambda r: (
        text(r).startswith("RN0@-x0 AB1@99x5 AA3@100x6 RN0@-x0 AB11@98x1 AA12@99x1.")
        and recv_steps(r)[:5] == [0] * 5
    ),
    "implicit_snapshot": lambda r: r["flags"].tolist() == [40, 168, 128],
    "snapshot_without_last": lambda r: r["flags"].tolist() == [40, 40, 40, 128],
    "snapshot_only": lambda r: bool(r["flags"][-1] == 168) and len(live(r)) == 0,
    "empty_snapshot": lambda r: text(r).startswith("RN0@-x0. AB1"),
    "snapshot_after_snapshot": lambda r: r["flags"].tolist() == [40, 40, 168, 40, 168, 128],
    "snapshot_in_mid_session": lambda r: (
        np.flatnonzero(r["flags"] & SNAPSHOT).tolist() == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]
    ),
    "recv_changes_inside_event": lambda r: (
        recv_steps(live(r))[:2] == [0, 5_000_000] and len(set(live(r)["ts_event"][:3])) == 1
    ),
    "equal_timestamps": lambda r: (
        recv_steps(live(r)) == [0] * 4 and (live(r)["flags"] == 128).all()
    ),
    "unsynced_start": lambda r: len(live(r)) == len(r) and "R" not in text(r),
    "unknown_cancel": lambda r: text(live(r)).startswith("CB99@99x3."),
    "unknown_modify": lambda r: text(live(r)).startswith("MB99@97x3."),
    "duplicate_add": lambda r: text(live(r)).startswith("AB1@97x2."),
    "partial_cancel": lambda r: text(live(r)) == "CB1@99x2. CB1@99x3.",
    "oversized_cancel": lambda r: text(live(r)).startswith("CB1@99x50."),
    "side_changing_modify": lambda r: text(live(r)).startswith("MA2@103x8."),
    "size_changing_modify": lambda r: text(live(r)) == "MB1@99x9. MB1@99x2.",
    "top_of_book_publisher": lambda r: (
        (r["flags"][1:] & TOB > 0).all()
        and set(r["order_id"]) == {0}
        and "TB0@100x100." in text(r)
        and "AB0@-x0." in text(r)
    ),
    "two_publishers": lambda r: set(r["publisher_id"]) == {39, 41},
    "two_instruments": lambda r: (
        live(r)["instrument_id"].tolist() == [1, 2, 1]
        and live(r)["flags"].tolist() == [0, 128, 128]
        and recv_steps(live(r)) == [0, 0]
    ),
    "publisher_specific_flag": lambda r: live(r)["flags"].tolist() == [130, 128, 128],
    "crossed_before_open": lambda r: "AA2@101x6. AB3@102x4. MB3@101x4." in text(r),
    "negative_prices": lambda r: (r["price"] < 0).sum() == 4 and (r["price"][1:] % TICK == 0).all(),
    "lost_last": lambda r: (
        live(r)["flags"].tolist() == [0, 128]
        and recv_steps(live(r))[0] > 0
        and len(set(live(r)["ts_event"])) == 2
    ),
    "unterminated_end": lambda r: bool(r["flags"][-1] == 0),
    "sequence_backward": lambda r: live(r)["sequence"].tolist() == [900, 880, 880],
    "receive_time_backward": lambda r: min(recv_steps(live(r))) < -100_000_000,
    "trade_without_side": lambda r: "TN0@100x7." in text(r),
    "trade_off_grid": lambda r: "TB0@99.5x3." in text(r),
    "fill_of_hidden_order": lambda r: "FA500@100x4." in text(r),
    "no_action": lambda r: "NN0@100x0." in text(r),
    "long_hole": lambda r: max(recv_steps(r)) > 22 * 3600 * 10**9,
    "dbn_version_1": lambda r: VERSIONS["dbn_version_1"] == 1,
    "off_grid_add": lambda r: bool(live(r)["price"][0] % TICK) and len(live(r)) == 1,
    "endless_event": lambda r: len(live(r)) == 65_537 and not (live(r)["flags"] & LAST).any(),
}


def test_every_trap_has_a_claim() -> None:
    assert set(CLAIMS) == {*TRAPS, *REFUSED}


@pytest.mark.parametrize("name", CLAIMS)
def test_traps_hold_what_they_promise(name: str) -> None:
    records = {**TRAPS, **REFUSED}[name]()
    assert CLAIMS[name](records), text(records)
