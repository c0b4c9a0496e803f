"""Laws of the standardiser over arbitrary columns: oracle, cuts, restart, finite memory."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from qmachina.features.standardize import Standardizer, StandardizeSpec, robust_standardize
from tests.oracle import standardize as oracle
from tests.strategies_silver import cuts

few = settings(deadline=None, max_examples=60)
# Few different values, so that ties, runs and flat windows are common.
values = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 1.5, -2.0, np.nan, np.inf, -np.inf, 1e-320, 3e149]),
    st.floats(),
)


@st.composite
def problems(draw: st.DrawFn) -> tuple[StandardizeSpec, NDArray[np.float64]]:
    window = draw(st.integers(1, 24))
    spec = StandardizeSpec(
        window=window,
        min_count=draw(st.integers(1, window)),
        prior=draw(st.sampled_from([1e-90, 0.01, 1.0, 1e90])),
        d0=draw(st.sampled_from([2.0, 8.0, 30.0])),
        z_clip=draw(st.sampled_from([0.5, 12.0])),
    )
    shape = (draw(st.integers(0, 60)), draw(st.integers(1, 3)))
    return spec, draw(arrays(np.float64, shape, elements=values))


@few
@given(problems())
def test_equals_the_oracle(problem: tuple[StandardizeSpec, NDArray]) -> None:
    spec, x = problem
    found = robust_standardize(x, spec)
    for c in range(x.shape[1]):
        expected = oracle.robust_standardize(x[:, c], spec)
        for name, a, b in zip(found._fields, found, expected, strict=True):
            assert a[:, c].tobytes() == b.astype(a.dtype).tobytes(), name


@few
@given(problems())
def test_everything_is_finite_and_in_range(problem: tuple[StandardizeSpec, NDArray]) -> None:
    spec, x = problem
    out = robust_standardize(x, spec)
    assert all(np.isfinite(a).all() for a in out)
    assert (np.abs(out.z) <= spec.z_clip).all()
    assert (out.z[~out.ready] == 0).all()
    assert (out.scale >= 1e-3 * spec.prior).all()
    assert ((out.shrinkage > 0) & (out.shrinkage <= 1)).all()


@few
@given(st.data(), problems())
def test_cuts_and_restarts_change_nothing(
    data: st.DataObject, problem: tuple[StandardizeSpec, NDArray]
) -> None:
    spec, x = problem
    whole, parts = Standardizer(spec, x.shape[1]), Standardizer(spec, x.shape[1])
    expected = whole.advance(x)
    found = []
    for start, stop in data.draw(cuts(len(x))):
        found.append(parts.advance(x[start:stop]))
        saved, parts = parts.snapshot(), Standardizer(spec, x.shape[1])
        parts.restore(saved)
    for a, b in zip(expected, zip(*found, strict=True), strict=True):
        assert a.tobytes() == np.concatenate(b).tobytes()
    one, other = whole.snapshot(), parts.snapshot()
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)


@few
@given(problems())
def test_memory_ends_with_the_window(problem: tuple[StandardizeSpec, NDArray]) -> None:
    """After ``window`` bins any past gives the same results as none."""
    spec, x = problem
    fresh = robust_standardize(x, spec)
    used = Standardizer(spec, x.shape[1])
    used.advance(np.random.default_rng(0).normal(size=(2 * spec.window + 1, x.shape[1])))
    late = used.advance(x)
    for a, b in zip(fresh, late, strict=True):
        assert a[spec.window - 1 :].tobytes() == b[spec.window - 1 :].tobytes()
