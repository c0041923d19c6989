"""Planted faults on made outputs are named; noise, ambiguity and too little evidence are not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parity.diagnose.explanation import CODES, REMEDIES, finding_of
from parity.diagnose.faults.unnormalization import Statistics, statistics_of, statistics_of_scale
from parity.diagnose.structure import fit_structure
from parity.tensor import Range

NAMES = [f"j{i}" for i in range(12)]


def outputs(seed: int = 0, n: int = 32, d: int = 12) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((d, d))  # joints of a real policy are correlated
    return (rng.standard_normal((n, d)) @ mix * rng.uniform(0.1, 3, d) + rng.standard_normal(d)).astype(np.float32)


def chunks(seed: int = 0, n: int = 8, t: int = 16, d: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.standard_normal((n, t, d)) * 0.05, axis=1).astype(np.float32) + rng.standard_normal((n, 1, d))


def rounded(x: np.ndarray, seed: int = 1) -> np.ndarray:
    """What another float32 runtime would give: the same to about 2e-7 of each dimension's scale."""
    rng = np.random.default_rng(seed)
    return (x + rng.standard_normal(x.shape) * 1e-7 * np.abs(x).max(axis=0)).astype(np.float32)


def only(found: list) -> tuple[str, tuple[int, ...]]:
    assert len(found) == 1, [f.sentence for f in found]
    assert found[0].explained >= 0.99
    return found[0].kind, found[0].where


def test_a_flipped_sign_is_named_with_the_joints_name():
    r = outputs()
    c = rounded(r)
    c[:, 3] *= -1
    found = fit_structure(r, c, elements=NAMES)
    assert only(found) == ("sign", (3,))
    assert found[0].sentence == "joint 3 (j3): sign is flipped"


def test_swapped_joints_are_named():
    r = outputs()
    c = rounded(r)[:, [0, 1, 2, 9, 4, 5, 6, 7, 8, 3, 10, 11]]
    found = fit_structure(r, c)
    assert only(found) == ("swap", (3, 9))
    assert found[0].sentence == "joints 3 and 9 are swapped"


def test_a_bias_is_named_with_its_size_although_it_is_small_against_the_joints_range():
    r = outputs() * 100
    c = rounded(r)
    c[:, 4] += 0.15
    found = fit_structure(r, c)
    assert only(found) == ("offset", (4,))
    assert found[0].sentence == "0.15 is added to joint 4"


def test_a_bias_on_a_joint_far_from_zero_is_not_taken_for_a_gain():
    r = outputs()
    r[:, 4] = 5 + 0.05 * r[:, 4] / r[:, 4].std()
    c = rounded(r)
    c[:, 4] += 0.15
    assert only(fit_structure(r, c)) == ("offset", (4,))


@pytest.mark.parametrize(("gain", "word"), [(180 / math.pi, "in degrees where"), (math.pi / 180, "in radians where")])
def test_degrees_and_radians_are_told_apart_from_any_other_gain(gain: float, word: str):
    r = outputs()
    found = fit_structure(r, rounded(r) * np.float32(gain))
    assert only(found) == ("units", tuple(range(12)))
    assert word in found[0].sentence
    assert only(fit_structure(r, rounded(r) * np.float32(57.0)))[0] == "gain"


def test_a_constant_output_and_a_constant_joint():
    r = outputs()
    c = rounded(r)
    c[:] = c[5]
    found = fit_structure(r, c)
    assert only(found) == ("constant", ())
    assert found[0].sentence == "the output is constant"
    c = rounded(r)
    c[:, 2] = 0
    assert only(fit_structure(r, c)) == ("constant", (2,))


def test_gain_and_offset_together():
    r = outputs()
    c = rounded(r)
    c[:, 2] = c[:, 2] * 0.25 + 0.4
    found = fit_structure(r, c)
    assert only(found) == ("affine", (2,))
    assert found[0].parameters["gain"] == pytest.approx([0.25], rel=1e-4)


def test_faults_of_several_joints_are_each_named():
    r = outputs()
    c = rounded(r)
    c[:, 1] *= -1
    c[:, 7] += 0.3
    c[:, [3, 9]] = c[:, [9, 3]]
    found = {(e.kind, e.where) for e in fit_structure(r, c)}
    assert found == {("swap", (3, 9)), ("sign", (1,)), ("offset", (7,))}


def test_a_swap_together_with_a_flipped_sign_of_the_same_joint():
    r = outputs()
    c = rounded(r)
    c[:, [3, 9]] = c[:, [9, 3]]
    c[:, 3] *= -1
    found = {(e.kind, e.where) for e in fit_structure(r, c)}
    assert found == {("swap", (3, 9)), ("sign", (3,))}


def test_a_new_order_of_all_joints_is_one_cause():
    r = outputs()
    order = np.random.default_rng(5).permutation(12)
    found = fit_structure(r, rounded(r)[:, order])
    assert len(found) == 1
    assert found[0].kind == "permutation"
    assert found[0].parameters["order"] == order.tolist()


