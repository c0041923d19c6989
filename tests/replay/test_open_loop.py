"""Error against the recorded actions: exact figures, warnings for faults that both sides share, none for right ones."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from parity.finding import Finding
from parity.replay.measure import measures, merged
from parity.replay.measures.open_loop import MEASURE
from parity.replay.model import Judged, Played
from replayed import context, played

FRAMES, STEPS, WIDTH = 50, 4, 3
Array = np.ndarray[Any, Any]


def demonstrations(seed: int = 0, episodes: int = 12) -> list[Array]:
    """Recorded actions ``(T, D)`` of each episode."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 3, FRAMES)[:, None]
    gain, offset = np.array([0.1, 1.0, 200.0]), np.array([0.5, 0.0, 300.0])
    return [gain * np.sin(time * rng.uniform(1, 3, WIDTH) + rng.uniform(0, 6, WIDTH)) + offset for _ in range(episodes)]


def policy(recorded: list[Array], off: float = 0.1, seed: int = 3) -> list[Array]:
    """Chunks ``(T, H, D)`` of a policy that follows them, off by so much of their spread."""
    rng = np.random.default_rng(seed)
    spread = np.concatenate(recorded).std(axis=0)
    return [_chunks(r) + off * spread * rng.normal(size=(len(r), STEPS, WIDTH)) for r in recorded]


def _chunks(recorded: Array) -> Array:
    padded = np.concatenate([recorded, np.repeat(recorded[-1:], STEPS, axis=0)])
    return np.stack([padded[s : s + len(recorded)] for s in range(STEPS)], axis=1)


def shard(reference: list[Array], candidate: list[Array], recorded: list[Array] | None) -> Played:
    return played(reference, candidate, recorded)


def judged(whole: Played, **given: Any) -> Judged:
    return MEASURE.judge(MEASURE.observe(whole), context(whole, **given))


def codes(found: Judged) -> list[str]:
    return [f.code for f in found.findings]


def only(found: Judged) -> Finding:
    assert len(found.findings) == 1
    return found.findings[0]


def test_it_is_registered_and_gates_nothing() -> None:
    assert [m.gates for m in measures() if m.name == "open_loop"] == ["never"]
    assert [m.gates for m in measures() if m.name == "error"] == ["single"]


def test_the_figures_are_numpys() -> None:
    recorded = demonstrations()
    whole = shard(policy(recorded), policy(recorded, 0.2, seed=4), recorded)
    found = judged(whole)
    assert found.rows == ()
    assert whole.recorded is not None
    errors = {"reference": whole.reference - whole.recorded, "candidate": whole.candidate - whole.recorded}
    there = np.isfinite(whole.recorded)
    assert not there.all()  # the last chunks of an episode have actions that were never recorded
    for side, error in errors.items():
        assert found.shown["open_loop"][f"mse_{side}"] == pytest.approx(np.nanmean(error**2), rel=1e-12)
        each = [d[f"mse_{side}"] for d in found.shown["open_loop"]["dimensions"]]
        np.testing.assert_allclose(each, np.nanmean(error**2, axis=(0, 1)), rtol=1e-12)
        steps = found.shown["open_loop_by_step"][side]
        np.testing.assert_allclose(steps, np.sqrt(np.nanmean(error**2, axis=0)), rtol=1e-12)
    for d, figures in enumerate(found.shown["open_loop"]["dimensions"]):
        variance = np.nanvar(whole.recorded[:, :, d])
        assert figures["variance"] == pytest.approx(variance, rel=1e-9)
        assert figures["explained_reference"] == pytest.approx(1 - figures["mse_reference"] / variance)
        assert figures["n"] == there[:, :, d].sum()
    json.dumps(found.shown, allow_nan=False)


def test_shards_are_the_whole() -> None:
    recorded = demonstrations()
    first, second = policy(recorded), policy(recorded, 0.2, seed=4)
    second[3][5, 1, 2] = np.nan
    whole = MEASURE.observe(shard(first, second, recorded))
    parts = [
        MEASURE.observe(played(first[a:b], second[a:b], recorded[a:b], first_episode=a)) for a, b in ((0, 5), (5, 12))
    ]
    for order in (parts, parts[::-1]):
        for name, array in merged(MEASURE, list(order)).items():
            np.testing.assert_allclose(array, whole[name], rtol=1e-11, err_msg=name)
            assert array.dtype == whole[name].dtype


def test_without_recorded_actions_nothing_is_said() -> None:
    recorded = demonstrations()
    found = judged(shard(policy(recorded), policy(recorded), None))
    assert (found.rows, found.findings, dict(found.shown)) == ((), (), {})


