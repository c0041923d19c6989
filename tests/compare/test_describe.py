from __future__ import annotations

from typing import Any

import pytest

from parity.compare.describe import where

JOINTS = ("hip", "knee", "ankle")


@pytest.mark.parametrize(
    ("index", "shape", "more", "said"),
    [
        ((0, 3, 1), (1, 16, 3), {"elements": JOINTS}, "time step 3, action dimension 1 (knee)"),
        ((2, 3, 1), (4, 16, 3), {}, "observation 2, time step 3, action dimension 1"),
        ((0, 2), (1, 3), {"elements": JOINTS}, "action dimension 2 (ankle)"),
        ((5, 2), (64, 3), {}, "observation 5, action dimension 2"),
        ((5, 2), (64, 3), {"batched": False}, "time step 5, action dimension 2"),
        ((5, 2), (64, 3), {"batched": None}, "row 5, action dimension 2"),
        ((2,), (3,), {"elements": JOINTS}, "action dimension 2 (ankle)"),
        ((2,), (3,), {"elements": JOINTS[:2]}, "action dimension 2"),
        ((0, 1, 7, 9), (1, 3, 96, 96), {"role": "image"}, "channel 1, row 7, column 9"),
        ((3, 1, 7, 9), (4, 3, 96, 96), {"role": "image"}, "observation 3, channel 1, row 7, column 9"),
        ((1, 0, 0, 0, 5), (2, 2, 2, 2, 6), {}, "index [1, 0, 0, 0, 5]"),
        ((), (), {}, "the only element"),
        ((0,), (1,), {}, "action dimension 0"),
    ],
)
def test_places_are_said_in_the_tensors_own_terms(
    index: tuple[int, ...], shape: tuple[int, ...], more: dict[str, Any], said: str
) -> None:
    assert where(index, shape, **more) == said
