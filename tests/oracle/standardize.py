"""Brute-force twin of qmachina.features.standardize: every window from scratch, with numpy."""

from __future__ import annotations

import math

import numpy as np


def last_row(window, spec, prior=None):
    """Standardise the last value of a sequence of at most ``spec.window`` values."""
    prior = spec.prior if prior is None else prior
    x = np.array(window, np.float64) + 0.0  # no negative zero
    x[~(np.abs(x) <= 1e150)] = np.nan
    present = x[np.isfinite(x)]
    n = len(present)
    if n < spec.min_count:
        return 0.0, 0.0, prior, 1.0, False
    median = float(np.median(present))
    mad = float(np.median(np.abs(present - median)))
    both = np.isfinite(x[1:]) & np.isfinite(x[:-1])
    changes = int(np.sum(both & (x[1:] != x[:-1])))
    share = int(np.sum(present == median)) / n
    informative = max(0.0, 1.0 - 2.0 * share)
    shrinkage = spec.d0 / (spec.d0 + spec.eta * changes * informative)
    s_mad = spec.mad_constant * mad
    scale = math.sqrt((1.0 - shrinkage) * s_mad * s_mad + shrinkage * (prior * prior))
    scale = max(scale, 1e-3 * prior)
    if not np.isfinite(x[-1]):
        return 0.0, median, scale, shrinkage, False
    z = (float(x[-1]) - median) / scale
    return min(max(z, -spec.z_clip), spec.z_clip), median, scale, shrinkage, True


def robust_standardize(values, spec, prior=None):
    """Return z, median, scale, shrinkage and ready of one series."""
    rows = [
        last_row(values[max(0, t + 1 - spec.window) : t + 1], spec, prior)
        for t in range(len(values))
    ]
    columns = zip(*rows, strict=True) if rows else ([], [], [], [], [])
    return tuple(np.array(c) for c in columns)
