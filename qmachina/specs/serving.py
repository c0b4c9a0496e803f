"""What is evaluated, promoted and served: a pipeline, a model and the rules of its signals."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from qmachina.specs.base import NAME_PATTERN, Spec, content_id
from qmachina.specs.evaluation import EvaluatorSpec
from qmachina.specs.instrument import InstrumentSpec
from qmachina.specs.model import ModelSpec
from qmachina.specs.pipeline import PipelineSpec

Verdict = Literal["PASS", "WARN", "FAIL", "UNDECIDED"]


class Visualization(Spec):
    """What the page shows first. Display only: nothing is computed from it."""

    default_field: str = Field(
        default="net_force",
        pattern=NAME_PATTERN,
        description="Column drawn first; net_force is pressure minus vacuum.",
    )


class ServingSpec(Spec):
    """One signal, complete: everything that decides its values and its paper trades."""

    name: str = Field(pattern=NAME_PATTERN, max_length=64, description="Name; part of lake paths.")
    description: str = Field(default="", description="One sentence for people.")
    display_name: str = Field(default="", max_length=80, description="Title on the page.")
    pipeline: PipelineSpec = Field(description="Silver and gold.")
    model: ModelSpec = Field(description="The model and its parameters.")
    evaluator: EvaluatorSpec = Field(description="Threshold, barriers, costs.")
    stream_schema: tuple[str, ...] = Field(
        default=(), max_length=80, description="Grid columns on the wire beside the fixed four."
    )
    visualization: Visualization = Field(default_factory=Visualization)

    @model_validator(mode="after")
    def _streamable(self) -> ServingSpec:
        if len(set(self.stream_schema)) != len(self.stream_schema):
            raise ValueError("stream_schema names a column twice")
        return self


class ExperimentSpec(Spec):
    """A sweep: every combination of the axes over the evaluator of one serving spec."""

    name: str = Field(pattern=NAME_PATTERN, max_length=64, description="Name; part of lake paths.")
    description: str = Field(default="", description="One sentence for people.")
    serving: ServingSpec = Field(description="What is varied.")
    axes: dict[str, tuple[float, ...]] = Field(
        description="Evaluator field -> values to try: tp_ticks, sl_ticks, max_hold_ms, "
        "cooldown_ms, threshold."
    )
    dates: tuple[date, ...] = Field(min_length=1, description="Sessions, in order.")

    @model_validator(mode="after")
    def _ordered(self) -> ExperimentSpec:
        if list(self.dates) != sorted(set(self.dates)):
            raise ValueError("dates must be distinct and in order")
        for name, values in self.axes.items():
            if not values or len(set(values)) != len(values):
                raise ValueError(f"axis {name} needs distinct values")
        return self


class RunSource(Spec):
    """Where a published spec comes from."""

    run_id: str = Field(pattern=r"^[0-9a-f]{64}$", description="The evaluated run.")
    experiment_name: str = Field(description="Name of the study.")
    study_id: str = Field(pattern=r"^[0-9a-f]{64}$", description="Dataset id of the study.")
    dates: tuple[date, ...] = Field(description="Sessions the run was evaluated on.")
    golden_date: date = Field(description="Session that the golden vectors belong to.")
    golden_bins: int = Field(ge=0, description="Bins of the golden vectors.")
    golden_hash: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of those scores.")


class PublishedServingSpec(Spec):
    """Exactly what was evaluated, frozen. Its id is what serves."""

    serving: ServingSpec
    instrument: InstrumentSpec
    source: RunSource
    verdict: Verdict = Field(default="UNDECIDED", description="Of the promotion gate.")


def run_id(
    serving: ServingSpec, instrument: InstrumentSpec, inputs: dict[str, str], evaluator_version: int
) -> str:
    """Return the identity of a run: spec, instrument, data ids by date, evaluator version."""
    return content_id(
        {
            "serving": serving.id,
            "instrument": instrument.id,
            "inputs": inputs,
            "evaluator": evaluator_version,
        }
    )
