"""Errors of the start of episodes, errors that set in or grow afterwards, and errors along the chunk."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from explained import codes, in_shards, judged, one
from motions import demonstrations, policy
from parity.replay.measures.growth import MEASURE
from parity.replay.model import Timing
from parity.tensor import Array
from replayed import context, played

DEMOS = demonstrations(11)
SINGLE = policy(DEMOS, 1)
CHUNKS = policy(DEMOS, 8)
TIMING = Timing(n_action_steps=8)


def left_over(count: int) -> list[Array]:
    """Return a queue that is not emptied: the first actions are those that the episode before had left."""
    parts = [SINGLE[0]]
    for before, after in itertools.pairwise(SINGLE):
        parts.append(np.concatenate([np.repeat(before[-1:], count, axis=0), after[count:]]))
    return parts


@pytest.mark.parametrize("count", [1, 5, 20])
def test_a_queue_that_is_not_emptied(count: int) -> None:
    result = judged(MEASURE, played(SINGLE, left_over(count), DEMOS))
    found = one(result.findings, "REPLAY039")
    assert f"in the first {found.evidence['frames']} frames of an episode" in found.title
    assert count <= found.evidence["frames"] <= max(count + 4, 1.3 * count)
    assert found.evidence["follows_last_episode"]
    assert "frame" in found.detail
    assert codes(result.findings) == {"REPLAY039"}


def test_a_hidden_state_that_is_not_reset_is_forgotten_later() -> None:
    wrong = [c + (0.5 * 0.75 ** np.arange(len(c)))[:, None, None] for c in SINGLE]
    found = one(judged(MEASURE, played(SINGLE, wrong)).findings, "REPLAY039")
    assert not found.evidence["follows_last_episode"]


@pytest.mark.parametrize("seed", range(5))
def test_a_hidden_state_that_is_not_fed_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wrong = []
    for c in SINGLE:
        error, state = np.zeros_like(c), np.zeros(c.shape[-1])
        for t in range(1, len(c)):
            state = 0.95 * state + 0.05 * rng.normal(size=state.shape)
            error[t, 0] = 0.3 * state
        wrong.append(c + error)
    found = judged(MEASURE, played(SINGLE, wrong, DEMOS)).findings
    assert "sets in 1 frame after an episode began" in one(found, "REPLAY040").title
    assert codes(found) == {"REPLAY040"}


def test_a_feedback_that_runs_away() -> None:
    rng = np.random.default_rng(0)
    wrong = [c + 1e-3 * np.exp(0.04 * np.arange(len(c)))[:, None, None] * rng.choice([-1, 1], c.shape) for c in SINGLE]
    result = judged(MEASURE, played(SINGLE, wrong, DEMOS), units=("rad",) * 7)
    title = one(result.findings, "REPLAY040").title
    assert "grows with the time since an episode began: 0.001 rad at frame 0" in title
    assert result.rows[0].value is not None
    assert result.rows[0].value > 0.5


FAULTS: dict[str, Callable[[Array], Array]] = {
    "sign": lambda c: -c,
    "gain": lambda c: 0.5 * c,
    "offset": lambda c: c + 0.1,
    "late by 2": lambda c: np.concatenate([np.repeat(c[:1], 2, axis=0), c[:-2]]),
    "late by 8": lambda c: np.concatenate([np.repeat(c[:1], 8, axis=0), c[:-8]]),
    "order": lambda c: c[..., [1, 0, 2, 4, 5, 3, 6]],
    "clip": lambda c: np.clip(c, -0.5, 0.5),
    "bent": np.tanh,
    "from the pose at the start": lambda c: c[:1] + 0.5 * (c - c[:1]),
    "noise": lambda c: c + np.random.default_rng(0).normal(0, 0.05, c.shape),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("from_zero", [False, True])
@pytest.mark.parametrize("limit", [None, 0.01])
def test_faults_that_do_not_depend_on_the_time_are_not_said_to(
    fault: str, from_zero: bool, limit: float | None
) -> None:
    chunks = [c - c[:1] for c in SINGLE] if from_zero else SINGLE
    given = {} if limit is None else {"limits": np.full(7, limit)}
    assert not codes(judged(MEASURE, played(chunks, [FAULTS[fault](c) for c in chunks]), **given).findings)


def test_an_error_along_the_chunk_is_a_sign() -> None:
    wrong = [c + 0.01 * np.arange(8)[:, None] for c in CHUNKS]
    found = judged(MEASURE, played(CHUNKS, wrong, timing=TIMING, every=8)).findings
    assert one(found, "REPLAY041").severity == "warning"
    assert "right up to step 0 and off from step 1 on, of 8" in one(found, "REPLAY041").title
    assert not codes(found)


def test_shards_add_up() -> None:
    wrong = left_over(5)
    parts = [
        played(SINGLE[i : i + 3], wrong[i : i + 3], DEMOS[i : i + 3], first_episode=i) for i in range(0, len(DEMOS), 3)
    ]
    whole = context(played(SINGLE, wrong))
    result = in_shards(MEASURE, parts, limits=whole.limits, scale=whole.scale)
    assert one(result.findings, "REPLAY039").evidence["frames"] == 5
    assert result.rows[0].n == sum(map(len, SINGLE))


def test_nan_is_an_error_of_no_age() -> None:
    wrong = [c.copy() for c in SINGLE]
    wrong[2][40] = np.nan
    judged(MEASURE, played(SINGLE, wrong))  # is told by others; nothing here breaks
    assert judged(MEASURE, played(SINGLE, wrong)).rows[0].verdict == "PASS"
