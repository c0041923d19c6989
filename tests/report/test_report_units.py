"""Units: metrics turned by a scale into the units of the limit say so; those of an early report, not turned, do not."""

from __future__ import annotations

from parity.report.view import far_off, metric_units

ROW = {"units": "px", "max_abs": 1.5, "limit": [0.5], "limit_ratio": 768.0, "worst_index": [0, 0], "worst_dimension": 0}


def test_metrics_of_a_scaled_budget_are_in_its_units() -> None:
    row = {**ROW, "max_abs": 384.0, "graph": {"max_abs": 1.5}, "budget": {"units": "px", "scale": [256.0]}}
    assert metric_units(row) == " px"
    assert far_off(row) == "max|Δ| 384 px, 768 × the limit of 0.5 px"


def test_metrics_of_a_scaled_budget_of_an_early_report_are_not_said_to_be_physical() -> None:
    scaled = {**ROW, "budget": {"max_abs": [0.5], "units": "px", "scale": [256.0]}}
    assert metric_units(scaled) == ""
    assert far_off(scaled) == "max|Δ| 1.5, 768 × the limit of 0.5 px"


def test_metrics_that_are_physical_say_so() -> None:
    assert metric_units({**ROW, "budget": {"max_abs": [0.5]}}) == " px"
    assert far_off({**ROW, "budget": {"max_abs": [0.5]}}).startswith("max|Δ| 1.5 px")
