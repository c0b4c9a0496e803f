"""Laws of the silver dataset as functions: run before every publication, and by the tests."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from qmachina.errors import SchemaError
from qmachina.fields import Chunk, concat
from qmachina.grid.fields import GRID_MECHANICS


class SilverLaws:
    """Check consecutive chunks of one silver dataset.

    Parameters
    ----------
    tick_size : int
        Tick size in units of 1e-9.
    bin_ns : int
        Bin width; 0 when rows were emitted after events.
    """

    def __init__(self, tick_size: int, bin_ns: int) -> None:
        self.tick_size = tick_size
        self.bin_ns = bin_ns
        self._tail: Chunk | None = None
        self._end: int | None = None

    def check(self, chunk: Chunk) -> None:
        """Check one chunk against the laws and against the chunk before it.

        Raises
        ------
        SchemaError
            Naming the law, the bin and the tick.
        """
        if not chunk.n_bins:
            return
        self._consecutive(chunk)
        self._finite(chunk)
        self._conserved(chunk)

    def _consecutive(self, chunk: Chunk) -> None:
        start, end = chunk.bins["bin_start_ns"], chunk.bins["bin_end_ns"]
        first = self._end if self._end is not None else int(start[0])
        previous = np.concatenate([[first], end[:-1]])
        bad = start != previous
        if self.bin_ns:
            bad |= end - start != self.bin_ns
        if bad.any():
            raise self._broken("bins are not consecutive", chunk, int(np.argmax(bad)))
        self._end = int(end[-1])

    def _finite(self, chunk: Chunk) -> None:
        for f in GRID_MECHANICS:
            bad = ~np.isfinite(chunk.grid[f.name])
            if bad.any():
                raise self._broken(f"{f.name} is not finite", chunk, int(np.argwhere(bad)[0][0]))

    def _conserved(self, chunk: Chunk) -> None:
        """Opening depth + add - pull - fill + reset = closing depth, per absolute tick and side."""
        known = self._tail or chunk.slice(0, 0)
        spot = joined(known.bins, chunk.bins, "spot_ref_price_int") // self.tick_size
        shift = np.diff(spot)
        first = chunk.n_bins - len(shift)  # the very first bin has no bin before it
        rows = chunk.grid["bid_depth"].shape[1]
        for side in ("bid", "ask"):
            depth = joined(known.grid, chunk.grid, f"{side}_depth")
            change = chunk.grid[f"add_{side}"] - chunk.grid[f"pull_{side}"]
            change = change - chunk.grid[f"fill_{side}"] + chunk.grid[f"reset_{side}"]
            before, after, change = depth[:-1], depth[1:], change[first:]
            bad = ((before + change != after) & (shift == 0)[:, None]).any(axis=1)
            for i in np.flatnonzero((shift != 0) & (np.abs(shift) < rows)):
                n = int(shift[i])  # the window moved: compare the ticks that both rows hold
                now = slice(max(-n, 0), rows - max(n, 0))
                old = slice(max(n, 0), rows - max(-n, 0))
                bad[i] = (before[i, old] + change[i, now] != after[i, now]).any()
            if bad.any():
                raise self._broken("depth is not conserved", chunk, first + int(np.argmax(bad)))
        last = chunk.slice(chunk.n_bins - 1, chunk.n_bins)
        self._tail = concat([last])  # a copy: the chunk may be views of buffers

    def _broken(self, what: str, chunk: Chunk, i: int) -> SchemaError:
        return SchemaError(
            what, subject=f"silver bin {int(chunk.bins['bin_seq'][i])}", expected="the law to hold"
        )


def joined(
    before: Mapping[str, NDArray], now: Mapping[str, NDArray], name: str
) -> NDArray[np.int64]:
    """Return a column of consecutive chunks as one."""
    return np.concatenate([before[name], now[name]])
