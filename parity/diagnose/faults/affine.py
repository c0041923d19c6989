"""Gain and offset together, ``c = a · r + b``: other statistics, or scale and default position both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from parity.diagnose.faults.elementwise import Fit, Moments, listed, numbers

if TYPE_CHECKING:
    from parity.tensor import Array


class Affine:
    kind = "affine"
    freedom = 2

    def fit(self, m: Moments) -> tuple[Array, Array]:
        """Return the least-squares gain and offset."""
        slope = m.slope
        return slope, m.mean_c - slope * m.mean_r

    def sentence(self, fit: Fit, names: Sequence[str], noun: str) -> str:
        """Return ``joint 4 is multiplied by 0.25, then 0.1 is added``."""
        verb = "is" if len(names) == 1 else "are"
        return f"{listed(names, noun)} {verb} multiplied by {numbers(fit.gain)}, then {numbers(fit.offset)} is added"

    def parameters(self, fit: Fit) -> dict[str, Any]:
        """Return gains and offsets."""
        return {"gain": list(fit.gain), "offset": list(fit.offset)}


FAULT = Affine()
