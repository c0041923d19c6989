"""Does every candidate give the reference's numbers, in every planned case, for every output?"""

from __future__ import annotations

from typing import Any

import pytest


def test_same_numbers(comparison: dict[str, Any]) -> None:
    measured_only = comparison["reason"] == "planned, not measured"  # the run that measures judges, not this test
    if comparison["verdict"] != "PASS" and not measured_only:  # no assert: Python leaves those out under -O
        pytest.fail(comparison["reason"], pytrace=False)
