"""robust_standardize: the only standardiser. Rolling median and MAD, shrunk toward a prior scale.

    m_t      = median of the finite values among the last ``window`` bins, this one included
    s_mad    = mad_constant * median |x_i - m_t|
    lambda_t = d0 / (d0 + eta C_t u_t)
    s_t^2    = (1 - lambda_t) s_mad^2 + lambda_t prior^2
    z_t      = (x_t - m_t) / max(s_t, prior / 1000), clipped to +-z_clip

``C_t`` counts the changes between neighbouring bins inside the window: a repeated value is not
an observation. ``u_t = max(0, 1 - 2 p_t)`` with ``p_t`` the share of values equal to the median:
the MAD knows nothing once half the window is flat, and lambda then reaches 1 by itself.

NaN and infinity are sanitised here and nowhere else: a value that is not finite, or beyond
1e150 where squares overflow, is *missing*. It takes part in nothing, and its z is 0 and not
ready. Outputs are always finite. docs/robust_standardize.md has the reasons and the figures.

One function, :func:`take`, is the formula. Batch is a loop over it along time, live a loop over
columns; both are :func:`advance`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from qmachina.errors import SchemaError, SpecError
from qmachina.features import sorted_window
from qmachina.features import state as arrays
from qmachina.features.sorted_window import PAD
from qmachina.kernel import OK, kernel, step
from qmachina.specs.base import Spec

#: Larger magnitudes count as infinite, so that no square overflows.
LARGEST = 1e150
#: Columns of ``State.counts``: next place in the ring, bins seen (at most the window), finite
#: values, changes.
HEAD, SEEN, FINITE, CHANGES = 0, 1, 2, 3
#: Bins of one column taken before the next column: what they touch stays in the first cache.
_BLOCK = 64


class StandardizeSpec(Spec):
    """How one column is standardised."""

    window: int = Field(default=300, ge=1, le=65_536, description="Bins, this one included.")
    min_count: int = Field(
        default_factory=lambda known: default_min_count(known["window"]),
        ge=1,
        description="Finite values needed; default max(30, window / 4).",
    )
    prior: float = Field(
        default=1.0, ge=1e-100, le=1e100, description="Scale believed before any data."
    )
    d0: float = Field(default=8.0, ge=2, le=30, description="Observations the prior is worth.")
    eta: float = Field(
        default=0.3675, gt=0, le=1, description="Worth of one change (efficiency of the MAD)."
    )
    z_clip: float = Field(default=12.0, gt=0, le=1e6, description="Largest |z|.")
    mad_constant: float = Field(
        default=1.4826, gt=0, le=10, description="MAD to standard deviation, Gaussian."
    )

    @model_validator(mode="after")
    def _reachable(self) -> StandardizeSpec:
        if self.min_count > self.window:
            raise ValueError(f"min_count {self.min_count} exceeds window {self.window}")
        return self


def default_min_count(window: int) -> int:
    """Return max(30, window / 4), rounded up."""
    return max(30, -(-window // 4))


class State(NamedTuple):
    """What the standardiser remembers of its columns, changed in place; rows are columns."""

    ring: NDArray[np.float64]  # (n_columns, window): the last values, NaN where missing
    changed: NDArray[np.int8]  # (n_columns, window): 1 where a value differs from the one before
    ordered: NDArray[np.float64]  # (n_columns, window + 2 PAD): the finite values, sorted
    counts: NDArray[np.int64]  # (n_columns, 4): HEAD, SEEN, FINITE, CHANGES


class Rule(NamedTuple):
    """The numbers of a spec as kernels take them."""

    min_count: int
    d0: float
    eta: float
    mad_constant: float
    z_clip: float


class Standardized(NamedTuple):
    """Results, each of the shape of the values."""

    z: NDArray[np.float64]  # 0 where not ready
    median: NDArray[np.float64]  # 0 before min_count values
    scale: NDArray[np.float64]  # the prior before min_count values
    shrinkage: NDArray[np.float64]  # lambda, in (0, 1]; 1 before min_count values
    ready: NDArray[np.bool_]  # enough values, and this one not missing


@step
def column_of(state: State, index: int) -> State:
    """Return one column of a state as one-dimensional views."""
    return State(state.ring[index], state.changed[index], state.ordered[index], state.counts[index])


@step
def take(
    column: State, rule: Rule, prior: float, x: float
) -> tuple[float, float, float, float, bool]:
    """Take one value of one column and return z, median, scale, lambda and readiness."""
    ring, changed, ordered, counts = column.ring, column.changed, column.ordered, column.counts
    window = ring.shape[0]
    head = counts[HEAD]
    seen = counts[SEEN]
    n = counts[FINITE]
    changes = counts[CHANGES]
    x = x + 0.0  # no negative zero
    finite = abs(x) <= LARGEST  # false for NaN
    last = ring[window - 1 if head == 0 else head - 1] if seen > 0 else math.nan
    # Comparisons with NaN are false: a change needs two finite neighbours.
    change = 1 if finite and (x < last or x > last) else 0
    old = math.nan
    if seen == window:
        old = ring[head]
        changes -= changed[head]
    else:
        seen += 1
    if old == old:
        if finite:
            sorted_window.replace(ordered, PAD, n, old, x)
        else:
            sorted_window.remove(ordered, PAD, n, old)
            n -= 1
    elif finite:
        sorted_window.insert(ordered, PAD, n, x)
        n += 1
    changes += change
    ring[head] = x if finite else math.nan
    changed[head] = change
    head = 0 if head + 1 == window else head + 1
    counts[HEAD] = head
    counts[SEEN] = seen
    counts[FINITE] = n
    counts[CHANGES] = changes

    if n < rule.min_count:
        return 0.0, 0.0, prior, 1.0, False
    median = sorted_window.median(ordered, PAD, n)
    mad = sorted_window.median_distance(ordered, PAD, n, median)
    tied = sorted_window.ties(ordered, PAD, n, median)
    informative = 1.0
    if tied > 0:
        share = tied / n
        informative = 1.0 - 2.0 * share if share < 0.5 else 0.0
    if seen == window:
        changes -= changed[head]  # the oldest value's partner is outside the window
    shrinkage = rule.d0 / (rule.d0 + rule.eta * changes * informative)
    spread = rule.mad_constant * mad
    # The floor of prior / 1000 needs no test: lambda is above 3e-5 in every spec, so the scale
    # is above prior / 200.
    scale = math.sqrt((1.0 - shrinkage) * spread * spread + shrinkage * (prior * prior))
    if not finite:
        return 0.0, median, scale, shrinkage, False
    z = (x - median) / scale
    if z > rule.z_clip:
        z = rule.z_clip
    elif z < -rule.z_clip:
        z = -rule.z_clip
    return z, median, scale, shrinkage, True


@kernel
def reset(state: State, index: int) -> None:
    """Forget everything about one column."""
    for i in range(state.counts[index, FINITE]):
        state.ordered[index, PAD + i] = math.inf
    for i in range(4):
        state.counts[index, i] = 0


@kernel
def advance(state: State, rule: Rule, prior: NDArray, values: NDArray, out: Standardized) -> int:
    """Take ``values`` of shape (n_bins, n_columns), in time order, and fill ``out``."""
    n_bins, n_columns = values.shape
    for start in range(0, n_bins, _BLOCK):
        stop = min(start + _BLOCK, n_bins)
        for c in range(n_columns):
            column = column_of(state, c)
            for t in range(start, stop):
                z, median, scale, shrinkage, ready = take(column, rule, prior[c], values[t, c])
                out.z[t, c] = z
                out.median[t, c] = median
                out.scale[t, c] = scale
                out.shrinkage[t, c] = shrinkage
                out.ready[t, c] = ready
    return OK


def new_state(window: int, n_columns: int) -> State:
    """Return the state of columns that have seen nothing."""
    ordered = np.full((n_columns, window + 2 * PAD), math.inf)
    ordered[:, :PAD] = -math.inf
    return State(
        ring=np.full((n_columns, window), math.nan),
        changed=np.zeros((n_columns, window), np.int8),
        ordered=ordered,
        counts=np.zeros((n_columns, 4), np.int64),
    )


def rule_of(spec: StandardizeSpec) -> Rule:
    """Return the kernel's form of a spec; priors go beside it, because columns differ in them."""
    return Rule(spec.min_count, spec.d0, spec.eta, spec.mad_constant, spec.z_clip)


