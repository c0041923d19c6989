"""What moves the reference must move the candidate: planted faults are named, right candidates are left in peace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import replayed
from parity.finding import Finding
from parity.replay.measure import measures
from parity.replay.measures.dependence import MEASURE
from parity.replay.model import Context, Judged, Played, Probe
from parity.replay.probing import probe_inputs

Policy = Callable[[Mapping[str, np.ndarray], np.random.Generator], np.ndarray]
STATE, WRIST, TOP, IDLE = "observation.state", "observation.images.wrist", "observation.images.top", "observation.extra"
FLOAT16 = 16 * 2.0**-10


def policy(seed: int = 0, steps: int = 3, dims: int = 4) -> Policy:
    """A smooth policy of a state and two cameras, which matter to different dimensions; ``extra`` does not matter."""
    rng = np.random.default_rng(seed)
    of_state = rng.normal(size=(6, steps * dims))
    of_wrist, of_top = (rng.normal(size=(48, steps * dims)) * scale for scale in (0.3, 0.3))
    of_wrist.reshape(48, steps, dims)[..., 2:] *= 0.1  # the wrist moves the first dimensions, the top camera the last
    of_top.reshape(48, steps, dims)[..., :2] *= 0.1

    def act(seen: Mapping[str, np.ndarray], noise: np.random.Generator) -> np.ndarray:
        wrist, top = (seen[n].reshape(len(seen[n]), -1) / 255.0 - 0.5 for n in (WRIST, TOP))
        made = np.tanh(seen[STATE] @ of_state * 0.4 + wrist @ of_wrist + top @ of_top)
        return made.reshape(len(made), steps, dims)

    return act


def observed(seed: int, frames: int = 40) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1000 + seed)
    images = {n: rng.integers(0, 256, (frames, 4, 4, 3)).astype(np.uint8) for n in (WRIST, TOP)}
    return {STATE: rng.normal(size=(frames, 6)), **images, IDLE: rng.normal(size=(frames, 2))}


def play(trusted: Policy, tested: Policy, seed: int = 0, frames: int = 40, **given: Any) -> Played:
    """Return one shard: both policies at all frames of episodes of ten, and every fourth probed."""
    seen, episode = observed(seed, frames), 10
    noise = np.random.default_rng(7000 + seed), np.random.default_rng(8000 + seed)
    outputs = [p(seen, n) for p, n in zip((trusted, tested), noise, strict=True)]
    split = [np.split(o, len(o) // episode) for o in outputs]
    shown = {n: np.split(v, len(v) // episode) for n, v in seen.items()}
    made = replayed.played(split[0], split[1], observations=shown, **given)
    asked = np.arange(0, len(seen[STATE]), 4)
    few = {n: v[asked] for n, v in seen.items()}
    probes = [
        Probe(name, kind, asked, trusted(changed, noise[0]), tested(changed, noise[1]))
        for name, kind, changed in probe_inputs(few, made.at.episode[asked], 42)
    ]
    probes.append(Probe("", "repeat", asked, trusted(few, noise[0]), tested(few, noise[1])))
    return replace(made, probes=tuple(probes))


def judge(trusted: Policy, tested: Policy, seed: int = 0, frames: int = 40, **given: Any) -> Judged:
    shard = play(trusted, tested, seed, frames)
    return MEASURE.judge(MEASURE.observe(shard), replayed.context(shard, **given))


def changed(act: Policy, **features: Callable[[dict[str, np.ndarray]], np.ndarray]) -> Policy:
    names = {"state": STATE, "wrist": WRIST, "top": TOP, "extra": IDLE}

    def other(seen: Mapping[str, np.ndarray], noise: np.random.Generator) -> np.ndarray:
        return act({**seen, **{names[n]: make(dict(seen)) for n, make in features.items()}}, noise)

    return other


def codes(judged: Judged) -> set[str]:
    return {f.code for f in judged.findings}


def one(judged: Judged, code: str) -> Finding:
    (found,) = [f for f in judged.findings if f.code == code]
    return found


def verdicts(judged: Judged) -> dict[str, str]:
    """Return the verdict of each feature, by its name, out of the rows' sentences."""
    return {n: r.verdict for r in judged.rows for n in (STATE, WRIST, TOP, IDLE) if n in r.reason}


