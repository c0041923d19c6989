"""The candidate's output does not move although the reference's does: ``c = b``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.diagnose.faults.elementwise import Fit, Moments, listed, numbers

if TYPE_CHECKING:
    from parity.tensor import Array


class Constant:
    kind = "constant"
    freedom = 1

    def fit(self, m: Moments) -> tuple[Array, Array]:
        """Return gain 0 and the candidate's mean."""
        return np.zeros_like(m.mean_c), m.mean_c

    def sentence(self, fit: Fit, names: Sequence[str], noun: str) -> str:
        """Return ``joint 3 is constant (0.25)``."""
        verb = "is" if len(names) == 1 else "are"
        return f"{listed(names, noun)} {verb} constant ({numbers(fit.offset)})"

    def parameters(self, fit: Fit) -> dict[str, Any]:
        """Return the constants, in the output's own units."""
        return {"value": list(fit.offset)}


FAULT = Constant()
