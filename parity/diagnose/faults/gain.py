"""A joint is scaled: another action scale, another standard deviation, ``c = a · r``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.diagnose.faults.elementwise import Fit, Moments, listed, numbers

if TYPE_CHECKING:
    from parity.tensor import Array


class Gain:
    kind = "gain"
    freedom = 1

    def fit(self, m: Moments) -> tuple[Array, Array]:
        """Return the least-squares gain through the origin, no offset."""
        power = m.var_r + m.mean_r**2
        cross = m.cov + m.mean_r * m.mean_c
        return np.divide(cross, power, out=np.ones_like(cross), where=power > 0), np.zeros_like(cross)

    def sentence(self, fit: Fit, names: Sequence[str], noun: str) -> str:
        """Return ``joint 4 is multiplied by 0.25``."""
        verb = "is" if len(names) == 1 else "are"
        return f"{listed(names, noun)} {verb} multiplied by {numbers(fit.gain)}"

    def parameters(self, fit: Fit) -> dict[str, Any]:
        """Return the gains."""
        return {"gain": list(fit.gain)}


FAULT = Gain()
