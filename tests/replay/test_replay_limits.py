"""How far a single action, and the mean of all, may be off."""

from __future__ import annotations

import numpy as np
import pytest

from parity.compare.budget import Budget
from parity.errors import UsageError
from parity.replay.limits import bias_limits, covered, limits

PEAK, SPAN = np.array([1.0, 3.0, 500.0]), np.array([2.0, 6.0, 40.0])
U16, U32 = 2.0**-11, 2.0**-24


def test_float32_is_32_floors_and_the_rounding_of_the_peak_at_least() -> None:
    np.testing.assert_array_equal(limits("float32", PEAK, SPAN, None, None), 32 * 8 * U32 * PEAK)
    floors = np.zeros((2, 4, 3))
    floors[1, 2, 1], floors[0, 0, 0] = 1e-3, 1e-12
    found = limits("float32", PEAK, SPAN, floors, None)
    np.testing.assert_allclose(found, [32 * 8 * U32, 32e-3, 32 * 8 * U32 * 500])


def test_floors_that_are_not_finite_tell_nothing() -> None:
    floors = np.full((2, 4, 3), np.nan)
    floors[0, 0] = np.inf
    np.testing.assert_array_equal(
        limits("float32", PEAK, SPAN, floors, None), limits("float32", PEAK, SPAN, None, None)
    )


@pytest.mark.parametrize(("precision", "share"), [("float16", 32 * U16), ("bfloat16", 16 * 2.0**-8)])
def test_lower_classes_go_by_how_far_a_dimension_moves(precision: str, share: float) -> None:
    found = limits(precision, PEAK, SPAN, None, None)
    unit = {"float16": U16, "bfloat16": 2.0**-8}[precision]
    np.testing.assert_allclose(found, [share * 1, share * 3, max(share * 20, 8 * unit * 500)])
    assert (found <= share * PEAK).all()  # never more than the gate allows


def test_a_dimension_that_hardly_moves_about_zero_has_the_roundings_of_its_floor() -> None:
    still = np.full(3, 1e-6)
    floors = np.full((8, 4, 3), 1e-7)
    np.testing.assert_allclose(limits("float16", still, 2 * still, floors, None), 4 * 2**13 * 1e-7)


def test_int8_has_no_limit_of_single_actions() -> None:
    assert np.isinf(limits("int8", PEAK, SPAN, None, None)).all()


def test_the_users_budget_replaces_what_is_derived() -> None:
    for precision in ("float32", "float16", "int8"):
        np.testing.assert_array_equal(limits(precision, PEAK, SPAN, None, Budget(max_abs=0.5)), [0.5] * 3)
        each = Budget(max_abs=(0.1, 0.2, 0.0))
        np.testing.assert_array_equal(limits(precision, PEAK, SPAN, np.ones((1, 1, 3)), each), [0.1, 0.2, 0.0])
    scaled = Budget(max_abs=(1.0, 1.0, 1.0), scale=(2.0, -4.0, 1.0))
    np.testing.assert_array_equal(limits("float32", PEAK, SPAN, None, scaled), [0.5, 0.25, 1.0])


def test_a_budget_of_means_alone_leaves_single_actions_free_and_one_of_cosines_does_not() -> None:
    assert np.isinf(limits("float32", PEAK, SPAN, None, Budget(rmse=0.1))).all()
    assert np.isfinite(limits("float32", PEAK, SPAN, None, Budget(cosine_min=0.99))).all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="3 numbers, but the output has 2"):
        limits("float32", PEAK[:2], SPAN[:2], None, Budget(max_abs=(1.0, 1.0, 1.0)))
    with pytest.raises(UsageError, match="shapes"):
        limits("float32", PEAK, SPAN, np.zeros((4, 2)), None)
    with pytest.raises(UsageError, match="float8"):
        limits("float8", PEAK, SPAN, None, None)


def test_a_reference_that_is_not_finite_has_a_limit_that_nothing_keeps() -> None:
    found = limits("float16", np.array([np.nan, 1.0, 1.0]), SPAN, None, None)
    assert not found[0] >= 0.0


def test_covered_is_what_moves_by_more_than_four_limits() -> None:
    allowed = np.array([1.0, 1.0, np.inf, np.inf, np.nan, 0.0, 0.0])
    span = np.array([4.0, 4.001, 1.0, 0.0, 1.0, 0.0, 1e-9])
    assert covered(allowed, span).tolist() == [False, True, True, False, False, False, True]


def test_a_bias_fades_with_episodes_in_float32_and_lasts_in_lower_classes() -> None:
    allowed = np.array([32.0, 64.0])
    one, many = (bias_limits(allowed, "float32", n) for n in (1, 10_000))
    np.testing.assert_allclose(one, allowed * (1 / 32 + 1 / 4))
    np.testing.assert_allclose(many, allowed / 32, rtol=0.1)
    for precision in ("float16", "bfloat16"):
        np.testing.assert_array_equal(bias_limits(allowed, precision, 5), allowed / 4)
    np.testing.assert_array_equal(bias_limits(allowed, "float32", 5, derived=False), allowed)
    np.testing.assert_array_equal(bias_limits(allowed, "int8", 5), allowed)
    assert np.isinf(bias_limits(np.full(2, np.inf), "float32", 5)).all()
