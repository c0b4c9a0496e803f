"""What one file of a dataset promises: columns, dtypes, units, order, shape.

A `Table` derives everything from a field table: the Avro-style contract kept in the manifest,
the Arrow schema of the file, and the check of a file met on disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import pyarrow as pa

from qmachina.errors import SchemaError
from qmachina.fields import DType, Field, Role
from qmachina.specs.base import NAME_PATTERN, canonical_json, content_id

Kind = Literal["bins", "grid", "rows"]

BIN_SEQ = Field("bin_seq", "int64", "1", "Number of the bin.")
K = Field("k", "int32", "ticks", "Ticks from spot, -K..+K.", "grid_index")

#: Bins of one row group; fewer where the grid is so wide that a group would exceed MAX_ROWS.
BINS_PER_GROUP = 2000
MAX_ROWS = 402_000
_META = b"qmachina"
_AVRO = {
    "bool": "boolean",
    "int8": "int",
    "int32": "int",
    "int64": "long",
    "float32": "float",
    "float64": "double",
}
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Table:
    """One file: ``<name>.parquet``.

    Parameters
    ----------
    name : str
        Name of the file without suffix.
    kind : {"bins", "grid", "rows"}
        One row a bin; one row per (bin, k); or rows of another sort.
    fields : tuple of Field
        Every column of the file in order, index columns first.
    radius : int, optional
        K of a grid: 2K + 1 rows a bin.

    Raises
    ------
    SchemaError
        If names repeat or are no column names, or the index columns are not as the kind asks.
    """

    name: str
    kind: Kind
    fields: tuple[Field, ...]
    radius: int | None = None

    def __post_init__(self) -> None:
        def refuse(what: str, **facts: object) -> SchemaError:
            return SchemaError(what, subject=f"table {self.name}", **facts)  # type: ignore[arg-type]

        if not re.fullmatch(NAME_PATTERN[1:-1], self.name):
            raise refuse("not a table name", expected=NAME_PATTERN)
        seen: set[str] = set()
        for f in self.fields:
            if not _COLUMN.fullmatch(f.name):
                raise refuse(f"{f.name!r} is no column name")
            if f.name in seen:
                raise refuse(f"column {f.name} is given twice")
            seen.add(f.name)
        index = tuple((f.name, f.dtype) for f in self.index)
        expected = {"rows": (), "bins": (("bin_seq", "int64"),)}.get(
            self.kind, (("bin_seq", "int64"), ("k", "int32"))
        )
        if index != expected:
            raise refuse("index columns are wrong", expected=expected, found=index)
        if (self.radius is None) == (self.kind == "grid") or (self.radius or 1) < 1:
            raise refuse("a grid, and only a grid, has a radius of 1 or more", found=self.radius)

    @classmethod
    def bins(cls, fields: Iterable[Field], name: str = "bins") -> Self:
        """Return a table of one row a bin; ``bin_seq`` comes first, added where missing."""
        return cls(name, "bins", _index_first(fields, (BIN_SEQ,)))

    @classmethod
    def grid(cls, fields: Iterable[Field], radius: int, name: str = "grid") -> Self:
        """Return a table of one row per (bin, k); ``bin_seq``, ``k`` first, added where missing."""
        return cls(name, "grid", _index_first(fields, (BIN_SEQ, K)), radius)

    @classmethod
    def rows(cls, fields: Iterable[Field], name: str) -> Self:
        """Return a table whose rows are neither bins nor grid rows, e.g. trades or labels."""
        return cls(name, "rows", tuple(fields))

    @property
    def index(self) -> tuple[Field, ...]:
        """The index columns."""
        return self.fields[: {"rows": 0, "bins": 1, "grid": 2}[self.kind]]

    @property
    def values(self) -> tuple[Field, ...]:
        """The columns that are not index columns."""
        return self.fields[len(self.index) :]

    @property
    def file_name(self) -> str:
        """Name of the file."""
        return f"{self.name}.parquet"

    @property
    def rows_per_bin(self) -> int:
        """2K + 1 for a grid, else 1."""
        return 1 if self.radius is None else 2 * self.radius + 1

    @property
    def bins_per_group(self) -> int:
        """Bins of a full row group; depends on the contract alone."""
        return max(1, min(BINS_PER_GROUP, MAX_ROWS // self.rows_per_bin))

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the file: no nulls; unit, meaning and role as field metadata."""
        shape = {"kind": self.kind, "name": self.name, "radius": self.radius}
        return pa.schema(
            [
                pa.field(
                    f.name,
                    pa.from_numpy_dtype(f.numpy),
                    nullable=False,
                    metadata={"unit": f.unit, "meaning": f.meaning, "role": f.role},
                )
                for f in self.fields
            ],
            metadata={_META: canonical_json(shape)},
        )

    def contract(self) -> dict[str, Any]:
        """Return the contract: an Avro record schema with dtype, unit and role beside each type."""
        return {
            "type": "record",
            "namespace": "qmachina",
            "name": self.name,
            "kind": self.kind,
            "radius": self.radius,
            "fields": [
                {
                    "name": f.name,
                    "type": _AVRO[f.dtype],
                    "dtype": f.dtype,
                    "unit": f.unit,
                    "role": f.role,
                    "doc": f.meaning,
                }
                for f in self.fields
            ],
        }

    @classmethod
    def from_contract(cls, contract: Mapping[str, Any]) -> Self:
        """Return the table that a stored contract describes; SchemaError if it is none."""
        try:
            fields = tuple(
                Field(
                    name=str(f["name"]),
                    dtype=_one_of(f["dtype"], get_args(DType)),
                    unit=str(f["unit"]),
                    meaning=str(f["doc"]),
                    role=_one_of(f["role"], get_args(Role)),
                )
                for f in contract["fields"]
            )
            kind = _one_of(contract["kind"], get_args(Kind))
            table = cls(str(contract["name"]), kind, fields, contract["radius"])
        except (KeyError, TypeError, ValueError) as e:
            raise SchemaError(f"not a contract: {e!r}") from e
        if table.contract() != contract:
            raise SchemaError("not a contract of this version", subject=f"table {table.name}")
        return table

    def check(self, found: pa.Schema, subject: object) -> None:
        """Compare the schema of a file with this table.

        Raises
        ------
        SchemaError
            Naming the column, what was expected and what was found.
        """
        met = (found.metadata or {}).get(_META, b"nothing").decode(errors="replace")
        expected = (self.schema.metadata or {})[_META].decode()
        if met != expected:
            raise SchemaError(
                "the file is another table", subject=subject, expected=expected, found=met
            )
        names = set(found.names)
        for position, column in enumerate(self.schema):
            if column.name not in names:
                raise SchemaError(
                    f"column {column.name} is missing", subject=subject, expected=_say(column)
                )
            here = found.field(position) if position < len(found) else None
            if here is None or here.name != column.name:
                raise SchemaError(
                    f"column {column.name} is not in its place",
                    subject=subject,
                    expected=f"{column.name} at {position}",
                    found=None if here is None else here.name,
                )
            if (here.type, here.nullable) != (column.type, column.nullable):
                raise SchemaError(
                    f"column {column.name} has another type",
                    subject=subject,
                    expected=_say(column),
                    found=_say(here),
                )
        extra = [name for name in found.names if name not in set(self.schema.names)]
        if extra or len(found) != len(self.fields):
            raise SchemaError(
                f"column {', '.join(extra) or 'twice'} is not in the contract", subject=subject
            )


def contracts(tables: Iterable[Table]) -> dict[str, dict[str, Any]]:
    """Return the contracts of a dataset by table name; SchemaError if a name repeats."""
    result: dict[str, dict[str, Any]] = {}
    for table in tables:
        if table.name in result:
            raise SchemaError("a dataset has two tables of one name", subject=table.name)
        result[table.name] = table.contract()
    return result


def schema_hash(contract: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the SHA-256 of a dataset's contracts in canonical form."""
    return content_id(contract)


def _index_first(fields: Iterable[Field], index: tuple[Field, ...]) -> tuple[Field, ...]:
    given = tuple(fields)
    by_name = {f.name: f for f in given}
    index_names = {f.name for f in index}
    rest = (f for f in given if f.name not in index_names)
    return (*(by_name.get(f.name, f) for f in index), *rest)


def _one_of(value: Any, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise ValueError(f"{value!r} is not one of {', '.join(allowed)}")
    return value


def _say(column: pa.Field) -> str:
    return f"{column.type}{' with nulls' if column.nullable else ''}"
