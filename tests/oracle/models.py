"""Plain-Python twins of the models: one class each, one bin at a time, brute force throughout.

``ORACLES`` holds one for every model of the registry.
"""

from __future__ import annotations

import math

import numpy as np

from qmachina.models.ema_ensemble import EmaEnsemble
from qmachina.models.vacuum_pressure import VacuumPressure
from tests.oracle.standardize import last_row


def exp(x):
    """Return e**x as the kernels do: range reduction, Taylor polynomial, exact scaling."""
    x = max(x, -700.0)
    k = math.floor(x * 1.4426950408889634 + 0.5)
    r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10
    q = 1.0 / math.factorial(13)
    for n in range(12, 2, -1):
        q = q * r + 1.0 / math.factorial(n)
    q = q * r + 0.5
    return math.ldexp(1.0 + (r + (r * r) * q), k)


def tanh(x):
    if x * x < 0.625 * 0.625:
        y = x * x
        above = 2027025.0 + y * (270270.0 + y * (6930.0 + y * 36.0))
        below = 2027025.0 + y * (945945.0 + y * (51975.0 + y * (630.0 + y)))
        return x * above / below
    e = exp(-2.0 * abs(x))
    return math.copysign((1.0 - e) / (1.0 + e), x)


def clip(x):
    return min(max(x, -1.0), 1.0)


def normalised(weights):
    return [w / math.fsum(weights) for w in weights]


def columns(model, rows):
    """Return the rows of one table as columns of the fields' dtypes."""
    return {f.name: np.array([row[f.name] for row in rows], f.numpy) for f in model.bin_fields}


class VacuumPressureOracle:
    def __init__(self, model):
        self.model = model
        self.params = model.params
        self.geometry = model.geometry
        self.cells = {}  # tick: three lists of values, NaN where missing; its age is their length
        self.mid_x2 = None
        self.time = None
        self.chain = []  # base, d1, d2 of the last bin: as many as there were
        self.score_chain = []
        self.base_history = ([], [], [])

    def advance(self, silver, gold):
        bins, cells = [], []
        for t in range(silver.n_bins):
            size = self.geometry.tick_size_int
            time = int(silver.bins["bin_end_ns"][t])
            self.seconds = None if self.time is None else (time - self.time) / 1e9
            self.time = time
            self.lowest = int(silver.bins["spot_ref_price_int"][t]) // size - self.geometry.radius
            self.bid = int(silver.bins["best_bid_price_int"][t]) // size
            self.ask = int(silver.bins["best_ask_price_int"][t]) // size
            self.valid = bool(silver.bins["book_valid"][t])
            if self.valid:
                self.mid_x2 = self.bid + self.ask
            self.gold = {name: column[t].tolist() for name, column in gold.grid.items()}
            cells.append(self.spectrum())
            bins.append(self.score())
        n_rows = self.geometry.n_rows
        grid = {
            f.name: np.array([[cell[i] for cell in row] for row in cells], np.float64)
            .reshape(silver.n_bins, n_rows)
            .astype(f.numpy)
            for i, f in enumerate(self.model.cell_fields)
        }
        return columns(self.model, bins), grid

    def blend(self, zs, weights, scale):
        total = 0.0
        for z, w in zip(zs, normalised(weights), strict=True):
            total += w * tanh(z / scale)
        return clip(total)

    def spectrum(self):
        p = self.params
        radius = self.geometry.radius
        old, self.cells, row = self.cells, {}, []
        for r in range(self.geometry.n_rows):
            tick = self.lowest + r
            if self.mid_x2 is None or abs(2 * tick - self.mid_x2) > 2 * radius:
                row.append((0.0, 0, False))  # the mirror image's window does not have it
                continue
            history = self.cells[tick] = old.get(tick, ([], [], []))
            zs, ready = [], self.valid
            for i, values in enumerate(history):
                x = self.gold[f"composite_d{i + 1}"][r]
                values.append(x if len(values) + 1 >= p.settle_bins + i + 1 else math.nan)
                rule = p.standardize("flow_", p.flow_priors[i])
                z, _, _, _, ok = last_row(values[-p.flow_window :], rule)
                zs.append(z if p.flow_weights[i] > 0 else 0.0)
                ready = ready and (ok or p.flow_weights[i] == 0)
            score = self.blend(zs, p.flow_weights, p.flow_tanh_scale) if ready else 0.0
            code = (score >= p.flow_threshold) - (score <= -p.flow_threshold)
            row.append((score, code, ready))
        return row

    def settled(self, tick):
        return tick in self.cells and len(self.cells[tick][0]) >= self.params.settle_bins

    def intensities(self):
        """Return bull, bear and mixed, or None where no distance has any weight."""
        p = self.params
        n_rows = self.geometry.n_rows
        farthest = min(self.bid - self.lowest, self.lowest + n_rows - 1 - self.ask)
        weight = {-2: 0.0, -1: 0.0, 1: 0.0, 2: 0.0}
        mixed, total = {-1: 0.0, 1: 0.0}, 0.0
        for d in range(farthest + 1):
            if not (self.settled(self.bid - d) and self.settled(self.ask + d)):
                break
            w = float((1 + d) ** -p.decay) if d >= p.exclusion_ticks else 0.0
            total += w
            for side, tick in ((-1, self.bid - d), (1, self.ask + d)):
                code = self.gold["state5_code"][tick - self.lowest]
                decided = abs(self.gold["composite"][tick - self.lowest]) > p.deadband
                if code and decided:
                    weight[code] += w
                else:
                    mixed[side] += w
        if total == 0:
            return None
        bull = p.pressure_weight * weight[1] + p.vacuum_weight * weight[2]
        bear = p.pressure_weight * weight[-1] + p.vacuum_weight * weight[-2]
        both = 2.0 * total
        return bull / both, bear / both, (mixed[-1] + mixed[1]) / both

    def derivatives(self, before, x):
        chain = [x]
        for order in range(min(len(before), 3)):
            chain.append((chain[order] - before[order]) / self.seconds)
        return chain

    def score(self):
        p = self.params
        found = self.intensities() if self.valid else None
        bull, bear, mixed = found or (0.0, 0.0, 0.0)
        base = (bull - bear) * max(1.0 - p.mixed_weight * mixed, 0.0)
        self.chain = self.derivatives(self.chain, base) if found else []
        ds = [*self.chain[1:], math.nan, math.nan, math.nan][:3]
        zs, ready, shrinkage = [], found is not None, 0.0
        for i, (values, d) in enumerate(zip(self.base_history, ds, strict=True)):
            values.append(d)
            rule = p.standardize("", p.priors[i])
            z, _, _, lambda_, ok = last_row(values[-p.window :], rule)
            zs.append(z)
            ready = ready and (ok or p.weights[i] == 0)
            shrinkage += normalised(p.weights)[i] * lambda_
        score = self.blend(zs, p.weights, p.tanh_scale) if ready else 0.0
        self.score_chain = self.derivatives(self.score_chain, score) if ready else []
        known = [0.0 if d != d else d for d in ds]
        return {
            "score": score,
            "ready": ready,
            "shrinkage": shrinkage,
            "base": base,
            "bull": bull,
            "bear": bear,
            "mixed": mixed,
            **{f"base_d{i + 1}": d for i, d in enumerate(known)},
            **{f"base_z{i + 1}": z for i, z in enumerate(zs)},
            **{f"projected_{h}ms": self.project(h / 1e3) for h in p.projection_horizons_ms},
        }

    def project(self, h):
        p = self.params
        s, s1, s2, s3 = [*self.score_chain, 0.0, 0.0, 0.0, 0.0][:4]
        third = p.projection_cubic_scale if p.projection_cubic else 0.0
        ahead = h * s1 + 0.5 * (h * h) * s2 + third * ((h * h) * h) * s3
        return clip((s + ahead) * exp(-(p.projection_damping * h)))


