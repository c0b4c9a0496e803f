"""Every combination of barriers, holding time, cooldown and threshold, on one date and over many.

`sweep` returns one row of counts and sums a configuration; that is all a date contributes.
`combine` adds the dates up and ranks by the lower end of the interval over dates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qmachina.errors import QMachinaError, RefusedError, SpecError
from qmachina.evaluation.first_passage import MAX_HORIZON, levels_for, tabulate
from qmachina.evaluation.intervals import CONFIDENCE, date_clustered, note
from qmachina.evaluation.prices import Path
from qmachina.evaluation.rules import RULES, rules_of
from qmachina.evaluation.trades import TALLY, TRADE
from qmachina.evaluation.triggers import TRIGGER, find_triggers
from qmachina.evaluation.walk import sweep_grid
from qmachina.kernel import OK
from qmachina.specs.evaluation import EvaluatorSpec

#: The fields a sweep may vary; configurations are ordered with the last one running fastest.
AXES = ("threshold", "max_hold_ms", "cooldown_ms", "tp_ticks", "sl_ticks")

_CONFIG = [
    ("threshold", "<f8"),
    ("max_hold_ms", "<i8"),
    ("cooldown_ms", "<i8"),
    ("tp_ticks", "<f8"),
    ("sl_ticks", "<f8"),
]
_COUNTS = tuple(n for n in TALLY.names or () if TALLY[n].kind == "i")

#: One configuration on one date: its axes, then its tally.
SWEPT = np.dtype(_CONFIG + [(n, TALLY[n].str) for n in TALLY.names or ()])

#: One configuration over all dates. Counts are sums over dates; means are per trade, in ticks;
#: NaN is not defined.
RANKED = np.dtype(
    [("rank", "<i8"), ("config", "<i8"), *_CONFIG]
    + [(n, "<i8") for n in _COUNTS if n != "sum_gross"]
    + [("dates", "<i8"), ("dates_traded", "<i8")]
    + [(n, "<f8") for n in ("net", "net_se", "net_low", "net_high", "gross")]
    + [(n, "<f8") for n in ("net_sl_first", "net_tp_first")]
)


def sweep(
    path: Path,
    scores: NDArray,
    ready: NDArray[np.bool_],
    base: EvaluatorSpec,
    grid: Mapping[str, Sequence[float]],
) -> NDArray:
    """Evaluate every combination of the grid on one date.

    Parameters
    ----------
    path, scores, ready
        As in `first_touch.evaluate`.
    base : EvaluatorSpec
        Everything the grid does not vary.
    grid : mapping of str to sequence
        Values of any of `AXES`; an axis not named keeps the value of ``base``.

    Returns
    -------
    ndarray of SWEPT, shape (n_configs,)
        Equal to the tallies of `evaluate`, configuration by configuration. The order depends on
        base and grid only, so tables of different dates line up.

    Raises
    ------
    SpecError
        If an axis cannot be swept, is empty, holds a value twice or an impossible one.
    """
    axes = _axes(base, grid)
    index = np.indices([len(values) for values in axes.values()]).reshape(len(AXES), -1)
    specs = {name: [_with(base, name, v) for v in values] for name, values in axes.items()}

    rules = np.empty(index.shape[1], RULES)
    horizon = min(max(int(_rule(s, path, "hold")) for s in specs["max_hold_ms"]), MAX_HORIZON)
    rules[:] = rules_of(base, path, horizon)
    for axis, name, fields in (
        (1, "max_hold_ms", ("hold", "tabled")),
        (2, "cooldown_ms", ("cooldown",)),
        (3, "tp_ticks", ("tp",)),
        (4, "sl_ticks", ("sl",)),
    ):
        values = np.concatenate([rules_of(s, path, horizon) for s in specs[name]])
        for field in fields:
            rules[field] = values[field][index[axis]]

    sets = [find_triggers(path, scores, ready, s) for s in specs["threshold"]]
    longest = max(*axes["sl_ticks"], *(tp + (base.through_ticks or 0) for tp in axes["tp_ticks"]))
    table = tabulate(path, base, levels_for(path, base, longest), horizon)
    tally = np.zeros(index.shape[1], TALLY)
    status = sweep_grid(
        rules,
        table.sides.bins,
        table.sides.lines,
        index[0],
        np.cumsum([0, *(s.rows.shape[0] for s in sets)]),
        np.concatenate([s.rows for s in sets]).astype(TRIGGER, copy=False),
        np.stack([s.next_index for s in sets]),
        table.up,
        table.down,
        np.zeros(index.shape[1], np.int64),
        np.empty(0, TRADE),
        tally,
    )
    if status != OK:
        raise QMachinaError("the sweep kernel failed", found=status)
    out = np.empty(index.shape[1], SWEPT)
    for axis, (name, choices) in enumerate(axes.items()):
        out[name] = np.asarray(choices)[index[axis]]
    for name in TALLY.names or ():
        out[name] = tally[name]
    return out


def combine(dates: Mapping[str, NDArray], confidence: float = CONFIDENCE) -> NDArray:
    """Add up the tables of several dates and rank the configurations.

    Parameters
    ----------
    dates : mapping of str to ndarray of SWEPT, shape (n_configs,)
        Tables of `sweep` by date, the dates without trades included. Added in date order.
    confidence : float
        Of the two-sided interval over dates.

    Returns
    -------
    ndarray of RANKED, shape (n_configs,)
        Best first: by the lower end of the interval of the net result per trade, then, where too
        few dates traded for an interval, by the mean; no trades last; equals by configuration.

    Raises
    ------
    RefusedError
        If there are no dates, or their configurations differ.

    Notes
    -----
    The first row is the best of many and its interval knows nothing of that. It is a place to
    look, not evidence.
    """
    if not dates:
        raise RefusedError("no dates to combine")
    names = sorted(dates)
    first = dates[names[0]]
    for name in names:
        table = dates[name]
        if table.shape != first.shape or any(np.any(table[a] != first[a]) for a in AXES):
            raise RefusedError(
                "configurations differ between dates", subject=f"{names[0]} and {name}"
            )
    net = date_clustered(
        np.stack([dates[d]["sum_net"] for d in names]),
        np.stack([dates[d]["n"] for d in names]),
        confidence,
    )
    out = np.zeros(first.shape, RANKED)
    out["config"] = np.arange(first.shape[0])
    for name in AXES:
        out[name] = first[name]
    sums = {name: np.zeros(first.shape) for name in ("gross", "sl_first", "tp_first")}
    for d in names:
        for name in sums:
            sums[name] += dates[d][f"sum_{name}"]
        for name in _COUNTS:
            if name != "sum_gross":
                out[name] += dates[d][name]
    out["dates"], out["dates_traded"] = net.dates, net.dates_traded
    out["net"], out["net_se"], out["net_low"], out["net_high"] = (
        net.mean,
        net.se,
        net.low,
        net.high,
    )
    with_ties = out["n"] + out["tie_dropped"]
    for field, total, n in (
        ("gross", 0.5 * sums["gross"], out["n"]),
        ("net_sl_first", sums["sl_first"], with_ties),
        ("net_tp_first", sums["tp_first"], with_ties),
    ):
        out[field] = np.where(n > 0, total / np.maximum(n, 1), np.nan)
    worst_first = [np.where(np.isnan(out[f]), -np.inf, out[f]) for f in ("net", "net_low")]
    order = np.lexsort((out["config"], *(-key for key in worst_first)))
    ranked: NDArray = out[order]
    ranked["rank"] = np.arange(1, ranked.shape[0] + 1)
    return ranked


def to_rows(ranked: NDArray, limit: int | None = None) -> list[dict[str, Any]]:
    """Return the first rows of a ranking as JSON-ready data, with null for NaN and a ``note``."""
    rows = []
    for record in ranked[:limit]:
        row: dict[str, Any] = {}
        for name in RANKED.names or ():
            value = record[name].item()
            row[name] = None if value != value else value
        rows.append(row | {"note": note(row["dates_traded"])})
    return rows


def spec_at(row: Mapping[str, Any] | np.void, base: EvaluatorSpec) -> EvaluatorSpec:
    """Return the complete spec of one configuration of a sweep over ``base``."""
    values = {name: row[name] for name in AXES}
    plain = {n: v.item() if isinstance(v, np.generic) else v for n, v in values.items()}
    return EvaluatorSpec.parse(base.canonical() | plain, "sweep")


def _axes(base: EvaluatorSpec, grid: Mapping[str, Sequence[float]]) -> dict[str, Sequence[float]]:
    unknown = sorted(set(grid) - set(AXES))
    if unknown:
        raise SpecError("axis cannot be swept", expected=", ".join(AXES), found=", ".join(unknown))
    axes: dict[str, Sequence[float]] = {
        name: list(grid.get(name, [getattr(base, name)])) for name in AXES
    }
    for name, values in axes.items():
        if not values:
            raise SpecError("axis has no values", subject=f"sweep over {name}")
        if len(set(values)) < len(values):
            raise SpecError("axis has a value twice", subject=f"sweep over {name}", found=values)
    return axes


def _with(base: EvaluatorSpec, name: str, value: float) -> EvaluatorSpec:
    return EvaluatorSpec.parse(base.canonical() | {name: value}, f"sweep over {name}")


def _rule(spec: EvaluatorSpec, path: Path, field: str) -> int:
    return int(rules_of(spec, path)[0][field])
