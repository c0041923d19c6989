"""A joint turns the other way: ``c = -r``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.diagnose.faults.elementwise import Fit, Moments, listed

if TYPE_CHECKING:
    from parity.tensor import Array


class Sign:
    kind = "sign"
    freedom = 0

    def fit(self, m: Moments) -> tuple[Array, Array]:
        """Return gain -1 and no offset."""
        return np.full_like(m.mean_r, -1.0), np.zeros_like(m.mean_r)

    def sentence(self, fit: Fit, names: Sequence[str], noun: str) -> str:
        """Return ``joint 3 (left_knee): sign is flipped``."""
        return f"{listed(names, noun)}: sign is flipped"

    def parameters(self, fit: Fit) -> dict[str, Any]:
        """Return the gain."""
        return {"gain": -1.0}


FAULT = Sign()
