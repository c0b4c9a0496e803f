"""Laws of the silver dataset as functions: run before every publication, and by the tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmachina.errors import SchemaError
from qmachina.fields import Chunk
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
        self._last: tuple[int, int, NDArray[np.int64], NDArray[np.int64]] | None = None
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
        spot = chunk.bins["spot_ref_price_int"] // self.tick_size
        if self._last is None:
            before_spot = spot[:1]
            depths = [chunk.grid[f"{side}_depth"][:1] for side in ("bid", "ask")]
            skip = 1
        else:
            before_spot = np.array([self._last[0]])
            depths = [self._last[2][None], self._last[3][None]]
            skip = 0
        shift = np.diff(np.concatenate([before_spot, spot[: len(spot)]]))
        rows = chunk.grid["bid_depth"].shape[1]
        for side, opening in zip(("bid", "ask"), depths, strict=True):
            depth = chunk.grid[f"{side}_depth"]
            change = chunk.grid[f"add_{side}"] - chunk.grid[f"pull_{side}"]
            change = change - chunk.grid[f"fill_{side}"] + chunk.grid[f"reset_{side}"]
            before = np.concatenate([opening, depth[:-1]])
            still = shift == 0
            if skip:
                still[0] = False
            bad = (before + change != depth) & still[:, None]
            if bad.any():
                raise self._broken("depth is not conserved", chunk, int(np.argwhere(bad)[0][0]))
            for i in np.flatnonzero(shift):
                n = int(shift[i])
                if abs(n) >= rows or (skip and i == 0):
                    continue
                now = slice(0, rows - n) if n > 0 else slice(-n, rows)
                old = slice(n, rows) if n > 0 else slice(0, rows + n)
                if (before[i, old] + change[i, now] != depth[i, now]).any():
                    raise self._broken("depth is not conserved", chunk, int(i))
        self._last = (
            int(spot[-1]),
            0,
            chunk.grid["bid_depth"][-1].copy(),
            chunk.grid["ask_depth"][-1].copy(),
        )

    def _broken(self, what: str, chunk: Chunk, i: int) -> SchemaError:
        return SchemaError(
            what, subject=f"silver bin {int(chunk.bins['bin_seq'][i])}", expected="the law to hold"
        )
