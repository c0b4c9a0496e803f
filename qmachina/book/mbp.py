"""Market by price: the ten best levels after every record, in the vendor's columns.

Unlike everything else this looks at the book after single records, because the vendor does.
A trade that is followed by the fills and cancels of its own sequence number shows the book
after them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from qmachina.book import state as b
from qmachina.book.events import room_for, wants_anchor
from qmachina.book.kernels import apply_record
from qmachina.book.levels import best_slot, tick_of
from qmachina.book.stage import BookShell
from qmachina.book.state import Book, Impulses
from qmachina.kernel import OK, Int, kernel, step
from qmachina.market import MBO_DTYPE, UNDEF_PRICE, Action

_UNDEF = int(UNDEF_PRICE)
_TRADE, _FILL, _CANCEL = int(Action.TRADE), int(Action.FILL), int(Action.CANCEL)
_MODIFY, _ADD, _CLEAR = int(Action.MODIFY), int(Action.ADD), int(Action.CLEAR)

#: Records held back at most while the end of a sequence number is awaited.
_MAX_HELD = b.MAX_EVENT_RECORDS


@step
def top_levels(book: Book, side: Int, levels: Int, tick_size: Int, out: NDArray[np.int64]) -> None:
    """Write price, size and order count of the best levels of a side; absent: undefined, 0, 0.

    ``out`` has shape (levels, 3).
    """
    reg = book.reg
    n = book.n[0]
    found = 0
    total = min(levels, reg[b.N_LEVELS_BID + side])
    slot = best_slot(book, side)
    while found < total:
        tick = tick_of(book, slot)
        out[found, 0] = tick * tick_size
        out[found, 1] = book.depth[side, slot]
        out[found, 2] = book.order_count[side, slot]
        found += 1
        if found < total:
            slot = next_slot(book, side, tick, n)
    for i in range(found, levels):
        out[i, 0] = _UNDEF
        out[i, 1] = 0
        out[i, 2] = 0


@step
def next_slot(book: Book, side: Int, tick: Int, n: Int) -> Int:
    """Return the slot of the next worse level of a side; there must be one."""
    base = book.reg[b.BASE]
    step = -1 if side == b.BID else 1
    inside = np.int64(-1)
    i = tick - base + step
    if side == b.BID:
        i = min(i, n - 1)
    else:
        i = max(i, 0)
    while 0 <= i < n:
        if book.depth[side, i] > 0:
            inside = i
            break
        i += step
    best = inside
    best_tick = base + inside
    if book.reg[b.N_FAR] > 0:
        for row in range(book.far.shape[0]):
            if book.depth[side, n + row] > 0:
                t = np.int64(book.far[row, 0])
                if (t - tick) * step > 0 and (best < 0 or (t - best_tick) * step < 0):
                    best = n + row
                    best_tick = t
    return best


@step
def fills_follow(records: NDArray, i: Int, stop: Int) -> Int:
    """Return the end of the run of fills and cancels with the trade's sequence number.

    Returns i + 1 unless both a fill and a cancel follow, and -1 if the run reaches ``stop``.
    """
    sequence = records[i]["sequence"]
    fill = False
    cancel = False
    j = i + 1
    while j < stop and records[j]["sequence"] == sequence:
        action = records[j]["action"]
        if action == _FILL:
            fill = True
        elif action == _CANCEL or action == _MODIFY:
            cancel = True
        else:
            break
        j += 1
    if j == stop:
        return -1
    return j if fill and cancel else i + 1


@kernel
def advance_mbp(
    book: Book,
    impulses: Impulses,
    records: NDArray,
    final: bool,
    tick_size: Int,
    levels: Int,
    rows: NDArray[np.int64],
    index: NDArray[np.int64],
) -> tuple[Int, Int, Int]:
    """Apply records one by one and write a row for each A, C, M, R and T.

    Returns
    -------
    tuple of (status, consumed, rows written)
        A trade whose sequence number may go on beyond the input is not consumed.
    """
    n = records.shape[0]
    out = 0
    i = 0
    trade_row = -1
    trade_stop = -1
    while i < n:
        action = records[i]["action"]
        if trade_row < 0:
            stop = i + 1
            if action == _TRADE:
                stop = fills_follow(records, i, n)
                if stop < 0:
                    if not final and n - i < _MAX_HELD:
                        return OK, i, out
                    stop = n if final else i + 1
            status = room_for(book, impulses, records, i, stop, tick_size)
            if status != OK:
                return status, i, out
            if stop > i + 1:
                trade_row = out
                trade_stop = stop
        book.reg[b.N_IMPULSES] = 0
        status = apply_record(book, impulses, records[i], tick_size)
        if status != OK:
            return status, i, out
        book.reg[b.N_RECORDS] += 1
        if (
            action == _ADD
            or action == _CANCEL
            or action == _MODIFY
            or action == _CLEAR
            or action == _TRADE
        ):
            index[out] = i
            top_levels(book, b.BID, levels, tick_size, rows[out, 0])
            top_levels(book, b.ASK, levels, tick_size, rows[out, 1])
            out += 1
        i += 1
        if i == trade_stop:
            top_levels(book, b.BID, levels, tick_size, rows[trade_row, 0])
            top_levels(book, b.ASK, levels, tick_size, rows[trade_row, 1])
            trade_row = -1
        if trade_row < 0 and wants_anchor(book):
            return b.REANCHOR, i, out
    return OK, n, out


class MarketByPrice(BookShell):
    """Replay one book record by record and yield the vendor's rows.

    Parameters
    ----------
    tick_size : int
        Tick size in units of 1e-9.
    levels : int
        Levels a side.
    n_ticks : int
        Ticks held densely around the anchor.
    subject : str
        File named in errors.
    """

    def __init__(
        self, tick_size: int, levels: int = 10, *, n_ticks: int = 8192, subject: str = "input"
    ) -> None:
        super().__init__(tick_size, n_ticks, subject)
        self.n_levels = levels

    def rows(self, chunks: Iterable[NDArray]) -> Iterator[dict[str, NDArray]]:
        """Yield columns of rows, in the vendor's names, for runs of records of one book."""
        held = np.empty(0, MBO_DTYPE)
        for records in chunks:
            joined = np.concatenate([held, records])
            consumed = yield from self._rows(joined, False)
            held = joined[consumed:]
        if len(held):
            yield from self._rows(held, True)

    def _rows(self, records: NDArray, final: bool) -> Generator[dict[str, NDArray], None, int]:
        done = 0
        while True:
            part = records[done:]
            rows = np.empty((len(part), 2, self.n_levels, 3), np.int64)
            index = np.empty(len(part), np.int64)
            status, consumed, n = advance_mbp(
                self.book,
                self.impulses,
                part,
                final,
                self.tick_size,
                self.n_levels,
                rows,
                index,
            )
            if n:
                yield self._columns(part[index[:n]], rows[:n])
            done += consumed
            if status == OK:
                return done
            if status < b.GROW_ORDERS:
                raise self._refuse(status, part, consumed, consumed)
            self._make_room(status)

    def _columns(self, records: NDArray, rows: NDArray[np.int64]) -> dict[str, NDArray]:
        columns: dict[str, NDArray] = {
            "ts_recv": records["ts_recv"].astype(np.int64),
            "ts_event": records["ts_event"].astype(np.int64),
            "sequence": records["sequence"].astype(np.int64),
            "action": records["action"].view("S1").astype("U1"),
            "side": records["side"].view("S1").astype("U1"),
            "price": records["price"].astype(np.int64),
            "size": records["size"].astype(np.int64),
            "flags": records["flags"].astype(np.int64),
        }
        for level in range(self.n_levels):
            for s, side in enumerate(("bid", "ask")):
                for c, what in enumerate(("px", "sz", "ct")):
                    columns[f"{side}_{what}_{level:02d}"] = rows[:, s, level, c].copy()
        return columns
