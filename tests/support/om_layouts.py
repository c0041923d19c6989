"""Values as they lie on an Ascend device, element by element as its documentation describes the layouts."""

from __future__ import annotations

import math

import numpy as np


def pack(values: np.ndarray, layout: str, origin: str, c0: int = 16) -> np.ndarray:
    """Return values as they lie on the device."""
    name, _, sub = layout.partition(":")
    if name == "FRACTAL_NZ":
        return _to_nz(values, c0)
    if name == "FRACTAL_Z":
        turned = np.transpose(values, [origin.index(a) for a in "NCHW"])
        return _to_z(turned[:, :, None], c0, int(sub or 1))
    if name == "FRACTAL_Z_3D":
        return _to_z(np.transpose(values, [origin.index(a) for a in "NCDHW"]), c0, int(sub or 1))
    if name == "NC1HWC0":
        return _to_nc1hwc0(np.transpose(values, [origin.index(a) for a in "NCHW"]), c0)
    if layout != origin and sorted(layout) == sorted(origin):
        return np.ascontiguousarray(np.transpose(values, [origin.index(a) for a in layout]))
    return values


def _to_nz(values: np.ndarray, n0: int) -> np.ndarray:
    m, n = values.shape[-2:]
    found = np.zeros((*values.shape[:-2], -(-n // n0), -(-m // 16), 16, n0), values.dtype)
    for i in range(m):
        for j in range(n):
            found[..., j // n0, i // 16, i % 16, j % n0] = values[..., i, j]
    return found


def _to_z(values: np.ndarray, c0: int, groups: int) -> np.ndarray:
    n, c, depth, h, w = values.shape
    outs = n // groups
    side = min(math.lcm(math.lcm(c, c0) // c, math.lcm(outs, 16) // outs), groups)
    c1, n_all = -(-side * c // c0), -(-side * outs // 16) * 16
    flat = np.zeros(-(-groups // side) * depth * c1 * h * w * n_all * c0, values.dtype)
    for i, j, z, y, x in np.ndindex(n, c, depth, h, w):
        group, within = divmod(i, outs)
        to_c, to_n = group % side * c + j, group % side * outs + within
        at = ((group // side * depth + z) * c1 + to_c // c0) * h + y
        flat[((at * w + x) * n_all + to_n) * c0 + to_c % c0] = values[i, j, z, y, x]
    return flat.reshape(-1, n_all // 16, 16, c0)


def _to_nc1hwc0(values: np.ndarray, c0: int) -> np.ndarray:
    n, c, h, w = values.shape
    found = np.zeros((n, -(-c // c0), h, w, c0), values.dtype)
    for i, j, y, x in np.ndindex(n, c, h, w):
        found[i, j // c0, y, x, j % c0] = values[i, j, y, x]
    return found
