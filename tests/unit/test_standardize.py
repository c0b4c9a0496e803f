"""robust_standardize against brute force, and its edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from qmachina.errors import SchemaError, SpecError
from qmachina.features.standardize import (
    Standardized,
    Standardizer,
    StandardizeSpec,
    robust_standardize,
)
from tests.oracle import standardize as oracle

N = 500


def _inputs() -> dict[str, NDArray[np.float64]]:
    r = np.random.default_rng(20240508)
    normal = r.normal(size=N)
    stale = np.repeat(r.normal(size=N // 20 + 1), 20)[:N]
    stale[200:260] = np.nan
    infinite = normal.copy()
    infinite[r.random(N) < 0.1] = np.inf
    infinite[r.random(N) < 0.1] = -np.inf
    return {
        "normal": normal,
        "cauchy": r.standard_cauchy(N),
        "ticks": np.round(2 * normal),
        "walk": np.cumsum(normal),
        "mostly zero": np.where(r.random(N) < 0.85, 0.0, normal),
        "constant": np.full(N, 7.25),
        "gaps": np.where(r.random(N) < 0.2, np.nan, normal),
        "stale": stale,
        "infinite": infinite,
        "alternating": np.where(np.arange(N) % 2, 1.0, -1.0),
        "signed zeros": np.where(r.random(N) < 0.5, 0.0, -0.0),
        "monotone": np.arange(N) * 0.1,
        "subnormal": r.integers(-3, 4, N) * 5e-324,
        "huge": normal * 10.0 ** r.integers(140, 160, N),
    }


INPUTS = _inputs()


def assert_bitwise(found: Standardized, expected: tuple[NDArray, ...]) -> None:
    for name, a, b in zip(found._fields, found, expected, strict=True):
        assert a.tobytes() == b.astype(a.dtype).tobytes(), name


@pytest.mark.parametrize("kind", INPUTS)
@pytest.mark.parametrize("window", [1, 2, 3, 4, 8, 9, 17, 40, 133, 300, 512])
def test_equals_brute_force_bit_for_bit(kind: str, window: int) -> None:
    x = INPUTS[kind][: 2 * window + 100]
    for min_count in sorted({1, window // 2 + 1}):
        spec = StandardizeSpec(window=window, min_count=min_count, prior=0.7)
        assert_bitwise(robust_standardize(x, spec), oracle.robust_standardize(x, spec))


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 31, 32, 33, 100, 101])
def test_median_and_mad_are_those_of_numpy(n: int) -> None:
    """Not through the oracle: straight from numpy, on partly filled windows."""
    r = np.random.default_rng(n)
    for x in (r.normal(size=n), np.round(r.normal(size=n)), np.ones(n)):
        spec = StandardizeSpec(window=200, min_count=1, mad_constant=1.0, d0=2.0, eta=1.0)
        out = robust_standardize(x, spec)
        assert out.median[-1] == np.median(x)
        share = np.mean(x == np.median(x))
        changes = np.count_nonzero(np.diff(x))
        shrinkage = 2.0 / (2.0 + changes * max(0.0, 1 - 2 * share))
        assert out.shrinkage[-1] == pytest.approx(shrinkage, rel=1e-15)
        mad = np.median(np.abs(x - np.median(x)))
        scale = math.sqrt((1 - shrinkage) * mad**2 + shrinkage)
        assert out.scale[-1] == pytest.approx(scale, rel=1e-14)


def test_columns_do_not_touch_each_other() -> None:
    x = np.column_stack([INPUTS[k] for k in ("normal", "gaps", "ticks", "stale", "walk")])
    spec = StandardizeSpec(window=30)
    together = robust_standardize(x, spec)
    for c in range(x.shape[1]):
        alone = robust_standardize(x[:, c], spec)
        assert_bitwise(alone, tuple(a[:, c].copy() for a in together))


def test_live_is_batch_is_restored() -> None:
    r = np.random.default_rng(1)
    x = np.where(r.random((1500, 11)) < 0.1, np.nan, np.round(r.normal(size=(1500, 11)), 1))
    spec = StandardizeSpec(window=120)
    batch = robust_standardize(x, spec)
    live = Standardizer(spec, 11)
    rows = []
    for t in range(len(x)):
        if t % 250 == 249:  # a new process takes over
            saved, live = live.snapshot(), Standardizer(spec, 11)
            live.advance(x[:40])
            live.restore(saved)
        rows.append(live.advance(x[t : t + 1]))
    assert_bitwise(batch, tuple(np.concatenate(parts) for parts in zip(*rows, strict=True)))


def test_reset_forgets_one_column_and_no_other() -> None:
    r = np.random.default_rng(2)
    x, y = r.normal(size=(80, 3)), r.normal(size=(90, 3))
    spec = StandardizeSpec(window=30)
    standardizer = Standardizer(spec, 3)
    standardizer.advance(x)
    standardizer.reset([1])
    found = standardizer.advance(y)
    both = robust_standardize(np.concatenate([x, y]), spec)
    fresh = robust_standardize(y, spec)
    for a, b, c in zip(found, both, fresh, strict=True):
        assert np.array_equal(a[:, [0, 2]], b[80:][:, [0, 2]])
        assert np.array_equal(a[:, 1], c[:, 1])
    standardizer.reset(np.array([True, True, True]))
    assert_bitwise(standardizer.advance(y), tuple(fresh))


def test_missing_is_zero_and_not_ready_but_keeps_median_and_scale() -> None:
    x = np.array([1.0, 2.0, 4.0, np.nan, np.inf, -np.inf, 1e151, -1e151])
    out = robust_standardize(x, StandardizeSpec(window=10, min_count=3, prior=1.0))
    assert out.ready.tolist() == [False, False, True, False, False, False, False, False]
    assert (out.z[3:] == 0).all()
    assert (out.median[2:] == 2.0).all()
    assert (out.scale[3:] == out.scale[2]).all()
    assert out.median[:2].tolist() == [0.0, 0.0]
    assert out.scale[:2].tolist() == [1.0, 1.0]
    assert out.shrinkage[:2].tolist() == [1.0, 1.0]


def test_flat_window_trusts_the_prior_alone() -> None:
    x = np.array([5.0] * 40 + [6.0])
    out = robust_standardize(x, StandardizeSpec(window=40, prior=0.5))
    assert out.shrinkage[39] == 1.0
    assert out.scale[39] == 0.5
    # The first move out of the flat spell has a finite, meaningful z.
    assert out.z[40] == 2.0


def test_z_is_clipped() -> None:
    x = np.array([0.0] * 30 + [1e9, -1e9])
    out = robust_standardize(x, StandardizeSpec(window=40, prior=1e-3, z_clip=4.0))
    assert out.z[-2:].tolist() == [4.0, -4.0]
    assert out.ready[-2:].all()


def test_negative_image_has_negative_z() -> None:
    for x in INPUTS.values():
        spec = StandardizeSpec(window=40)
        plain, image = robust_standardize(x, spec), robust_standardize(-x, spec)
        assert np.array_equal(plain.z, -image.z)
        assert np.array_equal(plain.scale, image.scale)


def test_scaling_by_a_power_of_two_changes_no_z() -> None:
    x = INPUTS["gaps"]
    plain = robust_standardize(x, StandardizeSpec(window=40, prior=0.3))
    scaled = robust_standardize(x * 1024, StandardizeSpec(window=40, prior=0.3 * 1024))
    assert np.array_equal(plain.z, scaled.z)
    assert np.array_equal(plain.scale * 1024, scaled.scale)


def test_default_min_count_is_a_quarter_of_the_window_and_at_least_thirty() -> None:
    assert StandardizeSpec(window=300).min_count == 75
    assert StandardizeSpec(window=301).min_count == 76
    assert StandardizeSpec(window=40).min_count == 30
    assert StandardizeSpec(window=300, min_count=75).id == StandardizeSpec(window=300).id


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"window": 0}, "window"),
        ({"window": 70_000}, "window"),
        ({"window": 10, "min_count": 11}, "min_count 11 exceeds window 10"),
        ({"window": 20}, "min_count 30 exceeds window 20"),
        ({"min_count": 0}, "min_count"),
        ({"prior": 0.0}, "prior"),
        ({"prior": -1.0}, "prior"),
        ({"prior": math.nan}, "prior"),
        ({"prior": math.inf}, "prior"),
        ({"prior": 1e-320}, "prior"),
        ({"d0": 1.9}, "d0"),
        ({"d0": 31}, "d0"),
        ({"eta": 0}, "eta"),
        ({"z_clip": 0}, "z_clip"),
        ({"mad_constant": 0}, "mad_constant"),
        ({"windw": 3}, "windw"),
    ],
)
def test_impossible_specs_are_refused(values: dict, problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        StandardizeSpec.parse(values)


def test_shapes_that_do_not_fit_are_refused() -> None:
    standardizer = Standardizer(StandardizeSpec(), 3)
    before = standardizer.snapshot()
    with pytest.raises(SchemaError, match="columns"):
        standardizer.advance(np.zeros((4, 2)))
    with pytest.raises(SchemaError, match="columns"):
        standardizer.advance(np.zeros(3))
    with pytest.raises(SchemaError, match="dimensions"):
        robust_standardize(np.zeros((2, 2, 2)), StandardizeSpec())
    with pytest.raises(SpecError, match="column"):
        Standardizer(StandardizeSpec(), 0)
    with pytest.raises(SchemaError, match="does not fit"):
        standardizer.restore(Standardizer(StandardizeSpec(), 4).snapshot())
    with pytest.raises(SchemaError, match="other arrays"):
        standardizer.restore({})
    after = standardizer.snapshot()
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)


def test_no_bins_are_no_bins() -> None:
    assert robust_standardize([], StandardizeSpec()).z.shape == (0,)
    assert robust_standardize(np.zeros((0, 4)), StandardizeSpec()).ready.shape == (0, 4)
