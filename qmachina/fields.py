"""Columns as data: the one description that files, wire, contracts and docs derive from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Role = Literal[
    "grid_index", "force", "velocity", "acceleration", "jerk", "signal", "indicator", "metadata"
]
DType = Literal["bool", "int8", "int32", "int64", "float32", "float64"]


@dataclass(frozen=True)
class Field:
    """One column: its name, dtype, unit, meaning and role on the wire."""

    name: str
    dtype: DType
    unit: str
    meaning: str
    role: Role = "metadata"

    @property
    def numpy(self) -> np.dtype:
        """The numpy dtype of the column."""
        return np.dtype(self.dtype)


def names(fields: Iterable[Field]) -> tuple[str, ...]:
    """Return the column names of a field table, in order."""
    return tuple(f.name for f in fields)


@dataclass
class Chunk:
    """A run of consecutive bins of one dataset, as columns.

    Parameters
    ----------
    bins : mapping of str to ndarray, shape (n_bins,)
        One value a bin.
    grid : mapping of str to ndarray, shape (n_bins, n_rows)
        One value a bin and grid row; rows are k = -K..+K in order. Empty when the dataset
        has no grid.
    """

    bins: Mapping[str, NDArray]
    grid: Mapping[str, NDArray] = field(default_factory=dict)

    @property
    def n_bins(self) -> int:
        """Number of bins in the chunk."""
        column = next(iter(self.bins.values()), None)
        if column is None:
            column = next(iter(self.grid.values()), None)
        return 0 if column is None else int(column.shape[0])

    def slice(self, start: int, stop: int) -> Chunk:
        """Return bins ``[start, stop)`` as views."""
        return Chunk(
            {k: v[start:stop] for k, v in self.bins.items()},
            {k: v[start:stop] for k, v in self.grid.items()},
        )


def concat(chunks: Iterable[Chunk]) -> Chunk:
    """Join chunks of the same dataset in order (copies)."""
    parts = list(chunks)
    if not parts:
        return Chunk({})
    return Chunk(
        {k: np.concatenate([p.bins[k] for p in parts]) for k in parts[0].bins},
        {k: np.concatenate([p.grid[k] for p in parts]) for k in parts[0].grid},
    )
