"""book, grid and mbp on small files: outputs whole or absent, errors in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from qmachina.cli import main
from qmachina.market import UNDEF_PRICE
from qmachina.sources.tape import Tape
from tests.unit.test_dbn import save


@pytest.fixture
def file(tmp_path) -> Path:
    tape = Tape().snapshot((1, "B", 99, 5), (2, "A", 101, 6))
    tape.add(3, "B", 100, 4).wait(ms=250).execute(2, 2).cancel(1, 3).modify(3, size=1)
    return save(tmp_path / "xnas-itch-20260105.mbo.dbn.zst", tape.records(), {"ABC": 900_001})


def run(capsys, *words: object) -> tuple[int, str, str]:
    code = main.run([str(w) for w in words])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_book(capsys, file):
    code, out, err = run(capsys, "book", file, "--json")
    end = json.loads(out)
    assert code == 0
    assert (end["orders"], end["bid_levels"], end["ask_levels"]) == (3, 2, 1)
    assert end["best_bid_price_int"] == 100 * 250_000_000
    assert end["book_state"] == "valid"
    assert end["flags"]["snapshot"] == 3
    assert "inferred from the prices" in err
    assert run(capsys, "book", file)[0] == 0


def test_grid(capsys, file, tmp_path):
    out = tmp_path / "deep" / "g"
    code, text, _ = run(
        capsys, "grid", file, "--out", out, "--cell-ms", 50, "--radius", 5, "--json"
    )
    assert code == 0
    manifest = json.loads(text)
    assert sorted(p.name for p in out.iterdir()) == [
        "bins.parquet",
        "grid.parquet",
        "manifest.json",
    ]
    bins, grid = pq.read_table(out / "bins.parquet"), pq.read_table(out / "grid.parquet")
    assert bins.num_rows == manifest["counts"]["bins"]
    assert grid.num_rows == bins.num_rows * 11
    assert grid.schema.names[:2] == ["bin_seq", "k"]
    assert grid.column("fill_ask").to_numpy().sum() == 2
    assert run(capsys, "grid", file, "--out", out)[0] == 4
    assert [p.name for p in out.parent.iterdir()] == ["g"]


def test_grid_within_a_range(capsys, file, tmp_path):
    words = ("--start", "14:30:00", "--end", "2026-01-05T14:30:01", "--tick-size", "0.25")
    assert run(capsys, "grid", file, "--out", tmp_path / "g", *words)[0] == 0
    ends = pq.read_table(tmp_path / "g" / "bins.parquet").column("ts_ns").to_numpy()
    assert len(ends) == 10
    assert (np.diff(ends) == 100_000_000).all()


def test_mbp(capsys, file, tmp_path):
    out = tmp_path / "m.parquet"
    assert run(capsys, "mbp", file, "--levels", 2, "--out", out)[0] == 0
    table = pq.read_table(out)
    assert table.schema.names[:9] == [
        "ts_recv",
        "ts_event",
        "sequence",
        "action",
        "side",
        "price",
        "size",
        "flags",
        "bid_px_00",
    ]
    actions = table.column("action").to_pylist()
    assert "F" not in actions
    trade = table.slice(actions.index("T"), 1).to_pylist()[0]
    assert trade["ask_sz_00"] in (4, 6)
    assert table.column("ask_px_01").to_pylist()[-1] == UNDEF_PRICE
    assert table.column("ask_ct_01").to_pylist()[-1] == 0


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (("book",), 2, "Missing parameter"),
        (("book", "FILE", "--nonsense"), 2, "No such option"),
        (("book", "missing.dbn"), 3, "missing.dbn: file does not exist"),
        (("book", "FILE", "--instrument", "XYZ"), 3, "expected 900001 ABC, found XYZ"),
        (("book", "FILE", "--publisher", "77"), 3, "no records of the book"),
        (("grid", "FILE", "--out", "OUT", "--tick-size", "0.3"), 3, "largest tick size that fits"),
        (("grid", "FILE", "--out", "OUT", "--cell-ms", "7"), 3, "cell_width_ms must divide a day"),
        (("grid", "FILE", "--out", "OUT", "--start", "noon"), 3, "not a time"),
        (("mbp", "FILE", "--out", "OUT", "--tick-size", "-1"), 3, "tick_size is not a positive"),
    ],
)
def test_errors_are_one_plain_line_and_leave_nothing(capsys, file, tmp_path, command, code, words):
    names = {"FILE": str(file), "OUT": str(tmp_path / "out")}
    before = sorted(tmp_path.iterdir())
    got, out, err = run(capsys, *(names.get(w, w) for w in command))
    lines = [line for line in err.splitlines() if not line.startswith("qmachina: note: ")]
    assert got == code
    assert out == ""
    assert len(lines) == 1
    assert lines[0].startswith("qmachina: error: ")
    assert words in lines[0]
    assert sorted(tmp_path.iterdir()) == before
