"""Limits follow from floor and precision class; a metric that cannot be shown breaks its limit."""

from __future__ import annotations

import numpy as np
import pytest

from parity.compare.budget import Budget, coarser, derived_limit, over, rms_ratio
from parity.errors import UsageError


def test_derived_limits() -> None:
    floor, scale = np.array([1e-7, 1e-7]), np.array([1.0, 100.0])
    assert derived_limit("float32", floor, scale).tolist() == pytest.approx([3.2e-6, 3.2e-6])
    assert derived_limit("float16", floor, scale).tolist() == pytest.approx([1.5625e-2, 1.5625])
    assert derived_limit("bfloat16", floor, scale).tolist() == pytest.approx([6.25e-2, 6.25])
    assert derived_limit("int8", floor, scale) is None
    with pytest.raises(UsageError, match="float8"):
        derived_limit("float8", floor, scale)


def test_classes_are_ordered() -> None:
    assert coarser("int8", "float16")
    assert coarser("float16", "float32")
    assert not coarser("float32", "float32")
    assert not coarser(None, "float32")
    assert not coarser("float64", "float32")


@pytest.mark.parametrize("value", [None, "NaN", "Infinity", float("nan"), 2.0])
def test_what_cannot_be_shown_is_over(value: object) -> None:
    assert over(Budget(rmse=1.0), {"rmse": value})


def test_cosine_is_a_lower_limit() -> None:
    assert over(Budget(cosine_min=0.9), {"cosine_min": 0.8})
    assert not over(Budget(cosine_min=0.9), {"cosine_min": 0.95})


def test_a_list_must_fit_the_dimensions() -> None:
    with pytest.raises(UsageError, match="2 numbers, but the output has 3"):
        Budget(max_abs=(1.0, 2.0)).limit(3)
    assert Budget(max_abs=0.5).limit(2).tolist() == [0.5, 0.5]
    with pytest.raises(UsageError, match="scale has 2"):
        Budget(scale=(1.0, 2.0)).gain(3)


def test_rms_ratio_of_nothing_is_not_good() -> None:
    assert rms_ratio([1.0], [0.0]) == float("inf")
    assert rms_ratio([0.0], [0.0]) == 0.0
    assert rms_ratio([1.0, 3.0], [100.0, 300.0]) == pytest.approx(0.1)
