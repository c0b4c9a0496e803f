"""Files written by `write_dbn` are genuine DBN, complete or absent, and the same every time."""

from __future__ import annotations

import datetime
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import databento
import numpy as np
import pytest
from numpy.typing import NDArray

from qmachina.errors import FormatError, SpecError
from qmachina.market import DAY_NS, MBO_DTYPE
from qmachina.sources.tape import START_NS, Tape
from qmachina.sources.write import DBN_VERSIONS, write_dbn

MIDNIGHT = START_NS // DAY_NS * DAY_NS
ARGUMENTS = {
    "dataset": "GLBX.MDP3",
    "symbols": {"QMZ9": 900_001, "QMH0": 900_002},
    "start_ns": MIDNIGHT,
    "end_ns": MIDNIGHT + DAY_NS,
}


def records(n: int = 100) -> NDArray:
    tape = Tape()
    for i in range(n):
        tape.add(i + 1, "BA"[i % 2], 20_000 + i % 2, 1 + i)
    return tape.records()


@pytest.mark.parametrize("suffix", [".dbn", ".dbn.zst"])
@pytest.mark.parametrize("version", DBN_VERSIONS)
def test_the_vendors_reader_finds_what_was_written(
    tmp_path: Path, version: int, suffix: str
) -> None:
    path = write_dbn(tmp_path / f"x.mbo{suffix}", records(), version=version, **ARGUMENTS)
    store = databento.DBNStore.from_bytes(path.read_bytes())
    assert store.metadata.version == version
    assert (store.dataset, store.schema) == ("GLBX.MDP3", "mbo")
    assert (store.metadata.start, store.metadata.end) == (MIDNIGHT, MIDNIGHT + DAY_NS)
    day = datetime.date(2026, 1, 5)
    interval = {"start_date": day, "end_date": day + datetime.timedelta(days=1)}
    assert store.mappings == {
        "QMZ9": [{**interval, "symbol": "900001"}],
        "QMH0": [{**interval, "symbol": "900002"}],
    }
    assert store.to_ndarray().tobytes() == records().tobytes()
    raw = path.read_bytes()
    assert raw.startswith(b"DBN" if suffix == ".dbn" else b"\x28\xb5\x2f\xfd")


@pytest.mark.parametrize("suffix", [".dbn", ".dbn.zst"])
def test_chunks_do_not_show_in_the_file(tmp_path: Path, suffix: str) -> None:
    whole = records()
    one = write_dbn(tmp_path / f"one{suffix}", whole, **ARGUMENTS)
    cuts = [whole[:0], whole[:1], whole[1:60], whole[60:]]
    many = write_dbn(tmp_path / f"many{suffix}", iter(cuts), **ARGUMENTS)
    assert one.read_bytes() == many.read_bytes()


def test_a_strided_view_is_written_as_it_reads(tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "x.dbn", records()[::3], **ARGUMENTS)
    stored = databento.DBNStore.from_bytes(path.read_bytes()).to_ndarray()
    assert stored.tobytes() == records()[::3].tobytes()


def test_no_records_are_a_valid_file(tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "x.dbn.zst", np.zeros(0, MBO_DTYPE), **ARGUMENTS)
    assert len(databento.DBNStore.from_bytes(path.read_bytes()).to_ndarray()) == 0


def test_dates_of_the_mapping_can_be_given(tmp_path: Path) -> None:
    dates = (datetime.date(2026, 1, 1), datetime.date(2026, 2, 1))
    path = write_dbn(tmp_path / "x.dbn", records(), dates=dates, **ARGUMENTS)
    interval = databento.DBNStore.from_bytes(path.read_bytes()).mappings["QMZ9"][0]
    assert (interval["start_date"], interval["end_date"]) == dates


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"version": 4}, "version"),
        ({"version": 0}, "version"),
        ({"end_ns": MIDNIGHT}, "end_ns"),
        ({"start_ns": -1}, "end_ns"),
        ({"dates": (datetime.date(2026, 1, 5),) * 2}, "interval"),
        ({"symbols": {"Q" * 71: 1}}, "too long"),
        ({"symbols": {"Q" * 22: 1}, "version": 1}, "too long"),
        ({"dataset": "D" * 17}, "too long"),
    ],
)
def test_impossible_metadata_is_refused(tmp_path: Path, change: dict, word: str) -> None:
    with pytest.raises(SpecError, match=rf"x\.dbn: .*{word}"):
        write_dbn(tmp_path / "x.dbn", records(), **{**ARGUMENTS, **change})
    assert not list(tmp_path.iterdir())


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="suffix"):
        write_dbn(tmp_path / "x.csv", records(), **ARGUMENTS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".dbn", ".dbn.zst"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    path = write_dbn(tmp_path / f"x{suffix}", records(5), **ARGUMENTS)
    before = path.read_bytes()

    def broken() -> Iterator[NDArray]:
        yield records()
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        write_dbn(path, broken(), **ARGUMENTS)
    wrong = [records(), np.zeros(3, np.int64)]
    with pytest.raises(FormatError, match=r"chunk 1 .*int64"):
        write_dbn(path, wrong, **ARGUMENTS)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_memory_is_bounded_by_a_chunk(tmp_path: Path) -> None:
    chunk = np.zeros(16_384, MBO_DTYPE)
    tracemalloc.start()
    try:
        write_dbn(tmp_path / "x.dbn.zst", (chunk.copy() for _ in range(60)), **ARGUMENTS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * chunk.nbytes
