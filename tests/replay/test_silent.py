"""Right candidates are silent: 200 seeds of each kind, and none of the explaining measures names anything."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from explained import MEASURES, findings
from motions import demonstrations, policy
from parity.replay.measure import Measure, measures, merged
from parity.replay.model import Executed, Frames, Played, Timing
from parity.tensor import Array
from replayed import context, played

SEEDS = 200
TIMING = Timing(n_action_steps=4)
Right = Callable[[Array, np.random.Generator], Array]

KINDS: dict[str, tuple[float | None, Right]] = {
    "float32": (None, lambda c, rng: c.astype(np.float32)),
    "other order of sums": (None, lambda c, rng: c + 2e-7 * np.abs(c).max() * rng.normal(size=c.shape)),
    "float16": (1.6e-2, lambda c, rng: c.astype(np.float16)),
    "float16 inside": (1.6e-2, lambda c, rng: c * (1 + 3e-4 * rng.normal(size=c.shape))),
    "bfloat16 inside": (6.2e-2, lambda c, rng: c + 2e-3 * np.ptp(c, axis=(0, 1)) * rng.normal(size=c.shape)),
    "a fault that the limits allow": (2e-2, lambda c, rng: 1.003 * c + 0.001 * rng.choice([-1, 1])),
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_false_alarm(kind: str) -> None:
    share, right = KINDS[kind]
    told = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        demos = demonstrations(seed, episodes=5, length=90)
        chunks = policy(demos, int(rng.choice([1, 4, 8])), seed, error=float(rng.choice([0.005, 0.02, 0.1])))
        states = [d + 0.05 * np.roll(d, 2, axis=0) for d in demos]
        asked = {"fps": 30.0} if share is None else {"limits": share * np.ptp(np.concatenate(demos), axis=0)}
        if kind.startswith("a fault"):
            asked["limits"] = np.maximum(asked["limits"], 0.003 * np.abs(np.concatenate(chunks)).max() + 0.0015)
        found = findings(
            chunks,
            [right(c, rng) for c in chunks],
            demos,
            timing=TIMING if chunks[0].shape[1] > 1 else Timing(),
            every=4 if chunks[0].shape[1] > 1 else 1,
            observations={"observation.state": states},
            asked=asked,
        )
        told += [(seed, f.code, f.title) for f in found]
    assert not told, told[:5]


def test_a_policy_that_samples_is_not_failed_for_its_noise() -> None:
    told = []
    for seed in range(SEEDS):
        demos = demonstrations(seed, episodes=5, length=90)
        sides = [policy(demos, 4, 1000 * side + seed, error=0.1) for side in (1, 2)]
        given = {"timing": TIMING, "every": 4, "asked": {"sampled": True, "limits": np.full(7, np.inf)}}
        told += [(seed, f.code, f.title) for f in findings(*sides, demos, **given)]
    assert not told, told[:5]


def test_constant_padding_is_no_finding() -> None:
    demos = [np.concatenate([d, 0 * d[:, :2]], axis=1) for d in demonstrations(0)]
    chunks = [np.concatenate([c, np.zeros((*c.shape[:2], 2))], axis=-1) for c in policy([d[:, :7] for d in demos], 4)]
    assert not findings(chunks, [c.astype(np.float32) for c in chunks], demos, timing=TIMING)


@pytest.mark.parametrize("rows", [0, 1, 2, 7])
def test_few_frames_say_nothing_and_break_nothing(rows: int) -> None:
    demos = [d[:rows] for d in demonstrations(1, episodes=1)]
    chunks = [c[:rows] for c in policy(demonstrations(1, episodes=1), 4)]
    if not rows:
        chunks = [np.zeros((1, 4, 7)) * np.nan]
        demos = [np.zeros((1, 7))]
    found = findings(chunks, [-c for c in chunks], demos)
    assert not [f for f in found if f.severity == "error" and f.code not in ("REPLAY020",)]


def test_all_are_found_by_entry_point_and_only_explain() -> None:
    ours = {m.name: m for m in measures()}
    for name in ("structure", "lag", "seams", "anchoring", "growth", "extent", "gripper"):
        assert ours[name].gates == "never"


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.name)
def test_an_empty_shard_adds_nothing(measure: Measure) -> None:
    demos = demonstrations(2)
    chunks = policy(demos, 4)
    whole = played(chunks, [-c for c in chunks], demos, timing=TIMING)
    empty = _first(whole, 0)
    alone, known = measure.observe(whole), context(whole)
    assert measure.judge(measure.observe(empty), known).rows[0].verdict == "NOT_JUDGED"
    for state in (merged(measure, [measure.observe(empty), alone]), merged(measure, [alone, measure.observe(empty)])):
        assert {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in alone.items()}
        assert measure.judge(state, known) == measure.judge(alone, known)


def _first(shown: Played, count: int) -> Played:
    e = shown.executed
    at, sent = (
        Frames(*(getattr(f, k)[:count] for k in ("row", "episode", "frame", "length"))) for f in (shown.at, e.at)
    )
    recorded = None if e.recorded is None else e.recorded[:count]
    cut = Executed(sent, e.first[:count], e.step[:count], e.reference[:count], e.candidate[:count], recorded)
    ahead = None if shown.recorded is None else shown.recorded[:count]
    return Played(at, shown.reference[:count], shown.candidate[:count], ahead, {}, cut)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.name)
def test_what_is_kept_does_not_grow_and_is_plain(measure: Measure) -> None:
    short, long = (demonstrations(3, episodes=e, length=120) for e in (4, 40))
    states = [measure.observe(played(policy(d, 4), policy(d, 4, 1), d, timing=TIMING)) for d in (short, long)]
    assert {k: v.shape for k, v in states[0].items()} == {k: v.shape for k, v in states[1].items()}
    assert all(v.dtype.kind in "fiu" for v in states[0].values())
    assert sum(v.nbytes for v in states[0].values()) < 200_000
    joined = measure.merge(*states)
    assert {k: v.shape for k, v in joined.items()} == {k: v.shape for k, v in states[0].items()}


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.name)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_break_nothing(measure: Measure, bad: float) -> None:
    demos = demonstrations(4)
    chunks = policy(demos, 4)
    wrong = [c.copy() for c in chunks]
    wrong[1][10:20, :, 3] = bad
    both = [c.copy() for c in chunks]
    both[2][5] = bad
    for reference, candidate in ((chunks, wrong), (both, both), (wrong, chunks)):
        shown = played(reference, candidate, demos, timing=TIMING)
        known = context(shown, limits=np.full(7, 1e-3), scale=np.ones(7))
        result = measure.judge(measure.observe(shown), known)
        assert result.rows
        for f in result.findings:
            assert "nan" not in f.title.lower().split()
