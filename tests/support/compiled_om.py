"""OM files that hold a policy's weights as Ascend's compiler leaves them: cast to float16, in the device's layouts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from om_writer import Constant, Om, Port, write

ACTOR = (Port("obs", (1, 4)),), (Port("actor:0:actions", (1, 2), source="actor:0"),)


def compiled(
    path: Path,
    weights: Mapping[str, Any],
    *,
    inputs: tuple[Port, ...] = ACTOR[0],
    outputs: tuple[Port, ...] = ACTOR[1],
    dtype: str = "float16",
    ready: Mapping[str, Any] | None = None,
    **more: Any,
) -> Path:
    """Write an OM file with these weights; ``ready`` are constants that the compiler computed, by their origin's name.

    Matrices lie as FRACTAL_NZ, convolutions as FRACTAL_Z, ``(1, C, 1, 1)`` as NC1HWC0, the rest as it is.
    """
    found = [_constant(f"const_{i}", a.astype(dtype)) for i, a in enumerate(weights.values())]
    found += [_constant(f"folded_{i}", a, name) for i, (name, a) in enumerate((ready or {}).items())]
    return write(path, Om(inputs=inputs, outputs=outputs, constants=tuple(found), **more))


def _constant(name: str, values: np.ndarray, origin_name: str = "") -> Constant:
    if values.ndim == 2:
        return Constant(name, values, "FRACTAL_NZ", "ND", origin_name=origin_name, stored=nz(values))
    if values.ndim == 4 and values.shape[0] == values.shape[2] == values.shape[3] == 1:
        return Constant(name, values, "NC1HWC0", "NCHW", origin_name=origin_name, stored=nc1hwc0(values))
    if values.ndim == 4:
        return Constant(name, values, "FRACTAL_Z", "NCHW", origin_name=origin_name, stored=z(values))
    return Constant(name, values, origin_name=origin_name)


def _filled(values: np.ndarray, *axes: int) -> np.ndarray:
    return np.pad(values, [(0, -n % 16 if i in axes else 0) for i, n in enumerate(values.shape)])


def nz(values: np.ndarray) -> np.ndarray:
    """``(m, n)`` to ``(n1, m1, 16, 16)``."""
    filled = _filled(values, 0, 1)
    m, n = filled.shape
    return np.ascontiguousarray(filled.reshape(m // 16, 16, n // 16, 16).transpose(2, 0, 1, 3))


def z(values: np.ndarray) -> np.ndarray:
    """``(n, c, h, w)`` to ``(c1 * h * w, n1, 16 of n, 16 of c)``."""
    filled = _filled(values, 0, 1)
    n, c, h, w = filled.shape
    parts = filled.reshape(n // 16, 16, c // 16, 16, h, w).transpose(2, 4, 5, 0, 1, 3)
    return np.ascontiguousarray(parts).reshape(c // 16 * h * w, n // 16, 16, 16)


def nc1hwc0(values: np.ndarray) -> np.ndarray:
    """``(n, c, h, w)`` to ``(n, c1, h, w, 16)``."""
    filled = _filled(values, 1)
    n, c, h, w = filled.shape
    return np.ascontiguousarray(filled.reshape(n, c // 16, 16, h, w).transpose(0, 1, 3, 4, 2))