def test_it_is_registered() -> None:
    assert MEASURE in measures()
    assert (MEASURE.gates, MEASURE.rank) == ("asked", 50)


def test_the_same_policy_passes_and_what_does_not_matter_is_said() -> None:
    judged = judge(policy(), policy())
    assert verdicts(judged) == {STATE: "PASS", WRIST: "PASS", TOP: "PASS"}
    assert {r.verdict for r in judged.rows} == {"PASS"}
    assert [r.value for r in judged.rows if r.name.startswith("dependence")] == [1.0, 1.0, 1.0]
    assert codes(judged) == {"REPLAY075"}
    assert one(judged, "REPLAY075").evidence["features"] == [IDLE]
    assert one(judged, "REPLAY075").severity == "warning"


def test_a_camera_that_is_not_connected_is_named_with_the_frame() -> None:
    act = policy()
    judged = judge(act, changed(act, wrist=lambda s: np.zeros_like(s[WRIST])), names=("0", "1 (wrist)", "2", "3"))
    assert verdicts(judged) == {STATE: "PASS", WRIST: "FAIL", TOP: "PASS"}
    found = one(judged, "REPLAY070")
    assert (found.severity, found.where) == ("error", WRIST)
    assert f"does not react to {WRIST}" in found.title
    assert f"episode {found.evidence['episode']}, frame {found.evidence['frame']}" in found.title
    assert found.evidence["candidate"] == 0.0
    assert found.evidence["frame"] in range(10)


def test_a_constant_pose_ignores_everything() -> None:
    act = policy()
    judged = judge(act, lambda seen, noise: np.ones_like(act(seen, noise)))
    assert verdicts(judged) == {STATE: "FAIL", WRIST: "FAIL", TOP: "FAIL"}
    assert [f.where for f in judged.findings if f.code == "REPLAY070"] == sorted([STATE, WRIST, TOP])


def test_a_candidate_that_reacts_to_what_the_reference_ignores_fails() -> None:
    act = policy()
    judged = judge(act, changed(act, state=lambda s: s[STATE] + np.pad(s[IDLE], ((0, 0), (0, 4)))))
    assert verdicts(judged)[IDLE] == "FAIL"
    assert one(judged, "REPLAY071").where == IDLE
    assert "REPLAY075" not in codes(judged)


def test_a_reaction_of_another_size_is_a_warning() -> None:
    act = policy()
    judged = judge(act, changed(act, state=lambda s: s[STATE] * 0.25))
    assert verdicts(judged) == {STATE: "PASS", WRIST: "PASS", TOP: "PASS"}
    found = one(judged, "REPLAY072")
    assert (found.severity, found.where) == ("warning", STATE)
    assert all(g < 0.8 for g in found.evidence["gain"])


def test_a_reaction_in_the_other_direction_is_a_warning() -> None:
    act = policy()
    judged = judge(act, changed(act, state=lambda s: -s[STATE]))
    assert "the other way round" in one(judged, "REPLAY072").title


def test_swapped_cameras_are_named() -> None:
    act = policy()
    judged = judge(act, changed(act, wrist=lambda s: s[TOP], top=lambda s: s[WRIST]))
    found = one(judged, "REPLAY076")
    assert found.evidence["features"] == sorted([WRIST, TOP])
    assert found.title.startswith("The cameras")
    assert "REPLAY072" not in codes(judged)


def test_a_candidate_in_training_mode_fails_and_one_like_the_reference_is_a_warning() -> None:
    act = policy()

    def noisy(seen: Mapping[str, np.ndarray], noise: np.random.Generator) -> np.ndarray:
        return act(seen, noise) + noise.normal(size=(len(seen[STATE]), 3, 4)) * 0.05

    judged = judge(act, noisy)
    assert next((r.name, r.verdict) for r in judged.rows) == ("repeat", "FAIL")
    assert one(judged, "REPLAY073").severity == "error"
    assert one(judge(noisy, noisy), "REPLAY073").severity == "warning"
    judged = judge(noisy, act)
    assert next((r.name, r.verdict) for r in judged.rows) == ("repeat", "PASS")
    assert one(judged, "REPLAY079").severity == "warning"


