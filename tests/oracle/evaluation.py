"""Plain-Python twin of the first-touch evaluator: brute force over bins, longs and shorts apart.

Prices are ticks (a mid is a fraction); nothing is mirrored, tabulated or precomputed, so what the
kernel gains by its representation cannot be shared by mistake. Costs are added in the kernel's
order, because net results are compared bit for bit.

What the specification leaves open is decided here, in words:

- A bin counts (triggers, touches, prices) if the book is valid, in session and not crossed.
- The bin before the first, a score that is not ready and a NaN are all "off" for an edge.
- A trigger at t while a position or order is open at the end of bin t is suppressed by it; the
  exit bin itself still is. An entry that fails is open until the bin it fails on and starts no
  cooldown. An entry due at or after the flat bin is refused at once and blocks nothing.
- Barriers count from the bin after entry. A gap is judged before the barriers of the bin that
  ends it, and only up to the end of the holding time or the flat bin.
- No exit pays more than the take-profit: an order resting there would have been filled.
- A stale exit happens in the flat bin, at the last price that counts.
- The fill itself counts in MAE and MFE. Of the bin of a stop-loss nothing else does; of the bin
  of a take-profit, MAE counts the worst price up to the stop.
"""

from __future__ import annotations

import math
from fractions import Fraction

ENTRY_COUNTS = ("after_flat", "entry_invalid", "stop_inside_spread")


def to_bins(milliseconds, bin_ns):
    return math.ceil(Fraction(milliseconds * 1_000_000, bin_ns))


class Market:
    """One date, with the questions a trader may ask of it."""

    def __init__(self, path, spec):
        self.spec = spec
        self.n = len(path["bid"])
        self.path = path
        self.at_mid = spec.basis == "mid"
        session = [i for i in range(self.n) if path["in_session"][i]]
        back = to_bins(spec.flat_before_close_ms, path["bin_ns"])
        self.flat = session[-1] - back if session else -1

    def counts(self, i):
        p = self.path
        return p["valid"][i] and p["in_session"][i] and p["ask"][i] >= p["bid"][i]

    def spread(self, i):
        return self.path["ask"][i] - self.path["bid"][i]

    def mid(self, i):
        return Fraction(self.path["bid"][i] + self.path["ask"][i], 2)

    def entry_price(self, i, is_long):
        if self.at_mid:
            return self.mid(i)
        return self.path["ask" if is_long else "bid"][i]

    def exit_price(self, i, is_long):
        if self.at_mid:
            return self.mid(i)
        return self.path["bid" if is_long else "ask"][i]

    def extremes(self, i, is_long):
        """Lowest and highest price at which the position could have been closed inside a bin."""
        if self.at_mid:
            return self.mid(i), self.mid(i)
        side = "bid" if is_long else "ask"
        return self.path[side + "_lo"][i], self.path[side + "_hi"][i]

    def takes(self, i, is_long, level):
        low, high = self.extremes(i, is_long)
        if self.spec.evidence != "through":
            return high >= level if is_long else low <= level
        q = Fraction(self.spec.through_ticks)
        if is_long:
            return high >= level + q or self.path["ask_hi"][i] > level + q
        return low <= level - q or self.path["bid_lo"][i] < level - q

    def stops(self, i, is_long, level):
        low, high = self.extremes(i, is_long)
        return low <= level if is_long else high >= level


def find_triggers(path, scores, ready, spec):
    """List (bin, is_long) of every trigger."""
    market = Market(path, spec)
    warmup = to_bins(spec.warmup_ms, path["bin_ns"])
    out = []
    was_on = False
    for t in range(market.n):
        z = float(scores[t])
        on = bool(ready[t]) and z == z and abs(z) >= spec.threshold
        fires = on if spec.trigger == "level" else on and not was_on
        if fires and market.counts(t) and t >= warmup:
            out.append((t, (z > 0) == (spec.polarity == 1)))
        was_on = on
    return out


def find_exit(market, spec, e, is_long, take, stop, hold, max_gap):
    """Return (exit bin, pricing bin, reason, tie, late, stale) of a position entered at e."""
    invalid_run = 0
    for j in range(e + 1, market.n):
        if j > e + hold or j > market.flat:
            break
        if not market.counts(j):
            invalid_run += 1
            continue
        if invalid_run > max_gap:
            return j, j, "GAP", False, False, False
        invalid_run = 0
        hit_take, hit_stop = market.takes(j, is_long, take), market.stops(j, is_long, stop)
        if hit_take and hit_stop:
            return j, j, "TP" if spec.tie == "tp_first" else "SL", True, False, False
        if hit_take or hit_stop:
            return j, j, "TP" if hit_take else "SL", False, False, False
    due = min(e + hold, market.flat)
    reason = "EOS" if market.flat < e + hold else "TIMEOUT"
    if market.counts(due):
        return due, due, reason, False, False, False
    for j in range(due + 1, market.flat + 1):
        if market.counts(j):
            return j, j, reason, False, True, False
    last = max(j for j in range(e, market.flat + 1) if market.counts(j))
    return market.flat, last, reason, False, False, True


