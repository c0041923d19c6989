"""Weights as they lie on the device, back to the source model's layout.

The matrix unit wants blocks of 16 by 16 (32 wide for int8, 8 for float32), so ATC stores convolution filters and
matrices in blocks, padded with zeros: FRACTAL_Z ``[G·C1·H·W, N1, N0, C0]``, FRACTAL_Z_3D ``[G·D·C1·H·W, N1, N0, C0]``,
FRACTAL_NZ ``[…, n1, m1, m0, n0]``, NC1HWC0 ``[N, C1, H, W, C0]`` (Ascend's public documentation of data formats; all
but grouped filters, FRACTAL_Z_3D and NC1HWC0 confirmed bit by bit on real files). What does not fit, or has numbers in
the padding, is another layout: refused, never guessed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from parity.errors import ArtifactError

if TYPE_CHECKING:
    from parity.tensor import Array

PLAIN = ("ND", "NCHW", "NHWC", "HWCN", "CHWN", "NC", "CN", "NCL", "NCDHW", "NDHWC", "DHWCN")
KNOWN = (*PLAIN, "FRACTAL_Z", "FRACTAL_Z_3D", "FRACTAL_NZ", "NC1HWC0")
REMEDY = "report it with the file; until then compare by outputs"


def primary(layout: str) -> tuple[str, int]:
    """Return a layout without its sub-format, and that: ``FRACTAL_Z:8`` is of 8 groups. 0 is none, -1 is unknown.

    Source: FormatToSerialString of CANN's public graph engine.
    """
    name, colon, sub = layout.partition(":")
    return name, (int(sub) if sub.isdigit() else -1) if colon else 0


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
    name, groups = primary(layout)
    if name in PLAIN and groups == 0:
        return _plain(stored, name, shape, origin)
    found: Array | None = None
    if name in ("FRACTAL_Z", "FRACTAL_Z_3D") and 0 <= groups < 1 << 16:
        found = _from_z(stored, shape, origin, max(groups, 1), "NCHW" if name == "FRACTAL_Z" else "NCDHW")
    elif name == "FRACTAL_NZ" and groups == 0:
        found = _from_nz(stored, shape)
    elif name == "NC1HWC0" and groups == 0:
        found = _from_nc1hwc0(stored, shape, origin)
    else:
        raise ArtifactError(
            f"stored as {layout or 'no layout'}, which is not known", expected=", ".join(KNOWN), remedy=REMEDY
        )
    if found is None:
        raise _misfit(stored, layout, shape, origin)
    return _complete(stored, found, layout, origin)


def _misfit(stored: Array, layout: str, shape: tuple[int, ...], origin: str) -> ArtifactError:
    return ArtifactError(
        f"stored as {layout} {list(stored.shape)}, which does not fit the source model's {origin} {list(shape)}",
        expected="blocks that hold that shape and nothing else",
        remedy=REMEDY,
    )


def _complete(stored: Array, found: Array, layout: str, origin: str) -> Array:
    """Return what was found, in C order, after making sure that what was left out is zero: each is taken only once."""
    import numpy as np

    found = np.asarray(found, order="C")
    if np.count_nonzero(stored.view(np.uint8)) != np.count_nonzero(found.view(np.uint8)):
        raise _misfit(stored, layout, found.shape, origin)
    return found


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


def _from_nz(stored: Array, shape: tuple[int, ...]) -> Array | None:
    if stored.ndim != len(shape) + 2 or len(shape) < 2 or stored.shape[:-4] != shape[:-2] or not stored.size:
        return None
    n1, m1, m0, n0 = stored.shape[-4:]
    if m1 != -(-shape[-2] // m0) or n1 != -(-shape[-1] // n0):
        return None
    turned = stored.swapaxes(-4, -3).swapaxes(-3, -2)  # (…, m1, m0, n1, n0)
    return turned.reshape(*shape[:-2], m1 * m0, n1 * n0)[..., : shape[-2], : shape[-1]]


def _from_z(stored: Array, shape: tuple[int, ...], origin: str, groups: int, axes: str) -> Array | None:
    """Return filters ``origin``; None where they do not fit.

    Groups are packed side by side along the diagonal of a block, as many as fill it (TransFormatHwcnToFzWithGroups of
    mindspore-ai/graphengine, Apache-2.0).
    """
    import numpy as np

    if sorted(origin) != sorted(axes) or len(shape) != len(axes) or stored.ndim != 4 or not stored.size:
        return None
    n, c, *kernel = (shape[origin.index(axis)] for axis in axes)
    depth, (h, w) = (kernel[0], kernel[1:]) if len(kernel) == 3 else (1, kernel)
    rows, n1, n0, c0 = stored.shape
    if not n or not c or n % groups:
        return None
    outs = n // groups
    side = min(math.lcm(math.lcm(c, c0) // c, math.lcm(outs, n0) // outs), groups)  # groups in a block
    c1, blocks = -(-side * c // c0), -(-groups // side)
    if rows != blocks * depth * c1 * h * w or n1 != -(-side * outs // n0):
        return None
    whole = stored.reshape(blocks, depth, c1, h, w, n1 * n0, c0).transpose(0, 5, 2, 6, 1, 3, 4)
    whole = whole.reshape(blocks, n1 * n0, c1 * c0, depth, h, w)
    parts = [
        whole[g // side, g % side * outs : (g % side + 1) * outs, g % side * c : (g % side + 1) * c]
        for g in range(groups)
    ]
    found = (parts[0] if groups == 1 else np.concatenate(parts)).reshape(n, c, *kernel)
    return found.transpose([axes.index(axis) for axis in origin])


def _from_nc1hwc0(stored: Array, shape: tuple[int, ...], origin: str) -> Array | None:
    if stored.ndim != 5 or not stored.size:
        return None
    n, c1, h, w, c0 = stored.shape
    whole = stored.transpose(0, 1, 4, 2, 3).reshape(n, c1 * c0, h, w)
    if len(shape) == 1 and n == h == w == 1 and c1 == -(-shape[0] // c0):
        return whole[0, : shape[0], 0, 0]
    if sorted(origin) == sorted("NCHW") and len(shape) == 4:
        sizes = tuple(shape[origin.index(axis)] for axis in "NCHW")
        if (n, h, w) == (sizes[0], sizes[2], sizes[3]) and c1 == -(-sizes[1] // c0):
            return whole[:, : sizes[1]].transpose(["NCHW".index(axis) for axis in origin])
    return None
