"""Our contestants: the book alone, and the full engine at 100 ms bins."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from qmachina.book.book import OrderBook
from qmachina.grid.engine import Engine
from qmachina.specs.silver import SilverSpec

CHUNK = 65_536


def run(what: str, records: np.ndarray, tick_size: int) -> dict[str, float]:
    """Time one contestant over all records, in chunks as the reader makes them."""
    bins = 0
    stage: OrderBook | Engine
    stage = OrderBook(tick_size) if what == "book" else Engine(SilverSpec(), tick_size)
    parts = [records[i : i + CHUNK] for i in range(0, len(records), CHUNK)]
    started = time.perf_counter()
    for part in parts:
        for chunk in stage.advance(part):
            bins += chunk.n_bins
    seconds = time.perf_counter() - started
    return {"records": len(records), "bins": bins, "seconds": seconds}


def main() -> None:
    """Read the file named on the command line and print the result."""
    what, path, tick_size = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    records = np.load(path)
    run(what, records[:100_000].copy(), tick_size)  # compile, or load from the cache
    sys.stdout.write(json.dumps(run(what, records, tick_size)) + "\n")


if __name__ == "__main__":
    main()
