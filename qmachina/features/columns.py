"""Columns of a chunk as kernels want them: present, of the right dtype and shape, in order."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from qmachina import market
from qmachina.errors import DataError, SchemaError
from qmachina.fields import Chunk

_DTYPES = {name: np.dtype(name) for name in ("bool", "int8", "int64", "float32")}


def bin_column(chunk: Chunk, name: str, dtype: str) -> NDArray:
    """Return one column of bins, shape (n_bins,), writable and C-contiguous.

    Raises
    ------
    SchemaError
        If the chunk lacks it or it has another dtype or shape.
    """
    return _column(chunk.bins, name, dtype, (chunk.n_bins,))


def grid_column(chunk: Chunk, name: str, dtype: str, shape: tuple[int, int]) -> NDArray:
    """Return one column of the grid, shape (n_bins, n_rows), writable and C-contiguous.

    The shape is given, because a second chunk has to fit the first.

    Raises
    ------
    SchemaError
        If the chunk lacks it or it has another dtype or shape.
    """
    return _column(chunk.grid, name, dtype, shape)


def check_time(time: NDArray[np.int64], last: int, stage: str) -> None:
    """Refuse bins that do not end one after the other: a derivative needs time to pass."""
    if not time.size or (time[0] > last and (time[1:] > time[:-1]).all()):
        return
    i = int(np.flatnonzero(np.diff(time, prepend=last) <= 0)[0])
    raise DataError(
        f"bin {i} of the chunk does not end after the bin before it",
        subject=stage,
        expected=f"> {time[i - 1] if i else last} ns",
        found=f"{time[i]} ns",
    )


def check_touch(
    bid: NDArray[np.int64], ask: NDArray[np.int64], valid: NDArray[np.bool_], stage: str
) -> None:
    """Refuse a bin that calls its book valid and lacks a best price."""
    for i in np.flatnonzero(valid & (np.maximum(bid, ask) == market.UNDEF_PRICE)):
        raise DataError(f"bin {i} of the chunk is valid and lacks a best price", subject=stage)


def _column(
    columns: Mapping[str, NDArray], name: str, dtype: str, shape: tuple[int, ...]
) -> NDArray:
    column = columns.get(name)
    if column is None:
        raise SchemaError("a chunk lacks a column", subject=name, found=sorted(columns))
    if column.dtype != _DTYPES[dtype] or column.shape != shape:
        raise SchemaError(
            "a column does not fit its stage",
            subject=name,
            expected=(dtype, shape),
            found=(str(column.dtype), column.shape),
        )
    # Numba compiles a kernel anew for read-only or strided arrays, which Arrow and slices give.
    flags = column.flags
    return column if flags.c_contiguous and flags.writeable else np.array(column, order="C")