class Standardizer:
    """Standardise columns as their values arrive.

    Parameters
    ----------
    spec : StandardizeSpec
        One rule for all columns.
    n_columns : int
        Number of columns, at least 1.
    """

    def __init__(self, spec: StandardizeSpec, n_columns: int) -> None:
        if n_columns < 1:
            raise SpecError("a standardiser needs a column", expected=">= 1", found=n_columns)
        self.spec = spec
        self.n_columns = n_columns
        self._rule = rule_of(spec)
        self._prior = np.full(n_columns, spec.prior)
        self._state = new_state(spec.window, n_columns)

    def advance(self, values: ArrayLike) -> Standardized:
        """Take the next bins and return their results.

        Parameters
        ----------
        values : array_like of float, shape (n_bins, n_columns)
            In time order; what is not finite is missing.

        Raises
        ------
        SchemaError
            If the shape does not fit.
        """
        taken = np.ascontiguousarray(values, np.float64)
        if taken.ndim != 2 or taken.shape[1] != self.n_columns:
            raise SchemaError(
                "values do not fit the columns",
                expected=("n_bins", self.n_columns),
                found=taken.shape,
            )
        z, median, scale, shrinkage = (np.empty(taken.shape) for _ in range(4))
        out = Standardized(z, median, scale, shrinkage, np.empty(taken.shape, np.bool_))
        advance(self._state, self._rule, self._prior, taken, out)
        return out

    def reset(self, columns: ArrayLike) -> None:
        """Forget everything about some columns, given by index or by a mask."""
        for column in np.arange(self.n_columns)[np.asarray(columns)].reshape(-1):
            reset(self._state, column)

    def snapshot(self) -> dict[str, NDArray]:
        """Return a copy of everything remembered."""
        return arrays.snapshot(self._state._asdict())

    def restore(self, saved: Mapping[str, NDArray]) -> None:
        """Continue from a snapshot of a standardiser with the same spec and columns."""
        arrays.restore(self._state._asdict(), saved, subject="standardizer")


def robust_standardize(values: ArrayLike, spec: StandardizeSpec) -> Standardized:
    """Standardise whole series at once.

    Parameters
    ----------
    values : array_like of float, shape (n_bins,) or (n_bins, n_columns)
        In time order; what is not finite is missing.
    spec : StandardizeSpec
        One rule for all columns.

    Returns
    -------
    Standardized
        Arrays of the shape of ``values``.

    Raises
    ------
    SchemaError
        If ``values`` has no or more than two dimensions.

    Examples
    --------
    >>> spec = StandardizeSpec(window=3, min_count=1, prior=1.0)
    >>> robust_standardize([1.0, 1.0, 4.0], spec).z.tolist()
    [0.0, 0.0, 3.0]
    """
    given = np.asarray(values, np.float64)
    if given.ndim not in (1, 2):
        raise SchemaError("values have one or two dimensions", found=given.ndim)
    columns = given.reshape(-1, 1) if given.ndim == 1 else given
    out = Standardizer(spec, columns.shape[1]).advance(columns)
    return Standardized._make(a.reshape(given.shape) for a in out)
