"""Write tables: chunks into Parquet row groups, with bounded memory.

Value columns are split by byte and compressed lightly, without dictionary or statistics: that
is what noisy numbers want. ``bin_seq`` keeps its statistics, so engines can skip row groups.
Every page carries a checksum that each read verifies.

The bytes of a file depend on its columns alone, never on how the chunks were cut: chunks are
gathered into full row groups first. Nothing in a file depends on the time of writing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qmachina.errors import LakeError, SchemaError
from qmachina.fields import Chunk, Field
from qmachina.lake.contract import Table

ROWS_PER_GROUP = 262_144


class ChunkWriter:
    """Write one table of a dataset, chunk by chunk.

    As a context manager it finishes the file, or deletes it when an error passes through.

    Parameters
    ----------
    path : Path
        File to write.
    table : Table
        Kind ``bins`` or ``grid``.
    bins_per_group : int, optional
        Bins of a full row group; by default what the table says.

    Notes
    -----
    Memory: one row group, about 42 MB for the silver grid at K = 50.
    """

    def __init__(self, path: Path, table: Table, bins_per_group: int | None = None) -> None:
        if table.kind == "rows":
            raise SchemaError("a table of rows is not written in chunks", subject=table.name)
        self.path = path
        self.table = table
        self.n_bins = 0
        self._capacity = bins_per_group or table.bins_per_group
        self._filled = 0
        shape = (self._capacity, table.rows_per_bin)
        self._buffers = {f.name: np.empty(shape, f.numpy) for f in table.fields}
        if table.kind == "grid":
            self._buffers["k"][:] = _offsets(table)
        self._next_seq: int | None = None
        self._writer = _open_writer(path, table)

    def write(self, chunk: Chunk) -> None:
        """Append the bins of a chunk.

        Parameters
        ----------
        chunk : Chunk
            ``bins["bin_seq"]`` must continue where the last chunk ended. The value columns come
            from ``bins``, shape (n_bins,), or ``grid``, shape (n_bins, 2K + 1), as the table's
            kind says; they must be exactly the contract's, dtype for dtype.

        Raises
        ------
        SchemaError
            Naming the column, what was expected and what was found.
        LakeError
            If the disk refuses.
        """
        columns = self._columns(chunk)
        if chunk.n_bins:
            self._next_seq = int(chunk.bins["bin_seq"][-1]) + 1
        done = 0
        while done < chunk.n_bins:
            n = min(self._capacity - self._filled, chunk.n_bins - done)
            for name, values in columns.items():
                self._buffers[name][self._filled : self._filled + n] = values[done : done + n]
            self._filled += n
            done += n
            if self._filled == self._capacity:
                self._flush()
        self.n_bins += chunk.n_bins

    def close(self) -> None:
        """Write what is left and finish the file."""
        if self._filled:
            self._flush()
        _on_disk(self.path, self._writer.close)

    def abort(self) -> None:
        """Give up: leave no file."""
        _abandon(self.path, self._writer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.abort()
            return
        try:
            self.close()
        except BaseException:
            self.abort()
            raise

    def _columns(self, chunk: Chunk) -> dict[str, NDArray]:
        """Return the chunk's columns checked and shaped (n_bins, rows_per_bin)."""
        table, n = self.table, chunk.n_bins
        given = chunk.bins if table.kind == "bins" else chunk.grid
        seq = self._bin_seq(chunk)
        columns = {"bin_seq": seq[:, None]}
        shape = (n,) if table.kind == "bins" else (n, table.rows_per_bin)
        for f in table.values:
            if f.name not in given:
                raise self._refuse(f.name, f"{f.dtype} {shape}", "nothing")
            self._check(f, given[f.name], shape)
            columns[f.name] = given[f.name].reshape(n, table.rows_per_bin)
        for name in given:
            if name not in self._buffers:
                raise self._refuse(name, "no such column", "one")
        if table.kind == "grid":
            # A grid may carry its index columns along; they must say what the file will say.
            for name, truth in (("bin_seq", seq[:, None]), ("k", _offsets(table))):
                if name in given and not np.array_equal(given[name], np.broadcast_to(truth, shape)):
                    raise self._refuse(name, "the index of the grid", "other values")
        return columns

    def _bin_seq(self, chunk: Chunk) -> NDArray:
        """Return the numbers of the chunk's bins, which must follow the last chunk's."""
        if "bin_seq" not in chunk.bins:
            raise self._refuse("bin_seq", "int64 (n_bins,)", "nothing")
        seq, n = chunk.bins["bin_seq"], chunk.n_bins
        self._check(self.table.fields[0], seq, (n,))
        if n:
            first = int(seq[0]) if self._next_seq is None else self._next_seq
            wrong = np.flatnonzero(seq != np.arange(first, first + n))
            if wrong.size:
                at = int(wrong[0])
                raise self._refuse(
                    "bin_seq", f"{first + at} at bin {self.n_bins + at}", int(seq[at])
                )
        return seq

    def _check(self, field: Field, values: NDArray, shape: tuple[int, ...]) -> None:
        if values.dtype != field.numpy or values.shape != shape:
            raise self._refuse(
                field.name, f"{field.dtype} {shape}", f"{values.dtype} {values.shape}"
            )

    def _refuse(self, column: str, expected: object, found: object) -> SchemaError:
        return SchemaError(
            f"column {column} cannot be written",
            subject=self.path.name,
            expected=expected,
            found=found,
        )

    def _flush(self) -> None:
        columns = {name: b[: self._filled].reshape(-1) for name, b in self._buffers.items()}
        _write_group(self.path, self._writer, self.table, columns)
        self._filled = 0


