"""Samples of a candidate that samples: right ones pass, planted faults are found and named, too few are not judged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from parity.replay.measure import measures, merged
from parity.replay.measures.samples import KEPT, MEASURE, OBSERVATIONS, SAMPLES, STEPS, needed, too_few
from parity.replay.model import Judged, State
from parity.replay.permutation import ALPHA, OF_DISTRIBUTION, OF_SAMPLES, adjusted, flips, holm, labels
from parity.replay.two_sample import repeated
from parity.tensor import Array
from sampling import Kind, context, failed, judged, samples, seen

SHAPE = (64, 32, 4, 3)


def of(kind: Kind, shape: tuple[int, int, int, int] = SHAPE, seed: int = 2) -> tuple[Array, Array]:
    return samples(np.random.Generator(np.random.PCG64([seed, 5])), shape, kind)


def failing(result: Judged) -> set[tuple[str, int | None]]:
    return {(r.name, r.dimension) for r in result.rows if r.verdict == "FAIL"}


def codes(result: Judged) -> set[str]:
    return {f.code for f in result.findings}


@pytest.mark.parametrize("kind", ["right", "modes", "float16"])
def test_samples_of_the_same_policy_pass(kind: Kind) -> None:
    result = judged(*of(kind))
    assert {r.verdict for r in result.rows} == {"PASS"}
    assert len(result.rows) == 3 * 3 + 2
    assert not result.findings


def test_right_candidates_fail_no_more_often_than_is_said() -> None:
    fails = sum(failed((32, 32, 1, 3), "right", seed) for seed in range(100))
    assert fails <= 3  # at most 0.6 are expected


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["right", "modes"])
def test_two_hundred_right_candidates(kind: Kind) -> None:
    assert sum(failed((64, 32, 2, 3), kind, seed) for seed in range(200)) <= 6


def test_a_tenth_more_variance_is_found() -> None:
    shape = (OBSERVATIONS, SAMPLES, 1, 2)
    assert sum(failed(shape, "variance", seed) for seed in range(10)) >= 9
    result = judged(*of("variance", shape))
    assert ("sample variance ratio", 0) in failing(result)
    assert ("sample variance ratio", 1) not in failing(result)
    assert codes(result) == {"REPLAY064"}
    (row,) = (r for r in result.rows if r.name == "sample variance ratio" and r.dimension == 0)
    assert row.interval is not None
    assert row.interval[0] < 1.1 < row.interval[1]


@pytest.mark.soak
def test_a_tenth_more_variance_in_one_of_fourteen() -> None:
    assert sum(failed((OBSERVATIONS, SAMPLES, 1, 14), "variance", seed) for seed in range(200)) >= 190


def test_a_shift_of_a_tenth_of_the_spread_is_found_in_units() -> None:
    reference, candidate = of("right", (OBSERVATIONS, SAMPLES, 4, 2))
    spread = float(np.sqrt(reference.var(axis=1)[..., 1].mean()))
    candidate[..., 1] += 0.1 * spread
    result = judged(reference, candidate)
    assert ("sample mean", 1) in failing(result)
    assert ("sample mean", 0) not in failing(result)
    (finding,) = result.findings
    assert finding.code == "REPLAY065"
    assert finding.where == "action[1]"
    (row,) = (r for r in result.rows if (r.name, r.dimension) == ("sample mean", 1))
    assert row.value == pytest.approx(0.1 * spread, rel=0.3)
    assert row.units == "rad"
    assert row.limit == pytest.approx(0.05 * spread, rel=0.1)
    assert "episode" in row.reason


def test_a_shift_of_one_step_names_it() -> None:
    reference, candidate = of("right", (64, 32, 20, 2))
    candidate[:, :, 19, 1] += 0.5
    result = judged(reference, candidate)
    assert ("sample mean", 1) in failing(result)
    assert "at step 19 of the chunk" in next(
        r.reason for r in result.rows if (r.name, r.dimension) == ("sample mean", 1)
    )


def test_what_the_user_allows_is_no_shift() -> None:
    reference, candidate = of("right")
    candidate[..., 1] += 0.15
    assert ("sample mean", 1) in failing(judged(reference, candidate))
    allowed = judged(reference, candidate, limits=np.array([0.3, 0.3, 0.3]))
    assert ("sample mean", 1) not in failing(allowed)


def test_a_shift_that_is_of_no_concern_passes_however_many_samples_show_it() -> None:
    reference, candidate = of("right")
    candidate = reference.copy()  # the same noise: nothing but the shift
    candidate[..., 0] += 0.01 * 0.3
    assert not failing(judged(reference, candidate))


@pytest.mark.parametrize(("kind", "words"), [("mean", "it gives their mean"), ("still", "noise is always the same")])
def test_a_candidate_that_does_not_sample(kind: Kind, words: str) -> None:
    result = judged(*of(kind))
    assert ("sample variance ratio", None) in failing(result)
    (finding,) = result.findings
    assert finding.code == "REPLAY061"
    assert finding.severity == "error"
    assert words in finding.title


def test_a_mode_that_is_missing_is_named() -> None:
    result = judged(*of("one mode"))
    assert ("sample energy", None) in failing(result)
    assert any(f.code == "REPLAY062" and "A mode is missing" in f.title for f in result.findings)
    reference, candidate = of("one mode")
    other = judged(candidate, reference)
    assert any(f.code == "REPLAY062" and "another mode" in f.title for f in other.findings)


def test_another_shape_with_the_same_mean_and_spread_is_found() -> None:
    random = np.random.Generator(np.random.PCG64(3))
    reference = random.standard_normal((128, 64, 1, 2))
    candidate = np.sqrt(12) * (random.random((128, 64, 1, 2)) - 0.5)  # uniform: the same mean and variance
    result = judged(reference, candidate)
    assert {name for name, _ in failing(result)} == {"sample energy"}
    assert codes(result) == {"REPLAY066"}


def test_noise_of_steps_that_no_longer_hangs_together_is_found() -> None:
    random = np.random.Generator(np.random.PCG64(4))
    reference = np.repeat(random.standard_normal((64, 32, 1, 2)), 8, axis=2)
    assert ("sample energy", None) in failing(judged(reference, random.standard_normal((64, 32, 8, 2))))


def test_noise_that_serves_all_observations_counts_as_one() -> None:
    result = judged(*of("same noise"))
    assert codes(result) == {"REPLAY063"}
    (row,) = result.rows
    assert row.verdict == "NOT_JUDGED"
    assert "the same noise served all observations" in row.reason
    assert repeated(of("right")[0]) == 0
    assert repeated(of("same noise")[1]) > 0.99


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("side", [0, 1, 2])
def test_nan_never_passes(value: float, side: int) -> None:
    pair = of("right")
    for one in pair if side == 2 else (pair[side],):
        one[25, 3, 1, 2] = value
    result = judged(*pair)
    assert failing(result) == {("sample holes", None)}
    assert codes(result) == {"REPLAY060"}
    (row,) = (r for r in result.rows if r.verdict == "FAIL")
    assert "action[2]" in row.reason
    assert "episode 1, frame 5" in row.reason


def test_all_nan_fails() -> None:
    reference, candidate = of("right")
    result = judged(reference, np.full_like(candidate, np.nan))
    assert {r.verdict for r in result.rows} == {"FAIL", "NOT_JUDGED"}


@pytest.mark.parametrize("shape", [(64, 1, 4, 3), (64, 4, 4, 3), (4, 64, 4, 3), (1, 32, 4, 3), (16, 16, 4, 3)])
def test_too_few_samples_are_not_judged(shape: tuple[int, int, int, int]) -> None:
    result = judged(*of("right", shape))
    (row,) = result.rows
    assert row.verdict == "NOT_JUDGED"
    assert f"{shape[0]} observations × {shape[1]} samples" in row.reason


def test_the_number_of_samples_that_is_asked_for_is_enough() -> None:
    for observations in (8, 20, 100):
        reason = too_few((observations, 2), 3)
        least = int(reason.split(f"at least {observations} × ")[1].split()[0])
        assert not too_few((observations, least), 3)
    assert needed(1.1, 14) <= OBSERVATIONS * (SAMPLES - 1)
    assert OBSERVATIONS <= KEPT


def test_no_samples_are_not_judged() -> None:
    none = MEASURE.observe(replace(seen(*of("right")), drawn=None))
    assert [r.verdict for r in MEASURE.judge(none, context(3)).rows] == ["NOT_JUDGED"]


def test_where_single_actions_are_compared_it_has_nothing_to_say() -> None:
    assert not judged(*of("mean"), sampled=False).rows
    assert MEASURE.gates == "sampled"


def test_dimensions_that_do_not_move_are_shown_and_do_not_count() -> None:
    reference, candidate = of("right")
    reference[..., 2] = candidate[..., 2] = 0.7
    result = judged(reference, candidate, scale=np.array([5.0, 5.0, 0.0]))
    assert {r.dimension for r in result.rows} == {0, 1, None}
    assert {r.verdict for r in result.rows} == {"PASS"}
    assert result.shown["samples"]["not_covered"] == ["action[2]"]
    candidate[..., 2] = 0.8
    assert ("sample mean", 2) in failing(judged(reference, candidate, scale=np.array([5.0, 5.0, 0.0])))
    nothing = judged(reference, candidate, scale=np.zeros(3))
    assert "NOT_JUDGED" in {r.verdict for r in nothing.rows}


def test_rounding_of_a_lower_class_is_no_spread() -> None:
    reference, candidate = of("right")
    reference[..., 1] = candidate[..., 1] = np.linspace(-1, 1, len(reference))[:, None, None]  # it does not sample here
    random = np.random.Generator(np.random.PCG64(8))
    candidate[..., 1] += 1e-3 * random.standard_normal(candidate.shape[:-1])
    assert ("sample variance ratio", 1) in failing(judged(reference, candidate))
    assert not failing(judged(reference, candidate, limits=np.full(3, 1.6e-2)))


def test_int8_may_be_off_by_its_share() -> None:
    reference, candidate = of("right")
    candidate += 0.05 * np.sqrt((reference**2).mean(axis=(0, 1, 2)))
    given = {"limits": np.full(3, np.inf), "scale": np.full(3, 20.0)}
    assert failing(judged(reference, candidate, **given))
    assert not failing(judged(reference, candidate, **given, precision="int8"))


def equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def test_any_shards_in_any_order_keep_the_same() -> None:
    reference, candidate = of("right", (600, 8, 20, 3))
    candidate[480, 0, 17, 1] = np.nan
    whole = MEASURE.observe(seen(reference, candidate))
    assert whole["reference"].shape == (KEPT, 8, STEPS, 3)
    rows = np.arange(600)
    parts = np.array_split(rows, [0, 10, 200, 450])
    states = [MEASURE.observe(seen(reference[p], candidate[p], p)) for p in parts if len(p)]
    states.insert(1, MEASURE.observe(replace(seen(reference[:2], candidate[:2]), drawn=None)))
    assert equal(merged(MEASURE, states), whole)
    assert equal(merged(MEASURE, states[::-1]), whole)
    assert whole["first_hole"].tolist() == [480, 24, 0]


def test_the_same_seed_gives_the_same_result() -> None:
    pair = of("variances")
    assert judged(*pair, seed=3) == judged(*pair, seed=3)
    assert judged(*pair, seed=3) != judged(*pair, seed=4)


def test_it_is_registered_and_its_shares_add_up() -> None:
    assert MEASURE in measures()
    assert pytest.approx(ALPHA) == OF_SAMPLES + OF_DISTRIBUTION


def test_permutations_are_exact() -> None:
    random = np.random.Generator(np.random.PCG64(1))
    assert not labels(random, 5, 50).sum(axis=1).any()
    assert set(np.unique(flips(random, 5, 50))) == {-1.0, 1.0}
    small = []
    for _ in range(400):
        values = random.standard_exponential((16, 3))
        sides = labels(random, 8, 99)
        own = np.repeat([-1.0, 1.0], 8)
        small.append(float(adjusted(np.abs(own @ values), np.abs(sides @ values)).min()))
    assert 0.01 < np.mean(np.array(small) <= 0.05) < 0.09  # of three statistics, the smallest, corrected


def test_holm_corrects_for_several_families() -> None:
    one, two, three = holm([np.array([0.004, 0.5]), np.array([0.001]), np.array([0.2])])
    assert one.tolist() == pytest.approx([0.008, 1.0])
    assert two.tolist() == pytest.approx([0.003])
    assert three.tolist() == pytest.approx([0.2])
