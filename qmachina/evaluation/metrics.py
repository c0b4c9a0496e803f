"""What the trades of one score amount to, as JSON-ready numbers.

A rate over nothing is null, never 0. Ticks and currency are per contract; names ending in
``_currency`` say so, ``_per_hour`` counts over eligible time, the rest are ticks where the name
says ``_ticks`` and pure numbers otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qmachina.evaluation.rules import half_ticks
from qmachina.evaluation.trades import REASONS, SL, TP, Trades

NS_PER_HOUR = 3_600_000_000_000
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

Number = float | None


def measure(trades: Trades) -> dict[str, Any]:
    """Compute the metrics of one score on one date, or on several joined ones.

    Returns
    -------
    dict of str to int, float, bool or None
        The same keys for every input, in a fixed order; the values survive
        ``json.dumps(allow_nan=False)``. ``docs/evaluation.md`` defines each.
    """
    n = trades.count("n")
    sides = trades.table["side"]
    return {
        "n_trades": n,
        "n_long": int(np.count_nonzero(sides > 0)),
        "n_short": int(np.count_nonzero(sides < 0)),
        **{f"{r.lower()}_rate": ratio(trades.count(r.lower()), n) for r in REASONS},
        **_barriers(trades),
        **_expectancy(trades),
        **_pace(trades),
        **_risk(trades),
        **_excursions(trades),
        **_hygiene(trades),
    }


def equity_ticks(trades: Trades) -> NDArray[np.float64]:
    """Return the running sum of net results after each trade, ticks, shape (n_trades,)."""
    return np.cumsum(trades.table["net"])


def ratio(part: float, whole: float) -> Number:
    """Return part / whole, or None over nothing."""
    return part / whole if whole else None


def _barriers(trades: Trades) -> dict[str, Number]:
    spec, table = trades.spec, trades.table
    hits = table[(table["reason"] == TP) | (table["reason"] == SL)]
    n_hits = hits.shape[0]
    share = ratio(trades.count("tp"), n_hits)
    take, stop = half_ticks(spec.tp_ticks), half_ticks(spec.sl_ticks)
    half_spreads: Number = 0.0
    if spec.basis == "mid":
        up, down = np.full(n_hits, take), np.full(n_hits, stop)
        both = int(hits["entry_spread"].sum() + hits["exit_spread"].sum())
        half_spreads = ratio(0.5 * both, n_hits)
    else:
        # Best prices are whole ticks: a level between two ticks is reached at the next one.
        take_ticks = -(-(take + half_ticks(spec.through_ticks or 0.0)) // 2)
        up, down = take_ticks + hits["entry_spread"], -(-stop // 2) - hits["entry_spread"]
    baseline = float(np.mean(down / (up + down))) if n_hits else None
    return {
        "tp_share_of_barriers": share,
        "tp_share_baseline": baseline,
        "tp_share_over_baseline": None if share is None or baseline is None else share - baseline,
        "tp_share_break_even": None if half_spreads is None else _break_even(trades, half_spreads),
    }


def _break_even(trades: Trades, half_spreads: float) -> float:
    # p (tp - c_tp) = (1 - p) (sl + c_sl), where the two costs differ by the slippage of the stop.
    spec = trades.spec
    cost = 2.0 * spec.fee_per_contract / trades.tick_value + spec.slip_in_ticks + half_spreads
    loss = spec.sl_ticks + cost + spec.slip_out_ticks
    return loss / (spec.tp_ticks + spec.sl_ticks + spec.slip_out_ticks)


def _expectancy(trades: Trades) -> dict[str, Number]:
    n = trades.count("n")
    with_ties = n + trades.count("tie_dropped")
    net = ratio(trades.total("sum_net"), n)
    gross = ratio(trades.total("sum_gross"), n)
    return {
        "net_ticks": trades.total("sum_net"),
        "expectancy_net_ticks": net,
        "expectancy_gross_ticks": gross,
        "expectancy_net_currency": None if net is None else net * trades.tick_value,
        "expectancy_gross_currency": None if gross is None else gross * trades.tick_value,
        "expectancy_sl_first_ticks": ratio(trades.total("sum_sl_first"), with_ties),
        "expectancy_tp_first_ticks": ratio(trades.total("sum_tp_first"), with_ties),
    }


def _pace(trades: Trades) -> dict[str, Number]:
    hours = trades.eligible_bins * trades.bin_ns / NS_PER_HOUR
    hold = trades.table["exit_bin"] - trades.table["entry_bin"]
    return {
        "eligible_hours": hours,
        "events_per_hour": ratio(trades.count("n"), hours),
        "triggers_per_hour": ratio(trades.count("triggers"), hours),
        "median_hold_s": float(np.median(hold)) * trades.bin_ns * 1e-9 if hold.size else None,
    }


def _risk(trades: Trades) -> dict[str, Number | bool]:
    net = trades.table["net"]
    spread = float(np.std(net, ddof=1)) if net.size > 1 else 0.0
    # Equal results leave a rounding residue as their deviation, not always exactly zero.
    varies = net.size > 1 and bool(np.any(net != net[0]))
    gain, loss = trades.total("sum_gain"), trades.total("sum_loss")
    before = np.concatenate([[0.0], equity_ticks(trades)])
    peak = np.maximum.accumulate(before)
    worst = before[:-1] - 0.5 * trades.table["mae"] - trades.table["cost"]
    return {
        "sharpe_per_trade": float(np.mean(net)) / spread if varies else None,
        "profit_factor": ratio(gain, -loss),
        "profit_factor_has_no_losses": bool(net.size and loss == 0.0),
        "max_drawdown_ticks": float(np.max(peak - before)) if net.size else None,
        "max_drawdown_marked_ticks": float(np.max(peak[:-1] - worst, initial=0.0))
        if net.size
        else None,
    }


def _excursions(trades: Trades) -> dict[str, Number]:
    out: dict[str, Number] = {}
    for name in ("mae", "mfe"):
        values = 0.5 * trades.table[name]
        for q in QUANTILES:
            key = f"{name}_q{round(100 * q):02d}_ticks"
            out[key] = float(np.quantile(values, q)) if values.size else None
    out["capture"] = ratio(trades.count("sum_gross"), int(trades.table["mfe"].sum()))
    return out


def _hygiene(trades: Trades) -> dict[str, Any]:
    n, triggers = trades.count("n"), trades.count("triggers")
    usable = ratio(trades.usable_bins, trades.session_bins)
    return {
        "n_triggers": triggers,
        "n_suppressed_position": trades.count("suppressed_position"),
        "n_suppressed_cooldown": trades.count("suppressed_cooldown"),
        "n_after_flat": trades.count("after_flat"),
        "invalid_share": None if usable is None else 1.0 - usable,
        "entry_invalid_share": ratio(trades.count("entry_invalid"), triggers),
        "stop_inside_spread_share": ratio(trades.count("stop_inside_spread"), triggers),
        "tie_rate": ratio(trades.count("tie"), n + trades.count("tie_dropped")),
        "late_rate": ratio(trades.count("late"), n),
        "stale_rate": ratio(trades.count("stale"), n),
    }
