"""Small pictures of the camera frames that a case fed to the policy, as PNG; the same values give the same bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from parity.tensor import Array

PER_CASE = 6
LONGEST = 160  # pixels of the longer side
CHANNELS = (1, 3, 4)
_LARGEST = 1 << 14  # rows or columns; a longer side is no camera frame


def pictures_of(images: Mapping[str, Array]) -> dict[str, list[dict[str, Any]]]:
    """Return for each image input its first frames as pictures, at most `PER_CASE` over all inputs.

    Args:
        images: arrays ``(B, ..., C, H, W)``, ``(B, ..., H, W, C)`` or ``(B, ..., H, W)`` (depth), by name.
    """
    left, found = PER_CASE, {}
    for i, (name, values) in enumerate(images.items()):
        share = max(1, left // (len(images) - i))
        found[name] = [_picture(*frame) for frame in _frames(name, values, min(share, left))]
        left -= len(found[name])
    return found


def _frames(name: str, values: Array, most: int) -> list[tuple[Array, str]]:
    """Return the first frames as ``(H, W, C)`` arrays with their labels."""
    if values.dtype.kind not in "fiub" or values.ndim < 2 or values.size == 0:
        return []
    if values.ndim >= 3 and values.shape[-3] in CHANNELS:
        leading, frames = values.shape[:-3], np.moveaxis(values, -3, -1)
    elif values.ndim >= 3 and values.shape[-1] in CHANNELS:
        leading, frames = values.shape[:-3], values
    else:
        leading, frames = values.shape[:-2], values[..., None]
    if max(frames.shape[-3:-1]) > _LARGEST:
        return []
    places = [p for p, _ in zip(np.ndindex(*leading), range(most), strict=False)]
    return [(frames[place], f"{name}{_place(place, leading)}") for place in places]


def _place(place: Sequence[int], leading: Sequence[int]) -> str:
    """Return where a frame lies on its input's leading axes, ``(B, T, ...)``; of those of size 1 only time is told."""
    words = ["observation", "step", *("view" for _ in leading[2:])]
    told = [f", {w} {i}" for w, i, n in zip(words, place, leading, strict=False) if n > 1 or w == "step"]
    return "".join(told)


def _picture(frame: Array, label: str) -> dict[str, Any]:
    from PIL import Image

    stride = max(1, max(frame.shape[:2]) // (8 * LONGEST))
    pixels, note = _bytes(frame[::stride, ::stride, :3])
    height, width = frame.shape[:2]
    shrink = min(1.0, LONGEST / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BOX)
    target = io.BytesIO()
    image.save(target, "PNG", compress_level=9)
    return {
        "png": base64.b64encode(target.getvalue()).decode("ascii"),
        "width": size[0],
        "height": size[1],
        "label": label + note + (f", 3 of {frame.shape[-1]} channels" if frame.shape[-1] > 3 else ""),
    }


def _bytes(frame: Array) -> tuple[Array, str]:
    """Return a frame as uint8, and what was done to its values: those outside 0..1 are scaled to fit."""
    if frame.dtype == np.uint8:
        return np.ascontiguousarray(frame), ""
    values = frame.astype(np.float64)
    finite = np.isfinite(values)
    note = "" if finite.all() else ", not finite: black"
    low, high = (float(f(values[finite])) for f in (np.min, np.max)) if finite.any() else (0.0, 1.0)
    if low < 0.0 or high > 1.0:
        note = f", {low:.3g} to {high:.3g} shown as black to white{note}"
        span = high / 2 - low / 2  # halves: the whole may be beyond float64
        values = (values / 2 - low / 2) / span if span > 0 else np.zeros_like(values)
    pixels = np.rint(255.0 * np.clip(np.where(finite, values, 0.0), 0.0, 1.0))
    return np.ascontiguousarray(pixels.astype(np.uint8)), note
