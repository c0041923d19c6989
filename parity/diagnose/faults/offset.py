"""A constant is added: another default position, another mean, ``c = r + b``; also together with a flipped sign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.diagnose.faults.elementwise import Fit, Moments, listed, numbers

if TYPE_CHECKING:
    from parity.tensor import Array


@dataclass(frozen=True, slots=True)
class Offset:
    """``c = gain · r + b`` with a fixed gain of 1 or -1 and b fitted."""

    gain: float = 1.0
    kind: str = "offset"
    freedom: int = 1

    def fit(self, m: Moments) -> tuple[Array, Array]:
        """Return the fixed gain and the mean difference."""
        return np.full_like(m.mean_r, self.gain), m.mean_c - self.gain * m.mean_r

    def sentence(self, fit: Fit, names: Sequence[str], noun: str) -> str:
        """Return ``0.15 is added to joint 4``."""
        verb = "is" if len(set(numbers(fit.offset).split(", "))) == 1 else "are"
        flipped = "" if self.gain > 0 else f"{listed(names, noun)}: sign is flipped, and "
        return f"{flipped}{numbers(fit.offset)} {verb} added to {listed(names, noun)}"

    def parameters(self, fit: Fit) -> dict[str, Any]:
        """Return the gain and the offsets, in the output's own units."""
        return {"gain": self.gain, "offset": list(fit.offset)}


FAULT = Offset()
FLIPPED = Offset(gain=-1.0)
