"""All models by name: a dictionary, nothing discovered and nothing registered by import."""

from __future__ import annotations

from qmachina.errors import SpecError
from qmachina.features.geometry import Geometry
from qmachina.models.base import Model
from qmachina.models.ema_ensemble import EmaEnsemble
from qmachina.models.vacuum_pressure import VacuumPressure
from qmachina.specs.gold import GoldSpec
from qmachina.specs.model import ModelSpec

MODELS: dict[str, type[Model]] = {model.model_id: model for model in (VacuumPressure, EmaEnsemble)}


def model_class(model_id: str) -> type[Model]:
    """Return the class of a model.

    Raises
    ------
    SpecError
        If there is no such model; the message lists those there are.
    """
    try:
        return MODELS[model_id]
    except KeyError:
        raise SpecError(
            "no such model", subject=model_id, expected=f"one of {', '.join(sorted(MODELS))}"
        ) from None


def build(spec: ModelSpec, geometry: Geometry, gold: GoldSpec | None = None) -> Model:
    """Return a model that has seen nothing.

    Parameters
    ----------
    spec : ModelSpec
        Model and parameters.
    geometry : Geometry
        The grid its input was made on.
    gold : GoldSpec, optional
        What its gold was made with; checked where given.

    Raises
    ------
    SpecError
        If the model does not accept the geometry or the gold.
    """
    chosen = model_class(spec.model_id)
    if gold is not None:
        chosen.check_gold(spec.params, gold)
    return chosen(spec.params, geometry)
