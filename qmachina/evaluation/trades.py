"""What one evaluation returns: the trades, and the count of everything that became no trade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qmachina.errors import RefusedError
from qmachina.specs.evaluation import EvaluatorSpec

#: Why a position was closed; the code is the index.
REASONS = ("TP", "SL", "TIMEOUT", "EOS", "GAP")
TP, SL, TIMEOUT, EOS, GAP = range(5)

#: One trade. Bins are indices into the path of its date. Prices, gross, MAE and MFE are in
#: half-ticks (integers, exact); spreads, cost and net in ticks.
TRADE = np.dtype(
    [
        ("signal_bin", "i8"),
        ("entry_bin", "i8"),
        ("exit_bin", "i8"),
        ("reason", "i4"),  # index into REASONS
        ("side", "i1"),  # 1 long, -1 short
        ("tie", "?"),  # both barriers inside the exit bin
        ("late", "?"),  # timed out on an invalid bin, priced at the next usable one
        ("stale", "?"),  # no usable bin left, priced at the last one
        ("entry_price", "i8"),
        ("exit_price", "i8"),
        ("gross", "i8"),
        ("mae", "i8"),  # largest move against the position, never negative
        ("mfe", "i8"),  # largest move for it, at most the take-profit, never negative
        ("entry_spread", "i8"),
        ("exit_spread", "i8"),
        ("cost", "f8"),
        ("net", "f8"),
        ("net_sl_first", "f8"),  # net if a tie counts as stop-loss; net otherwise
        ("net_tp_first", "f8"),  # net if a tie counts as take-profit; net otherwise
        ("score", "f8"),  # at the signal bin
    ]
)
# Without padding the bytes of equal trades are equal, and every field is aligned.
assert TRADE.itemsize % 8 == 0

#: Counts and sums of one evaluation. Every trigger is in exactly one of n, tie_dropped,
#: suppressed_*, entry_invalid, stop_inside_spread and after_flat.
TALLY = np.dtype(
    [
        ("triggers", "i8"),
        ("suppressed_position", "i8"),
        ("suppressed_cooldown", "i8"),
        ("after_flat", "i8"),  # entry would come at or after the flat bin
        ("entry_invalid", "i8"),  # no usable bin to enter on
        ("stop_inside_spread", "i8"),  # the stop would be hit on arrival
        ("tie_dropped", "i8"),
        ("n", "i8"),
        ("tp", "i8"),
        ("sl", "i8"),
        ("timeout", "i8"),
        ("eos", "i8"),
        ("gap", "i8"),
        ("tie", "i8"),  # dropped ones included
        ("late", "i8"),
        ("stale", "i8"),
        ("sum_gross", "i8"),  # half-ticks
        ("sum_net", "f8"),  # ticks, as all below
        ("sum_net_sq", "f8"),
        ("sum_gain", "f8"),  # of positive nets
        ("sum_loss", "f8"),  # of negative nets
        ("sum_sl_first", "f8"),  # of net_sl_first, dropped ties included
        ("sum_tp_first", "f8"),  # of net_tp_first, dropped ties included
    ]
)


@dataclass(frozen=True, eq=False)
class Trades:
    """The trades of one score on one or several dates.

    Parameters
    ----------
    table : ndarray of TRADE, shape (n,)
        Trades in order.
    dropped : ndarray of TRADE, shape (n_dropped,)
        Ties left out under ``tie: drop``, as if the stop-loss had come first.
    tally : ndarray of TALLY, shape (1,)
        Counts and sums, including what became no trade.
    eligible_bins, usable_bins, session_bins : int
        Bins that could trigger (usable, ready, past the warm-up); bins in session with a usable
        book; bins in session.
    spec : EvaluatorSpec
        The configuration.
    bin_ns : int
        Bin width, ns.
    tick_value : float
        Currency per tick and contract.
    """

    table: NDArray
    dropped: NDArray
    tally: NDArray
    eligible_bins: int
    usable_bins: int
    session_bins: int
    spec: EvaluatorSpec
    bin_ns: int
    tick_value: float

    def count(self, name: str) -> int:
        """Return one count of the tally."""
        return int(self.tally[0][name])

    def total(self, name: str) -> float:
        """Return one sum of the tally, in ticks."""
        value = float(self.tally[0][name])
        return 0.5 * value if name == "sum_gross" else value


def join(parts: Sequence[Trades]) -> Trades:
    """Pool the trades of several dates, in the order given.

    Bin numbers keep referring to their own date.

    Raises
    ------
    RefusedError
        If there is nothing to pool, or specs, bin widths or tick values differ.
    """
    if not parts:
        raise RefusedError("no dates to pool")
    first = parts[0]
    for part in parts:
        for name in ("spec", "bin_ns", "tick_value"):
            if getattr(part, name) != getattr(first, name):
                raise RefusedError(f"dates with different {name} cannot be pooled")
    tally = np.zeros(1, TALLY)
    for part in parts:
        for name in TALLY.names or ():
            tally[name] += part.tally[name]
    return Trades(
        np.concatenate([p.table for p in parts]),
        np.concatenate([p.dropped for p in parts]),
        tally,
        sum(p.eligible_bins for p in parts),
        sum(p.usable_bins for p in parts),
        sum(p.session_bins for p in parts),
        first.spec,
        first.bin_ns,
        first.tick_value,
    )
