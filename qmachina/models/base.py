"""What every model is: parameters, needs, outputs, and one ``advance`` for batch and live."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from numpy.typing import NDArray

from qmachina.errors import SpecError
from qmachina.features import state as arrays
from qmachina.features.geometry import Geometry
from qmachina.fields import Chunk, Field
from qmachina.specs.base import Spec
from qmachina.specs.gold import GoldSpec

#: What every model says of every bin.
SCORE_FIELDS: tuple[Field, ...] = (
    Field("score", "float64", "1", "Score of the bin; its sign is the direction.", "signal"),
    Field("ready", "bool", "flag", "Whether the score may be used; it is 0 where not."),
)


class Model(ABC):
    """A model: frozen parameters in, one score a bin out.

    A subclass is one model. The registry names it; the conformance tests run over the registry.

    Parameters
    ----------
    params : Spec
        An instance of the model's ``Params``.
    geometry : Geometry
        The grid its input was made on.

    Raises
    ------
    SpecError
        If the model does not accept the geometry.
    """

    #: Name in the registry.
    model_id: ClassVar[str]
    #: The model's parameters: frozen, closed, with a default for everything.
    Params: ClassVar[type[Spec]]
    #: Columns of silver it reads, of bins or of the grid.
    requires_silver: ClassVar[tuple[str, ...]]
    #: Columns of gold it reads.
    requires_gold: ClassVar[tuple[str, ...]] = ()
    #: The narrowest and the widest bin it accepts, ms.
    bin_width_ms: ClassVar[tuple[int, int]] = (1, 86_400_000)

    def __init__(self, params: Spec, geometry: Geometry) -> None:
        self.geometry = geometry
        least, most = (ms * 1_000_000 for ms in self.bin_width_ms)
        if not least <= geometry.bin_ns <= most:
            raise SpecError(
                "the model does not accept this bin width",
                subject=self.model_id,
                expected=f"{self.bin_width_ms[0]} to {self.bin_width_ms[1]} ms",
                found=f"{geometry.bin_ns / 1e6:g} ms",
            )
        if geometry.radius < self.min_radius(params):
            raise SpecError(
                "the grid is too narrow for the model",
                subject=self.model_id,
                expected=f"grid_radius_ticks >= {self.min_radius(params)}",
                found=geometry.radius,
            )

    @classmethod
    def check_gold(cls, params: Any, gold: GoldSpec) -> None:
        """Refuse gold that the model's parameters do not fit.

        Raises
        ------
        SpecError
            Naming the parameter and what it must be.
        """
        del params, gold  # most models take any

    @classmethod
    def min_radius(cls, params: Any) -> int:
        """Return the smallest grid radius the model accepts, ticks."""
        return 1

    @property
    @abstractmethod
    def warmup_bins(self) -> int:
        """Bins from a cold start in which ``ready`` is false, however good the market."""

    @property
    def horizon_bins(self) -> int:
        """Bins ahead of which the model makes a statement; 0 where it names no horizon."""
        return 0

    @property
    @abstractmethod
    def bin_fields(self) -> tuple[Field, ...]:
        """What it says of each bin: SCORE_FIELDS, then its own."""

    @property
    def cell_fields(self) -> tuple[Field, ...]:
        """What it says of each bin and tick."""
        return ()

    @abstractmethod
    def advance(self, silver: Chunk, gold: Chunk) -> Chunk:
        """Take the next bins and return as many of ``bin_fields`` and ``cell_fields``.

        Raises
        ------
        SchemaError
            If a column is missing or does not fit the geometry.
        DataError
            If bins do not ascend in time. Nothing is taken then.
        """

    @abstractmethod
    def _arrays(self) -> Mapping[str, NDArray]:
        """Return everything remembered, by name, not copied."""

    def snapshot(self) -> dict[str, NDArray]:
        """Return a copy of everything remembered."""
        return arrays.snapshot(self._arrays())

    def restore(self, saved: Mapping[str, NDArray]) -> None:
        """Continue from a snapshot of a model with the same parameters and geometry.

        Raises
        ------
        SchemaError
            If the snapshot is of something else. Nothing is changed then.
        """
        arrays.restore(self._arrays(), saved, subject=self.model_id)
