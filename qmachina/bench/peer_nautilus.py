"""Peer: nautilus_trader's level-3 book alone, fed batches of deltas.

Runs in its own environment. Deltas are made before the clock starts; a partial cancel becomes
an update with the remaining size, because its cancels delete.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from nautilus_trader.model.book import OrderBook
from nautilus_trader.model.data import BookOrder, OrderBookDelta, OrderBookDeltas
from nautilus_trader.model.enums import BookAction, BookType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Price, Quantity

BATCH = 1000
INSTRUMENT = InstrumentId.from_str("PEER.BENCH")


def deltas_of(records: np.ndarray) -> list[OrderBookDelta]:
    """Return one delta for each record that changes the book, at the remaining sizes."""
    resting: dict[int, int] = {}
    out = []
    for r in records[
        ["action", "side", "order_id", "price", "size", "flags", "sequence", "ts_recv"]
    ]:
        action, side, order_id, price, size, flags, sequence, ts = (x.item() for x in r)
        kind = chr(action)
        if kind in "TFN":
            continue
        if kind == "R":
            out.append(OrderBookDelta.clear(INSTRUMENT, sequence, ts, ts))
            resting.clear()
            continue
        if kind == "C":
            left = resting.get(order_id, 0) - size
            does = BookAction.UPDATE if left > 0 else BookAction.DELETE
            size = max(left, 0)
        else:
            does = BookAction.ADD if kind == "A" else BookAction.UPDATE
        if does == BookAction.DELETE:
            resting.pop(order_id, None)
        else:
            resting[order_id] = size
        order = BookOrder(
            OrderSide.BUY if side == 66 else OrderSide.SELL,
            Price(price / 1e9, 2),
            Quantity(size, 0),
            order_id,
        )
        out.append(OrderBookDelta(INSTRUMENT, does, order, flags, sequence, ts, ts))
    return out


def main() -> None:
    """Read the file named on the command line and print the result."""
    records = np.load(sys.argv[2])
    deltas = deltas_of(records)
    batches = [
        OrderBookDeltas(INSTRUMENT, deltas[i : i + BATCH]) for i in range(0, len(deltas), BATCH)
    ]
    book = OrderBook(INSTRUMENT, BookType.L3_MBO)
    started = time.perf_counter()
    for batch in batches:
        book.apply_deltas(batch)
    seconds = time.perf_counter() - started
    result = {"records": len(records), "bins": 0, "seconds": seconds}
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
