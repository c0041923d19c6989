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
# What a compiler computes in float32 and rounds once: some roundings of float32 of the largest part, and half a step.
FEW_FLOAT32 = 2.0**-21
HALF_STEP = {"float16": (2.0**-11, 2.0**-25), "bfloat16": (2.0**-8, 2.0**-134)}  # relative, and of subnormal numbers


class Fits:
    """An exported tensor that computed ones are held against.

    Attributes:
        plain: the tensor as numbers, without axes of length 1.
        values: those numbers, as float64.
        strict: whether every element has to be what was computed, rounded once.
        step: half a step of its integers and a little more, at its coarsest; 0 where it holds floats.
    """

    def __init__(self, exported: Weight, plain: Weight) -> None:
        self._exported = exported
        self.plain = plain
        self.values = numbers_of(plain)
        how = exported.quantization
        self.strict = exported.compiled
        self.step = 0.0 if how is None else 0.51 * float(np.abs(how.scale().astype(np.float64)).max(initial=0.0))

    def allowed(self, size: float) -> float:
        """Return how far an element may be off where the largest is ``size``."""
        return CLOSE[self.plain.dtype] * size + self.step

    def __call__(self, computed: Array, parts: Array | float = 0.0) -> bool:
        """Whether the tensor is ``computed``, of the same shape; ``parts``: how large what cancels in an element is."""
        if computed.shape != self.values.shape or not np.isfinite(computed).all():
            return False
        if self.strict:
            return self._rounded_once(computed, parts)
        gap = float(np.abs(self.values - computed).max(initial=0.0))
        if not gap <= 2 * self.allowed(float(np.abs(computed).max(initial=0.0))):
            return False
        if self._exported.quantization is None:
            return gap <= self.allowed(float(np.abs(computed).max(initial=0.0)))
        made = Weight("computed", computed.shape, "float32", lambda: computed.astype(np.float32))
        return same_values(self._exported, made) is not None

    def _rounded_once(self, computed: Array, parts: Array | float) -> bool:
        """Whether each element is what was computed in float32, rounded once to the dtype of the tensor.

        Ascend's compiler folds a BatchNorm on the host, from the float32 constants, and casts afterwards
        (ConvBatchnormFusionPass makes the nodes ``<conv>_filter_host`` and ``<conv>_bias_host`` of them).
        """
        size = np.abs(computed)
        share, least = HALF_STEP.get(self.plain.dtype, (0.0, 0.0))
        largest = np.maximum(size, np.abs(self.values))
        allowed = np.maximum(share * _power_of_two(largest), least) + FEW_FLOAT32 * np.maximum(largest, parts)
        return bool((np.abs(self.values - computed) <= allowed).all())


def _power_of_two(values: Array) -> Array:
    """Return the largest power of two that is not above each value: a step of a float is a share of it."""
    exponent = np.frexp(values)[1] - 1
    return np.where(values > 0, np.ldexp(1.0, exponent), 0.0)
