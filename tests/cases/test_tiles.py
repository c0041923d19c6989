"""A few numbers make a whole image, and are found in it again."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from parity.cases.layout import Layout
from parity.cases.tiles import pick_tiles, spread_tiles, tile_grid
from parity.tensor import TensorSpec


def image(*row: int) -> Layout:
    return Layout(TensorSpec("cam", (1, *row), "float32", "image"), "image", "float32", (1, *row), 0)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9), st.booleans())
def test_tiles_are_found_again(height: int, width: int, tiles: int, channels_last: bool) -> None:
    layout = image(height, width, 3) if channels_last else image(3, height, width)
    grid = tile_grid(layout, tiles)
    values = np.arange(int(np.prod(grid))).reshape(grid)
    spread = spread_tiles(values, layout)
    assert spread.shape == layout.row_shape
    assert set(np.unique(spread)) == set(np.unique(values))
    assert np.array_equal(pick_tiles(spread, layout, tiles), values)


def test_what_is_no_image_stays() -> None:
    layout = Layout(TensorSpec("obs", (1, 50), "float32", "state"), "state", "float32", (1, 50), 0)
    values = np.arange(50)
    assert tile_grid(layout, 4) == (50,)
    assert spread_tiles(values, layout) is values
    assert pick_tiles(values, layout, 4) is values
