"""Distributions of executed actions: right candidates pass however their frames hang together, wrong ones do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import wasserstein_distance

from parity.replay import bottom
from parity.replay.marginal import LEAST_GROUPS, energy_by_group, further, wasserstein
from parity.replay.measure import measures, merged
from parity.replay.measures.distribution import MEASURE, SUBSAMPLE
from parity.replay.model import Judged, Played, State
from parity.tensor import Array
from replayed import context, played

AUTO = 0.97  # correlation of an action with the one before it: 60 frames are worth one


def series(random: np.random.Generator, episodes: int, frames: int, width: int) -> Array:
    """Return processes with standard deviation 1 whose frames hang together, ``(E, T, D)``."""
    noise = random.standard_normal((episodes, frames, width)) * np.sqrt(1 - AUTO**2)
    noise[:, 0] = random.standard_normal((episodes, width))
    return np.asarray(lfilter([1], [1, -AUTO], noise, axis=1))


def sides(seed: int, episodes: int = 20, frames: int = 60, width: int = 3) -> list[Array]:
    """Return reference, candidate and recorded actions: what the observation says, and noise of each, ``(E, T, D)``."""
    random = np.random.Generator(np.random.PCG64([seed, 3]))
    common = series(random, episodes, frames, width)
    return [common + 0.5 * series(random, episodes, frames, width) for _ in range(3)]


def shard(reference: Array, candidate: Array, recorded: Array | None = None, **given: Any) -> Played:
    known = None if recorded is None else list(recorded)
    return played(list(reference[:, :, None]), list(candidate[:, :, None]), known, **given)


def judged(what: Played, sampled: bool = True, **given: Any) -> Judged:
    given = {"units": ("rad",) * what.reference.shape[-1], "sampled": sampled, **given}
    return MEASURE.judge(MEASURE.observe(what), context(what, **given))


def failing(result: Judged) -> set[tuple[str, int | None]]:
    return {(r.name, r.dimension) for r in result.rows if r.verdict == "FAIL"}


def test_frames_that_hang_together_give_no_false_alarms() -> None:
    fails = warned = low = 0
    for seed in range(100):
        result = judged(shard(*sides(seed, 20, 20)), seed=seed)
        fails += bool(failing(result))
        warned += bool(result.findings)
        low += result.shown["distribution"]["dataset"]["reference"]["p"] < 0.01
    assert fails <= 3
    assert warned <= 3
    assert low <= 4


@pytest.mark.soak
@pytest.mark.parametrize("episodes", [LEAST_GROUPS, 40])
def test_false_alarms_in_many_replays(episodes: int) -> None:
    fails = sum(bool(failing(judged(shard(*sides(seed, episodes, 20)), seed=seed))) for seed in range(500))
    assert fails <= 8  # of 500, where 2 are expected


@pytest.mark.parametrize(
    ("kind", "row"), [("shift", "mean shift"), ("scale", "variance ratio"), ("scale", "wasserstein")]
)
def test_planted_faults_are_found_and_named(kind: str, row: str) -> None:
    reference, candidate, _ = sides(1, 60)
    if kind == "shift":
        candidate[..., 1] += 0.6
    else:
        candidate[..., 1] *= 1.6
    result = judged(shard(reference, candidate))
    assert (row, 1) in failing(result)
    assert not {f for f in failing(result) if f[1] in (0, 2)}
    (finding,) = result.findings
    assert (finding.code, finding.severity, finding.where) == ("REPLAY050", "error", "action[1]")
    found = next(r for r in result.rows if (r.name, r.dimension) == (row, 1))
    assert found.interval is not None
    assert "episode" in found.reason
    assert (found.units == "rad") == (row != "variance ratio")


def test_dimensions_that_no_longer_hang_together_are_found_jointly() -> None:
    random = np.random.Generator(np.random.PCG64(2))
    first = series(random, 100, 60, 1)
    reference = np.concatenate([first, first], axis=2) + 0.1 * series(random, 100, 60, 2)
    candidate = np.concatenate([first, -first], axis=2) + 0.1 * series(random, 100, 60, 2)
    assert ("energy distance", None) in failing(judged(shard(reference, candidate)))


def test_where_single_actions_are_compared_it_is_evidence_and_decides_nothing() -> None:
    reference, candidate, recorded = sides(1, 60)
    result = judged(shard(reference, candidate + 2.0, recorded), sampled=False)
    assert {r.verdict for r in result.rows} == {"PASS"}
    assert {r.limit for r in result.rows} == {None}
    assert {f.severity for f in result.findings} == {"warning"}
    shift = next(r for r in result.rows if (r.name, r.dimension) == ("mean shift", 0))
    assert shift.value == pytest.approx(2.0, abs=0.3)
    assert MEASURE.gates == "sampled"


def test_a_candidate_that_left_the_recorded_actions_is_warned_of() -> None:
    reference, candidate, recorded = sides(4, 40)
    candidate[..., 2] += 1.5
    result = judged(shard(reference, candidate, recorded), sampled=False)
    (finding,) = result.findings
    assert (finding.code, finding.severity, finding.where) == ("REPLAY051", "warning", "action[2]")
    assert not judged(shard(candidate, reference, recorded), sampled=False).findings  # the other way round: nearer
    data = result.shown["distribution"]["dataset"]
    assert data["candidate"]["wasserstein"][2] > data["reference"]["wasserstein"][2] + 1
    assert len(result.shown["distribution"]["quantiles"]["recorded"]) == 3


def test_rounding_is_no_difference() -> None:
    reference, _, recorded = sides(5, 40)
    half = reference.astype(np.float16).astype(np.float64)
    for sampled in (True, False):
        result = judged(shard(reference, half, recorded), sampled)
        assert {r.verdict for r in result.rows} == {"PASS"}
        assert not result.findings


def test_few_episodes_cannot_be_told_apart() -> None:
    what = shard(*sides(6, LEAST_GROUPS - 1))
    result = judged(what)
    assert [r.verdict for r in result.rows].count("NOT_JUDGED") == 1
    assert f"too few episodes: {LEAST_GROUPS - 1}, at least {LEAST_GROUPS}" in result.rows[0].reason
    assert {r.verdict for r in judged(what, sampled=False).rows} == {"PASS"}
    assert "NOT_JUDGED" not in {r.verdict for r in judged(shard(*sides(6, LEAST_GROUPS))).rows}


@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize("side", [0, 1, 2])
def test_nan_never_passes(sampled: bool, side: int) -> None:
    pair = sides(7)[:2]
    what = shard(*pair)
    for one in pair if side == 2 else (pair[side],):
        one[3, 7, 1] = np.nan
    result = judged(shard(*pair), sampled, scale=np.ptp(what.reference.reshape(-1, 3), axis=0), limits=np.full(3, 1e-6))
    (row,) = (r for r in result.rows if r.verdict == "FAIL")
    assert "action[1]" in row.reason
    assert "episode 3, frame 7" in row.reason


def test_nothing_sent_is_not_judged() -> None:
    what = shard(*sides(8))
    nothing = np.full_like(what.executed.reference, np.nan)
    empty = replace(what, executed=replace(what.executed, reference=nothing, candidate=nothing))
    for sampled in (True, False):
        assert [r.verdict for r in judged(empty, sampled).rows] == ["NOT_JUDGED"]


def test_frames_where_neither_acts_are_left_out() -> None:
    what = shard(*sides(9))
    sent = what.executed
    reference, candidate = sent.reference.copy(), sent.candidate.copy()
    reference[::3] = candidate[::3] = np.nan
    fewer = replace(what, executed=replace(sent, reference=reference, candidate=candidate))
    assert MEASURE.observe(fewer)["count"].sum() == len(sent.at) * 2 // 3
    assert {r.verdict for r in judged(fewer).rows} == {"PASS"}


def test_a_dimension_that_does_not_move_is_shown_and_still_compared() -> None:
    reference, candidate, recorded = sides(10, 40)
    reference[..., 2] = candidate[..., 2] = recorded[..., 2] = 0.25
    result = judged(shard(reference, candidate, recorded))
    assert {r.dimension for r in result.rows} == {0, 1, None}
    assert {r.verdict for r in result.rows} == {"PASS"}
    assert result.shown["distribution"]["not_covered"] == ["action[2]"]
    candidate[..., 2] = 0.3
    assert ("mean shift", 2) in failing(judged(shard(reference, candidate, recorded)))
    still = shard(np.ones((20, 30, 2)), np.ones((20, 30, 2)))
    assert {r.verdict for r in judged(still).rows} == {"NOT_JUDGED"}


def equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(np.allclose(one[k], other[k], 1e-12, 1e-12, True) for k in one)


def test_any_shards_in_any_order_keep_the_same() -> None:
    reference, candidate, recorded = sides(11, 40)
    candidate[30, 4, 1] = np.nan
    whole = MEASURE.observe(shard(reference, candidate, recorded))
    assert whole["reference"].shape == (SUBSAMPLE, 3)
    parts = [
        MEASURE.observe(shard(reference[p], candidate[p], recorded[p], first_episode=int(p[0])))
        for p in np.array_split(np.arange(40), [1, 15, 31])
    ]
    assert equal(merged(MEASURE, parts), whole)
    backwards = merged(MEASURE, parts[::-1])
    assert equal(backwards, whole)
    assert all(np.array_equal(backwards[k], whole[k]) for k in ("row", "reference", "recorded", "first_hole"))
    assert whole["first_hole"][1:].tolist() == [30, 4]


def test_the_same_seed_gives_the_same_result() -> None:
    what = shard(*sides(12))
    assert judged(what, seed=1) == judged(what, seed=1)
    assert judged(what, seed=1).shown != judged(what, seed=2).shown


def test_distances_are_those_of_scipy_and_of_the_definition() -> None:
    random = np.random.Generator(np.random.PCG64(13))
    one, other, recorded = (random.standard_normal((60, 2)) for _ in range(3))
    expected = [wasserstein_distance(a, b) for a, b in zip(one.T, other.T, strict=True)]
    assert wasserstein(one, other) == pytest.approx(expected)

    def energy(a: Array, b: Array) -> float:
        def mean(p: Array, q: Array) -> float:
            return float(np.linalg.norm(p[:, None] - q[None], axis=2).mean())

        return 2 * mean(a, b) - mean(a, a) - mean(b, b)

    group = np.arange(60) // 7
    terms = energy_by_group(one, other, group, 9)
    assert terms.sum() / 60**2 == pytest.approx(energy(one, other))
    signs = np.where(np.arange(9) % 2, -1.0, 1.0)
    swap = signs[group][:, None] < 0
    mixed = np.where(swap, other, one), np.where(swap, one, other)
    assert signs @ terms @ signs / 60**2 == pytest.approx(energy(*mixed))
    effect, p = further((one, other), recorded, group, 9, 1)
    assert effect == pytest.approx(energy(other, recorded) - energy(one, recorded))
    assert 0 < p <= 1


def test_a_subsample_does_not_hang_on_order_and_is_spread_evenly() -> None:
    rows = np.arange(20_000)
    kept = rows[bottom.first(rows, 1000)]
    shuffled = np.random.Generator(np.random.PCG64(1)).permutation(rows)
    assert np.array_equal(shuffled[bottom.first(shuffled, 1000)], kept)
    assert np.array_equal(np.sort(rows[bottom.first(rows[:5], 1000)]), rows[:5])
    assert abs(kept.mean() - 10_000) < 4 * 20_000 / np.sqrt(12 * 1000)


def test_it_is_registered() -> None:
    assert MEASURE in measures()