@pytest.mark.parametrize("k", [1, 2, 5, -1, -3])
@pytest.mark.parametrize("edge", ["roll", "hold"])
def test_a_shifted_chunk_is_named_with_its_direction(k: int, edge: str):
    r = chunks()
    index = (np.arange(16) + k) % 16 if edge == "roll" else np.clip(np.arange(16) + k, 0, 15)
    found = fit_structure(r, rounded(r)[:, index], chunked=True)
    assert only(found) == ("lag", ())
    assert found[0].parameters["steps"] == k
    assert f"(candidate's step t is the reference's step t{k:+d})" in found[0].sentence


def test_a_shift_with_a_flipped_sign_and_a_shift_with_a_swap():
    r = chunks()
    c = rounded(r)[:, np.clip(np.arange(16) + 2, 0, 15)]
    flipped = c * np.array([1, -1, 1, 1], np.float32)
    assert {(e.kind, e.where) for e in fit_structure(r, flipped, chunked=True)} == {("lag", ()), ("sign", (1,))}
    swapped = c[:, :, [3, 1, 2, 0]]
    assert {(e.kind, e.where) for e in fit_structure(r, swapped, chunked=True)} == {("lag", ()), ("swap", (0, 3))}


def test_a_single_recording_is_searched_for_a_shift_in_time():
    r = chunks(n=1, t=200)[0]
    found = fit_structure(r[:-3], rounded(r)[3:], chunked=True)
    assert only(found) == ("lag", ())
    assert found[0].parameters["steps"] == 3


def test_a_shorter_chunk_is_told_which_steps_it_holds():
    r = chunks()
    found = fit_structure(r, rounded(r)[:, 1:9], chunked=True)
    assert found[0].sentence == "the candidate holds steps 1 to 8 of the reference's 16 steps"
    assert fit_structure(r, chunks(3)[:, 1:9], chunked=True) == []


def test_missing_un_normalization_is_named_where_the_statistics_are_known():
    r = outputs() * 3 + 7
    mean, std = r.mean(axis=0), r.std(axis=0)
    known = Statistics(tuple(std.tolist()), tuple(mean.tolist()), "stats.json: action")
    found = fit_structure(r, rounded((r - mean) / std), statistics=[known])
    assert only(found) == ("unnormalization", ())
    assert "stats.json: action" in found[0].sentence
    assert only(fit_structure(r, rounded(r * std + mean), statistics=[known])) == ("unnormalization", ())
    other = Statistics(tuple((2 * std).tolist()), tuple(mean.tolist()), "other")
    assert only(fit_structure(r, rounded((r - mean) / std), statistics=[other]))[0] == "affine"


def test_a_normalizer_of_scale_and_offset_is_undone():
    found = statistics_of_scale([0.5, -4.0], [1.0, 2.0], "s")
    assert found is not None
    physical = np.array([3.0, 0.25])
    assert np.allclose((physical * [0.5, -4.0] + [1.0, 2.0]) * found.gain + found.offset, physical)
    assert statistics_of_scale([0.5, 0.0], [1.0, 2.0], "s") is None
    assert statistics_of_scale([0.5], [1.0, 2.0], "s") is None


def test_statistics_of_a_range_map_minus_one_to_one_onto_its_ends():
    found = statistics_of(Range("min_max", (0.0, -2.0), (4.0, 2.0), (2,), "s"), 2)
    assert found == Statistics((2.0, 2.0), (2.0, 0.0), "s")
    assert statistics_of(Range("mean_std", (0.0,), (1.0,), (1,), "s"), 2) is None


# What must not be named


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 40), d=st.integers(1, 12))
def test_unrelated_outputs_have_no_structural_cause(seed: int, n: int, d: int):
    assert fit_structure(outputs(seed, n, d), outputs(seed + 1, n, d)) == []


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 9), t=st.integers(1, 16), d=st.integers(1, 4))
def test_unrelated_chunks_have_no_structural_cause(seed: int, n: int, t: int, d: int):
    assert fit_structure(chunks(seed, n, t, d), chunks(seed + 1, n, t, d), chunked=True) == []


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(3, 20), d=st.integers(1, 9))
def test_unrelated_outputs_that_barely_move_have_no_structural_cause(seed: int, n: int, d: int):
    """An offset or another order closes the gap between them, but not because one came from the other."""
    rng = np.random.default_rng(seed)
    one = outputs(seed, n, d) * 0.01 + rng.standard_normal(d)
    other = outputs(seed + 1, n, d) * 0.01 + rng.standard_normal(d)
    assert fit_structure(one, other) == []


def test_noise_has_no_cause():
    r = outputs(n=64)
    rng = np.random.default_rng(3)
    assert fit_structure(r, r) == []
    assert fit_structure(r, rounded(r)) == []
    assert fit_structure(r, r.astype(np.float16).astype(np.float32)) == []
    assert fit_structure(r, r + 0.03 * r.std(axis=0) * rng.standard_normal(r.shape)) == []
    assert fit_structure(r, np.round(r / 0.05) * np.float32(0.05)) == []


