"""Choose one book, one (publisher, instrument), out of a file, and refuse to guess."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qmachina.errors import SelectionError
from qmachina.kernel import Int, kernel
from qmachina.sources.dbn import DbnReader, Header


class BookSource:
    """The records of one book of one file.

    Parameters
    ----------
    path : Path
        DBN file.
    instrument : int or str, optional
        Instrument id or raw symbol; needed when the file maps several.
    publisher : int, optional
        Publisher id; needed when the instrument's records come from several.

    Attributes
    ----------
    instrument_id, publisher_id : int or None
        The chosen book; the publisher is known after the first chunk.
    symbol : str or None
        Raw symbol of the instrument.
    """

    def __init__(
        self, path: Path, instrument: int | str | None = None, publisher: int | None = None
    ) -> None:
        self.path = Path(path)
        self.name = self.path.name
        self.publisher_id = publisher
        self.instrument_id: int | None = None
        self._asked = instrument
        self._pinned = publisher is not None
        with DbnReader(self.path) as reader:
            self.header: Header = reader.header
        if self.header.symbols:
            self.instrument_id = self._resolve(self.header.symbols)

    @property
    def symbol(self) -> str | None:
        """Raw symbol of the chosen instrument."""
        if self.instrument_id is None:
            return None
        return self.header.symbols.get(self.instrument_id)

    def _resolve(self, symbols: dict[int, str]) -> int:
        asked = self._asked
        if isinstance(asked, str) and asked.isdigit() and asked not in symbols.values():
            asked = int(asked)
        if isinstance(asked, int):
            if symbols and asked not in symbols:
                raise SelectionError(
                    "instrument id is not in the file's symbology",
                    subject=self.name,
                    expected=_listed(symbols),
                    found=asked,
                )
            return asked
        if asked is not None:
            ids = [i for i, s in symbols.items() if s == asked]
            if len(ids) != 1:
                raise SelectionError(
                    "symbol is not in the file's symbology"
                    if not ids
                    else "symbol stands for several instruments",
                    subject=self.name,
                    expected=_listed(symbols),
                    found=asked if not ids else f"{asked}: {ids}",
                )
            return ids[0]
        if len(symbols) != 1:
            raise SelectionError(
                "several instruments and no choice" if symbols else "no symbology and no choice",
                subject=self.name,
                expected="one of " + _listed(symbols) if symbols else "an instrument id",
                found="none",
                remedy="Name one with --instrument",
            )
        return next(iter(symbols))

    def chunks(self) -> Iterator[NDArray]:
        """Yield the book's records in file order, as views valid until the next step.

        Raises
        ------
        SelectionError
            If an instrument id is not mapped, if several publishers appear without a choice,
            or if the book has no records at all.
        """
        kept = 0
        seen = 0
        out: NDArray | None = None
        with DbnReader(self.path) as reader:
            symbols = reader.header.symbols
            for records in reader.chunks():
                if self.instrument_id is None:
                    self.instrument_id = self._resolve(symbols)
                if self.publisher_id is None:
                    mine = records[records["instrument_id"] == self.instrument_id]
                    if len(mine):
                        self.publisher_id = int(mine[0]["publisher_id"])
                known = np.array(sorted(symbols or [self.instrument_id]), np.int64)
                if out is None or len(out) < len(records):
                    out = np.empty(len(records), records.dtype)
                publisher = -1 if self.publisher_id is None else self.publisher_id
                n, bad = _keep(records, self.instrument_id, publisher, self._pinned, known, out)
                if bad >= 0:
                    self._refuse(records[bad], seen + bad, symbols)
                seen += len(records)
                kept += n
                if n:
                    yield records if n == len(records) else out[:n]
            self.header.symbols.update(symbols)
        if not kept:
            raise SelectionError(
                "file holds no records of the book",
                subject=self.name,
                expected=f"instrument {self.instrument_id}, publisher {self.publisher_id}",
                found=f"{seen} other records",
            )

    def _refuse(self, record: NDArray, number: int, symbols: dict[int, str]) -> None:
        if int(record["instrument_id"]) != self.instrument_id:
            raise SelectionError(
                f"record {number}: instrument id is not in the symbology",
                subject=self.name,
                expected=_listed(symbols),
                found=int(record["instrument_id"]),
            )
        raise SelectionError(
            f"record {number}: several publishers and no choice",
            subject=self.name,
            expected="one of " + ", ".join(map(str, self.publishers())),
            found="none",
            remedy="Name one with --publisher",
        )

    def publishers(self) -> list[int]:
        """Read the whole file and list the publishers of the instrument."""
        found: set[int] = set()
        with DbnReader(self.path) as reader:
            for records in reader.chunks():
                mine = records["publisher_id"][records["instrument_id"] == self.instrument_id]
                found.update(np.unique(mine).tolist())
        return sorted(found)


def _listed(symbols: dict[int, str]) -> str:
    """Return ``id symbol`` pairs, the first twenty."""
    pairs = [f"{i} {s}" for i, s in sorted(symbols.items())]
    more = f" and {len(pairs) - 20} more" if len(pairs) > 20 else ""
    return ", ".join(pairs[:20]) + more


@kernel
def _keep(
    records: NDArray,
    instrument: Int,
    publisher: Int,
    pinned: bool,
    known: NDArray[np.int64],
    out: NDArray,
) -> tuple[Int, Int]:
    """Copy the book's records to ``out``; return their number and the first bad record or -1.

    While every record belongs to the book nothing is copied.
    """
    n = 0
    for i in range(records.shape[0]):
        r = records[i]
        if r["instrument_id"] == instrument:
            if r["publisher_id"] == publisher:
                if n != i:
                    out[n] = r
                n += 1
                continue
            if not pinned:
                return n, i
        else:
            at = np.searchsorted(known, np.int64(r["instrument_id"]))
            if at == known.shape[0] or known[at] != r["instrument_id"]:
                return n, i
        if n == i:
            for j in range(n):
                out[j] = records[j]
    return n, -1
