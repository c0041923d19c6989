"""Lags, chunks that start elsewhere, and other speeds are named in steps and seconds."""

from __future__ import annotations

import numpy as np
import pytest

from explained import codes, findings, in_shards, judged, one
from motions import demonstrations, policy
from parity.replay.measures.lag import MEASURE
from parity.replay.model import Timing
from parity.tensor import Array
from replayed import context, played

DEMOS = demonstrations(5)
CHUNKS = policy(DEMOS, 16)
SINGLE = policy(DEMOS, 1)
TIMING = Timing(n_action_steps=8)
AT_30 = {"fps": 30.0}


def later(chunk: Array, steps: int) -> Array:
    """Return what was said so many frames before (negative: what will be said)."""
    return chunk[np.clip(np.arange(len(chunk)) - steps, 0, len(chunk) - 1)]


def sliced(chunk: Array, steps: int) -> Array:
    return chunk[:, np.clip(np.arange(chunk.shape[1]) + steps, 0, chunk.shape[1] - 1)]


@pytest.mark.parametrize("steps", [-8, -3, -1, 1, 2, 5, 8])
def test_all_dimensions_late_or_early(steps: int) -> None:
    found = judged(MEASURE, played(SINGLE, [later(c, steps) for c in SINGLE]), **AT_30).findings
    title = one(found, "REPLAY030").title
    assert f"{abs(steps)} step" in title
    assert ("lag by" in title) == (steps > 0)
    assert f"({abs(steps) / 30:.3g} s)" in title
    assert ("at least" in title) == (abs(steps) == 8)
    assert codes(found) == {"REPLAY030"}


def test_one_dimension_late() -> None:
    wrong = [c.copy() for c in SINGLE]
    for c in wrong:
        c[..., 4] = later(c[..., 4], 2)
    names = tuple(f"{i} (wrist)" if i == 4 else str(i) for i in range(7))
    found = judged(MEASURE, played(SINGLE, wrong), names=names, units=("rad",) * 7, **AT_30).findings
    assert one(found, "REPLAY030").title == "action[4] (wrist) lags by 2 steps (0.0667 s)"
    assert "rad in action[4] (wrist)" in one(found, "REPLAY030").detail


@pytest.mark.parametrize("steps", [-3, -1, 1, 2, 4])
def test_the_chunk_starts_elsewhere(steps: int) -> None:
    found = judged(
        MEASURE, played(CHUNKS, [sliced(c, steps) for c in CHUNKS], timing=TIMING, every=8), **AT_30
    ).findings
    title = one(found, "REPLAY031").title
    assert f"step k of its chunk is the reference's step k {'+' if steps > 0 else '-'} {abs(steps)}" in title
    assert codes(found) == {"REPLAY031"}


@pytest.mark.parametrize("every", [1, 8])
@pytest.mark.parametrize("speed", [0.5, 2.0, 3.0])
def test_another_control_rate(speed: float, every: int) -> None:
    steps = np.minimum(np.arange(16) * speed, 15).astype(int)
    found = judged(MEASURE, played(CHUNKS, [c[:, steps] for c in CHUNKS], timing=TIMING, every=every)).findings
    assert f"at {speed:.3g} times the reference's speed" in one(found, "REPLAY032").title


def test_interpolated_to_half_speed() -> None:
    slow = [(c[:, np.arange(16) // 2] + c[:, (np.arange(16) + 1) // 2]) / 2 for c in CHUNKS]
    assert (
        "at 0.5 times" in one(judged(MEASURE, played(CHUNKS, slow, timing=TIMING, every=8)).findings, "REPLAY032").title
    )


def test_the_queue_executes_other_steps_of_the_same_chunk() -> None:
    other = Timing(n_action_steps=8, first=1)
    shown = played(CHUNKS, CHUNKS, DEMOS, timing=TIMING, candidate_timing=other)
    found = judged(MEASURE, shown, timing=(TIMING, other)).findings
    assert "first 1, reference 0" in one(found, "REPLAY033").title
    longer = Timing(n_action_steps=16)
    shown = played(CHUNKS, CHUNKS, DEMOS, timing=TIMING, candidate_timing=longer)
    found = judged(MEASURE, shown, timing=(TIMING, longer)).findings
    assert "n_action_steps 16, reference 8" in one(found, "REPLAY033").title


def test_late_and_scaled_are_both_noticed() -> None:
    wrong = [0.5 * later(c, 3) for c in SINGLE]
    found = one(judged(MEASURE, played(SINGLE, wrong)).findings, "REPLAY030")
    assert "lag by 3 steps" in found.title
    assert "gain 0.5" in found.detail


def test_a_lag_that_both_share_is_seen_against_the_recording() -> None:
    late = [later(c, 3) for c in SINGLE]
    found = judged(MEASURE, played(late, late, DEMOS), **AT_30).findings
    assert "lags behind the recorded actions by 3 steps (0.1 s)" in one(found, "REPLAY034").title
    assert one(found, "REPLAY034").severity == "warning"


@pytest.mark.parametrize("fault", ["sign", "gain", "offset", "swap", "clip", "noise"])
def test_other_faults_are_not_called_late(fault: str) -> None:
    rng = np.random.default_rng(1)
    change = {
        "sign": lambda c: -c,
        "gain": lambda c: 0.5 * c,
        "offset": lambda c: c + 0.3,
        "swap": lambda c: c[..., ::-1],
        "clip": lambda c: np.clip(c, -0.3, 0.3),
        "noise": lambda c: c + rng.normal(0, 0.05, c.shape),
    }[fault]
    assert not judged(MEASURE, played(CHUNKS, [change(c) for c in CHUNKS], DEMOS, timing=TIMING)).findings


def test_shards_add_up() -> None:
    demos = [d[:100] for d in DEMOS]
    chunks = policy(demos, 16)
    wrong = [later(c, 2) for c in chunks]
    shards = [played([chunks[i]], [wrong[i]], [demos[i]], timing=TIMING, first_episode=i) for i in range(len(chunks))]
    whole = context(played(chunks, wrong, demos, timing=TIMING))
    result = in_shards(MEASURE, shards, limits=whole.limits, scale=whole.scale)
    assert result.rows[0].n == 100 * len(chunks)
    assert "by 2 steps" in one(result.findings, "REPLAY031").title


def test_a_shard_that_is_right_does_not_hide_one_that_is_late() -> None:
    shards = [played([c], [c if i % 2 else later(c, 2)]) for i, c in enumerate(SINGLE)]
    whole = context(played(SINGLE, SINGLE))
    found = in_shards(MEASURE, shards, limits=whole.limits, scale=whole.scale).findings
    assert "by 2 steps" in one(found, "REPLAY030").title


def test_nothing_finite_is_not_judged() -> None:
    assert judged(MEASURE, played(SINGLE, [c * np.nan for c in SINGLE])).rows[0].verdict == "NOT_JUDGED"


def test_a_late_candidate_is_named_by_no_measure_as_something_else() -> None:
    found = findings(SINGLE, [later(c, 3) for c in SINGLE], DEMOS)
    assert codes(found) == {"REPLAY030"}
