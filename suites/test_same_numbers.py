"""Does every candidate give the reference's numbers, in every planned case, for every output?"""

from __future__ import annotations

from typing import Any


def test_same_numbers(comparison: dict[str, Any]) -> None:
    if comparison["reason"] != "planned, not measured":
        assert comparison["verdict"] == "PASS", comparison["reason"]
