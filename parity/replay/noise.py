"""Noise that is injected on all sides alike: a number for each seed, row, draw and element, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from parity.cases.hashing import bits, key, normal
from parity.errors import UsageError
from parity.tensor import Array, TensorSpec


def noise_for(spec: TensorSpec, rows: Array, seed: int, draw: int = 0) -> Array:
    """Return standard normal noise for each row, ``(N, *shape)``.

    Raises:
        UsageError: the input's shape is not known.
    """
    shape = None if spec.shape is None else spec.shape[1:] if spec.batched else spec.shape
    if shape is None or not all(isinstance(d, int) for d in shape):
        raise UsageError(
            f"the noise {spec.name!r} has shape {spec.shape}: how much is to be drawn is not known",
            remedy=f"say it: [contract.inputs.{spec.name}] shape = [...]",
        )
    keys = [key(seed, "dataset", draw, int(row), spec.name) for row in rows]
    drawn = normal(bits(keys, tuple(int(d) for d in shape if isinstance(d, int))))
    return drawn.astype(spec.dtype if spec.dtype and spec.dtype != "bfloat16" else "float32")


def chosen(rows: Array, share: float, seed: int, what: str) -> Array:
    """Return the positions of about this share of the rows: which they are depends on seed, row and ``what`` alone."""
    if share >= 1:
        return np.arange(len(rows))
    base = key(seed, what, 0, 0, "")
    hashed = bits(_keys(rows, base), ())
    return np.flatnonzero(hashed < np.uint64(int(share * 2.0**64)))


def _keys(rows: Array, base: int) -> Sequence[int]:
    with np.errstate(over="ignore"):
        mixed: Array = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(base)
    return mixed  # type: ignore[return-value]
