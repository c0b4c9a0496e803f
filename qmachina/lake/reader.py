"""Read tables: Parquet row groups back into chunks, with bounded memory.

Every page's checksum is verified on the way. Arrays are fresh and writable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qmachina.errors import LakeError, SchemaError
from qmachina.fields import Chunk
from qmachina.lake.contract import Table
from qmachina.lake.manifest import Manifest, hash_footer

#: Open files by table name.
Files = dict[str, tuple[Any, Table]]


def open_table(path: Path, table: Table) -> pq.ParquetFile:
    """Open a file and check that it is the table.

    Raises
    ------
    SchemaError
        If it is no Parquet file, or another table.
    """
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as e:
        raise SchemaError(f"not a Parquet file: {e}", subject=path) from e
    try:
        table.check(file.schema_arrow, path)
        rows = file.metadata.num_rows
        if rows % table.rows_per_bin:
            raise SchemaError(
                "the grid is not dense",
                subject=path,
                expected=f"a multiple of {table.rows_per_bin} rows",
                found=rows,
            )
    except BaseException:
        file.close()
        raise
    return file


def read_groups(
    file: pq.ParquetFile, table: Table, columns: Sequence[str] | None = None
) -> Iterator[dict[str, NDArray]]:
    """Yield one mapping of arrays per row group; memory is one row group.

    Arrays are writable and have shape (n_rows,), or (n_bins, 2K + 1) for a grid.
    """
    wanted = pick(table, columns)
    for i in range(file.num_row_groups):
        yield to_arrays(_decode(file, i, wanted, table), table)


def read_all(file: pq.ParquetFile, table: Table, columns: Sequence[str] | None = None) -> pa.Table:
    """Return a whole file as one Arrow table."""
    wanted = pick(table, columns)
    groups = [_decode(file, i, wanted, table) for i in range(file.num_row_groups)]
    if groups:
        return pa.concat_tables(groups)
    return table.schema.empty_table().select(wanted)


def read_chunks(
    files: Mapping[str, tuple[pq.ParquetFile, Table]], columns: Sequence[str] | None = None
) -> Iterator[Chunk]:
    """Yield the chunks of a dataset, one per row group; none where it has no bins.

    Parameters
    ----------
    files : mapping of str to (ParquetFile, Table)
        At most one table of kind ``bins`` and one of kind ``grid``, as `open_table` gives them.
    columns : sequence of str, optional
        Only these value columns. ``bin_seq`` always comes along, in ``bins``.

    Raises
    ------
    SchemaError
        If a column is in no table, or the tables do not hold the same bins.
    """
    parts = [
        (table.kind, read_groups(file, table, names))
        for file, table, names in _chunk_columns(files, columns)
    ]
    for groups in _together(parts):
        yield _chunk(groups)


def empty_chunk(
    files: Mapping[str, tuple[pq.ParquetFile, Table]], columns: Sequence[str] | None = None
) -> Chunk:
    """Return the chunk of no bins that `read_chunks` would give: right columns, right dtypes."""
    return _chunk(
        {
            table.kind: to_arrays(table.schema.empty_table().select(names), table)
            for _, table, names in _chunk_columns(files, columns)
        }
    )


def to_arrays(batch: pa.Table, table: Table) -> dict[str, NDArray]:
    """Return the columns of an Arrow table as writable arrays; a grid's have 2K + 1 columns."""
    result = {}
    for name in batch.column_names:
        values = batch.column(name).to_numpy()
        result[name] = values.reshape(-1, table.rows_per_bin) if table.kind == "grid" else values
    return result


def pick(table: Table, columns: Sequence[str] | None) -> list[str]:
    """Return the wanted column names; SchemaError if one is not in the table."""
    names = [f.name for f in table.fields]
    for name in columns or ():
        if name not in names:
            raise SchemaError(
                f"column {name} is not in the table",
                subject=table.file_name,
                expected=", ".join(names),
            )
    return names if columns is None else list(columns)


def _chunk_columns(
    files: Mapping[str, tuple[pq.ParquetFile, Table]], columns: Sequence[str] | None
) -> list[tuple[pq.ParquetFile, Table, list[str]]]:
    """Return which columns of which table make up a chunk."""
    tables = [table for _, table in files.values()]
    kinds = [table.kind for table in tables]
    if not kinds or len(set(kinds)) != len(kinds) or "rows" in kinds:
        raise SchemaError("the dataset has no chunks", expected="a bins and a grid table, or one")
    known = {f.name for table in tables for f in table.fields}
    for name in columns or ():
        if name not in known:
            raise SchemaError(f"column {name} is in no table", expected=", ".join(sorted(known)))
    wanted = known if columns is None else {"bin_seq", *columns}
    return [
        (file, table, [f.name for f in table.fields if f.name in wanted and f.name != "k"])
        for file, table in files.values()
    ]


