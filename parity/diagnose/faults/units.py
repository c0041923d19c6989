"""Degrees on one side, radians on the other: a gain of 180/π or its inverse, nothing fitted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.diagnose.faults.elementwise import Fit, Moments, listed

if TYPE_CHECKING:
    from parity.tensor import Array


@dataclass(frozen=True, slots=True)
class Units:
    """``c = gain · r`` with the gain of a conversion; ``text`` says which side is in which unit."""

    gain: float
    text: str
    kind: str = "units"
    freedom: int = 0

    def fit(self, m: Moments) -> tuple[Array, Array]:
        """Return the conversion's gain, no offset."""
        return np.full_like(m.mean_r, self.gain), np.zeros_like(m.mean_r)

    def sentence(self, fit: Fit, names: Sequence[str], noun: str) -> str:
        """Return ``joints 0 and 1: the candidate is in degrees where the reference is in radians``."""
        return f"{listed(names, noun)}: {self.text}"

    def parameters(self, fit: Fit) -> dict[str, Any]:
        """Return the gain."""
        return {"gain": self.gain}


DEGREES = Units(180 / math.pi, "the candidate is in degrees where the reference is in radians (gain 57.2958)")
RADIANS = Units(math.pi / 180, "the candidate is in radians where the reference is in degrees (gain 1/57.2958)")
