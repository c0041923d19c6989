"""Images in tiles of one value each, so that a few numbers make a whole image."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from parity.cases.layout import Layout

T = TypeVar("T", bound=np.generic)


def tile_grid(layout: Layout, tiles: int) -> tuple[int, ...]:
    """Return the row's shape with at most ``tiles`` along each of the pixel axes; the row's own for no image."""
    grid = list(layout.row_shape)
    for axis in layout.pixel_axes or ():
        grid[axis] = min(grid[axis], tiles)
    return tuple(grid)


def spread_tiles(values: npt.NDArray[T], layout: Layout) -> npt.NDArray[T]:
    """Return ``(..., *row_shape)`` from ``(..., *grid)``: every tile's value at all of its pixels."""
    for axis in layout.pixel_axes or ():
        size, tiles = layout.row_shape[axis], values.shape[axis]
        if size != tiles:
            values = np.take(values, np.arange(size) * tiles // size, axis=axis)
    return values


def pick_tiles(values: npt.NDArray[Any], layout: Layout, tiles: int) -> npt.NDArray[Any]:
    """Return ``(..., *grid)`` from ``(..., *row_shape)``: of every tile the value at its first pixel."""
    for axis in layout.pixel_axes or ():
        size = values.shape[axis]
        count = min(size, tiles)
        if size != count:
            first = -(-np.arange(count) * size // count)  # rounded up
            values = np.take(values, first, axis=axis)
    return values