class PartitionWriter:
    """Write all chunked tables of one dataset with aligned row groups.

    Parameters
    ----------
    folder : Path
        Receives ``<name>.parquet`` for each table.
    tables : sequence of Table
        Kinds ``bins`` and ``grid``.
    """

    def __init__(self, folder: Path, tables: Sequence[Table]) -> None:
        size = min((t.bins_per_group for t in tables), default=1)
        with ExitStack() as opened:
            self.writers = tuple(
                opened.enter_context(ChunkWriter(folder / t.file_name, t, size)) for t in tables
            )
            self._stack = opened.pop_all()

    @property
    def n_bins(self) -> int:
        """Bins written so far."""
        return self.writers[0].n_bins if self.writers else 0

    def write(self, chunk: Chunk) -> None:
        """Append the bins of a chunk to every table."""
        for writer in self.writers:
            writer.write(chunk)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)


def write_rows(path: Path, table: Table, columns: Mapping[str, NDArray]) -> None:
    """Write a table of kind ``rows`` in one go.

    Parameters
    ----------
    path : Path
        File to write.
    table : Table
        Its fields name the columns.
    columns : mapping of str to ndarray, shape (n_rows,)
        Exactly the table's columns.

    Raises
    ------
    SchemaError
        Naming the column, what was expected and what was found.
    """
    n = next((len(v) for v in columns.values()), 0)
    for name in {f.name for f in table.fields} ^ set(columns):
        raise SchemaError(
            f"column {name} cannot be written",
            subject=path.name,
            expected="no such column" if name in columns else "one",
            found="one" if name in columns else "nothing",
        )
    for f in table.fields:
        values = columns[f.name]
        if values.dtype != f.numpy or values.shape != (n,):
            raise SchemaError(
                f"column {f.name} cannot be written",
                subject=path.name,
                expected=f"{f.dtype} {(n,)}",
                found=f"{values.dtype} {values.shape}",
            )
    writer = _open_writer(path, table)
    try:
        for start in range(0, n, ROWS_PER_GROUP):
            part = {name: v[start : start + ROWS_PER_GROUP] for name, v in columns.items()}
            _write_group(path, writer, table, part)
        _on_disk(path, writer.close)
    except BaseException:
        _abandon(path, writer)
        raise


def _offsets(table: Table) -> NDArray:
    radius = table.radius or 0
    return np.arange(-radius, radius + 1, dtype=np.int32)


def _open_writer(path: Path, table: Table) -> Any:
    split = [f.name for f in table.fields if f.dtype != "bool"]
    return _on_disk(
        path,
        lambda: pq.ParquetWriter(
            path,
            table.schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=False,
            column_encoding=dict.fromkeys(split, "BYTE_STREAM_SPLIT"),
            write_statistics=[f.name for f in table.index if f.name == "bin_seq"],
            write_page_checksum=True,
        ),
    )


def _abandon(path: Path, writer: Any) -> None:
    # Closing writes a footer, which a full disk refuses once more; the file goes anyway.
    for step in (writer.close, lambda: path.unlink(missing_ok=True)):
        with suppress(OSError, pa.ArrowException):
            step()


def _write_group(path: Path, writer: Any, table: Table, columns: Mapping[str, NDArray]) -> None:
    arrays = [pa.array(columns[f.name]) for f in table.fields]
    group = pa.Table.from_arrays(arrays, schema=table.schema)
    if group.num_rows:
        _on_disk(path, lambda: writer.write_table(group, row_group_size=group.num_rows))


def _on_disk(path: Path, step: Callable[[], Any]) -> Any:
    """Run one step that writes, naming the file when the disk refuses."""
    try:
        return step()
    except OSError as e:
        raise LakeError(f"cannot be written: {e.strerror or e}", subject=path) from e
