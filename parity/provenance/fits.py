"""Whether an exported tensor is one that was computed here, up to the rounding of its precision class or integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from parity.checkpoint.weight import Weight
from parity.provenance.compare_weights import same_values
from parity.provenance.pool import numbers_of

if TYPE_CHECKING:
    from parity.tensor import Array

# How far rounding alone takes a folded tensor from the one computed here, of its largest element. One step of an
# optimizer changes weights by more than 1e-5 (tests/provenance/test_transforms.py).
CLOSE = {"float64": 2e-6, "float32": 2e-6, "float16": 1.1e-3, "bfloat16": 8.5e-3}


class Fits:
    """An exported tensor that computed ones are held against.

    Attributes:
        plain: the tensor as numbers, without axes of length 1.
        values: those numbers, as float64.
        step: half a step of its integers and a little more, at its coarsest; 0 where it holds floats.
    """

    def __init__(self, exported: Weight, plain: Weight) -> None:
        self._exported = exported
        self.plain = plain
        self.values = numbers_of(plain)
        how = exported.quantization
        self.step = 0.0 if how is None else 0.51 * float(np.abs(how.scale().astype(np.float64)).max(initial=0.0))

    def allowed(self, size: float) -> float:
        """Return how far an element may be off where the largest is ``size``."""
        return CLOSE[self.plain.dtype] * size + self.step

    def __call__(self, computed: Array) -> bool:
        """Whether the tensor is ``computed``, of the same shape."""
        if computed.shape != self.values.shape or not np.isfinite(computed).all():
            return False
        gap = float(np.abs(self.values - computed).max(initial=0.0))
        if not gap <= 2 * self.allowed(float(np.abs(computed).max(initial=0.0))):
            return False
        if self._exported.quantization is None:
            return gap <= self.allowed(float(np.abs(computed).max(initial=0.0)))
        made = Weight("computed", computed.shape, "float32", lambda: computed.astype(np.float32))
        return same_values(self._exported, made) is not None
