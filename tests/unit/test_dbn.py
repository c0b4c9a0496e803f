"""The reader: every version, every cut, every wrong file; and the choice of one book."""

from __future__ import annotations

from pathlib import Path

import databento
import numpy as np
import pytest
import zstandard

from qmachina.errors import DataError, FormatError, SelectionError
from qmachina.market import MBO_DTYPE
from qmachina.sources.dbn import DbnReader
from qmachina.sources.select import BookSource
from qmachina.sources.tape import START_NS, Tape
from qmachina.sources.ticks import infer_tick_size
from qmachina.sources.traps import TRAPS
from qmachina.sources.write import write_dbn

DAY_NS = 86_400 * 10**9


def save(path: Path, records: np.ndarray, symbols: dict[str, int] | None = None, **more) -> Path:
    """Write records as a file of one day."""
    if symbols is None:
        symbols = {f"S{i}": int(i) for i in np.unique(records["instrument_id"])}
    start = START_NS - START_NS % DAY_NS
    return write_dbn(
        path,
        records,
        dataset="XNAS.ITCH",
        symbols=symbols,
        start_ns=start,
        end_ns=start + DAY_NS,
        **more,
    )


def read(path: Path) -> np.ndarray:
    """Return all order records of a file."""
    with DbnReader(path) as reader:
        parts = [chunk.copy() for chunk in reader.chunks()]
    return np.concatenate([np.empty(0, MBO_DTYPE), *parts])


def tape() -> np.ndarray:
    return Tape().add(1, "B", 100, 5).add(2, "A", 101, 7).cancel(1).add(3, "B", 99, 1).records()


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("suffix", [".dbn", ".dbn.zst"])
def test_reads_what_was_written(tmp_path, version, suffix):
    path = save(tmp_path / f"a{suffix}", tape(), version=version)
    np.testing.assert_array_equal(read(path), tape())
    with DbnReader(path) as reader:
        assert reader.header.version == version
        assert reader.header.dataset == "XNAS.ITCH"
        assert reader.header.symbols == {
            int(tape()["instrument_id"][0]): f"S{tape()['instrument_id'][0]}"
        }
        assert reader.header.covered_until_ns == START_NS - START_NS % DAY_NS + DAY_NS


def test_many_chunks_and_frames(tmp_path, monkeypatch):
    monkeypatch.setattr("qmachina.sources.dbn.CHUNK_RECORDS", 3)
    records = np.concatenate([tape()] * 5)
    path = save(tmp_path / "a.dbn", records)
    raw = path.read_bytes()
    compress = zstandard.ZstdCompressor().compress
    frames = tmp_path / "frames.dbn.zst"
    frames.write_bytes(b"".join(compress(raw[i : i + 100]) for i in range(0, len(raw), 100)))
    np.testing.assert_array_equal(read(path), records)
    np.testing.assert_array_equal(read(frames), records)


@pytest.mark.parametrize("suffix", [".dbn", ".dbn.zst"])
def test_a_file_cut_at_any_byte_is_refused(tmp_path, suffix):
    raw = save(tmp_path / f"whole{suffix}", tape()).read_bytes()
    header = len(raw) - len(tape()) * 56
    cut = tmp_path / f"cut{suffix}"
    for n in range(len(raw)):
        cut.write_bytes(raw[:n])
        if suffix == ".dbn" and n >= header and (n - header) % 56 == 0:
            assert len(read(cut)) == (n - header) // 56  # a whole file of fewer records
            continue
        with pytest.raises(FormatError, match=f"^cut{suffix}: "):
            read(cut)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "x.dbn"
    for content, words in (
        (b"", "file is empty"),
        (b"hello world, this is no data", "not a DBN file"),
        (b"DBN\x09" + bytes(100), "unknown DBN version"),
        (b"DBN\x03\xff\xff\xff\x00" + bytes(50), "header is truncated"),
        (b"DBN\x03\x20\x00\x00\x00" + bytes(32), "header cannot be decoded"),
        (b"\x28\xb5\x2f\xfd" + bytes(50), "compressed data"),
    ):
        path.write_bytes(content)
        with pytest.raises(FormatError, match=words):
            read(path)
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "missing.dbn")


def test_another_schema_is_refused(tmp_path):
    raw = save(tmp_path / "a.dbn", tape()).read_bytes()
    at = raw.index(b"XNAS.ITCH") + 16  # the schema follows the 16-byte dataset
    assert raw[at : at + 2] == b"\x00\x00"
    path = tmp_path / "trades.dbn"
    path.write_bytes(raw[:at] + b"\x04\x00" + raw[at + 2 :])
    with pytest.raises(FormatError, match=r"another schema \(expected mbo, found trades\)"):
        read(path)


def live(path: Path, body: bytes) -> Path:
    """Write a capture of a live session: schema unknown, records of several kinds."""
    raw = save(path, tape()).read_bytes()
    header = raw[: 8 + int.from_bytes(raw[4:8], "little")]
    at = header.index(b"XNAS.ITCH") + 16
    path.write_bytes(header[:at] + b"\xff\xff" + header[at + 2 :] + body)
    return path


