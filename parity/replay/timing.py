"""placeholder until merge"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parity.contract.model import Contract
from parity.finding import Finding
from parity.replay.model import Timing


def timing_of(contract: Contract, steps_out: int, settings: Mapping[str, Any]) -> Timing:
    window = contract.window
    n = window.n_action_steps if isinstance(window.n_action_steps, int) else steps_out
    return Timing(n_action_steps=min(int(settings.get("n_action_steps", n)), steps_out))


def disagreements(reference: Timing, candidate: Timing, fps: float | None) -> tuple[Finding, ...]:
    return ()
