"""Actions that are relative where the reference's are not, and the other way around."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from explained import codes, in_shards, judged, one
from motions import demonstrations, policy
from parity.replay.measures.anchoring import MEASURE
from parity.replay.model import Timing
from parity.tensor import Array
from replayed import context, played

DEMOS = demonstrations(7)
CHUNKS = policy(DEMOS, 16)
SINGLE = policy(DEMOS, 1)
TIMING = Timing(n_action_steps=8)


def _followed() -> list[Array]:
    """Return states that follow the actions three frames later, not quite."""
    rng = np.random.default_rng(0)
    return [
        np.concatenate([np.repeat(d[:1], 3, axis=0), d[:-3]]) + 0.01 * np.cumsum(rng.normal(0, 0.1, d.shape), axis=0)
        for d in DEMOS
    ]


STATES = _followed()
SEEN = {"observation.state": STATES}


def anchored(chunk: Array, state: Array) -> Array:
    """Return a relative chunk to whose every step the state of then was added."""
    then = np.minimum(np.arange(len(chunk))[:, None] + np.arange(chunk.shape[1]), len(chunk) - 1)
    return chunk + state[then] - state[:, None]


PLANTED: dict[str, tuple[str, Callable[[Array, Array], Array], str]] = {
    "relative": ("REPLAY036", lambda c, s: c - s[:, None], "the reference's action minus observation.state"),
    "added twice": ("REPLAY036", lambda c, s: c + s[:, None], "the reference's action plus observation.state"),
    "state": ("REPLAY037", lambda c, s: 0 * c + s[:, None], "gives back observation.state"),
    "from the first": ("REPLAY035", lambda c, s: c - c[:, :1], "the change since the chunk's first step"),
    "along the chunk": (
        "REPLAY035",
        lambda c, s: np.diff(np.concatenate([s[:, None], c], axis=1), axis=1),
        "the change since the chunk's step before",
    ),
    "summed": ("REPLAY035", lambda c, s: np.cumsum(c, axis=1), "sums up the steps of the chunk"),
    "anchored anew": ("REPLAY036", anchored, "is anchored to observation.state at every step"),
}


@pytest.mark.parametrize("every", [1, 8])
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_named(name: str, every: int) -> None:
    code, change, said = PLANTED[name]
    wrong = [change(c, s) for c, s in zip(CHUNKS, STATES, strict=True)]
    shown = played(CHUNKS, wrong, DEMOS, timing=TIMING, every=every, observations=SEEN)
    result = judged(MEASURE, shown)
    assert codes(result.findings) == {code}
    assert any(said in f.title for f in result.findings)
    assert all("worst at episode" in f.detail for f in result.findings)
    assert result.rows[0].verdict == "FAIL"


@pytest.mark.parametrize(
    ("said", "change"),
    [
        ("the change since the action before", lambda c: np.diff(np.concatenate([c[:1], c]), axis=0)),
        ("the change to the next action", lambda c: np.diff(np.concatenate([c, c[-1:]]), axis=0)),
        ("sums up actions", lambda c: np.cumsum(c, axis=0)),
    ],
)
def test_deltas_of_a_policy_that_gives_single_actions(said: str, change: Callable[[Array], Array]) -> None:
    found = judged(MEASURE, played(SINGLE, [change(c) for c in SINGLE])).findings
    assert said in one(found, "REPLAY035").title
    assert codes(found) == {"REPLAY035"}


def test_the_arm_is_relative_and_the_gripper_is_not() -> None:
    wrong = [c - np.append(np.ones(6), 0) * s[:, None] for c, s in zip(CHUNKS, STATES, strict=True)]
    found = one(judged(MEASURE, played(CHUNKS, wrong, observations=SEEN)).findings, "REPLAY036")
    assert found.evidence["dimensions"] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("fault", ["sign", "gain", "degrees", "offset", "noise", "fast", "slow", "dead", "late"])
def test_other_faults_are_not_called_relative(fault: str) -> None:
    rng = np.random.default_rng(0)
    change: Callable[[Array], Array] = {
        "sign": lambda c: -c,
        "gain": lambda c: 0.5 * c,
        "degrees": np.degrees,
        "offset": lambda c: c + 0.2,
        "noise": lambda c: c + rng.normal(0, 0.05, c.shape),
        "fast": lambda c: c[:, np.minimum(2 * np.arange(16), 15)],
        "slow": lambda c: c[:, np.arange(16) // 2],
        "dead": lambda c: 0 * c,
        "late": lambda c: np.concatenate([np.repeat(c[:1], 6, axis=0), c[:-6]]),
    }[fault]
    shown = played(CHUNKS, [change(c) for c in CHUNKS], DEMOS, timing=TIMING, every=8, observations=SEEN)
    assert not judged(MEASURE, shown).findings


def test_recorded_actions_that_are_the_state_are_a_warning() -> None:
    found = judged(MEASURE, played(SINGLE, SINGLE, DEMOS, observations={"qpos": DEMOS})).findings
    assert one(found, "REPLAY038").severity == "warning"
    assert "qpos" in one(found, "REPLAY038").title
    assert not judged(MEASURE, played(SINGLE, SINGLE, DEMOS, observations={"qpos": STATES})).findings


def test_shards_add_up() -> None:
    wrong = [c - s[:, None] for c, s in zip(CHUNKS, STATES, strict=True)]
    parts = [
        played([CHUNKS[i]], [wrong[i]], [DEMOS[i]], observations={"s": [STATES[i]]}, first_episode=i)
        for i in range(len(DEMOS))
    ]
    whole = context(played(CHUNKS, wrong))
    result = in_shards(MEASURE, parts, limits=whole.limits, scale=whole.scale)
    assert "all 7" in one(result.findings, "REPLAY036").title
    assert result.rows[0].n == sum(map(len, DEMOS))
