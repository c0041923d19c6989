"""May this candidate ship? Every rule of the gate: numbers, precision, coverage, findings, waivers."""

from __future__ import annotations

from typing import Any


def test_may_ship(candidate_verdict: dict[str, Any]) -> None:
    assert candidate_verdict["verdict"] == "PASS", "\n".join(candidate_verdict["reasons"])
