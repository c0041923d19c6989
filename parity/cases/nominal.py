"""Draws rows of one input from its spread: what the `nominal` profile is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from parity.cases import hashing
from parity.cases.dtypes import cast, numpy_dtype
from parity.cases.layout import Layout
from parity.cases.spread import Spread
from parity.cases.tiles import spread_tiles, tile_grid

if TYPE_CHECKING:
    from parity.tensor import Array

Floats = npt.NDArray[np.float64]

TILES = 8  # an image of tiles has 8 x 8 of them
_CHUNK = 1 << 20  # elements hashed at once: bounded memory, and blocks that stay near the cache


def draw(layout: Layout, spread: Spread, *, seed: int, profile: str, rows: Sequence[tuple[int, int]]) -> Array:
    """Return one row for each (case index, row index), ``(len(rows), *row_shape)`` in the input's dtype.

    A row depends on seed, profile, its two indices and the input's name alone. Images of odd case indices are 8 x 8
    tiles of one value each, with the same distribution: independent pixels average out in a deep network, tiles do not.
    """
    shape = layout.row_shape
    out = np.empty((len(rows), *shape), dtype=numpy_dtype(layout.dtype))
    each = max(1, int(np.prod(shape, dtype=np.int64)))
    step = max(1, _CHUNK // each)
    for tiled in (False, True):
        chosen = [i for i, (case, _) in enumerate(rows) if _is_tiled(layout, case) is tiled]
        for start in range(0, len(chosen), step):
            part = chosen[start : start + step]
            keys = [hashing.key(seed, profile, *rows[i], layout.name) for i in part]
            first = [rows[i] == (0, 0) for i in part]
            out[part] = cast(_values(layout, spread, keys, tiled, first), layout.dtype)
    return out


def _is_tiled(layout: Layout, case: int) -> bool:
    return layout.pixel_axes is not None and case % 2 == 1


def _values(layout: Layout, spread: Spread, keys: list[int], tiled: bool, first: list[bool]) -> Floats:
    shape = layout.row_shape
    if spread.kind == "zeros":
        return np.zeros((len(keys), *shape))
    if spread.kind == "mask":
        return _prefix(keys, shape, first)
    grid = tile_grid(layout, TILES) if tiled else shape
    random = hashing.bits(keys, grid)
    random = spread_tiles(random, layout) if tiled else random
    if spread.kind == "normal":
        values = spread.centre + hashing.normal(random) * spread.std
    elif spread.kind == "integers":
        values = spread.low + np.floor(hashing.uniform(random) * (spread.high - spread.low + 1.0))
    else:
        values = spread.low + hashing.uniform(random) * (spread.high - spread.low)
    return np.clip(values, spread.low, spread.high)


def _prefix(keys: list[int], shape: tuple[int, ...], first: list[bool]) -> Floats:
    """A mask along the last axis: all valid in the very first row, else a prefix of 1 or more."""
    size = shape[-1] if shape else 1
    length = 1.0 + np.floor(hashing.uniform(hashing.bits(keys, shape[:-1])) * size)
    length = np.where(np.reshape(first, (-1, *(1,) * len(shape[:-1]))), float(size), length)
    valid = np.arange(size) < length[..., None]
    return valid.astype(np.float64).reshape(len(keys), *shape)
