"""Designs are stratified in every coordinate; moves stay in the cube."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity.search.design import corners, moves, stratified


@given(st.integers(0, 2**40), st.integers(1, 200), st.integers(1, 40), st.integers(0, 3))
def test_every_interval_of_every_coordinate_holds_one_point(seed: int, count: int, dims: int, turn: int) -> None:
    points = stratified(seed, count, dims, turn)
    expected = (np.arange(count) + 0.5) / count
    assert np.array_equal(np.sort(points, axis=0), np.repeat(expected[:, None], dims, axis=1))


@pytest.mark.parametrize("dims", [2, 6, 7, 50])
def test_coordinates_are_not_copies_of_each_other(dims: int) -> None:
    points = stratified(1, 140, dims)
    correlation = np.abs(np.corrcoef(points.T)) - np.eye(dims)
    assert correlation.max() < 0.4
    assert not np.array_equal(points, stratified(2, 140, dims))
    assert not np.array_equal(points, stratified(1, 140, dims, turn=1))


@pytest.mark.parametrize("dims", [1, 2, 3, 4])
def test_all_corners_where_they_fit(dims: int) -> None:
    made = corners(0, 16, dims)
    assert len({tuple(c) for c in made.tolist()}) == 2**dims


def test_some_corners_with_their_opposites_where_they_do_not() -> None:
    made = corners(0, 10, 45)
    assert made.shape == (10, 45)
    assert set(np.unique(made)) == {0.0, 1.0}
    assert np.array_equal(made[1::2], 1.0 - made[::2])


@given(st.integers(0, 2**40), st.integers(1, 30), st.integers(1, 40), st.floats(0.001, 0.5))
def test_moves_stay_in_the_cube_and_move(seed: int, count: int, dims: int, step: float) -> None:
    parents = stratified(seed, 4, dims)
    children = moves(seed, 1, parents, count, step)
    assert children.shape == (count, dims)
    assert children.min() >= 0.0
    assert children.max() <= 1.0
    assert (children != parents[np.arange(count) % 4]).any(axis=1).all()
