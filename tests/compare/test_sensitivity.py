"""Every figure of a sensitivity is where its fault begins to fail, by direct computation on the faulty outputs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parity.compare.sensitivity import SHIFTS, Limits, Pool, as_json, move, sensitivity

ABOVE, BELOW = 1 + 1e-6, 1 - 1e-6

seeds = st.integers(0, 2**32 - 1)
sizes = st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 4))


def limits_of(seed: int, size: tuple[int, int, int], masked: bool) -> Limits:
    """A candidate within its limits, with joints of very different sizes, some zero or constant."""
    rng = np.random.default_rng(seed)
    n, _, d = size
    scale = 10.0 ** rng.uniform(-3, 2, d)
    reference = rng.normal(0, 1, size) * scale * rng.choice([0.0, 1.0, 1.0, 1.0], d) + rng.choice([0.0, 0.0, 1.0], d)
    limit = 10.0 ** rng.uniform(-4, 1, (n, d)) * scale
    candidate = reference + rng.uniform(-1, 1, size) * limit[:, None, :] * rng.choice([0.0, 0.9, 0.999])
    kept = rng.random(size) < 0.7 if masked else None
    if kept is not None:  # what is left out may be as wrong as it likes
        candidate = np.where(kept, candidate, candidate + 1e3)
    return Limits(reference, candidate, limit, kept)


def pool_of(seed: int, size: tuple[int, int, int]) -> Pool:
    rng = np.random.default_rng(seed)
    reference = rng.normal(0, 1, size) * 10.0 ** rng.uniform(-2, 1, size[2]) + 1e-3
    candidate = reference * (1 + rng.uniform(-0.05, 0.05, size))
    squares = (reference**2).sum(axis=(0, 1))
    each = np.where(rng.random(size[2]) < 0.8, squares / 2, np.inf)
    return Pool(reference, candidate, 0.01 * squares.sum(), each)


def fails(rule: Limits | Pool, candidate: Any) -> bool:
    """Judge a candidate the plain way, element by element."""
    gap = candidate - rule.reference
    if isinstance(rule, Limits):
        return any(
            abs(gap[i]) > rule.limit[i[0], i[2]] for i in np.ndindex(gap.shape) if rule.kept is None or rule.kept[i]
        )
    squares = [float((gap[..., d] ** 2).sum()) for d in range(gap.shape[2])]
    return sum(squares) > rule.whole or any(s > e for s, e in zip(squares, rule.each, strict=True))


def with_dimension(rule: Limits | Pool, d: int, change: Callable[[Any], Any]) -> Any:
    candidate = rule.candidate.copy()
    candidate[..., d] = change(candidate[..., d])
    return candidate


def rules(seed: int, size: tuple[int, int, int]) -> list[Limits | Pool]:
    return [limits_of(seed, size, masked=False), limits_of(seed, size, masked=True), pool_of(seed, size)]


@given(seeds, sizes)
@settings(max_examples=60, deadline=None)
def test_an_offset_or_gain_above_the_figure_fails_with_either_sign_and_below_not_with_both(
    seed: int, size: tuple[int, int, int]
) -> None:
    for rule in rules(seed, size):
        assert not fails(rule, rule.candidate)
        caught = sensitivity(rule)
        for d in range(size[2]):
            for figure, fault in (
                (caught.offset[d], lambda x: lambda c: c + x),
                (caught.gain[d], lambda x: lambda c: c * (1 + x)),
            ):
                if not np.isfinite(figure):
                    assert not fails(rule, with_dimension(rule, d, fault(1e6)))
                    continue
                above = [fails(rule, with_dimension(rule, d, fault(s * (figure * ABOVE + 1e-12)))) for s in (1, -1)]
                below = [fails(rule, with_dimension(rule, d, fault(s * figure * BELOW))) for s in (1, -1)]
                assert all(above), (type(rule), d, figure)
                assert not all(below), (type(rule), d, figure)


@given(seeds, sizes)
@settings(max_examples=60, deadline=None)
def test_flipped_signs_and_swaps_are_caught_exactly_where_they_fail(seed: int, size: tuple[int, int, int]) -> None:
    for rule in rules(seed, size):
        caught = sensitivity(rule)
        for d in range(size[2]):
            if abs(caught.sign[d] - 1) > 1e-6:
                assert fails(rule, with_dimension(rule, d, np.negative)) == (caught.sign[d] > 1)
        if caught.swaps is None:
            assert size[2] == 1
            continue
        for d, j in combinations(range(size[2]), 2):
            swapped = rule.candidate.copy()
            swapped[..., [d, j]] = swapped[..., [j, d]]
            if abs(caught.swaps[d, j] - 1) > 1e-6:
                assert fails(rule, swapped) == (caught.swaps[d, j] > 1) == (caught.swaps[j, d] > 1)


@given(seeds, sizes)
@settings(max_examples=60, deadline=None)
def test_the_first_shift_that_fails_both_ways_is_the_one_that_is_told(seed: int, size: tuple[int, int, int]) -> None:
    for rule in rules(seed, size):
        caught = sensitivity(rule)
        if size[1] == 1:
            assert caught.shift is None
            assert caught.chunk is None
            continue
        assert caught.shift is not None
        assert caught.chunk is not None
        tried = [k for k in SHIFTS if k < size[1]]
        for d, (steps, ratio) in enumerate(caught.shift):
            moved = {
                k: all(
                    fails(rule, with_dimension(rule, d, lambda c, w=way: move(c[..., None], w)[..., 0]))
                    for way in (k, -k)
                )
                for k in tried
            }
            first = next((k for k in tried if moved[k]), None)
            assert (ratio > 1) == (first is not None)
            assert steps == (first or tried[-1])
        if caught.chunk[1] > 1:
            assert all(fails(rule, move(rule.candidate, w * caught.chunk[0])) for w in (1, -1))


def test_a_shift_repeats_the_step_at_its_end() -> None:
    values = np.arange(4.0).reshape(1, 4, 1)
    assert move(values, 1).ravel().tolist() == [1, 2, 3, 3]
    assert move(values, -2).ravel().tolist() == [0, 0, 0, 1]


def test_figures_known_by_hand() -> None:
    reference = np.array([[[1.0, 10.0, 0.0]], [[2.0, 10.0, 0.0]]])
    candidate = reference + np.array([[[0.1, 0.0, 0.0]], [[-0.1, 0.0, 0.0]]])
    caught = sensitivity(Limits(reference, candidate, np.full((2, 3), 0.5)))
    assert caught.offset == pytest.approx([0.4, 0.5, 0.5])
    assert caught.gain[:2] == pytest.approx([0.6 / 1.9, 0.05])  # +g: 1.9 has 0.6 to go; -g: 0.4, and fails sooner
    assert np.isinf(caught.gain[2])  # nothing times a gain is nothing
    assert caught.sign == pytest.approx([7.8, 40.0, 0.0])
    plain = as_json(caught, ("hip", "knee", "grip"), np.array([True, False, False]), float)
    assert plain[2]["gain"] is None
    assert plain[2]["sign"] == {"caught": False, "ratio": 0.0}
    assert plain[2]["swap"]["caught"] is True
    assert plain[2]["swap"]["with"] == 0
    assert [d["informative"] for d in plain] == [True, False, False]