def test_a_candidate_that_follows_worse_is_named_with_its_dimension() -> None:
    recorded = demonstrations()
    reference = policy(recorded)
    candidate = [r.copy() for r in reference]
    for side, actions in zip(candidate, recorded, strict=True):
        side[:, :, 1] += 2.0 * (side[:, :, 1] - _chunks(actions)[:, :, 1])  # further off wherever it was off
    found = only(judged(shard(reference, candidate, recorded), names=("0", "1 (elbow)", "2"), units=("m", "rad", "mm")))
    assert (found.code, found.severity) == ("REPLAY001", "warning")
    assert "action[1] (elbow)" in found.title
    assert "rad" in found.title
    assert found.evidence["dimensions"] == [1]
    assert found.evidence["mse_candidate"][0] == pytest.approx(9 * found.evidence["mse_reference"][0])


def test_errors_within_the_limits_are_no_reason_to_warn() -> None:
    recorded = demonstrations()
    reference = policy(recorded, 0.01)
    spread = np.concatenate(recorded).std(axis=0)
    for sign in (1, -1):  # as bad as a candidate within its limits can be: always away from the recorded actions
        candidate = [
            r + sign * 0.02 * spread * np.sign(r - _chunks(a)) for r, a in zip(reference, recorded, strict=True)
        ]
        whole = shard(reference, candidate, recorded)
        assert not judged(whole, limits=0.0201 * spread).findings
    assert codes(
        judged(
            shard(reference, [r + 0.5 * (r - _chunks(a)) for r, a in zip(reference, recorded, strict=True)], recorded),
            limits=1e-4 * spread,
        )
    ) == ["REPLAY001"]


@pytest.mark.parametrize("seed", range(40))
def test_another_sample_of_the_same_policy_is_no_worse(seed: int) -> None:
    recorded = demonstrations(seed, episodes=3 + seed % 10)
    whole = shard(policy(recorded, 0.5, seed=seed), policy(recorded, 0.5, seed=seed + 1000), recorded)
    assert not judged(whole, sampled=True).findings


def test_a_sampling_candidate_that_is_worse_is_warned_of() -> None:
    recorded = demonstrations()
    whole = shard(policy(recorded, 0.2), policy(recorded, 0.4, seed=9), recorded)
    found = only(judged(whole, sampled=True))
    assert found.code == "REPLAY001"
    assert found.evidence["dimensions"] == [0, 1, 2]


def test_a_fault_that_both_share_is_seen_in_the_training_log() -> None:
    recorded = demonstrations()
    good = policy(recorded, 0.1)
    logged = float(np.nanmean((shard(good, good, recorded).reference - shard(good, good, recorded).recorded) ** 2))
    options = {"train_action_mse_error": logged}
    assert not judged(shard(good, good, recorded), options=options).findings
    held_out = policy(recorded, 0.5)  # 25 times the logged error, and still most of what is to be explained
    assert not judged(shard(held_out, held_out, recorded), options=options).findings
    wrong = [2 * g - g.mean() for g in good]
    found = only(judged(shard(wrong, wrong, recorded), options=options))
    assert (found.code, found.severity) == ("REPLAY002", "warning")
    assert "Reference and candidate are" in found.title
    assert found.evidence["mse"]["the candidate"] > 10 * logged
    alone = only(judged(shard(good, wrong, recorded), options=options, limits=np.full(WIDTH, 1e9)))
    assert "The candidate is" in alone.title


def test_actions_that_are_not_those_recorded_are_warned_of() -> None:
    recorded = demonstrations()
    good = policy(recorded)
    relative = [np.diff(g, axis=0, prepend=g[:1]) for g in good]
    found = only(judged(shard(relative, relative, recorded), units=("m", "rad", "mm")))
    assert (found.code, found.severity) == ("REPLAY003", "warning")
    assert "RMS error" in found.title
    assert "action[" in found.title


def test_a_parked_joint_whose_sensor_trembles_is_no_fault() -> None:
    recorded = demonstrations()
    rng = np.random.default_rng(2)
    for actions in recorded:
        actions[:, 0] = 0.5 + 1e-6 * rng.normal(size=FRAMES)
    good = policy(recorded)
    for chunks in good:
        chunks[:, :, 0] = 0.501
    assert not judged(shard(good, good, recorded)).findings


@pytest.mark.parametrize("seed", range(10))
def test_samples_of_what_was_demonstrated_are_no_fault(seed: int) -> None:
    """A sampler of the demonstrations' own distribution that ignores the observation: twice the variance."""
    recorded = demonstrations(seed, episodes=20)
    shuffled = [_chunks(recorded[(i + 1 + seed) % 20]) for i in range(20)]
    assert "REPLAY003" not in codes(judged(shard(shuffled, shuffled, recorded)))


@pytest.mark.parametrize("value", [None, "NaN", float("nan"), -1.0, True])
def test_a_log_that_says_nothing_is_not_held_against_anyone(value: object) -> None:
    recorded = demonstrations()
    good = policy(recorded)
    found = judged(shard(good, good, recorded), options={"train_action_mse_error": value})
    assert not found.findings
    assert found.shown["open_loop"]["train_action_mse_error"] is None
