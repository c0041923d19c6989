"""Test modules have names of their own: pytest collects only the first of two that are called alike."""

from __future__ import annotations

from collections import Counter
from pathlib import Path


def test_no_two_test_modules_are_called_alike() -> None:
    names = Counter(p.name for p in Path(__file__).parent.rglob("test_*.py"))
    assert [n for n, count in names.items() if count > 1] == []