def test_a_fault_is_named_through_float16_noise():
    r = outputs(n=64)
    c = r.astype(np.float16).astype(np.float32)
    c[:, 3] *= -1
    assert only(fit_structure(r, c)) == ("sign", (3,))


@pytest.mark.parametrize("n", [1, 2])
def test_fewer_than_three_cases_name_nothing(n: int):
    r = outputs(n=n)
    assert fit_structure(r, -r) == []
    assert fit_structure(np.repeat(r[:, None], 9, axis=1), -np.repeat(r[:, None], 9, axis=1), chunked=True) == []


def test_dimensions_that_do_not_move_are_no_evidence():
    r = outputs()
    r[:, 3], r[:, 9] = 0.5, -0.25
    for fault in (lambda c: c[:, 3] * -1, lambda c: c[:, 3] + 0.15, lambda c: c[:, 3] * 2):
        c = rounded(r)
        c[:, 3] = fault(c)
        assert fit_structure(r, c) == []
    assert fit_structure(r, rounded(r)[:, [0, 1, 2, 9, 4, 5, 6, 7, 8, 3, 10, 11]]) == []


def test_a_moving_joint_swapped_with_a_still_one_is_named():
    r = outputs()
    r[:, 9] = 0.5
    assert only(fit_structure(r, rounded(r)[:, [0, 1, 2, 9, 4, 5, 6, 7, 8, 3, 10, 11]])) == ("swap", (3, 9))


def test_what_a_swap_and_two_flipped_signs_explain_alike_is_left_open():
    r = outputs()
    r[:, 9] = -r[:, 3]  # two fingers of a gripper
    c = r.copy()
    c[:, [3, 9]] = c[:, [9, 3]]
    assert fit_structure(r, c) == []


def test_a_swap_of_proportional_joints_is_a_swap_and_not_two_gains():
    r = outputs()
    r[:, 9] = 2 * r[:, 3]
    assert only(fit_structure(r, rounded(r)[:, [0, 1, 2, 9, 4, 5, 6, 7, 8, 3, 10, 11]])) == ("swap", (3, 9))


def test_joints_with_equal_outputs_cannot_be_told_apart():
    r = outputs()
    r[:, 5] = r[:, 3]
    order = [0, 1, 2, 9, 4, 9, 6, 7, 8, 3, 10, 11]
    assert all(e.kind not in ("swap", "permutation") for e in fit_structure(r, rounded(r)[:, order]))


def test_one_fault_among_unexplained_differences_is_not_the_cause():
    r = outputs()
    c = rounded(r)
    c[:, 3] *= -1
    c[:, 4] = outputs(9)[:, 4]
    assert fit_structure(r, c) == []


def test_a_chunk_that_is_linear_in_time_leaves_shift_and_offset_open():
    t = np.arange(16)[None, :, None] * 0.01
    r = np.random.default_rng(0).standard_normal((8, 1, 1)) + t
    assert fit_structure(r, r + 0.02, chunked=True) == []


# Robustness


def test_cases_with_nan_are_left_out_and_said():
    r = outputs()
    c = rounded(r)
    c[:, 3] *= -1
    c[4, 0], c[7, 3], r[9, 1] = np.nan, np.inf, np.nan
    found = fit_structure(r, c)
    assert only(found) == ("sign", (3,))
    assert found[0].sentence.endswith("(3 of 32 cases hold NaN or Inf and were left out)")
    assert fit_structure(r, np.full_like(c, np.nan)) == []


@pytest.mark.parametrize("shape", [(0, 3), (5, 0), (5,), (4, 0, 3), ()])
def test_degenerate_shapes_name_nothing(shape: tuple[int, ...]):
    a = np.zeros(shape, np.float32)
    assert fit_structure(a, a + 1) == []
    assert fit_structure(a, a + 1, chunked=True) == []


def test_other_shapes_and_other_kinds_name_nothing():
    r = outputs()
    assert fit_structure(r, r[:, :5]) == []
    assert fit_structure(r.astype(str), r.astype(str)) == []
    assert fit_structure(np.zeros((4, 2000)), np.ones((4, 2000))) == []


def test_huge_and_tiny_scales():
    r = outputs()
    for scale in (1e-30, 1e30):
        c = rounded(r) * np.float32(scale)
        c[:, 3] *= -1
        assert only(fit_structure(r * np.float32(scale), c)) == ("sign", (3,))


def test_middle_axes_are_pooled():
    r = outputs(n=64).reshape(16, 4, 12)
    c = rounded(r.reshape(64, 12)).reshape(r.shape)
    c[..., 3] *= -1
    assert only(fit_structure(r, c)) == ("sign", (3,))


def test_an_explanation_becomes_a_finding():
    r = outputs()
    c = rounded(r)
    c[:, 3] *= -1
    finding = finding_of(fit_structure(r, c)[0], "action", "ort")
    assert (finding.code, finding.severity, finding.where, finding.candidate) == (
        "DIAG001",
        "error",
        "action[3]",
        "ort",
    )
    assert set(CODES) == set(REMEDIES)