class EmaEnsembleOracle:
    def __init__(self, model):
        self.model = model
        self.params = model.params
        self.mids = []  # of valid bins, half ticks
        self.emas = [0.0] * len(self.params.periods)
        self.candle_start = None
        self.candle = []  # valid mids of the candle
        self.close = 0  # the last valid mid

    def advance(self, silver, gold):
        p = self.params
        rows = []
        for t in range(silver.n_bins):
            valid = bool(silver.bins["book_valid"][t])
            candle_ns = p.candle_ms * 1_000_000
            start = int(silver.bins["bin_end_ns"][t]) - self.model.geometry.bin_ns
            start -= start % candle_ns
            if start != self.candle_start:
                self.candle_start, self.candle = start, []
            if valid:
                x = int(silver.bins["mid_x2"][t])
                if self.mids:
                    self.emas = [
                        e + 2.0 / (n + 1) * (x - e)
                        for e, n in zip(self.emas, p.periods, strict=True)
                    ]
                else:
                    self.emas = [float(x)] * len(p.periods)
                self.mids.append(x)
                self.candle.append(x)
                self.close = x
            shown = self.candle or [self.close]
            ready = valid and len(self.mids) >= p.periods[-1]
            lean = 0.0
            for w, fast, slow in zip(
                normalised(p.pair_weights), self.emas, self.emas[1:], strict=False
            ):
                lean += w * ((fast > slow) - (fast < slow))
            rows.append(
                {
                    "score": tanh(p.tanh_scale * lean) if ready else 0.0,
                    "ready": ready,
                    **{f"ema_{n}": e / 2 for n, e in zip(p.periods, self.emas, strict=True)},
                    **{f"sma_{n}": self.simple(n) for n in p.sma_periods},
                    "candle_start_ns": start,
                    "candle_open": shown[0] / 2,
                    "candle_high": max(shown) / 2,
                    "candle_low": min(shown) / 2,
                    "candle_close": shown[-1] / 2,
                }
            )
        return columns(self.model, rows), {}

    def simple(self, n):
        taken = self.mids[-n:]
        return sum(taken) / len(taken) / 2 if taken else 0.0


ORACLES = {VacuumPressure: VacuumPressureOracle, EmaEnsemble: EmaEnsembleOracle}
