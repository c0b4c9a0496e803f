"""Which model scores, with which parameters."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SerializeAsAny, ValidationError, ValidationInfo, field_validator

from qmachina.errors import SpecError
from qmachina.specs.base import Spec, problems


class ModelSpec(Spec):
    """A model and its parameters.

    ``params`` is given as a plain mapping and becomes the model's own ``Params``, defaults
    filled in: the canonical form, and so the id, always holds every parameter.
    """

    model_id: str = Field(description="Name of the model in the registry.")
    params: SerializeAsAny[Spec] = Field(
        default_factory=Spec, description="The model's parameters; what is not named is default."
    )

    @field_validator("model_id")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            _params_of(value)
        except SpecError as e:
            raise ValueError(e.line()) from e
        return value

    @field_validator("params", mode="before")
    @classmethod
    def _complete(cls, value: object, info: ValidationInfo) -> object:
        model_id = info.data.get("model_id")
        if model_id is None:
            return Spec()  # model_id has been refused already: say that alone
        if isinstance(value, Spec):
            value = value.canonical()
        try:
            return _params_of(model_id).model_validate(value)
        except ValidationError as e:
            raise ValueError(problems(e)) from e


def _params_of(model_id: str) -> type[Any]:
    # Models stand above specs. This one look upwards is what makes a ModelSpec complete and
    # checked wherever it appears; at import time it would be a circle.
    from qmachina.models import registry

    return registry.model_class(model_id).Params
