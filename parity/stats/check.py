"""What is wrong with the statistics of one source, as far as they alone tell."""

from __future__ import annotations

from parity.finding import Finding
from parity.stats.model import NormStats


def check(stats: NormStats) -> list[Finding]:
    """Return what is wrong with one source's statistics."""
    return list(stats.findings)
