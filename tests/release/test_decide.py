"""Deciding fails closed: nothing passes that was not shown to be right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parity.compare.budget import Budget
from parity.release.decide import Terms, decide
from rows import measured

A = np.array([[1.0, -2.0, 0.5]], dtype=np.float32)


def one(row: dict[str, Any], precision: str = "float32", budget: Budget | None = None) -> dict[str, Any]:
    rows, _ = decide([row], {"ort": Terms(precision, {"action": budget} if budget else {})})
    return rows[0]


def test_equal_passes_and_rounding_passes() -> None:
    assert one(measured(A, A))["verdict"] == "PASS"
    assert one(measured(A, np.nextafter(A, np.float32(9))))["verdict"] == "PASS"


def test_a_difference_in_the_smallest_dimension_fails() -> None:
    b = A.copy()
    b[0, 2] += np.float32(1e-4)
    row = one(measured(A, b))
    assert row["verdict"] == "FAIL"
    assert row["worst_dimension"] == 2
    assert row["limit_ratio"] > 1


@pytest.mark.parametrize(
    ("b", "word"),
    [
        (np.array([[np.nan, -2.0, 0.5]], dtype=np.float32), "NaN"),
        (np.array([[np.inf, -2.0, 0.5]], dtype=np.float32), "infinite"),
        (A[:, :2], "shape"),
        (A[0], "shape"),
        (np.broadcast_to(A, (2, 3)), "shape"),
        (A.astype(np.float64), "dtype"),
        (A.astype(np.float16), "dtype"),
        (A.astype(np.int32), "dtype"),
    ],
)
@pytest.mark.parametrize("budget", [None, Budget(max_abs=1e9)])
def test_structure_cannot_be_bought(b: Any, word: str, budget: Budget | None) -> None:
    row = one(measured(A, b), budget=budget)
    assert row["verdict"] == "FAIL"
    assert word in row["reason"]


def test_nan_on_both_sides_is_a_mismatch() -> None:
    a = np.array([[np.nan, 1.0]], dtype=np.float32)
    assert one(measured(a, a))["verdict"] == "FAIL"


def test_infinity_on_both_sides_is_compared_with_nothing() -> None:
    a = np.array([[np.inf, 1.0]], dtype=np.float32)
    assert one(measured(a, a))["verdict"] == "FAIL"
    assert one(measured(a, a), budget=Budget(max_abs=1.0, allow_nan=True))["verdict"] == "PASS"


def test_nan_on_both_sides_passes_only_where_the_budget_says_so() -> None:
    a = np.array([[np.nan, 1.0]], dtype=np.float32)
    b = np.array([[1.0, 1.0]], dtype=np.float32)
    allow = Budget(max_abs=1.0, allow_nan=True)
    assert one(measured(a, a), budget=allow)["verdict"] == "PASS"
    assert one(measured(a, b), budget=allow)["verdict"] == "FAIL"
    assert one(measured(b, a), budget=allow)["verdict"] == "FAIL"


def test_a_comparison_of_nothing_is_not_judged() -> None:
    empty = np.zeros((1, 0), dtype=np.float32)
    assert one(measured(empty, empty))["verdict"] == "NOT_JUDGED"
    both_nan = np.full((1, 2), np.nan, dtype=np.float32)
    assert one(measured(both_nan, both_nan))["verdict"] == "FAIL"


def test_integers_are_exact() -> None:
    big = np.array([2**53 + 1], dtype=np.int64)
    assert one(measured(big, big))["verdict"] == "PASS"
    assert one(measured(big, big - 1))["verdict"] == "FAIL"
    mask = np.array([True, False])
    assert one(measured(mask, ~mask))["verdict"] == "FAIL"


@pytest.mark.parametrize(("kind", "verdict"), [("missing_output", "FAIL"), ("not_run", "NOT_JUDGED")])
def test_what_is_missing_is_never_passed(kind: str, verdict: str) -> None:
    row = {**measured(A, A), "problem": {"kind": kind, "message": "gone"}}
    assert one(row)["verdict"] == verdict


def test_an_unstable_reference_is_not_judged() -> None:
    row = measured(A, A)
    row["floor"] |= {"unstable": 1}
    assert one(row)["verdict"] == "NOT_JUDGED"


def test_lower_classes_have_looser_limits_and_still_fail_what_is_wrong() -> None:
    half = A.astype(np.float16).astype(np.float32) + np.float32(1e-3)
    assert one(measured(A, half))["verdict"] == "FAIL"
    assert one(measured(A, half), "float16")["verdict"] == "PASS"
    assert one(measured(A, A.astype(np.float16)), "float16")["verdict"] == "PASS"
    assert one(measured(A, -A), "bfloat16")["verdict"] == "FAIL"


def test_int8_is_judged_on_the_pool() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(8):
        a = rng.normal(size=(1, 6)).astype(np.float32)
        b = a + rng.normal(size=(1, 6)).astype(np.float32) * np.float32(0.03)
        rows.append(measured(a, b, case=f"nominal-{i:04d}"))
    edge = measured(A, -A, case="edge-0000", profile="edge")
    decided, measures = decide([*rows, edge], {"ort": Terms("int8", {})})
    assert [r["verdict"] for r in decided] == ["PASS"] * 9
    assert measures[0]["verdict"] == "PASS"
    wrong = [{**r, **measured(A, A * 2, case=r["case"])} for r in rows]
    decided, measures = decide(wrong, {"ort": Terms("int8", {})})
    assert {r["verdict"] for r in decided} == {"FAIL"}


def test_int8_without_a_pool_is_not_judged() -> None:
    edge = measured(A, A, case="edge-0000", profile="edge")
    decided, measures = decide([edge], {"ort": Terms("int8", {})})
    assert decided[0]["verdict"] == "NOT_JUDGED"
    assert not measures


def test_budgets_of_the_user_judge_every_element_in_their_units() -> None:
    b = A + np.array([[0.0, 0.0, 0.01]], dtype=np.float32)
    assert one(measured(A, b), budget=Budget(max_abs=0.02))["verdict"] == "PASS"
    assert one(measured(A, b), budget=Budget(max_abs=0.02, scale=(1.0, 1.0, 100.0), units="px"))["verdict"] == "FAIL"
    assert one(measured(A, b), budget=Budget(max_abs=(1.0, 1.0, 0.001)))["verdict"] == "FAIL"
    assert one(measured(A, A), budget=Budget(max_abs=0.0))["verdict"] == "PASS"
    assert one(measured(A, b), budget=Budget(rmse=1e-6))["verdict"] == "FAIL"
