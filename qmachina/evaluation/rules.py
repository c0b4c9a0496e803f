"""A spec in the evaluator's own units: bins, half-ticks, and costs in ticks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qmachina.evaluation.prices import Path
from qmachina.specs.evaluation import EvaluatorSpec, bins_of

FROM_EXIT, FROM_ENTRY, FROM_SIGNAL = 0, 1, 2
SL_FIRST, TP_FIRST, DROP = 0, 1, 2
#: `through` of a spec whose take-profits need no trade beyond the level.
NOT_THROUGH = -1

_COOLDOWN_FROM = {"exit": FROM_EXIT, "entry": FROM_ENTRY, "signal": FROM_SIGNAL}
_TIE = {"sl_first": SL_FIRST, "tp_first": TP_FIRST, "drop": DROP}

#: One evaluator configuration as kernels read it.
RULES = np.dtype(
    [
        ("tp", "i8"),  # half-ticks
        ("sl", "i8"),  # half-ticks
        ("through", "i8"),  # half-ticks, or NOT_THROUGH
        ("hold", "i8"),  # bins
        ("latency", "i8"),  # bins
        ("wait", "i8"),  # bins, 0 gives up at once
        ("cooldown", "i8"),  # bins
        ("cooldown_from", "i8"),
        ("tie", "i8"),
        ("flat", "i8"),  # bin at whose end every position is closed
        ("unit", "i8"),  # smallest step of exit prices, half-ticks
        ("tabled", "?"),  # whether first-passage tables cover the holding time
        ("half_spreads", "?"),  # whether half spreads are charged (basis mid)
        ("fee", "f8"),  # both sides of a round trip, ticks
        ("slip_in", "f8"),  # ticks
        ("slip_out", "f8"),  # ticks
    ],
    align=True,
)


def rules_of(spec: EvaluatorSpec, path: Path, horizon: int = 0) -> NDArray:
    """Translate a spec for the kernels.

    Parameters
    ----------
    spec : EvaluatorSpec
    path : Path
        Gives bin width, tick value and session.
    horizon : int
        Horizon of the first-passage tables to be used, bins; 0 if there are none.

    Returns
    -------
    ndarray of RULES, shape (1,)
    """
    at_mid = spec.basis == "mid"
    through = spec.through_ticks
    hold = bins_of(spec.max_hold_ms, path.bin_ns)
    rules = np.zeros(1, RULES)
    rules[0] = (
        half_ticks(spec.tp_ticks),
        half_ticks(spec.sl_ticks),
        NOT_THROUGH if through is None else half_ticks(through),
        hold,
        spec.latency_bins,
        spec.wait_bins or 0,
        bins_of(spec.cooldown_ms, path.bin_ns),
        _COOLDOWN_FROM[spec.cooldown_from],
        _TIE[spec.tie],
        flat_bin(path, spec),
        1 if at_mid else 2,
        hold <= horizon,
        at_mid,
        2.0 * spec.fee_per_contract / path.tick_value,
        spec.slip_in_ticks,
        spec.slip_out_ticks,
    )
    return rules


def flat_bin(path: Path, spec: EvaluatorSpec) -> int:
    """Return the bin at whose end every position is closed; negative if there is none.

    It lies ``flat_before_close_ms`` before the last bin of the session.
    """
    session = np.flatnonzero(path.in_session)
    if session.size == 0:
        return -1
    return int(session[-1]) - bins_of(spec.flat_before_close_ms, path.bin_ns)


def half_ticks(ticks: float) -> int:
    """Return a distance in half-ticks; specs admit multiples of 0.5 only."""
    return round(2.0 * ticks)
