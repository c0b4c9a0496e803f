"""Read market-by-order records from DBN files of any version, compressed or not.

Records are decoded in place: the buffer that decompression fills is the array that is handed
on, and it is reused. Memory does not depend on the length of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import databento_dbn
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qmachina.errors import DataError, FormatError
from qmachina.kernel import Int, kernel
from qmachina.market import DAY_NS, MBO_DTYPE, RTYPE_MBO, UNDEF_TIME

#: Records per chunk: 3.5 MiB, which stays in the second-level cache.
CHUNK_RECORDS = 65_536

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = tuple(bytes([0x50 + i, 0x2A, 0x4D, 0x18]) for i in range(16))
_RECORD = MBO_DTYPE.itemsize
_MAX_RECORD = 255 * 4
_RTYPE_ERROR, _RTYPE_MAPPING, _RTYPE_SYSTEM = 0x15, 0x16, 0x17


@dataclass
class Header:
    """What a file says about itself."""

    version: int
    dataset: str
    schema: str | None
    start_ns: int
    end_ns: int | None
    limit: int | None
    ts_out: bool
    symbols: dict[int, str] = field(default_factory=dict)

    @property
    def covered_until_ns(self) -> int | None:
        """End of the time range the file claims to hold in full, or None if it claims none."""
        return None if self.limit else self.end_ns


class DbnReader:
    """One DBN file, as a stream of market-by-order records in file order.

    Parameters
    ----------
    path : Path
        A ``.dbn`` or ``.dbn.zst`` file; compression is recognised by content.

    Raises
    ------
    FormatError
        If the file is empty, truncated, not DBN or of another schema.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.name = self.path.name
        self.offset = 0  # bytes of decompressed input that were decoded
        try:
            self._file = pa.OSFile(str(self.path), "rb")
        except FileNotFoundError as e:
            raise DataError("file does not exist", subject=self.name) from e
        except (OSError, ValueError) as e:
            raise DataError("cannot be opened", subject=self.name, found=str(e)) from e
        try:
            self._stream = self._open()
            self.header = self._read_header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def _open(self) -> pa.NativeFile:
        magic = self._file.read(4)
        if not magic:
            raise FormatError(
                "file is empty", subject=self.name, expected="a DBN header", found="0 bytes"
            )
        self._file.seek(0)
        if magic == _ZSTD_MAGIC or magic in _SKIPPABLE:
            return pa.CompressedInputStream(self._file, "zstd")
        return self._file

    def _read(self, n: int) -> bytes:
        try:
            return self._stream.read(n)
        except OSError as e:
            raise self._broken(str(e)) from e

    def _broken(self, found: str) -> FormatError:
        return FormatError(
            f"compressed data ends or breaks near decompressed byte {self.offset}",
            subject=self.name,
            expected="complete zstd frames",
            found=found,
            remedy="The file is truncated or damaged: fetch it again",
        )

    def _read_header(self) -> Header:
        lead = self._read(8)
        if lead[:3] != b"DBN":
            raise FormatError(
                "not a DBN file",
                subject=self.name,
                expected="magic DBN at byte 0",
                found=repr(lead[:4]),
            )
        version = lead[3] if len(lead) > 3 else 0
        if not 1 <= version <= 3:
            raise FormatError(
                "unknown DBN version", subject=self.name, expected="1, 2 or 3", found=version
            )
        length = int.from_bytes(lead[4:8], "little")
        body = self._read(length) if length <= 1 << 28 else b""
        if len(lead) < 8 or len(body) < length:
            raise FormatError(
                "header is truncated",
                subject=self.name,
                expected=f"{8 + length} bytes",
                found=len(lead) + len(body),
            )
        try:
            meta = databento_dbn.Metadata.decode(lead + body)
        except Exception as e:  # the decoder raises several kinds
            raise FormatError("header cannot be decoded", subject=self.name, found=str(e)) from e
        self.offset = 8 + length
        schema = None if meta.schema is None else str(meta.schema)
        if schema not in (None, "mbo"):
            raise FormatError(
                "file holds another schema",
                subject=self.name,
                expected="mbo",
                found=schema,
                remedy="Download the mbo schema of the same day",
            )
        end = meta.end
        return Header(
            version=version,
            dataset=meta.dataset,
            schema=schema,
            start_ns=int(meta.start),
            end_ns=None if end in (None, 0, UNDEF_TIME) else int(end),
            limit=int(meta.limit) if meta.limit else None,
            ts_out=bool(meta.ts_out),
            symbols=_symbols(meta),
        )

    def chunks(self) -> Iterator[NDArray]:
        """Yield all market-by-order records in order, as writable views of a reused buffer.

        Yields
        ------
        ndarray of MBO_DTYPE, shape (n,), 0 < n <= CHUNK_RECORDS
            Valid until the next step.

        Raises
        ------
        FormatError
            If the file is truncated, damaged, or holds records of another kind.
        DataError
            If the feed recorded an error message.
        """
        raw = np.empty(CHUNK_RECORDS * _RECORD + _MAX_RECORD, np.uint8)
        split = np.empty(0, MBO_DTYPE)
        held = 0
        while True:
            got = self._fill(raw, held)
            if got == held:
                break
            whole = got // _RECORD
            records = raw[: whole * _RECORD].view(MBO_DTYPE)
            if whole and _all_mbo(records):
                used = whole * _RECORD
                self.offset += used
                yield records
            else:
                if len(split) == 0:
                    split = np.empty(len(raw) // 16, MBO_DTYPE)
                used, n = self._split(raw[:got], split)
                if n:
                    yield split[:n]
            held = got - used
            raw[:held] = raw[used:got].copy()
        if held:
            raise FormatError(
                f"file is truncated at decompressed byte {self.offset}",
                subject=self.name,
                expected=f"a whole record of {int(raw[0]) * 4} bytes",
                found=f"{held} bytes",
            )

    def _fill(self, raw: NDArray[np.uint8], held: int) -> int:
        """Fill the buffer from the stream; return how many bytes it now holds."""
        view = memoryview(raw)  # type: ignore[arg-type]  # numpy 2.4's stubs hide the buffer
        at, end = held, len(raw) - _MAX_RECORD
        while at < end:
            try:
                n = self._stream.readinto(view[at:end])
            except OSError as e:
                raise self._broken(str(e)) from e
            if not n:
                break
            at += n
        return at

    def _split(self, raw: NDArray[np.uint8], out: NDArray) -> tuple[int, int]:
        """Copy the order records of a mixed buffer to ``out`` and consume the others."""
        used = n = 0
        while True:
            step, n, found = _copy_mbo(raw[used:], out.view(np.uint8).reshape(-1, _RECORD), n)
            used += step
            self.offset += step
            if not found:
                return used, n
            length = int(raw[used]) * 4
            if length < 16:
                raise FormatError(
                    f"impossible record length at decompressed byte {self.offset}",
                    subject=self.name,
                    expected="at least 16",
                    found=length,
                )
            self._consume(raw[used : used + length].tobytes())
            used += length
            self.offset += length

    def _consume(self, record: bytes) -> None:
        """Take a record that is not an order: mapping, heartbeat, failure."""
        rtype = record[1]
        if rtype == _RTYPE_MAPPING:
            instrument = int.from_bytes(record[4:8], "little")
            v1 = len(record) == 80
            text = record[38:60] if v1 else record[89:160]
            self.header.symbols[instrument] = _text(text)
        elif rtype == _RTYPE_ERROR:
            raise DataError(
                "the feed recorded an error", subject=self.name, found=_text(record[16:])
            )
        elif rtype != _RTYPE_SYSTEM:
            raise FormatError(
                f"record of another kind at decompressed byte {self.offset}",
                subject=self.name,
                expected=f"rtype {RTYPE_MBO:#x} (mbo)",
                found=f"rtype {rtype:#x}",
            )


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")


def _symbols(meta: databento_dbn.Metadata) -> dict[int, str]:
    """Return instrument id -> raw symbol from the metadata's mappings of the file's dates."""
    found: dict[int, str] = {}
    by_id = str(meta.stype_in) == "instrument_id"
    first = datetime.fromtimestamp(meta.start / 1e9, UTC).date()
    last = None
    if meta.end not in (None, 0, UNDEF_TIME):
        last = datetime.fromtimestamp((meta.end - 1) // DAY_NS * 86_400, UTC).date()
    for symbol, intervals in meta.mappings.items():
        for interval in intervals:
            if interval["end_date"] <= first or (last and interval["start_date"] > last):
                continue
            key, name = interval["symbol"], symbol
            if by_id:
                key, name = symbol, interval["symbol"]
            if key.isdigit():
                found[int(key)] = name
    return found


@kernel
def _all_mbo(records: NDArray) -> bool:
    """Tell whether every record is a plain order record."""
    for i in range(records.shape[0]):
        if records[i]["rtype"] != 0xA0 or records[i]["length"] != 14:
            return False
    return True


@kernel
def _copy_mbo(raw: NDArray[np.uint8], out: NDArray[np.uint8], n: Int) -> tuple[Int, Int, Int]:
    """Copy order records until another kind or the end; return (bytes, records, found other).

    Order records may carry eight more bytes (ts_out), which are dropped.
    """
    at: Int = 0
    while at < raw.shape[0]:
        length = np.int64(raw[at]) * 4
        if length >= 16 and at + length > raw.shape[0]:
            break
        if length < 56 or raw[at + 1] != 0xA0:
            return at, n, True
        for i in range(56):
            out[n, i] = raw[at + i]
        out[n, 0] = 14
        n += 1
        at += length
    return at, n, False
