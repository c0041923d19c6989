"""Error on the same frames: every planted one is found, in units, with the frame; right candidates pass."""

from __future__ import annotations

import json
from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parity.replay import bins
from parity.replay.limits import limits
from parity.replay.measure import merged
from parity.replay.measures.paired import MEASURE
from parity.replay.model import Judged, Played, Row
from replayed import context, played

EPISODES, FRAMES, STEPS, WIDTH = 6, 40, 4, 3
NAMES, UNITS = ("0", "1 (elbow)", "2 (wrist)"), ("m", "rad", "rad")
Array = np.ndarray[Any, Any]


def actions(seed: int = 0, episodes: int = EPISODES) -> list[Array]:
    """Chunks of smooth actions, each dimension with its own range and place."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 3, FRAMES)[:, None, None] + np.arange(STEPS)[:, None] / 10
    gain, offset = np.array([0.1, 1.0, 2.0]), np.array([0.5, 0.0, -1.0])
    return [gain * np.sin(time * rng.uniform(1, 3, WIDTH) + rng.uniform(0, 6, WIDTH)) + offset for _ in range(episodes)]


def rounded(chunks: list[Array], seed: int = 1, size: float = 1e-7) -> list[Array]:
    """The same but for rounding."""
    rng = np.random.default_rng(seed)
    return [c + size * rng.normal(size=c.shape) for c in chunks]


def judged(reference: list[Array], candidate: list[Array], **given: Any) -> Judged:
    shard = played(reference, candidate)
    given = {"names": NAMES, "units": UNITS, **given}
    return MEASURE.judge(MEASURE.observe(shard), context(shard, **given))


def rows_of(found: Judged, name: str) -> dict[int | None, Row]:
    return {r.dimension: r for r in found.rows if r.name == name}


def failed(found: Judged) -> set[tuple[str, int | None]]:
    return {(r.name, r.dimension) for r in found.rows if r.verdict != "PASS"}


def test_a_right_candidate_passes_in_every_row() -> None:
    reference = actions()
    found = judged(reference, rounded(reference))
    assert not failed(found)
    assert {(r.name, r.dimension) for r in found.rows} == {
        ("nan", None),
        ("inf", None),
        *((name, d) for name in ("max_abs", "bias") for d in range(WIDTH)),
    }
    assert all(r.n == EPISODES * FRAMES * STEPS for r in found.rows if r.dimension is not None)
    json.dumps(found.shown, allow_nan=False)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, EPISODES - 1), st.integers(0, FRAMES - 1), st.integers(0, STEPS - 1), st.integers(0, WIDTH - 1))
def test_a_single_wrong_action_is_found_where_it_is(episode: int, frame: int, step: int, dimension: int) -> None:
    reference = actions()
    candidate = rounded(reference)
    candidate[episode][frame, step, dimension] = reference[episode][frame, step, dimension] + 0.31
    found = judged(reference, candidate)
    row = rows_of(found, "max_abs")[dimension]
    assert row.verdict == "FAIL"
    assert row.value == pytest.approx(0.31)
    assert f"episode {episode}, frame {frame}, step {step}" in row.reason
    assert f"0.31 {UNITS[dimension]}" in row.reason
    assert f"action[{dimension}]" in row.reason
    worst = found.shown["worst"][0]
    assert (worst["episode"], worst["frame"], worst["step"]) == (episode, frame, step)
    assert (worst["dimension"], worst["row"]) == (dimension, episode * FRAMES + frame)
    assert worst["candidate"] - worst["reference"] == pytest.approx(0.31)
    assert {d for name, d in failed(found) if name == "max_abs"} == {dimension}


def test_the_figures_are_numpys() -> None:
    reference = actions()
    candidate = rounded(reference, size=1e-3)
    shown = judged(reference, candidate).shown
    gap = np.concatenate(candidate) - np.concatenate(reference)
    for d, figures in enumerate(shown["error"]):
        mine = gap[:, :, d].ravel()
        assert figures["max_abs"] == pytest.approx(np.abs(mine).max(), rel=1e-12)
        assert figures["mean_abs"] == pytest.approx(np.abs(mine).mean(), rel=1e-12)
        assert figures["rmse"] == pytest.approx(np.sqrt((mine**2).mean()), rel=1e-12)
        assert figures["bias"] == pytest.approx(mine.mean(), rel=1e-9)
        assert figures["bias_interval"][0] < mine.mean() < figures["bias_interval"][1]
        for name, share in (("p50_abs", 0.5), ("p99_abs", 0.99)):
            exact = np.quantile(np.abs(mine), share, method="inverted_cdf")
            assert exact <= figures[name] * (1 + 1e-6) <= exact * (1 + 1 / 31), name
    np.testing.assert_allclose(shown["by_step"]["rms"], np.sqrt((gap**2).mean(axis=0)), rtol=1e-12)
    tenth = np.tile(np.arange(FRAMES) * 10 // FRAMES, EPISODES)
    expected = [np.sqrt((gap[tenth == p] ** 2).mean(axis=(0, 1))) for p in range(10)]
    np.testing.assert_allclose(shown["by_phase"]["rms"], expected, rtol=1e-12)


def test_an_error_that_grows_is_seen_by_step_and_by_phase() -> None:
    reference = actions()
    grown = np.arange(STEPS)[:, None] * 1e-3 + np.linspace(0, 1e-2, FRAMES)[:, None, None]
    shown = judged(reference, [r + grown for r in reference]).shown
    for table in ("by_step", "by_phase"):
        assert (np.diff(np.asarray(shown[table]["rms"]), axis=0) > 0).all(), table


@pytest.mark.parametrize("sign", [1, -1])
def test_a_bias_within_the_limit_of_single_actions_fails_by_itself(sign: int) -> None:
    reference = actions()
    shard = played(reference, reference)
    allowed = context(shard).limits
    candidate = [r + sign * np.array([0, 0.5 * allowed[1], 0]) for r in reference]
    found = judged(reference, candidate)
    assert failed(found) == {("bias", 1)}
    row = rows_of(found, "bias")[1]
    assert row.value == pytest.approx(sign * 0.5 * allowed[1])
    assert row.interval is not None
    assert row.interval[0] <= row.value <= row.interval[1]
    assert ("higher" if sign > 0 else "lower") in row.reason
    assert "action[1] (elbow)" in row.reason
    assert "rad" in row.reason


def test_a_bias_that_the_user_allows_passes() -> None:
    reference = actions()
    candidate = [r + 0.01 for r in reference]
    given = {"limits": np.full(WIDTH, 0.02)}
    assert {name for name, _ in failed(judged(reference, candidate, **given))} == {"bias"}
    assert not failed(judged(reference, candidate, budget={"max_abs": 0.02}, **given))


@pytest.mark.parametrize(
    ("planted", "on", "row", "mismatches"),
    [
        (np.nan, "candidate", "nan", 1),
        (np.nan, "reference", "nan", 1),
        (np.nan, "both", "nan", 1),
        (np.inf, "candidate", "inf", 1),
        (-np.inf, "both", "inf", 1),
    ],
)
def test_what_is_not_finite_fails(planted: float, on: str, row: str, mismatches: int) -> None:
    reference, candidate = actions(), actions()
    for side, name in ((reference, "reference"), (candidate, "candidate")):
        if on in (name, "both"):
            side[2][7, 1, 1] = planted
    found = judged(reference, candidate, limits=np.full(WIDTH, 1e-3), scale=np.ones(WIDTH))
    assert failed(found) == {(row, None)}
    told = rows_of(found, row)[None]
    assert told.value == mismatches
    assert "episode 2, frame 7, step 1" in told.reason
    assert "action[1] (elbow)" in told.reason
    assert ("on the reference itself" in told.reason) == (row == "nan" and on != "candidate")


def test_infinities_of_both_sides_may_be_allowed_and_of_two_signs_may_not() -> None:
    reference, candidate = actions(), actions()
    reference[0][0, 0, 0], candidate[0][0, 0, 0] = np.inf, np.inf
    given: dict[str, Any] = {"limits": np.full(WIDTH, 1e-3), "scale": np.ones(WIDTH), "budget": {"allow_nan": True}}
    assert not failed(judged(reference, candidate, **given))
    candidate[0][0, 0, 0] = -np.inf
    assert failed(judged(reference, candidate, **given)) == {("inf", None)}


def test_a_dimension_that_is_never_finite_is_not_passed() -> None:
    reference, candidate = actions(), actions()
    for side in candidate:
        side[:, :, 2] = np.nan
    found = judged(reference, candidate)
    assert failed(found) == {("nan", None), ("max_abs", 2)}
    assert rows_of(found, "max_abs")[2].verdict == "NOT_JUDGED"


def test_no_frame_is_not_judged() -> None:
    state = MEASURE.observe(_part(played(actions(), actions()), slice(0, 0)))
    shard = played(actions(), actions())
    found = MEASURE.judge(state, context(shard))
    assert [r.verdict for r in found.rows] == ["NOT_JUDGED"]


def test_a_parked_dimension_neither_passes_nor_blocks_unless_it_is_left() -> None:
    reference = actions()
    for side in reference:
        side[:, :, 0] = 0.25
    found = judged(reference, reference)
    assert ("max_abs", 0) not in {(r.name, r.dimension) for r in found.rows}
    assert not failed(found)
    assert found.shown["error"][0]["covered"] is False
    moved = [r + np.array([0.01, 0, 0]) for r in reference]
    assert failed(judged(reference, moved)) == {("max_abs", 0)}


def test_where_no_dimension_moves_nothing_is_shown() -> None:
    still = [np.full((FRAMES, STEPS, WIDTH), 0.5) for _ in range(EPISODES)]
    found = judged(still, still)
    assert {r.verdict for r in found.rows if r.name == "max_abs"} == {"NOT_JUDGED"}


@pytest.mark.parametrize("name", ["rmse", "mean_abs", "p99_abs"])
def test_the_users_own_figures_are_judged(name: str) -> None:
    reference = actions()
    candidate = [r + np.array([0, 0, 0.1]) for r in reference]
    exact = {"rmse": 0.1 / np.sqrt(3), "mean_abs": 0.1 / 3, "p99_abs": 0.1}[name]
    for factor, verdict in ((1.04, "PASS"), (0.99, "FAIL")):
        given = {"limits": np.full(WIDTH, np.inf), "budget": {name: exact * factor}}
        row = rows_of(judged(reference, candidate, **given), name)[None]
        assert row.verdict == verdict
        assert row.value == pytest.approx(exact, rel=1 / 31)
        assert ("action[2] (wrist)" in row.reason) == (verdict == "FAIL")
    each = {"limits": np.full(WIDTH, np.inf), "budget": {name: [0.05, 0.05, 0.05]}}
    assert failed(judged(reference, candidate, **each)) == {(name, 2)}


def test_without_any_limit_nothing_passes() -> None:
    reference = actions()
    found = judged(reference, reference, limits=np.full(WIDTH, np.inf))
    assert failed(found) == {("max_abs", None)}


def test_int8_is_judged_by_its_rms() -> None:
    reference = [r - np.array([0.5, 0, -1]) for r in actions()]
    rng = np.random.default_rng(5)
    infinite = {"limits": np.full(WIDTH, np.inf), "precision": "int8"}
    right = [r * (1 + 0.05 * rng.normal(size=r.shape)) for r in reference]
    assert not failed(judged(reference, right, **infinite))
    coarse = [r * (1 + 0.2 * rng.normal(size=r.shape)) for r in reference]
    assert failed(judged(reference, coarse, **infinite)) == {("rms_ratio", None)}
    flipped = [r * np.array([-1, 1, 1]) for r in reference]
    assert ("rms_ratio", 0) in failed(judged(reference, flipped, **infinite))


def test_sampled_actions_are_shown_and_not_judged() -> None:
    reference = actions()
    found = judged(reference, rounded(reference, size=0.5), sampled=True)
    assert found.rows == ()
    assert found.shown["error"][0]["rmse"] == pytest.approx(0.5, rel=0.1)


def test_shards_in_any_order_are_the_whole() -> None:
    reference = actions(episodes=12)
    candidate = rounded(reference, size=0.01)
    for episode in range(12):  # equal errors: the first row is kept, whatever the order
        candidate[episode][5, 0, 1] = reference[episode][5, 0, 1] + 1.0
        candidate[episode][9, 2, 1] = reference[episode][9, 2, 1] + 1.0
        reference[episode][5, 0, 1], reference[episode][9, 2, 1] = 0.0, 0.0
        candidate[episode][5, 0, 1], candidate[episode][9, 2, 1] = 1.0, 1.0
    candidate[7][3, 1, 0] = np.nan
    whole = played(reference, candidate)
    cuts = [slice(0, 100), slice(100, 101), slice(101, 333), slice(333, 480)]
    parts = [MEASURE.observe(_part(whole, cut)) for cut in cuts]
    expected = MEASURE.observe(whole)
    for order in (parts, parts[::-1], [parts[2], parts[0], parts[3], parts[1]]):
        found = merged(MEASURE, list(order))
        for name, array in expected.items():
            assert found[name].dtype == array.dtype, name
            if array.dtype == np.float64 and not name.startswith("worst"):
                np.testing.assert_allclose(found[name], array, rtol=1e-11, atol=1e-13, err_msg=name)
            else:
                np.testing.assert_array_equal(found[name], array, err_msg=name)
    left = reduce(MEASURE.merge, parts[:3])
    for name, array in MEASURE.merge(left, parts[3]).items():
        np.testing.assert_array_equal(array, merged(MEASURE, parts)[name])


def _part(whole: Played, cut: slice) -> Played:
    at = type(whole.at)(*(getattr(whole.at, n)[cut] for n in ("row", "episode", "frame", "length")))
    return Played(at, whole.reference[cut], whole.candidate[cut], None, {}, whole.executed)


def test_a_state_is_small_whatever_the_shard() -> None:
    def size(episodes: int) -> int:
        return sum(
            a.nbytes for a in MEASURE.observe(played(actions(episodes=episodes), actions(episodes=episodes))).values()
        )

    assert size(2) == size(30) < 1 << 17


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0, 1e300) | st.floats(1e-6, 1.0), min_size=1, max_size=200),
    st.sampled_from([0.01, 0.5, 0.99, 1.0]),
)
def test_a_percentile_of_counts_is_never_too_low_and_within_its_bin(values: list[float], share: float) -> None:
    array = np.asarray(values)
    found = bins.at_most(bins.counted(array[:, None, None].copy())[0], share, float(array.max()))
    exact = float(np.quantile(array, share, method="inverted_cdf"))
    assert found >= exact * (1 - 1e-6)
    if 2.0**-44 <= exact < 2.0**20:
        assert found <= exact * (1 + 1 / 31)


def test_a_float16_candidate_is_judged_as_one() -> None:
    reference = actions()
    peak, span = (
        f(np.abs(np.concatenate(reference)) if f is np.max else np.concatenate(reference), axis=(0, 1))
        for f in (np.max, np.ptp)
    )
    half = [r.astype(np.float16).astype(np.float64) for r in reference]
    as_half = {"limits": limits("float16", peak, span, None, None), "precision": "float16"}
    assert not failed(judged(reference, half, **as_half))
    as_single = {"limits": limits("float32", peak, span, None, None)}
    assert {("max_abs", d) for d in range(WIDTH)} <= failed(judged(reference, half, **as_single))
