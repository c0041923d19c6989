"""Which tensors say whose they are, and why the others do not.

Left out of every count: integers (shapes, counts, indices), single numbers, tensors of one repeated value (zeros, ones,
untouched defaults), what a formula made (ranges, geometric series, sinusoidal tables of positions and of time steps),
and the means and deviations of images that half of the world's policies share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from parity.checkpoint.weight import Weight
from parity.provenance.compare_weights import is_informative, is_weight_like, squeezed

if TYPE_CHECKING:
    from parity.tensor import Array

MAX_RULE = 1 << 22  # elements of a tensor that is looked at for a formula
MIN_LINE = 5  # elements that a line must have before a formula with one free number says anything
PHASE = 3e-4  # of a line's spread: float32 phases of a wave err by 6e-5 after a thousand steps
# Of its largest element, and how long a line must be before so coarse a rule says anything.
ROUNDING = {"float64": (4e-7, MIN_LINE), "float32": (4e-7, MIN_LINE), "float16": (2e-3, 12), "bfloat16": (1.6e-2, 24)}
# torchvision's ImageNet statistics and CLIP's: constants of preprocessing, of no training run in particular.
_IMAGES = (
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)


def why_silent(weight: Weight) -> str | None:
    """Return why a tensor says nothing about whose it is; None where it does.

    Raises:
        ArtifactError: its bytes cannot be read.
    """
    if not is_weight_like(weight):
        return "integers"
    if weight.size < 2:
        return "single numbers" if weight.size else "no elements"
    if not is_informative(weight):
        return "one repeated value"
    if weight.quantization is not None or weight.size > MAX_RULE or weight.dtype.startswith("float8"):
        return None
    values = weight.as_float().astype(np.float64).reshape(squeezed(weight.shape))
    if not np.isfinite(values).all():
        return None
    if values.shape == (3,) and any(np.allclose(values, known, rtol=1e-3, atol=0) for known in _IMAGES):
        return "common image constants"
    return "made by a formula" if follows_a_formula(values, weight.dtype) else None


def follows_a_formula(values: Array, dtype: str = "float32") -> bool:
    """Whether all lines along one axis obey ``x[t+1] + x[t-1] = c x[t]`` with a ``c`` of their own, up to rounding.

    Ranges (c = 2), geometric series (c = r + 1/r), sines and cosines (c = 2 cos w) do; what was learned does not.
    """
    rounding, least = ROUNDING.get(dtype, ROUNDING["float32"])
    return any(n >= least and _obeys(np.moveaxis(values, axis, 0), rounding) for axis, n in enumerate(values.shape))


def _obeys(lines: Array, rounding: float) -> bool:
    lines = lines.reshape(lines.shape[0], -1)
    return _all_obey(lines[:, :1], rounding) and _all_obey(lines, rounding)  # most are ruled out by their first line


def _all_obey(lines: Array, rounding: float) -> bool:
    middle, around = lines[1:-1], lines[2:] + lines[:-2]
    power = (middle * middle).sum(0)
    c = np.where(power > 0, (middle * around).sum(0) / np.where(power > 0, power, 1.0), 0.0)
    allowed = PHASE * (lines.max(0) - lines.min(0)) / 2 + rounding * np.abs(lines).max(0)
    return bool((np.abs(around - c * middle).max(0) <= allowed).all())
