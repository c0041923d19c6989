"""How many names a sentence and its evidence hold, and the finding about a list of names."""

from __future__ import annotations

from collections.abc import Sequence

from parity.finding import Finding, Severity

NAMED = 3  # how many a sentence names
LISTED = 50  # how many the evidence lists


def listed(names: Sequence[str]) -> str:
    """Return the first names of a list, and how many more there are."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


def finding_on(
    code: str, names: Sequence[str], title: str, remedy: str, *, key: str, severity: Severity = "warning"
) -> Finding | None:
    """Return the finding that something is so of all these names, listed under ``key``; None where there are none."""
    if not names:
        return None
    return Finding(code, severity, title, where=names[0], evidence={key: list(names[:LISTED])}, remedy=remedy)
