"""PASS, FAIL or NOT_JUDGED, how several become one, and the exit code of each."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from parity import errors


class Verdict(StrEnum):
    """The outcome of judging something. Only PASS lets a release through."""

    PASS = "PASS"
    FAIL = "FAIL"
    NOT_JUDGED = "NOT_JUDGED"

    @property
    def exit_code(self) -> int:
        return {Verdict.PASS: errors.PASSED, Verdict.FAIL: errors.FAILED, Verdict.NOT_JUDGED: errors.NOT_JUDGED}[self]


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """Return FAIL if any failed, else NOT_JUDGED if any was not judged or there is nothing at all, else PASS."""
    seen = set(verdicts)
    if Verdict.FAIL in seen:
        return Verdict.FAIL
    return Verdict.PASS if seen == {Verdict.PASS} else Verdict.NOT_JUDGED
