"""What an alias demands before it may point at a version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from qmachina.errors import RefusedError, SpecError

Verdict = Literal["PASS", "WARN", "FAIL", "UNDECIDED"]

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
#: The alias that needs a passed gate, or a waiver by another approver.
LIVE = "live"


def verdict_of(evidence: Mapping[str, Any] | None) -> Verdict:
    """Return the gate's verdict in an evidence document; UNDECIDED where there is none.

    Raises
    ------
    SpecError
        If the verdict is not one of the four words.
    """
    verdict = "UNDECIDED" if evidence is None else evidence.get("verdict", "UNDECIDED")
    for known in VERDICTS:
        if verdict == known:
            return known
    raise SpecError(
        "not a verdict", subject="evidence", expected=", ".join(VERDICTS), found=repr(verdict)
    )


def require_verdict(alias: str, verdict: Verdict, waived: bool) -> None:
    """Refuse an alias its target.

    ``live`` takes PASS. Every other alias takes anything but FAIL. A waiver opens both.

    Raises
    ------
    RefusedError
        Naming the verdict.
    """
    if waived or verdict == "PASS" or (alias != LIVE and verdict != "FAIL"):
        return
    raise RefusedError(
        f"alias {alias} may not point at a version whose gate did not pass",
        expected="PASS" if alias == LIVE else "PASS, WARN or UNDECIDED",
        found=verdict,
        remedy="Bring evidence that passes, or a waiver by another approver",
    )
