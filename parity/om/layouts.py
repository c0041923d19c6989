"""Weights as they lie on the device, back to the source model's layout.

The matrix unit wants blocks of 16 by 16 (32 wide for int8, 8 for float32), so ATC stores convolution filters and
matrices in blocks, padded with zeros: FRACTAL_Z ``[C1·H·W, N1, N0, C0]``, FRACTAL_NZ ``[…, n1, m1, m0, n0]``, NC1HWC0
``[N, C1, H, W, C0]`` (Ascend's public documentation of data formats; confirmed bit by bit on real files). What does not
fit, or has numbers in the padding, is another layout (grouped filters are packed so): refused, never guessed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from parity.errors import ArtifactError

if TYPE_CHECKING:
    from parity.tensor import Array

PLAIN = ("ND", "NCHW", "NHWC", "HWCN", "CHWN", "NC", "CN", "NCL", "NCDHW", "NDHWC", "DHWCN")
KNOWN = (*PLAIN, "FRACTAL_Z", "FRACTAL_NZ", "NC1HWC0")
REMEDY = "report it with the file; until then compare by outputs"


def restored(stored: Array, layout: str, shape: tuple[int, ...], origin: str) -> Array:
    """Return values in the source model's shape and layout; what is plain already is not copied.

    Args:
        stored: in the shape that the descriptor gives.
        layout: how they are stored, such as ``FRACTAL_Z``.
        shape: the source model's.
        origin: the source model's layout, such as ``HWCN``.

    Raises:
        ArtifactError: the layout is not known, or does not fit the shapes.
    """
    if layout in PLAIN:
        return _plain(stored, layout, shape, origin)
    if layout == "FRACTAL_NZ":
        return _from_nz(stored, shape)
    if layout == "FRACTAL_Z":
        return _from_z(stored, shape, origin)
    if layout == "NC1HWC0":
        return _from_nc1hwc0(stored, shape, origin)
    raise ArtifactError(
        f"stored as {layout}, a layout that is not known",
        expected=", ".join(KNOWN),
        remedy=REMEDY,
    )


def _misfit(stored: Array, layout: str, shape: tuple[int, ...], origin: str) -> ArtifactError:
    return ArtifactError(
        f"stored as {layout} {list(stored.shape)}, which does not fit the source model's {origin} {list(shape)}",
        expected="blocks that hold that shape and nothing else",
        remedy=REMEDY,
    )


def _plain(stored: Array, layout: str, shape: tuple[int, ...], origin: str) -> Array:
    if stored.shape == shape and (layout == origin or "ND" in (layout, origin) or stored.ndim != len(layout)):
        return stored
    if layout != origin and sorted(layout) == sorted(origin) and stored.ndim == len(layout) == len(shape):
        turned = stored.transpose([layout.index(axis) for axis in origin])
        if turned.shape == shape:
            return turned
    elif stored.size == math.prod(shape) and [d for d in stored.shape if d != 1] == [d for d in shape if d != 1]:
        return stored.reshape(shape)
    raise _misfit(stored, layout, shape, origin)


def _cropped(whole: Array, sizes: tuple[int, ...]) -> Array | None:
    """Return the part of an array with these sizes; None where the rest is not all zeros."""
    if any(n > m for n, m in zip(sizes, whole.shape, strict=True)) or _outside(whole, sizes):
        return None
    return whole[tuple(slice(n) for n in sizes)]


def _outside(whole: Array, sizes: tuple[int, ...]) -> bool:
    """Whether anything but zero lies beyond the sizes, axis by axis."""
    import numpy as np

    for axis, size in enumerate(sizes):
        beyond = whole[(*(slice(n) for n in sizes[:axis]), slice(size, None))]
        if np.any(np.ascontiguousarray(beyond).view(np.uint8)):
            return True
    return False


def _from_nz(stored: Array, shape: tuple[int, ...]) -> Array:
    if stored.ndim == len(shape) + 2 and len(shape) >= 2 and stored.shape[:-4] == shape[:-2]:
        n1, m1, m0, n0 = stored.shape[-4:]
        if m1 == -(-shape[-2] // m0) and n1 == -(-shape[-1] // n0):
            turned = stored.swapaxes(-4, -3).swapaxes(-3, -2)  # (…, m1, m0, n1, n0)
            found = _cropped(turned.reshape(*shape[:-2], m1 * m0, n1 * n0), shape)
            if found is not None:
                return found
    raise _misfit(stored, "FRACTAL_NZ", shape, "matrix")


def _from_z(stored: Array, shape: tuple[int, ...], origin: str) -> Array:
    if sorted(origin) == sorted("NCHW") and len(shape) == stored.ndim == 4:
        n, c, h, w = (shape[origin.index(axis)] for axis in "NCHW")
        rows, n1, n0, c0 = stored.shape
        c1 = -(-c // c0) if c0 else 0
        if rows == c1 * h * w and n0 and n1 == -(-n // n0):
            turned = stored.reshape(c1, h, w, n1 * n0, c0).transpose(3, 0, 4, 1, 2)  # (N, C1, C0, H, W)
            found = _cropped(turned.reshape(n1 * n0, c1 * c0, h, w), (n, c, h, w))
            if found is not None:
                return found.transpose(["NCHW".index(axis) for axis in origin])
    raise _misfit(stored, "FRACTAL_Z", shape, origin)


def _from_nc1hwc0(stored: Array, shape: tuple[int, ...], origin: str) -> Array:
    if stored.ndim == 5:
        n, c1, h, w, c0 = stored.shape
        whole = stored.transpose(0, 1, 4, 2, 3).reshape(n, c1 * c0, h, w)
        if len(shape) == 1 and n == h == w == 1 and c0 and c1 == -(-shape[0] // c0):
            found = _cropped(whole, (1, shape[0], 1, 1))
            if found is not None:
                return found.reshape(shape)
        if sorted(origin) == sorted("NCHW") and len(shape) == 4:
            sizes = tuple(shape[origin.index(axis)] for axis in "NCHW")
            if (n, h, w) == (sizes[0], sizes[2], sizes[3]) and c0 and c1 == -(-sizes[1] // c0):
                found = _cropped(whole, sizes)
                if found is not None:
                    return found.transpose(["NCHW".index(axis) for axis in origin])
    raise _misfit(stored, "NC1HWC0", shape, origin)