def _together(
    parts: Sequence[tuple[str, Iterator[dict[str, NDArray]]]],
) -> Iterator[dict[str, dict[str, NDArray]]]:
    while True:
        groups = {kind: next(iterator, None) for kind, iterator in parts}
        present = {kind: g for kind, g in groups.items() if g is not None}
        if not present:
            return
        lengths = {kind: len(g["bin_seq"]) if g else 0 for kind, g in groups.items()}
        if len(set(lengths.values())) > 1:
            raise SchemaError("the tables do not hold the same bins", found=lengths)
        yield present


def _chunk(groups: Mapping[str, dict[str, NDArray]]) -> Chunk:
    grid = dict(groups.get("grid", {}))
    seq = grid.pop("bin_seq", None)
    bins = groups.get("bins")
    if bins is None:
        assert seq is not None
        bins = {"bin_seq": np.ascontiguousarray(seq[:, 0])}
    elif seq is not None and not np.array_equal(seq[:, 0], bins["bin_seq"]):
        raise SchemaError("the tables do not hold the same bins")
    return Chunk(bins, grid)


def open_files(
    folder: Path,
    manifest: Manifest,
    table: str | None,
    expect: Sequence[Table],
    stack: ExitStack,
) -> Files:
    """Open all tables of a partition, or one, each checked against its contract.

    Parameters
    ----------
    folder : Path
        The partition.
    manifest : Manifest
        What it promises.
    table : str or None
        Only this one.
    expect : sequence of Table
        What the caller's code believes.
    stack : ExitStack
        Closes the files.

    Raises
    ------
    SchemaError
        If stored, promised and believed contract are not the same; names the column.
    LakeError
        If a file is missing, or has another size or footer than promised.
    """
    stored = manifest.tables
    for expected in expect:
        if expected.name not in stored:
            raise _no_table(manifest, expected.name)
        expected.check(stored[expected.name].schema, manifest.key)
    if table is not None and table not in stored:
        raise _no_table(manifest, table)
    files: Files = {}
    for name, contract in stored.items():
        if table is None or name == table:
            path = folder / contract.file_name
            with readable(path):
                entry = manifest.files[contract.file_name]
                found = (path.stat().st_size, hash_footer(path))
                if found != (entry.bytes, entry.footer):
                    raise LakeError(
                        "the file is not what its manifest says",
                        subject=path,
                        expected=f"{entry.bytes} bytes, footer {entry.footer}",
                        found=f"{found[0]} bytes, footer {found[1]}",
                        remedy="Publish the partition again with overwrite",
                    )
                file = stack.enter_context(open_table(path, contract))
            files[name] = (file, contract)
    return files


def only(files: Files, subject: object) -> tuple[Any, Table]:
    """Return the one open table; SchemaError if there are several or none."""
    if len(files) != 1:
        raise SchemaError(
            "name one table of the dataset", subject=subject, expected=", ".join(files) or "none"
        )
    return next(iter(files.values()))


def _decode(file: pq.ParquetFile, group: int, columns: list[str], table: Table) -> pa.Table:
    try:
        batch = file.read_row_group(group, columns=columns)
    except (pa.ArrowException, OSError) as e:
        raise SchemaError(
            f"row group {group} cannot be read: {e}",
            subject=table.file_name,
            remedy="Publish the partition again with overwrite",
        ) from e
    promised = file.metadata.row_group(group).num_rows
    if batch.num_rows != promised:
        raise SchemaError(
            f"row group {group} has lost rows",
            subject=table.file_name,
            expected=promised,
            found=batch.num_rows,
        )
    return batch


def _no_table(manifest: Manifest, name: str) -> SchemaError:
    return SchemaError(
        f"the dataset has no table {name!r}",
        subject=manifest.key,
        expected=", ".join(manifest.contract) or "none",
    )


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what the system says about reading a path into a LakeError naming it."""
    try:
        yield
    except FileNotFoundError as e:
        raise LakeError("the file is missing", subject=path) from e
    except OSError as e:
        raise LakeError(f"cannot be read: {e.strerror or e}", subject=path) from e
