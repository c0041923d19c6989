"""Points of the unit cube and the inputs they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from parity.search.space import space_of
from parity.tensor import Case, Range, TensorSpec

OBS = TensorSpec("obs", (1, 3), "float32", "state", range=Range("min_max", (0, -1, 5), (2, 1, 5), (3,), "stats.json"))
CAM = TensorSpec("cam", (1, 3, 10, 13), "float32", "image")
STEP = TensorSpec("t", (1,), "int64", "timestep", range=Range("min_max", (0,), (9,), (), "user"))


def test_every_element_with_a_width_is_a_dimension() -> None:
    assert space_of([OBS, CAM, STEP], {}, seed=0).dims == 2 + 3 * 4 * 4 + 1


def test_ends_of_the_cube_are_ends_of_the_ranges() -> None:
    space = space_of([OBS, STEP], {}, seed=0)
    low, high = space.decode(np.array([[0.0] * 3, [1.0] * 3]))
    assert low["obs"].tolist() == [[0, -1, 5]]
    assert high["obs"].tolist() == [[2, 1, 5]]
    assert low["t"].tolist() == [0]
    assert high["t"].tolist() == [9]


def test_what_is_decoded_is_encoded_again() -> None:
    space = space_of([OBS, CAM, TensorSpec("h", (2, 1, 4), "float32", "noise")], {}, seed=0)
    points = np.random.default_rng(0).random((5, space.dims))
    for point, inputs in zip(points, space.decode(points), strict=True):
        encoded = space.encode(Case("x", "worst", 0, inputs))
        assert encoded == pytest.approx(point, abs=1e-6)


def test_a_case_outside_is_held_at_the_ends_even_if_not_finite() -> None:
    space = space_of([OBS], {}, seed=0)
    wild = np.array([[np.nan, np.inf, 7]], np.float32)
    assert space.encode(Case("x", "dataset", 0, {"obs": wild})).tolist() == [0, 1]  # type: ignore[union-attr]


def test_a_case_of_another_shape_is_left_aside() -> None:
    space = space_of([OBS], {}, seed=0)
    assert space.encode(Case("x", "dataset", 0, {"obs": np.zeros((1, 4), np.float32)})) is None
    assert space.encode(Case("x", "dataset", 0, {})) is None


def test_given_ranges_go_first() -> None:
    space = space_of([OBS], {"obs": Range("min_max", (7.0,), (8.0,), (), "user")}, seed=0)
    assert space.dims == 3
    assert space.decode(np.full((1, 3), 0.5))[0]["obs"].tolist() == [[7.5] * 3]
