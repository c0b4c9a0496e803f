"""Pending fills: executions whose cancel or modify, which says what they did, is still to come."""

from __future__ import annotations

from typing import Any

import numpy as np

from qmachina.book import state as s
from qmachina.book.state import Book
from qmachina.book.table import claim, find, remove
from qmachina.kernel import Int, cold, step

_UNMATCHED_FILL = int(s.Anomaly.UNMATCHED_FILL)


@step
def note(book: Book, kind: Int) -> None:
    """Count an anomaly of the order flow."""
    book.anomalies[kind] += 1
    book.reg[s.LAST_ANOMALY] = kind + 1


@cold
def open_fill(book: Book, record: Any) -> None:
    """Remember a fill until the cancel or modify of its order says what it did."""
    reg = book.reg
    row = claim(book.pending, reg[s.PENDING_LOG2], record["order_id"])
    word = book.pending[row, 2]
    size = np.int64(record["size"])
    if word == 0:
        reg[s.N_PENDING] += 1
    elif book.pending[row, 1] == record["ts_event"]:
        size += np.int64(word >> np.uint64(1))
    else:
        book.anomalies[_UNMATCHED_FILL] += 1
    book.pending[row, 1] = record["ts_event"]
    book.pending[row, 2] = np.uint64(2 * size + 1)


@step
def take_fill(book: Book, record: Any, reduction: Int) -> Int:
    """Consume the pending fill of a cancel's or modify's order; return how much it explains."""
    reg = book.reg
    if reg[s.N_PENDING] == 0:
        return np.int64(0)
    row = find(book.pending, reg[s.PENDING_LOG2], record["order_id"])
    if row < 0:
        return np.int64(0)
    size = np.int64(book.pending[row, 2] >> np.uint64(1))
    same = book.pending[row, 1] == record["ts_event"]
    remove(book.pending, reg[s.PENDING_LOG2], row)
    reg[s.N_PENDING] -= 1
    if not same or reduction <= 0:
        book.anomalies[_UNMATCHED_FILL] += 1
        return np.int64(0)
    return min(size, reduction)


@step
def expire_fills(book: Book) -> None:
    """Forget all pending fills, counting each as unmatched."""
    reg = book.reg
    if reg[s.N_PENDING] > 0:
        book.anomalies[_UNMATCHED_FILL] += reg[s.N_PENDING]
        reg[s.N_PENDING] = 0
        book.pending[:, 2] = 0
