"""The metrics agree with their plain definitions, on everything that a tensor may hold."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

sys.path.insert(0, str(Path(__file__).parent))
from naive_diff import naive, ulp_distance

from parity.compare import kernel, shards
from parity.compare.metrics import diff, measured
from parity.errors import ParityError
from parity.tensor import ArraySource

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=6)
FLOATS = [np.float16, np.float32, np.float64]
CLOSE = {"rel": 1e-12, "abs": 0}


def check(candidate: np.ndarray, reference: np.ndarray) -> Any:
    found = diff(candidate, reference)
    expected = naive(candidate, reference)
    assert (found.compared, found.nan_mismatches, found.inf_mismatches) == (
        expected["compared"],
        expected["nan"],
        expected["inf"],
    )
    for name in ("max_abs", "mean_abs", "rmse", "rel", "max_rel", "mean_rel", "p50_abs", "p99_abs"):
        value, right = getattr(found, name), expected.get(name)
        with np.errstate(over="ignore"):
            assert value == (None if right is None else pytest.approx(float(right), **CLOSE)), name
    for name in ("cosine_min", "cosine_mean", "cosine_max"):
        value, right = getattr(found, name), expected.get(name)
        assert value == (None if right is None else pytest.approx(right, rel=0, abs=1e-12)), name
    assert (found.worst_index is None) == ("gaps" not in expected)
    if found.worst_index is not None:  # of |Δ| that float64 cannot tell apart, any
        assert expected["gaps"][found.worst_index] >= expected["max_abs"] * (1 - 2.0**-52)
        assert found.worst_values == (reference[found.worst_index], candidate[found.worst_index])
    return found


def pairs(dtype: Any, **elements: Any) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    def both(shape: tuple[int, ...]) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
        one = hnp.arrays(dtype, shape, elements=elements or None)
        return st.tuples(one, one)

    return SHAPES.flatmap(both)


@pytest.mark.parametrize("dtype", FLOATS)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_floats_with_nan_inf_denormals_and_negative_zero(dtype: Any, data: st.DataObject) -> None:
    check(*data.draw(pairs(dtype)))


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_rows_of_mixed_zeros_and_ordinary_numbers(data: st.DataObject) -> None:
    check(*data.draw(pairs(np.float32, min_value=-2, max_value=2)))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.uint64, np.bool_])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_integers_and_booleans(dtype: Any, data: st.DataObject) -> None:
    found = check(*data.draw(pairs(dtype)))
    assert found.max_ulp is None


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_candidate_of_another_dtype(data: st.DataObject) -> None:
    first, second = data.draw(
        st.lists(st.sampled_from([*FLOATS, np.int64, np.uint64, np.bool_]), min_size=2, max_size=2)
    )
    shape = data.draw(SHAPES)
    check(data.draw(hnp.arrays(first, shape)), data.draw(hnp.arrays(second, shape)))


def test_int64_differences_beyond_2_53_do_not_vanish() -> None:
    big = np.asarray([2**62 + 1, -(2**63), 7], np.int64)
    found = diff(big, big - np.asarray([1, -1, 0]))
    assert found.max_abs == 1.0
    assert found.worst_index == (0,)
    assert found.worst_values == (2**62, 2**62 + 1)
    assert diff(np.asarray([2**64 - 1], np.uint64), np.asarray([2**64 - 2], np.uint64)).max_abs == 1.0
    widest = diff(np.asarray([2**63 - 1], np.int64), np.asarray([-(2**63)], np.int64))
    assert widest.max_abs == float(2**64 - 1)


def test_nan_is_a_mismatch_whatever_the_other_side_holds() -> None:
    nan, inf = np.nan, np.inf
    found = diff(np.asarray([nan, nan, 1.0, nan, 2.0]), np.asarray([nan, 1.0, nan, inf, 2.5]))
    assert (found.nan_mismatches, found.nan_both, found.inf_mismatches, found.compared) == (4, 1, 0, 1)
    assert found.max_abs == 0.5
    assert found.worst_index == (4,)
    assert found.first_nonfinite == (0,)


def test_infinity_is_equal_to_itself_alone() -> None:
    inf = np.inf
    found = diff(np.asarray([inf, -inf, inf, 1.0, 3.0]), np.asarray([inf, -inf, -inf, inf, 3.0]))
    assert (found.inf_mismatches, found.inf_both, found.nan_mismatches, found.compared) == (2, 2, 0, 1)
    assert found.first_nonfinite == (2,)


def test_nothing_finite_leaves_every_metric_undefined() -> None:
    found = diff(np.full((2, 3), np.nan), np.full((2, 3), np.nan))
    fields = found.as_json()
    assert fields["nan_mismatches"] == 6
    undefined = [k for k, v in fields.items() if v is None]
    assert {"max_abs", "rel", "cosine_min", "max_ulp", "p50_abs", "worst_index", "mean_rel"} <= set(undefined)


@pytest.mark.parametrize(
    ("candidate", "reference"), [((1, 12), (64, 12)), ((12,), (1, 12)), ((), (1,)), ((3, 0), (0, 3))]
)
def test_shapes_never_broadcast(candidate: tuple[int, ...], reference: tuple[int, ...]) -> None:
    found = diff(np.zeros(candidate, np.float32), np.zeros(reference, np.float32))
    assert not found.same_shape
    assert found.compared == 0
    assert found.max_abs is None
    assert found.as_json()["candidate_shape"] == list(candidate)


def test_empty_tensors_have_no_metrics() -> None:
    found = diff(np.zeros((0, 7), np.float32), np.zeros((0, 7), np.float32))
    assert (found.size, found.compared, found.max_abs, found.nan_mismatches) == (0, 0, None, 0)


def test_scalars_and_single_columns_have_no_cosine() -> None:
    for shape in ((), (5, 1)):
        found = diff(np.full(shape, 2.0, np.float32), np.full(shape, 1.0, np.float32))
        assert found.cosine_min is None
        assert found.max_abs == 1.0
        assert found.worst_index == (0,) * len(shape)


def test_cosine_of_zero_rows() -> None:
    zero, one = np.zeros((1, 3)), np.ones((1, 3))
    assert diff(zero, zero).cosine_min == 1.0
    assert diff(zero, one).cosine_max == 0.0
    assert diff(one, zero).cosine_max == 0.0


def test_reference_of_zeros() -> None:
    zero = np.zeros((2, 3), np.float32)
    same, other = diff(zero, zero), diff(zero + 1, zero)
    assert (same.rel, same.max_rel) == (0.0, None)
    assert other.as_json()["rel"] == "Infinity"
    assert other.mean_rel is None


@pytest.mark.parametrize("scale", [1e300, 1e160, 1e-160, 1e-300])
def test_range_of_float64_neither_overflows_nor_vanishes(scale: float) -> None:
    rng = np.random.default_rng(3)
    b = rng.standard_normal((40, 7))
    a = b + 1e-3 * rng.standard_normal(b.shape)
    plain, scaled = diff(a, b), diff(a * scale, b * scale)
    for name in ("max_abs", "mean_abs", "rmse", "p50_abs", "p99_abs"):
        assert getattr(scaled, name) == pytest.approx(getattr(plain, name) * scale, rel=1e-9), name
    for name in ("rel", "max_rel", "cosine_min", "cosine_mean", "cosine_max"):
        assert getattr(scaled, name) == pytest.approx(getattr(plain, name), rel=1e-9), name


def test_a_tiny_row_beside_an_ordinary_one_keeps_its_cosine() -> None:
    b = np.asarray([[1.0, 2.0], [1e-200, 0.0]])
    a = np.asarray([[1.0, 2.0], [0.0, 1e-200]])
    assert diff(a, b).cosine_min == 0.0
    assert diff(b, b).cosine_min == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("dtype", FLOATS)
@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_ulp_counts_representable_numbers(dtype: Any, data: st.DataObject) -> None:
    a, b = data.draw(pairs(dtype, allow_nan=False, allow_infinity=False))
    assert diff(a, b).max_ulp == ulp_distance(a, b)


def test_ulp_is_counted_in_the_coarser_dtype() -> None:
    one = np.asarray([1.0], np.float32)
    half = np.nextafter(np.float16(1), np.float16(2)).reshape(1)
    assert diff(half, one).max_ulp == 1
    assert diff(one.astype(np.float64) + 2.0**-23, one).max_ulp == 1
    brain = np.asarray([1.0 + 2.0**-7], ml_dtypes.bfloat16)
    assert diff(brain, one).max_ulp == 1
    assert diff(brain, half).max_ulp == 1
    assert diff(np.asarray([-0.0], np.float32), np.asarray([0.0], np.float32)).max_ulp == 0
    largest = np.finfo(np.float64).max
    assert diff(np.asarray([largest]), np.asarray([-largest])).max_ulp == 2 * 0x7FEFFFFFFFFFFFFF


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.int4])
def test_extension_dtypes_are_read(dtype: Any) -> None:
    b = np.asarray([[1, 2, -3], [0, 1, 2]]).astype(dtype)
    a = np.asarray([[1, 2, -4], [0, 1, 2]]).astype(dtype)
    found = diff(a, b)
    assert found.max_abs == 1.0
    assert found.worst_index == (0, 2)
    assert found.dtype == np.dtype(dtype).name


@pytest.mark.parametrize("dtype", [np.complex64, "U3", object, [("x", "f4")]])
def test_tensors_that_hold_no_numbers_are_refused(dtype: Any) -> None:
    with pytest.raises(ParityError, match="holds"):
        diff(np.zeros(3, dtype), np.zeros(3, np.float32))


def test_foreign_byte_order_and_layout() -> None:
    rng = np.random.default_rng(0)
    b = rng.standard_normal((6, 8)).astype(np.float32)
    a = b + np.float32(1e-3)
    expected = diff(a, b)
    swapped = diff(a.astype(">f4"), np.asfortranarray(b))
    assert swapped.as_json() | {"candidate_dtype": "float32"} == expected.as_json()
    assert diff(a[::2, ::-1], b[::2, ::-1]).max_abs is not None


@pytest.mark.parametrize("shape", [(4, 7), (3, 5, 2), (9,)])
def test_sums_per_action_dimension(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    b = rng.standard_normal(shape).astype(np.float32)
    a = b + rng.standard_normal(shape).astype(np.float32)
    a.reshape(-1)[0] = np.nan
    found = diff(a, b)
    x, y = (v.astype(np.float64).reshape(-1, shape[-1]) for v in (a, b))
    finite = np.isfinite(x)
    gap = np.where(finite, np.abs(x - y), 0)
    np.testing.assert_allclose(found.dim_max_abs, gap.max(axis=0))
    np.testing.assert_allclose(found.dim_sum_sq_diff, (gap**2).sum(axis=0))
    np.testing.assert_allclose(found.dim_sum_sq_ref, np.where(finite, y**2, 0).sum(axis=0))
    np.testing.assert_array_equal(found.dim_count, finite.sum(axis=0))
    if len(shape) > 1:
        np.testing.assert_allclose(found.dim_ref_min, np.where(finite, y, np.inf).min(axis=0))
        np.testing.assert_allclose(found.dim_ref_max, np.where(finite, y, -np.inf).max(axis=0))
    else:
        assert found.dim_ref_min is not None
        assert np.isnan(found.dim_ref_min[0])


class Slow:
    """A source that is no array, as a file is."""

    def __init__(self, array: np.ndarray, short: int = 0) -> None:
        self.shape, self.dtype, self._flat, self._short = array.shape, array.dtype, array.reshape(-1), short

    def read(self, start: int, stop: int) -> np.ndarray:
        return self._flat[start : stop - self._short].copy()


SIZES = [(40_000, 7), (300_001, 1), (2, 100_000), (3, 5, 70_001), (150_000,), (5, 30_000), ()]


@pytest.mark.parametrize("shape", SIZES)
def test_threads_and_sources_change_no_bit(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "BLOCK", 1 << 16)
    rng = np.random.default_rng(5)
    b = np.asarray(rng.standard_normal(shape), np.float32)
    a = np.asarray(b + 1e-5 * rng.standard_normal(shape), np.float32)
    if b.size > 9:
        a.reshape(-1)[[3, -2]] = np.nan, np.inf
    one = measured(a, b, percentiles=True, threads=1)
    for threads in (2, 5):
        many = measured(Slow(a), ArraySource(b), percentiles=True, threads=threads)
        assert many == one
        if one.dim_max_abs is not None:
            assert many.dim_sum_sq_diff is not None
            np.testing.assert_array_equal(many.dim_sum_sq_diff, one.dim_sum_sq_diff)


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize(("shard", "block", "width"), [(1 << 10, 1 << 12, 1 << 9), (1 << 14, 1 << 15, 1 << 16)])
def test_the_size_of_the_cuts_does_not_matter(
    shape: tuple[int, ...], shard: int, block: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(6)
    b = np.asarray(rng.standard_normal(shape), np.float32)
    a = np.asarray(b + 1e-5 * rng.standard_normal(shape), np.float32)
    whole = diff(a, b).as_json()
    monkeypatch.setattr(shards, "SHARD", shard)
    monkeypatch.setattr(shards, "BLOCK", block)
    monkeypatch.setattr(shards, "MAX_WIDTH", width)
    for name, value in diff(a, b).as_json().items():
        right = pytest.approx(whole[name], rel=1e-12) if isinstance(value, float) else whole[name]
        assert value == right, name


def test_without_percentiles_all_else_is_the_same() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((2, 64, 12)).astype(np.float32)
    some, every = diff(a, b, percentiles=False).as_json(), diff(a, b).as_json()
    assert some["p50_abs"] is None
    assert {k: v for k, v in every.items() if not k.startswith("p")} == {
        k: v for k, v in some.items() if not k.startswith("p")
    }


def test_a_truncated_source_is_an_error() -> None:
    whole = np.zeros((10, 4), np.float32)
    with pytest.raises(ParityError, match="came back"):
        diff(Slow(whole, short=3), whole)


def test_large_sums_are_exact_enough() -> None:
    b = np.full((1 << 17, 16), 0.1, np.float32)
    a = (b.astype(np.float64) + 1e-3).astype(np.float32)
    gap = float(a[0, 0]) - float(b[0, 0])
    found = diff(a, b)
    assert found.mean_abs == pytest.approx(gap, rel=1e-13)
    assert found.rmse == pytest.approx(gap, rel=1e-13)
    assert found.cosine_mean == pytest.approx(1.0, abs=1e-13)


def test_extended_precision_is_there_or_infinity_is_reported() -> None:
    b = np.asarray([1e300, -1e300])
    found = diff(-b, b)
    wide = np.finfo(kernel.WIDE).maxexp > np.finfo(np.float64).maxexp
    assert found.max_abs == 2e300
    assert found.rmse == (pytest.approx(2e300, rel=1e-12) if wide else np.inf)