def excursions(market, e, x, is_long, reason, entry, take, stop, paid):
    """Return MAE and MFE in ticks."""
    lost = entry - paid if is_long else paid - entry
    against, favour = max(0, lost), 0
    for j in range(e + 1, x + 1):
        if not market.counts(j):
            continue
        low, high = market.extremes(j, is_long)
        bad = entry - low if is_long else high - entry
        good = high - entry if is_long else entry - low
        if j == x and reason == "SL":
            continue
        if j == x and reason == "TP":
            bad, good = min(bad, abs(entry - stop)), abs(take - entry)
        against, favour = max(against, bad), max(favour, good)
    return against, min(favour, abs(take - entry))


def evaluate(path, scores, ready, spec):
    """Return (kept trades, dropped ties, counts); a trade is a dict in ticks and bins."""
    market = Market(path, spec)
    triggers = find_triggers(path, scores, ready, spec)
    hold = to_bins(spec.max_hold_ms, path["bin_ns"])
    pause = to_bins(spec.cooldown_ms, path["bin_ns"])
    max_gap = to_bins(spec.max_gap_ms, path["bin_ns"])
    counts = dict.fromkeys(
        ("suppressed_position", "suppressed_cooldown", *ENTRY_COUNTS, "tie_dropped"), 0
    )
    counts["triggers"] = len(triggers)
    kept, dropped = [], []
    open_until = cool_until = -1
    for t, is_long in triggers:
        if t <= open_until:
            counts["suppressed_position"] += 1
            continue
        if t <= cool_until:
            counts["suppressed_cooldown"] += 1
            continue
        e = t + 1 + spec.latency_bins
        if e >= market.flat:
            counts["after_flat"] += 1
            continue
        last_try = min(e + (spec.wait_bins or 0), market.flat - 1)
        while e <= last_try and not market.counts(e):
            e += 1
        if e > last_try:
            counts["entry_invalid"] += 1
            open_until = last_try
            continue
        if not market.at_mid and Fraction(spec.sl_ticks) <= market.spread(e):
            counts["stop_inside_spread"] += 1
            open_until = e
            continue

        way = 1 if is_long else -1
        entry = market.entry_price(e, is_long)
        take = entry + way * Fraction(spec.tp_ticks)
        stop = entry - way * Fraction(spec.sl_ticks)
        x, p, reason, tie, late, stale = find_exit(
            market, spec, e, is_long, take, stop, hold, max_gap
        )
        observed = market.exit_price(p, is_long)
        at_stop = min(stop, observed) if is_long else max(stop, observed)
        capped = min(take, observed) if is_long else max(take, observed)
        paid = {"TP": take, "SL": at_stop}.get(reason, capped)

        resting = 2.0 * spec.fee_per_contract / path["tick_value"] + spec.slip_in_ticks
        if market.at_mid:
            resting += 0.5 * (market.spread(e) + market.spread(p))
        at_market = resting + spec.slip_out_ticks
        cost = resting if reason == "TP" else at_market
        net = float(way * (paid - entry)) - cost
        against, favour = excursions(market, e, x, is_long, reason, entry, take, stop, paid)
        trade = {
            "signal_bin": t,
            "entry_bin": e,
            "exit_bin": x,
            "side": way,
            "reason": reason,
            "tie": tie,
            "late": late,
            "stale": stale,
            "entry_price": 2 * entry,
            "exit_price": 2 * paid,
            "gross": 2 * way * (paid - entry),
            "mae": 2 * against,
            "mfe": 2 * favour,
            "entry_spread": market.spread(e),
            "exit_spread": market.spread(p),
            "cost": cost,
            "net": net,
            "net_sl_first": float(way * (at_stop - entry)) - at_market if tie else net,
            "net_tp_first": float(way * (take - entry)) - resting if tie else net,
            "score": float(scores[t]),
        }
        if tie and spec.tie == "drop":
            counts["tie_dropped"] += 1
            dropped.append(trade)
        else:
            kept.append(trade)
        open_until = x
        cool_until = {"exit": x, "entry": e, "signal": t}[spec.cooldown_from] + pause
    return kept, dropped, counts


def passage_table(prices, extremes, counts, sign, unit, horizon, n_levels):
    """For each bin and level, the offset of the first later bin that gets there; 65535: none."""
    n = len(prices)
    table = [[65_535] * n_levels for _ in range(n)]
    for e in range(n):
        for k in range(1, n_levels + 1):
            for j in range(e + 1, min(n, e + horizon + 1)):
                moved = sign * (extremes[j] - prices[e])
                if counts[e] and counts[j] and moved >= k * unit:
                    table[e][k - 1] = j - e
                    break
    return table