def record(rtype: int, length: int, instrument: int, body: bytes) -> bytes:
    head = bytes([length // 4, rtype]) + (1).to_bytes(2, "little")
    head += instrument.to_bytes(4, "little") + START_NS.to_bytes(8, "little")
    return head + body.ljust(length - 16, b"\0")


def test_a_live_capture_is_read_around_its_messages(tmp_path):
    orders = [r.tobytes() for r in tape()]
    mapping = record(0x16, 176, 77, bytes([1]) + b"ES.FUT".ljust(71, b"\0") + b"\1" + b"ESM4")
    heartbeat = record(0x17, 80, 0, b"Heartbeat")
    with_ts_out = bytes([16]) + orders[1][1:] + bytes(8)
    body = mapping + orders[0] + heartbeat + with_ts_out + orders[2] + orders[3]
    path = live(tmp_path / "live.dbn", body)
    np.testing.assert_array_equal(read(path), tape())
    with DbnReader(path) as reader:
        for _ in reader.chunks():
            pass
        assert reader.header.symbols[77] == "ESM4"


def test_failures_and_strangers_in_a_capture_are_refused(tmp_path):
    order = tape()[0].tobytes()
    error = record(0x15, 80, 0, b"Session lost")
    with pytest.raises(DataError, match="Session lost"):
        read(live(tmp_path / "a.dbn", order + error))
    with pytest.raises(FormatError, match=r"another kind .*found rtype 0x1"):
        read(live(tmp_path / "b.dbn", order + record(0x01, 80, 1, b"")))
    with pytest.raises(FormatError, match="impossible record length"):
        read(live(tmp_path / "c.dbn", order + bytes(56)))


def test_one_book_out_of_two_instruments(tmp_path):
    records = TRAPS["two_instruments"]()
    ids = np.unique(records["instrument_id"]).tolist()
    path = save(tmp_path / "two.dbn", records, {"AAA": ids[0], "BBB": ids[1]})
    with pytest.raises(SelectionError, match=r"several instruments and no choice.*AAA.*BBB"):
        list(BookSource(path).chunks())
    for asked in ("BBB", ids[1], str(ids[1])):
        source = BookSource(path, asked)
        got = np.concatenate([c.copy() for c in source.chunks()])
        np.testing.assert_array_equal(got, records[records["instrument_id"] == ids[1]])
        assert (source.symbol, source.instrument_id) == ("BBB", ids[1])
    with pytest.raises(SelectionError, match="symbol is not in the file"):
        BookSource(path, "CCC")
    with pytest.raises(SelectionError, match="instrument id is not in the file"):
        BookSource(path, 12345)


def test_an_unmapped_instrument_is_an_error_not_a_passenger(tmp_path):
    records = TRAPS["two_instruments"]()
    ids = np.unique(records["instrument_id"]).tolist()
    path = save(tmp_path / "one.dbn", records, {"AAA": ids[0]})
    with pytest.raises(SelectionError, match=r"record \d+: instrument id is not in the symb"):
        list(BookSource(path).chunks())


def test_one_publisher_of_two(tmp_path):
    records = TRAPS["two_publishers"]()
    ids = np.unique(records["publisher_id"]).tolist()
    path = save(tmp_path / "p.dbn", records)
    listed = ", ".join(map(str, ids))
    with pytest.raises(SelectionError, match=rf"several publishers and no choice.*{listed}"):
        list(BookSource(path).chunks())
    for publisher in ids:
        got = np.concatenate([c.copy() for c in BookSource(path, publisher=publisher).chunks()])
        np.testing.assert_array_equal(got, records[records["publisher_id"] == publisher])
    with pytest.raises(SelectionError, match="no records of the book"):
        list(BookSource(path, publisher=9999).chunks())


def test_a_file_without_records_is_said_to_have_none(tmp_path):
    path = save(tmp_path / "none.dbn", np.empty(0, MBO_DTYPE), {"S1": 1})
    with pytest.raises(SelectionError, match="no records of the book"):
        list(BookSource(path).chunks())


def test_tick_size_is_the_greatest_common_divisor(tmp_path):
    records = Tape().add(1, "B", 100, 5).add(2, "A", 103, 5).records()
    assert infer_tick_size(BookSource(save(tmp_path / "a.dbn", records))) == 250_000_000


def test_real_files_equal_the_vendors_reader(real_data):
    paths = sorted((real_data / "real").glob("*.dbn.zst"))
    paths += sorted((real_data / "vendor").rglob("*.mbo*.dbn*"))
    assert len(paths) >= 8
    for path in paths:
        reference = databento.DBNStore.from_bytes(path.read_bytes()).to_ndarray()
        assert read(path).tobytes() == reference.tobytes(), path.name
