"""How a score is traded on paper: barriers, evidence, costs and the rules around them.

Distances are in ticks (halves allowed), times in milliseconds; a time becomes a number of bins
by rounding up. Nothing here depends on an instrument: tick value and bin width come with the path.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from qmachina.specs.base import Spec

DAY_MS = 86_400_000
MAX_TICKS = 1_000_000.0
#: Costs beyond this are a unit mistake, and would lose digits against the price move.
MAX_COST = 1e9


def _half_ticks(value: float) -> float:
    if 2.0 * value != int(2.0 * value):
        raise ValueError("must be a multiple of 0.5")
    return value


Distance = Annotated[float, Field(gt=0, le=MAX_TICKS), AfterValidator(_half_ticks)]
Cost = Annotated[float, Field(ge=0, le=MAX_COST)]
Milliseconds = Annotated[int, Field(ge=0, le=DAY_MS)]


class EvaluatorSpec(Spec):
    """Everything that decides the trades of a score on a given price path.

    Two pairings of ``basis`` and ``evidence`` exist. At the touch a position enters and leaves
    across the spread, so the spread is inside the prices. At the mid all prices are mids and half
    a spread is charged at entry and half at exit. Mixing the two would count half a spread twice
    (or never), so it is refused.
    """

    model_config = ConfigDict(strict=True)

    tp_ticks: Distance = Field(description="Distance of the take-profit from the entry, ticks.")
    sl_ticks: Distance = Field(description="Distance of the stop-loss from the entry, ticks.")
    max_hold_ms: int = Field(ge=1, le=DAY_MS, description="Longest holding time.")
    threshold: float = Field(gt=0, description="A score triggers at |score| >= threshold.")
    trigger: Literal["edge", "level"] = Field(
        default="edge", description="Trigger on reaching the threshold, or while at or above it."
    )
    polarity: Literal[1, -1] = Field(
        default=1, description="1: a positive score is bought; -1: it is sold."
    )
    latency_bins: int = Field(
        default=0, ge=0, le=100_000, description="Bins between decision and entry beyond the first."
    )
    basis: Literal["touch", "mid"] = Field(
        default="touch",
        description="Enter and leave at the touch, or at the mid plus half spreads.",
    )
    evidence: Literal["exec", "mid", "through"] = Field(
        default="exec", description="What shows that a take-profit was filled."
    )
    through_ticks: float | None = Field(
        default=None,
        ge=0,
        le=MAX_TICKS,
        description="How far the market must trade beyond a take-profit; for evidence through.",
    )
    tie: Literal["sl_first", "tp_first", "drop"] = Field(
        default="sl_first", description="Which barrier counts when one bin reaches both."
    )
    cooldown_ms: Milliseconds = Field(default=0, description="Pause before the next signal.")
    cooldown_from: Literal["exit", "entry", "signal"] = Field(
        default="exit", description="Where the pause starts."
    )
    warmup_ms: Milliseconds = Field(
        default=0, description="No trigger this soon after the first bin of the date."
    )
    max_gap_ms: Milliseconds = Field(
        default=5000, description="A longer run of invalid bins closes the position."
    )
    entry_on_invalid: Literal["skip", "wait"] = Field(
        default="skip", description="Give up an entry on an invalid bin, or wait for a valid one."
    )
    wait_bins: int | None = Field(
        default=None, ge=1, le=100_000, description="How long to wait; for entry_on_invalid wait."
    )
    fee_per_contract: Cost = Field(
        description="Fees per contract and side, in currency. State 0 to trade free of fees."
    )
    slip_in_ticks: Cost = Field(default=0.0, description="Slippage of every entry, ticks.")
    slip_out_ticks: Cost = Field(
        default=0.0, description="Slippage of every exit except a take-profit, ticks."
    )
    flat_before_close_ms: Milliseconds = Field(
        default=0, description="Positions are closed this long before the last session bin."
    )

    @model_validator(mode="after")
    def _coherent(self) -> EvaluatorSpec:
        if (self.basis == "mid") != (self.evidence == "mid"):
            raise ValueError(
                "basis mid needs evidence mid and basis touch needs evidence exec or through, "
                "otherwise half the spread counts twice or never"
            )
        if (self.through_ticks is None) != (self.evidence != "through"):
            raise ValueError("through_ticks belongs to evidence through, and only to it")
        if self.through_ticks is not None:
            _half_ticks(self.through_ticks)
        if (self.wait_bins is None) != (self.entry_on_invalid != "wait"):
            raise ValueError("wait_bins belongs to entry_on_invalid wait, and only to it")
        return self


def bins_of(milliseconds: int, bin_ns: int) -> int:
    """Return a duration in bins, rounded up.

    Parameters
    ----------
    milliseconds : int
        Duration, ms, not negative.
    bin_ns : int
        Bin width, ns, positive.
    """
    return -(-milliseconds * 1_000_000 // bin_ns)
