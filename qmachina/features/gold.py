"""Silver in, gold out: the default features as a stage."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from qmachina.features import kernels
from qmachina.features import state as arrays
from qmachina.features.columns import bin_column, check_time, check_touch, grid_column
from qmachina.features.fields import GOLD_FIELDS
from qmachina.features.geometry import Geometry
from qmachina.fields import Chunk
from qmachina.specs.gold import GoldSpec


class GoldStage:
    """Compute gold from silver, chunk by chunk.

    Histories belong to absolute ticks: where spot moves they move with it, and a tick that
    enters the window starts empty, even if it was there before. They advance on every bin,
    valid or not, because a tick's forces do not depend on the touch.

    Parameters
    ----------
    spec : GoldSpec
    geometry : Geometry
        The grid silver was made on.
    """

    def __init__(self, spec: GoldSpec, geometry: Geometry) -> None:
        self.spec = spec
        self.geometry = geometry
        n = geometry.n_rows
        self._state = kernels.GoldState(
            owner=np.zeros(n, np.int64),
            n_values=np.zeros(n, np.int64),
            ring=np.zeros((spec.windows[-1], n)),
            last=np.zeros((3, n)),
            clock=np.zeros(2, np.int64),
        )
        self._params = kernels.GoldParams(
            np.array(spec.forces),
            spec.force_floor,
            np.array(spec.windows, np.int64),
            np.array(spec.normalised_weights),
        )
        self._scratch = (np.empty(n), np.empty(n))

    def advance(self, silver: Chunk) -> Chunk:
        """Take the next bins of silver and return as many bins of GOLD_FIELDS.

        Raises
        ------
        SchemaError
            If silver lacks a column or one does not fit the geometry.
        DataError
            If bins do not ascend in time, or a valid bin lacks a best price. Nothing is
            taken then.
        """
        taken = self._input(silver)
        shape = (silver.n_bins, self.geometry.n_rows)
        out = kernels.GoldOutput._make(np.empty(shape, f.numpy) for f in GOLD_FIELDS)
        kernels.advance(self._state, self._params, taken, *self._scratch, out)
        return Chunk({}, out._asdict())

    def snapshot(self) -> dict[str, NDArray]:
        """Return a copy of everything remembered."""
        return arrays.snapshot(self._state._asdict())

    def restore(self, saved: Mapping[str, NDArray]) -> None:
        """Continue from a snapshot of a stage with the same spec and geometry."""
        arrays.restore(self._state._asdict(), saved, subject="gold")

    def _input(self, silver: Chunk) -> kernels.GoldInput:
        shape = (silver.n_bins, self.geometry.n_rows)
        time = bin_column(silver, "bin_end_ns", "int64")
        bid = bin_column(silver, "best_bid_price_int", "int64")
        ask = bin_column(silver, "best_ask_price_int", "int64")
        valid = bin_column(silver, "book_valid", "bool")
        spot = self.geometry.ticks(bin_column(silver, "spot_ref_price_int", "int64"))
        check_time(time, int(self._state.clock[kernels.TIME]), "gold")
        check_touch(bid, ask, valid, "gold")
        return kernels.GoldInput(
            v_add=grid_column(silver, "v_add", "float32", shape),
            v_pull=grid_column(silver, "v_pull", "float32", shape),
            v_fill=grid_column(silver, "v_fill", "float32", shape),
            v_rest=grid_column(silver, "v_rest_depth", "float32", shape),
            a_add=grid_column(silver, "a_add", "float32", shape),
            a_pull=grid_column(silver, "a_pull", "float32", shape),
            time=time,
            lowest=spot - self.geometry.radius,
            bid=self.geometry.ticks(bid),
            ask=self.geometry.ticks(ask),
            valid=valid,
            bid_sign=bin_column(silver, "bid_reprice_sign", "int8"),
            ask_sign=bin_column(silver, "ask_reprice_sign", "int8"),
        )
