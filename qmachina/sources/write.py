"""Records into genuine DBN files, plain or zstd, streaming and atomic."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import databento_dbn as dbn
import numpy as np
import zstandard
from numpy.typing import NDArray

from qmachina.errors import FormatError, SpecError
from qmachina.market import DAY_NS, MBO_DTYPE

#: Versions of DBN that can be written; a market-by-order record is the same in all of them.
DBN_VERSIONS = (1, 2, 3)


def write_dbn(
    path: Path,
    records: NDArray | Iterable[NDArray],
    *,
    dataset: str,
    symbols: Mapping[str, int],
    start_ns: int,
    end_ns: int,
    dates: tuple[date, date] | None = None,
    version: int = 3,
    level: int = 3,
) -> Path:
    """Write market-by-order records as one DBN file.

    The file appears complete or not at all: bytes go to a temporary sibling that is synced
    and renamed. Memory is bounded by the largest chunk. Equal input gives equal bytes.

    Parameters
    ----------
    path : Path
        Ends in ``.dbn`` or, for zstd, ``.dbn.zst``. The folder must exist; an existing file
        is replaced.
    records : ndarray of MBO_DTYPE, shape (n,), or iterable of such
        Records in file order.
    dataset : str
        Databento dataset code.
    symbols : mapping of str to int
        Raw symbol to instrument id.
    start_ns, end_ns : int
        Half-open time range stated in the metadata, ns since the epoch.
    dates : tuple of two dates, optional
        Half-open interval of the symbol mapping; by default the UTC dates the range touches.
    version : int
        DBN version, 1 to 3.
    level : int
        Level of zstd compression.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    SpecError
        If the name, version, symbols or range are impossible.
    FormatError
        If a chunk is not made of market-by-order records.
    """
    path = Path(path)
    header = metadata_bytes(
        dataset=dataset,
        symbols=symbols,
        start_ns=start_ns,
        end_ns=end_ns,
        dates=dates,
        version=version,
        subject=path.name,
    )
    if not path.name.endswith((".dbn", ".dbn.zst")):
        raise SpecError("unknown suffix", subject=path.name, expected=".dbn or .dbn.zst")
    chunks = [records] if isinstance(records, np.ndarray) else records
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            if path.suffix == ".zst":
                compressor = zstandard.ZstdCompressor(level=level, write_checksum=True)
                with compressor.stream_writer(file, closefd=False) as frame:
                    _write(frame, header, chunks, path.name)
            else:
                _write(file, header, chunks, path.name)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return path


def metadata_bytes(
    *,
    dataset: str,
    symbols: Mapping[str, int],
    start_ns: int,
    end_ns: int,
    dates: tuple[date, date] | None = None,
    version: int = 3,
    subject: object = None,
) -> bytes:
    """Return the encoded DBN metadata of a market-by-order file; arguments as in `write_dbn`."""
    if version not in DBN_VERSIONS:
        raise SpecError("version of DBN", subject=subject, expected="1, 2 or 3", found=version)
    if not 0 <= start_ns < end_ns:
        raise SpecError("end_ns is not after start_ns", subject=subject, found=(start_ns, end_ns))
    first, last = dates or (_utc_date(start_ns), _utc_date(end_ns - 1) + timedelta(days=1))
    if first >= last:
        raise SpecError("mapping interval is empty", subject=subject, found=f"{first}..{last}")
    mappings = [
        SimpleNamespace(
            raw_symbol=symbol,
            intervals=[SimpleNamespace(start_date=first, end_date=last, symbol=str(number))],
        )
        for symbol, number in symbols.items()
    ]
    try:
        metadata = dbn.Metadata(
            version=version,
            dataset=dataset,
            schema=dbn.Schema.MBO,
            start=start_ns,
            end=end_ns,
            stype_in=dbn.SType.RAW_SYMBOL,
            stype_out=dbn.SType.INSTRUMENT_ID,
            symbols=list(symbols),
            partial=[],
            not_found=[],
            mappings=mappings,
            limit=None,
            ts_out=False,
        )
        return bytes(metadata.encode())
    except dbn.DBNError as e:  # a dataset code or symbol longer than the version can hold
        raise SpecError(str(e), subject=subject) from e


def _write(
    file: IO[bytes] | zstandard.ZstdCompressionWriter,
    header: bytes,
    chunks: Iterable[NDArray],
    subject: str,
) -> None:
    file.write(header)
    for number, chunk in enumerate(chunks):
        if chunk.dtype != MBO_DTYPE or chunk.ndim != 1:
            raise FormatError(
                f"chunk {number} is not made of market-by-order records",
                subject=subject,
                expected="one-dimensional MBO_DTYPE",
                found=f"{chunk.dtype}, shape {chunk.shape}",
            )
        for piece in _pieces(chunk):
            file.write(np.ascontiguousarray(piece).view("u1").data)


# A day handed over in one array would be buffered whole by some writers.
def _pieces(chunk: NDArray, size: int = 65_536) -> Iterator[NDArray]:
    for start in range(0, len(chunk), size):
        yield chunk[start : start + size]


def _utc_date(time_ns: int) -> date:
    return date(1970, 1, 1) + timedelta(days=time_ns // DAY_NS)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
