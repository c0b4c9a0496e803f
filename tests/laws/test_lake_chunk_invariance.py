"""However the chunks are cut, the file has the same bytes and gives the same arrays back."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qmachina.fields import Chunk, Field, concat
from qmachina.lake.contract import Table
from qmachina.lake.reader import open_table, read_chunks
from qmachina.lake.writer import ChunkWriter

FIELDS = tuple(
    Field(f"x_{dtype}", dtype, "1", "Any number.")  # type: ignore[arg-type]
    for dtype in ("bool", "int8", "int32", "int64", "float32", "float64")
)


def random_chunk(n_bins: int, radius: int, first: int, seed: int) -> Chunk:
    """Every bit pattern of every dtype, NaN payloads and infinities included."""
    rng = np.random.default_rng(seed)

    def values(field: Field, shape: tuple[int, ...]) -> np.ndarray:
        if field.dtype == "bool":
            return rng.integers(0, 2, shape).astype(bool)
        size = int(np.prod(shape)) * field.numpy.itemsize
        return np.frombuffer(rng.bytes(size), field.numpy).reshape(shape)

    bins = {f.name: values(f, (n_bins,)) for f in FIELDS}
    grid = {f.name: values(f, (n_bins, 2 * radius + 1)) for f in FIELDS}
    return Chunk({"bin_seq": np.arange(first, first + n_bins), **bins}, grid)


def write(table: Table, chunk: Chunk, cuts: Sequence[int], size: int, path: Path) -> bytes:
    edges = [0, *sorted(cuts), chunk.n_bins]
    with ChunkWriter(path, table, size) as writer:
        for start, stop in itertools.pairwise(edges):
            writer.write(chunk.slice(start, stop))
    return path.read_bytes()


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_bytes_and_arrays_do_not_depend_on_the_cuts(data: st.DataObject) -> None:
    n_bins = data.draw(st.integers(0, 40), "n_bins")
    radius = data.draw(st.integers(1, 4), "radius")
    size = data.draw(st.integers(1, 17), "bins per group")
    chunk = random_chunk(
        n_bins, radius, data.draw(st.integers(0, 9)), data.draw(st.integers(0, 99))
    )
    cuts = data.draw(st.lists(st.integers(0, n_bins), max_size=12), "cuts")
    tables = (Table.bins(FIELDS), Table.grid(FIELDS, radius))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {}
        for table in tables:
            whole = write(table, chunk, (), size, folder / "whole.parquet")
            assert write(table, chunk, cuts, size, folder / table.file_name) == whole
            file = open_table(folder / table.file_name, table)
            assert file.num_row_groups == -(-n_bins // size)
            files[table.name] = (file, table)
        back = concat(read_chunks(files))
        for file, _ in files.values():
            file.close()
    if n_bins:
        assert back.bins.keys() == chunk.bins.keys()
        assert back.grid.keys() == chunk.grid.keys()
        assert all(same_bits(back.bins[k], v) for k, v in chunk.bins.items())
        assert all(same_bits(back.grid[k], v) for k, v in chunk.grid.items())
        assert all(v.flags.writeable for v in (*back.bins.values(), *back.grid.values()))
    else:
        assert back.n_bins == 0
