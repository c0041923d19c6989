"""Other ways in which a camera's picture may be handed over: what a candidate may have been shown.

Sources: reports of deployments that failed by it: OpenCV's blue first, LIBERO's cameras that hang upside down, pictures
that are turned or mirrored for the eye, 0 to 255 or -1 to 1 for 0 to 1, cameras that are taken for each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np

from parity.tensor import Array

SEEN: Mapping[str, str] = {
    "blue_first": "with blue first",
    "upside_down": "turned by 180°",
    "mirrored": "mirrored, left for right",
    "flipped": "flipped, top for bottom",
    "turned_left": "turned by 90° to the left",
    "turned_right": "turned by 90° to the right",
    "bytes": "with values 0 to 255 instead of 0 to 1",
    "signed": "with values -1 to 1 instead of 0 to 1",
    "unit": "with values 0 to 1 instead of 0 to 255",
    "swapped": "taken for each other",
}
AND = " and "  # between the names of several cameras


def ways(cameras: Mapping[str, Array]) -> Iterator[tuple[str, str, dict[str, Array]]]:
    """Yield the cameras' names, a key of `SEEN`, and their pictures as they then are: one camera, all, two swapped.

    Args:
        cameras: pictures by name, channels first, ``(M, ..., C, H, W)``.
    """
    alone = {name: _ways(values) for name, values in cameras.items()}
    for name, seen in alone.items():
        for way, values in seen.items():
            yield name, way, {name: values}
    if len(cameras) > 1:
        for way in SEEN:
            if all(way in seen for seen in alone.values()):
                yield AND.join(cameras), way, {name: seen[way] for name, seen in alone.items()}
    for a, b in combinations(cameras, 2):
        if cameras[a].shape == cameras[b].shape and cameras[a].dtype == cameras[b].dtype:
            yield f"{a}{AND}{b}", "swapped", {a: cameras[b], b: cameras[a]}


def _ways(values: Array) -> dict[str, Array]:
    """Return the pictures in every other way that they can be in, and differ."""
    found = {
        "upside_down": values[..., ::-1, ::-1],
        "mirrored": values[..., ::-1],
        "flipped": values[..., ::-1, :],
    }
    if values.shape[-3] == 3:
        found["blue_first"] = values[..., ::-1, :, :]
    if values.shape[-1] == values.shape[-2]:
        found["turned_left"] = np.rot90(values, 1, axes=(-2, -1))
        found["turned_right"] = np.rot90(values, -1, axes=(-2, -1))
    if values.dtype.kind == "f":
        found |= _scaled(values)
    return {w: np.ascontiguousarray(v) for w, v in found.items() if not np.array_equal(v, values)}


def _scaled(values: Array) -> dict[str, Array]:
    top = float(values.max(initial=0.0))
    one, two, many = (np.asarray(n, values.dtype) for n in (1, 2, 255))
    return {"bytes": values * many, "signed": values * two - one} if top <= 1.0 else {"unit": values / many}
