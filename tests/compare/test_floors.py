"""The floor of a case and dimension is what rounding alone does to it, and an unstable reference is left out."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from parity.compare.floors import MAX_DIMENSIONS, ROUNDING, TINY, by_dimension, dimension_max, floor_of


def test_the_floor_is_the_largest_of_its_terms() -> None:
    scale = np.array([2.0, 0.0, 1.0])
    f64 = np.array([[1e-8, 0.0, 5e-4]])
    variants = np.array([[3e-6, 0.0, 1e-9]])
    floor, bad = floor_of(scale, {"float64": f64, "variants": variants}, 3)
    assert bad is None
    assert floor.total.tolist() == [3e-6, TINY, 5e-4]


def test_without_terms_rounding_alone_serves() -> None:
    floor, bad = floor_of(np.array([1.0]), {}, 1)
    assert bad is None
    assert floor.float64 is None
    assert floor.total[0] == ROUNDING


def test_unstable_elements_are_left_out_and_counted() -> None:
    scale = np.array([1.0, 1.0])
    f64 = np.array([[[0.5, 1e-8], [1e-7, np.nan]]])  # (B, T, D)
    floor, bad = floor_of(scale, {"float64": f64}, 4)
    assert floor.unstable == 2
    assert floor.unstable_share == 0.5
    assert bad is not None
    assert bad.tolist() == [[True, False], [False, True]]
    assert floor.float64 is not None
    assert floor.float64.tolist() == [1e-7, 1e-8]  # the unstable elements do not raise the floor


@given(st.integers(0, 3), st.integers(1, 5))
def test_by_dimension_keeps_the_last_axis(rows: int, width: int) -> None:
    assert by_dimension(np.zeros((rows, 2, width))).shape == (rows * 2, width)


def test_vectors_and_very_long_axes_are_one_dimension() -> None:
    assert by_dimension(np.zeros(7)).shape == (7, 1)
    assert by_dimension(np.zeros((1, MAX_DIMENSIONS + 1))).shape[1] == 1


def test_dimension_max_ignores_what_is_not_finite() -> None:
    assert dimension_max(np.array([[np.nan, -3.0], [np.inf, 2.0]])).tolist() == [0.0, 3.0]
    assert dimension_max(np.zeros((0, 2))).tolist() == [0.0, 0.0]
