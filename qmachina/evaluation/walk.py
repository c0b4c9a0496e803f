"""The evaluator itself: one walk over the triggers of a date, one position at a time.

1. A trigger at bin t enters at e = t + 1 + latency, at the end of that bin.
2. Barriers are looked for from e + 1 on; the holding clock runs on invalid bins too.
3. What closes the position: a gap, a barrier, the holding time, the flat bin; first come.
4. Prices: a take-profit pays its level and no exit pays more; a stop pays its level or the
   observed price, whichever is worse; everything else pays the observed price.
5. Triggers up to the exit bin are suppressed by the position, then by the cooldown.

All prices are half-ticks seen from the position's side: up is good.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmachina.evaluation.exits import Offsets, excursions, find_exit
from qmachina.evaluation.rules import DROP, FROM_ENTRY, FROM_SIGNAL
from qmachina.evaluation.trades import EOS, GAP, SL, TIMEOUT, TP
from qmachina.kernel import OK, kernel

#: The buffer for trades is too small.
FULL = 1
#: Bins that all configurations of a sweep walk before the next stretch.
STRETCH = 1024


@kernel
def walk_trades(
    rules: NDArray,
    bins: NDArray,
    lines: NDArray,
    triggers: NDArray,
    next_index: NDArray[np.int64],
    up: Offsets,
    down: Offsets,
    until: int,
    cursor: NDArray[np.int64],
    rows: NDArray,
    tally: NDArray,
) -> int:
    """Turn triggers into trades.

    The walk may be cut anywhere: calls with rising ``until`` give what one call gives.

    Parameters
    ----------
    rules : ndarray of RULES, shape (1,)
    bins : ndarray of BIN, shape (n_bins,)
    lines : ndarray of LINE, shape (2, n_bins)
    triggers : ndarray of TRIGGER, shape (n_triggers,)
    next_index : ndarray of int64, shape (n_bins + 1,)
        First trigger at or after each bin.
    up, down : ndarray of uint16, shape (2, n_bins, n_levels)
        First-passage tables; read only if the rules say they are tabled.
    until : int
        Only triggers before this bin are treated; their trades may reach beyond it.
    cursor : ndarray of int64, shape (1,)
        The next trigger to look at, moved on; 0 before the first call.
    rows : ndarray of TRADE, shape (capacity,)
        Receives the trades, dropped ties included; with capacity 0 only the tally is kept.
    tally : ndarray of TALLY, shape (1,)
        Receives counts and sums; zero before the first call.

    Returns
    -------
    int
        OK, or FULL if ``rows`` is too short.

    Notes
    -----
    Cost O(n_bins) by scan, since positions do not overlap; O(n_trades) by table without rows.
    """
    rule = rules[0]
    total = tally[0]
    n_triggers = triggers.shape[0]
    n_bins = bins.shape[0]
    written = total["n"] + total["tie_dropped"]
    total["triggers"] = n_triggers
    i = cursor[0]
    while i < n_triggers and triggers[i]["bin"] < until:
        signal = triggers[i]["bin"]
        side = triggers[i]["side"]
        entry = signal + 1 + rule["latency"]
        if entry >= rule["flat"]:
            total["after_flat"] += 1
            i += 1
            continue
        patience = min(entry + rule["wait"], rule["flat"] - 1)
        entry = bins[entry]["next_ok"]
        cool = -1
        if entry > patience:
            total["entry_invalid"] += 1
            busy = patience
        elif lines[side, entry]["enter"] - rule["sl"] >= lines[side, entry]["close"]:
            total["stop_inside_spread"] += 1
            busy = entry
        else:
            enter = lines[side, entry]["enter"]
            take = enter + rule["tp"]
            stop = enter - rule["sl"]
            leave, reason, tie, late, stale = find_exit(
                rule, bins, lines, up, down, side, entry, take, stop
            )
            priced = bins[leave]["prev_ok"]
            observed = lines[side, priced]["close"]
            at_stop = min(stop, observed)
            if reason == TP:
                paid = take
            elif reason == SL:
                paid = at_stop
            else:
                paid = min(observed, take)

            resting = rule["fee"] + rule["slip_in"]
            if rule["half_spreads"]:
                resting += 0.5 * (bins[entry]["spread"] + bins[priced]["spread"])
            market = resting + rule["slip_out"]
            cost = resting if reason == TP else market
            gross = paid - enter
            net = 0.5 * gross - cost
            net_sl_first = net
            net_tp_first = net
            if tie:
                net_sl_first = 0.5 * (at_stop - enter) - market
                net_tp_first = 0.5 * rule["tp"] - resting

            total["tie"] += tie
            total["sum_sl_first"] += net_sl_first
            total["sum_tp_first"] += net_tp_first
            if tie and rule["tie"] == DROP:
                total["tie_dropped"] += 1
            else:
                total["n"] += 1
                total["tp"] += reason == TP
                total["sl"] += reason == SL
                total["timeout"] += reason == TIMEOUT
                total["eos"] += reason == EOS
                total["gap"] += reason == GAP
                total["late"] += late
                total["stale"] += stale
                total["sum_gross"] += gross
                total["sum_net"] += net
                total["sum_net_sq"] += net * net
                total["sum_gain"] += max(net, 0.0)
                total["sum_loss"] += min(net, 0.0)
            if rows.shape[0] > 0:
                if written == rows.shape[0]:
                    return FULL
                row = rows[written]
                written += 1
                sign = 1 - 2 * side
                row["signal_bin"] = signal
                row["entry_bin"] = entry
                row["exit_bin"] = leave
                row["side"] = sign
                row["reason"] = reason
                row["tie"] = tie
                row["late"] = late
                row["stale"] = stale
                row["entry_price"] = sign * enter
                row["exit_price"] = sign * paid
                row["gross"] = gross
                row["entry_spread"] = bins[entry]["spread"]
                row["exit_spread"] = bins[priced]["spread"]
                row["cost"] = cost
                row["net"] = net
                row["net_sl_first"] = net_sl_first
                row["net_tp_first"] = net_tp_first
                mae, mfe = excursions(bins, lines, side, entry, leave, reason, take, stop, gross)
                row["mae"] = mae
                row["mfe"] = mfe

            busy = leave
            if rule["cooldown_from"] == FROM_ENTRY:
                cool = entry + rule["cooldown"]
            elif rule["cooldown_from"] == FROM_SIGNAL:
                cool = signal + rule["cooldown"]
            else:
                cool = leave + rule["cooldown"]

        after_busy = next_index[busy + 1]
        total["suppressed_position"] += after_busy - (i + 1)
        i = after_busy
        if cool > busy:
            i = next_index[min(cool + 1, n_bins)]
            total["suppressed_cooldown"] += i - after_busy
    cursor[0] = i
    return OK


@kernel
def sweep_grid(
    rules: NDArray,
    bins: NDArray,
    lines: NDArray,
    which: NDArray[np.int64],
    starts: NDArray[np.int64],
    triggers: NDArray,
    next_index: NDArray[np.int64],
    up: Offsets,
    down: Offsets,
    cursor: NDArray[np.int64],
    no_rows: NDArray,
    out: NDArray,
) -> int:
    """Walk one date once a configuration, keeping tallies only.

    All configurations walk a stretch of the date before any walks the next: the tables of a
    stretch stay in the processor's cache, those of a date do not.

    Parameters
    ----------
    rules : ndarray of RULES, shape (n_configs,)
    bins, lines, up, down
        As in `walk_trades`.
    which : ndarray of int64, shape (n_configs,)
        Trigger set of each configuration.
    starts : ndarray of int64, shape (n_sets + 1,)
        Where each trigger set starts in ``triggers``.
    triggers : ndarray of TRIGGER, shape (n_triggers,)
        All trigger sets, one after the other.
    next_index : ndarray of int64, shape (n_sets, n_bins + 1)
        First trigger of the set at or after each bin, counted from the start of the set.
    cursor : ndarray of int64, shape (n_configs,)
        The next trigger of each configuration; 0 before the call.
    no_rows : ndarray of TRADE, shape (0,)
    out : ndarray of TALLY, shape (n_configs,)
        Receives the tallies; zero before the call.

    Returns
    -------
    int
        OK, or the code of the first walk that failed.
    """
    for start in range(0, bins.shape[0], STRETCH):
        for c in range(rules.shape[0]):
            s = which[c]
            status = walk_trades(
                rules[c : c + 1],
                bins,
                lines,
                triggers[starts[s] : starts[s + 1]],
                next_index[s],
                up,
                down,
                start + STRETCH,
                cursor[c : c + 1],
                no_rows,
                out[c : c + 1],
            )
            if status != OK:
                return status
    return OK
