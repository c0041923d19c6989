"""Layers with a BatchNorm folded in: ``w * s`` and ``(b - mean) * s + beta`` with ``s = gamma / sqrt(var + eps)``.

Which layer comes before which BatchNorm is not written in a checkpoint, nor the epsilon: every pair that fits by shape
is tried, on one output channel first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from parity.checkpoint.weight import Weight
from parity.provenance.fits import Fits
from parity.provenance.pool import Pool, numbers_of, views

if TYPE_CHECKING:
    from parity.tensor import Array

EPS = (1e-5, 1e-3, 1e-6)  # torch's default, TensorFlow-like ones; a state dict does not hold it
# What torch and TensorFlow call the parts: mean, variance, gamma, beta.
CALLED = (
    ("running_mean", "running_var", "weight", "bias"),
    ("moving_mean", "moving_variance", "gamma", "beta"),
)


@dataclass(frozen=True, slots=True)
class Norms:
    """The BatchNorms of one length with each usual epsilon: their prefixes, and arrays ``(N, length)``."""

    prefixes: tuple[str, ...]
    scale: Array
    mean: Array
    beta: Array


def norms_of(weights: Mapping[str, Weight]) -> dict[int, Norms]:
    """Return the BatchNorms of a weight set by their length.

    Raises:
        ArtifactError: a tensor's bytes cannot be read.
    """
    found: dict[int, list[tuple[str, Array, Array, Array]]] = defaultdict(list)
    for name, mean in weights.items():
        called = next((c for c in CALLED if name.endswith(c[0])), None)
        prefix = name.removesuffix(called[0]) if called else name
        var, gamma, beta = (weights.get(prefix + c) for c in called[1:]) if called else (None, None, None)
        parts = [w for w in (var, gamma, beta) if w is not None]
        if var is None or any(w.shape != mean.shape for w in parts) or len(mean.shape) != 1:
            continue
        for eps in EPS:
            with np.errstate(all="ignore"):
                scale = (1.0 if gamma is None else numbers_of(gamma)) / np.sqrt(numbers_of(var) + eps)
            shift = np.zeros_like(scale) if beta is None else numbers_of(beta)
            found[mean.shape[0]].append((prefix, scale, numbers_of(mean), shift))
    return {
        length: Norms(tuple(r[0] for r in rows), *(np.stack([r[i] for r in rows]) for i in (1, 2, 3)))
        for length, rows in found.items()
    }


def scaled(fits: Fits, pool: Pool, norms: Mapping[int, Norms]) -> str | None:
    """Return the weight and the BatchNorm whose scales its output channels were multiplied with; None where none."""
    shape = fits.plain.shape
    for source in pool.of_shape(fits.plain):
        if source.quantization is not None:
            continue
        for view in views(source, shape):
            # ConvTranspose and MatMul have their outputs on axis 1, TensorFlow's convolutions on the last.
            for axis in sorted({0, min(1, len(shape) - 1), len(shape) - 1}):
                those = norms.get(shape[axis])
                prefix = None if those is None else _scaled_by(fits, view, axis, those)
                if prefix is not None:
                    return f"{source.name} and {prefix}*"
    return None


def _scaled_by(fits: Fits, source: Weight, axis: int, norms: Norms) -> str | None:
    x = np.moveaxis(fits.values, axis, 0)[0].reshape(-1)
    y = numbers_of(source, np.moveaxis(source.array, axis, 0)[:1]).reshape(-1)
    power, largest = float(y @ y), float(np.abs(y).max(initial=0.0))
    ratio = float(x @ y) / power if power > 0 else 0.0
    allowed = 2 * fits.allowed(float(np.abs(x).max(initial=0.0)))
    if not np.abs(x - ratio * y).max(initial=0.0) <= allowed:  # not parallel: no scale can mend it
        return None
    near = np.abs(norms.scale[:, 0] - ratio) * largest <= 4 * allowed
    if not near.any():
        return None
    whole = np.moveaxis(numbers_of(source), axis, -1)
    for i in np.flatnonzero(near):
        if fits(np.moveaxis(whole * norms.scale[i], -1, axis)):
            return norms.prefixes[i]
    return None


def shifted(fits: Fits, pool: Pool, norms: Mapping[int, Norms]) -> str | None:
    """Return the bias and the BatchNorm that a bias was folded from, or a BatchNorm alone; None where none."""
    those = norms.get(fits.values.size)
    if those is None:
        return None
    biases = [w for w in pool.of_shape(fits.plain) if w.name.endswith(("bias", "biases")) and w.quantization is None]
    with np.errstate(all="ignore"):
        return _shifted_by(fits, [None, *biases], those)


def _shifted_by(fits: Fits, biases: Sequence[Weight | None], norms: Norms) -> str | None:
    values = fits.values
    # What cancels in (b - mean) * s + beta leaves the rounding of its largest part.
    sizes = np.maximum(np.abs(norms.mean * norms.scale).max(axis=1), np.abs(norms.beta).max(axis=1))
    sizes = np.maximum(sizes, np.abs(values).max(initial=0.0))
    limits = np.array([fits.allowed(float(size)) for size in sizes])
    for bias in biases:
        start = np.zeros_like(values) if bias is None else numbers_of(bias)
        first = (start[0] - norms.mean[:, 0]) * norms.scale[:, 0] + norms.beta[:, 0]
        for i in np.flatnonzero(np.abs(first - values[0]) <= limits):
            folded = (start - norms.mean[i]) * norms.scale[i] + norms.beta[i]
            parts = np.maximum(np.abs(start), np.abs(norms.mean[i])) * np.abs(norms.scale[i])
            if np.abs(values - folded).max() <= limits[i] and (not fits.strict or fits(folded, parts)):
                prefix = norms.prefixes[i]
                return f"{prefix}*" if bias is None else f"{bias.name} and {prefix}*"
    return None