def with_history(left_over: tuple[float, float]) -> Judged:
    act = policy()
    shard = play(act, act)
    asked = np.arange(0, 40, 4)
    sides = [shard.reference[asked] + extra for extra in left_over]
    shard = replace(shard, probes=(*shard.probes, Probe("", "history", asked, *sides)))
    return MEASURE.judge(MEASURE.observe(shard), replayed.context(shard))


def test_state_that_is_not_reset_fails() -> None:
    judged = with_history((0.0, 0.3))
    assert {r.name: r.verdict for r in judged.rows}["history"] == "FAIL"
    found = one(judged, "REPLAY074")
    assert found.severity == "error"
    assert "0.3" in found.title


def test_state_that_both_keep_is_told_and_none_is_silent() -> None:
    judged = with_history((0.3, 0.3))
    assert {r.name: r.verdict for r in judged.rows}["history"] == "PASS"
    assert one(judged, "REPLAY074").severity == "info"
    assert "REPLAY074" not in codes(with_history((0.0, 0.0)))


def test_nothing_that_moves_the_reference_is_not_judged() -> None:
    rng = np.random.default_rng(3)
    wander = rng.normal(size=(40, 3, 4))  # moves from frame to frame, whatever is seen

    def blind(seen: Mapping[str, np.ndarray], noise: np.random.Generator) -> np.ndarray:
        return wander[:: 40 // len(seen[STATE])]

    judged = judge(blind, blind)
    assert [r.verdict for r in judged.rows if r.name.startswith("dependence")] == ["NOT_JUDGED"]
    assert one(judged, "REPLAY075").evidence["features"] == sorted([STATE, WRIST, TOP, IDLE])


def test_a_candidate_that_reacts_where_the_reference_is_blind_fails() -> None:
    act = policy()
    rng = np.random.default_rng(3)
    wander = rng.normal(size=(40, 3, 4))
    judged = judge(lambda seen, noise: wander[:: 40 // len(seen[STATE])], act)
    assert {r.verdict for r in judged.rows if r.name.startswith("dependence")} == {"FAIL"}


def test_without_probes_nothing_is_judged() -> None:
    shard = replace(play(policy(), policy()), probes=())
    judged = MEASURE.judge(MEASURE.observe(shard), replayed.context(shard))
    assert judged.rows == ()  # policies that keep state or sample are not asked so: it is said, and stops nothing
    assert "not covered: none was changed" in one(judged, "REPLAY075").title


def test_a_wide_budget_does_not_hide_what_matters() -> None:
    act = policy()
    shard = play(act, rounded(act))
    wide = replayed.context(shard).scale * 0.2
    judged = judge(act, rounded(act), limits=wide)
    assert verdicts(judged) == {STATE: "PASS", WRIST: "PASS", TOP: "PASS"}
    blind = changed(act, wrist=lambda s: np.zeros_like(s[WRIST]))
    assert verdicts(judge(act, blind, limits=wide))[WRIST] == "FAIL"


def test_nan_of_the_candidate_alone_fails_and_says_where() -> None:
    act = policy()

    def fragile(seen: Mapping[str, np.ndarray], noise: np.random.Generator) -> np.ndarray:
        out = act(seen, noise)
        out[(seen[TOP] == 0).reshape(len(out), -1).all(axis=1)] = np.nan
        return out

    judged = judge(act, fragile)
    assert verdicts(judged)[TOP] == "FAIL"
    assert "NaN or infinite at 10 of 10 frames, the first in episode 0, frame 0" in one(judged, "REPLAY077").title
    assert "REPLAY077" not in codes(judge(fragile, fragile))


def test_a_frozen_sample_is_a_warning() -> None:
    act = policy()

    def sampling(seen: Mapping[str, np.ndarray], noise: np.random.Generator) -> np.ndarray:
        return act(seen, noise) + noise.normal(size=(len(seen[STATE]), 1, 4)) * 0.02

    assert one(judge(sampling, act, sampled=True), "REPLAY078").severity == "warning"


def test_sampled_policies_are_compared_with_their_own_noise() -> None:
    act = policy()

    def sampling(seen: Mapping[str, np.ndarray], noise: np.random.Generator) -> np.ndarray:
        return act(seen, noise) + noise.normal(size=(len(seen[STATE]), 1, 4)) * 0.02

    judged = judge(sampling, sampling, frames=120, sampled=True)
    assert verdicts(judged) == {STATE: "PASS", WRIST: "PASS", TOP: "PASS"}
    assert codes(judged) == {"REPLAY075"}
    blind = changed(sampling, wrist=lambda s: np.zeros_like(s[WRIST]))
    assert verdicts(judge(sampling, blind, frames=120, sampled=True))[WRIST] == "FAIL"
    assert verdicts(judge(blind, sampling, frames=120, sampled=True))[WRIST] == "FAIL"


def test_sampled_policies_that_were_not_asked_twice_are_not_judged() -> None:
    shard = play(policy(), policy())
    shard = replace(shard, probes=tuple(p for p in shard.probes if p.kind != "repeat"))
    judged = MEASURE.judge(MEASURE.observe(shard), replayed.context(shard, sampled=True))
    assert judged.rows == ()
    assert codes(judged) == {"REPLAY075"}


def test_what_is_shown_names_all_features_and_dimensions() -> None:
    shown = judge(policy(), policy()).shown["dependence"]
    assert {r["feature"] for r in shown["rows"]} == {STATE, WRIST, TOP, IDLE}
    assert len(shown["rows"]) == 16
    assert {r["says"] for r in shown["rows"] if r["feature"] == IDLE} == {"not covered: does not move the reference"}


def test_shards_in_any_order_say_the_same() -> None:
    act = policy()
    tested = changed(act, wrist=lambda s: s[WRIST] // 2, state=lambda s: s[STATE] * 0.3)
    shards = [play(act, tested, seed, first_episode=4 * seed) for seed in range(3)]
    context = replayed.context(shards[0])
    states = [MEASURE.observe(s) for s in shards]
    left = MEASURE.merge(MEASURE.merge(states[0], states[1]), states[2])
    right = MEASURE.merge(states[2], MEASURE.merge(states[1], states[0]))
    assert set(left) == set(right)
    for name, values in left.items():
        assert values.dtype != object
        if name not in ("lost_reference", "lost_candidate"):
            np.testing.assert_array_equal(values.shape, right[name].shape)
            if values.dtype.kind == "f":
                np.testing.assert_allclose(values, right[name], rtol=1e-12)
    assert sum(v.nbytes for v in left.values()) < 64_000
    first, second = (MEASURE.judge(s, context) for s in (left, right))
    assert [(r.verdict, r.reason) for r in first.rows] == [(r.verdict, r.reason) for r in second.rows]
    assert all(s["frames"].max() == 10 for s in states)
    assert left["frames"].max() == 30


def rounded(act: Policy) -> Policy:
    def half(seen: Mapping[str, np.ndarray], noise: np.random.Generator) -> np.ndarray:
        low = {n: v.astype(np.float16) if v.dtype.kind == "f" else v for n, v in seen.items()}
        return act(low, noise).astype(np.float16).astype(np.float64)

    return half


def limits(shard: Played) -> np.ndarray:
    flat = shard.reference.reshape(-1, shard.reference.shape[-1])
    return FLOAT16 * (flat.max(axis=0) - flat.min(axis=0))


@pytest.mark.parametrize("sampled", [False, True])
def test_right_candidates_raise_no_alarm(sampled: bool) -> None:
    """float16 of the same policy (and one that samples): nothing but what the reference ignores, over 200 seeds."""
    alarms = []
    for seed in range(200):
        act = policy(seed)

        def sampling(seen: Mapping[str, np.ndarray], noise: np.random.Generator, act: Policy = act) -> np.ndarray:
            return act(seen, noise) + noise.standard_t(4, size=(len(seen[STATE]), 1, 4)) * 0.1

        trusted = sampling if sampled else act
        shard = play(trusted, rounded(trusted), seed, 120 if sampled else 40)
        context: Context = replayed.context(shard, limits=limits(shard), precision="float16", sampled=sampled)
        judged = MEASURE.judge(MEASURE.observe(shard), context)
        bad = codes(judged) - {"REPLAY075"}
        if bad or "FAIL" in {r.verdict for r in judged.rows}:
            alarms.append((seed, bad, [r.reason for r in judged.rows if r.verdict == "FAIL"]))
    assert alarms == []
