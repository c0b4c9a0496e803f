"""Plain-Python twin of the gold stage: a dictionary of ticks, lists, and nothing clever."""

from __future__ import annotations

import math

import numpy as np

from qmachina.features.fields import GOLD_FIELDS


def positive(x):
    return x if x > 0.0 else 0.0


def state5(side, dominance):
    """Look a cell up: side is -1 on the bid, 1 on the ask, 0 elsewhere."""
    sign = (dominance > 0) - (dominance < 0)
    return {(1, 1): -1, (1, -1): 2, (-1, 1): 1, (-1, -1): -2}.get((side, sign), 0)


class Gold:
    """One bin at a time; the memory of a tick is the list of its raw composites."""

    def __init__(self, spec, geometry):
        self.spec = spec
        self.geometry = geometry
        self.ticks = {}
        self.time = None

    def advance(self, silver):
        rows = [self.close(silver, t) for t in range(silver.n_bins)]
        shape = (silver.n_bins, self.geometry.n_rows)
        return {
            f.name: np.array([row[f.name] for row in rows], np.float64)
            .reshape(shape)
            .astype(f.numpy)
            for f in GOLD_FIELDS
        }

    def close(self, silver, t):
        geometry = self.geometry
        size = geometry.tick_size_int
        bins = {name: column[t].item() for name, column in silver.bins.items()}
        lowest = bins["spot_ref_price_int"] // size - geometry.radius
        time = bins["bin_end_ns"]
        seconds = None if self.time is None else (time - self.time) / 1e9
        self.time = time
        self.ticks = {
            tick: self.ticks.get(tick, {"raw": [], "chain": []})
            for tick in range(lowest, lowest + geometry.n_rows)
        }
        out = {f.name: [] for f in GOLD_FIELDS}
        for r, (tick, memory) in enumerate(self.ticks.items()):
            cell = {name: float(column[t, r]) for name, column in silver.grid.items()}
            pressure, vacuum = self.forces(cell)
            raw = (pressure - vacuum) / (pressure + vacuum + self.spec.force_floor)
            memory["raw"].append(raw)
            chain = self.chain(self.composite(memory["raw"]), memory["chain"], seconds)
            memory["chain"] = chain
            side = 0
            if bins["book_valid"]:
                bid = bins["best_bid_price_int"] // size
                ask = bins["best_ask_price_int"] // size
                side = (tick >= ask) - (tick <= bid)
            move = -bins["ask_reprice_sign"] if side > 0 else bins["bid_reprice_sign"]
            values = (pressure, vacuum, *(chain + [0.0] * 3)[:4])
            values += (state5(side, chain[0]), state5(side, move))
            for f, value in zip(GOLD_FIELDS, values, strict=True):
                out[f.name].append(value)
        return out

    def forces(self, cell):
        s = self.spec
        pressure = s.c1 * cell["v_add"]
        pressure += s.c2 * positive(cell["v_rest_depth"])
        pressure += s.c3 * positive(cell["a_add"])
        vacuum = s.c4 * cell["v_pull"]
        vacuum += s.c5 * cell["v_fill"]
        vacuum += s.c6 * positive(-cell["v_rest_depth"])
        vacuum += s.c7 * positive(cell["a_pull"])
        return pressure, vacuum

    def composite(self, raw):
        total = math.fsum(self.spec.window_weights)
        mixed = 0.0
        for window, weight in zip(self.spec.windows, self.spec.window_weights, strict=True):
            newest_first = raw[: -window - 1 : -1]
            sum_ = 0.0
            for x in newest_first:
                sum_ += x
            mixed += weight / total * (sum_ / len(newest_first))
        return mixed

    def chain(self, composite, before, seconds):
        """Return composite, d1, d2, d3: as many as the tick has values."""
        chain = [composite]
        for order in range(min(len(before), 3)):
            chain.append((chain[order] - before[order]) / seconds)
        return chain
