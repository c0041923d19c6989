"""How each side is driven (`driven`), and where that contradicts the other side or the data (`timing_findings`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parity.contract.model import Contract
from parity.replay.driven import Told, told_of
from parity.replay.model import Timing
from parity.replay.timing_findings import disagreements, doubts

__all__ = ["Told", "disagreements", "doubts", "timing_of", "told_of"]


def timing_of(
    contract: Contract, steps_out: int, settings: Mapping[str, Any], otherwise: Contract | None = None
) -> Timing:
    """Return how a side is driven: `told_of` without what had to be assumed.

    Raises:
        UsageError: the user's ``first`` is no step of the chunk.
    """
    return told_of(contract, steps_out, settings, otherwise).timing
