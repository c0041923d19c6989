"""What is sent to the robot, from chunks: queue, slices, ensembling, resets."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from parity.dataset.model import Episode
from parity.replay.execution import executed
from parity.replay.model import Timing
from parity.replay.shards import chosen_episodes, frames_of, shards_of
from replayed import played


def _queue(chunks: np.ndarray, timing: Timing) -> np.ndarray:
    """A queue as a robot's loop has it, written out."""
    sent, waiting = [], []
    for t in range(len(chunks)):
        if not waiting:
            waiting = list(chunks[t][timing.first : timing.first + timing.n_action_steps])
        sent.append(waiting.pop(0))
    return np.array(sent)


def _ensembled(chunks: np.ndarray, m: float) -> np.ndarray:
    """ACT's ensembling, written out: all predictions for a time step, the oldest first."""
    steps, sent = chunks.shape[1], []
    for t in range(len(chunks)):
        predictions = [chunks[a][t - a] for a in range(max(0, t - steps + 1), t + 1)]
        weights = np.exp(-m * np.arange(len(predictions)))
        sent.append((np.array(predictions) * weights[:, None]).sum(0) / weights.sum())
    return np.array(sent)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_queue_is_that_of_a_control_loop(data: st.DataObject) -> None:
    horizon = data.draw(st.integers(1, 6))
    first = data.draw(st.integers(0, horizon - 1))
    timing = Timing(first=first, n_action_steps=data.draw(st.integers(1, horizon - first)))
    lengths = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=3))
    episodes = [np.random.default_rng(i).normal(size=(n, horizon, 2)) for i, n in enumerate(lengths)]
    shard = played(episodes, episodes, timing=timing)
    expected = np.concatenate([_queue(e, timing) for e in episodes])
    np.testing.assert_array_equal(shard.executed.reference, expected)
    assert list(np.flatnonzero(shard.executed.first)) == [0, *np.cumsum(lengths)[:-1]]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 12), st.floats(0, 2))
def test_ensembling_is_that_of_act(horizon: int, length: int, m: float) -> None:
    chunks = np.random.default_rng(length).normal(size=(length, horizon, 3))
    shard = played([chunks], [chunks], timing=Timing(ensemble=m))
    np.testing.assert_allclose(shard.executed.reference, _ensembled(chunks, m), rtol=1e-12)


def test_parts_of_an_episode_send_what_the_whole_does() -> None:
    chunks = np.random.default_rng(0).normal(size=(50, 4, 2))
    for timing, lead in ((Timing(n_action_steps=4), 0), (Timing(n_action_steps=3), 0), (Timing(ensemble=0.1), 3)):
        whole = played([chunks], [chunks], timing=timing).executed.reference
        parts = []
        for shard in shards_of([Episode(0, 0, 50)], timing.n_action_steps, frames=12):
            asked = frames_of(shard, timing.n_action_steps if timing.ensemble is None else 1, lead)
            parts.append(executed(frames_of(shard), asked, timing, chunks[asked.frame])[0])
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_nothing_is_sent_where_the_policy_was_not_asked() -> None:
    chunks = np.ones((20, 2, 1))
    shard = played([chunks], [chunks], timing=Timing(n_action_steps=2), every=4)
    assert list(shard.executed.at.frame) == [0, 1, 4, 5, 8, 9, 12, 13, 16, 17]
    assert shard.executed.first.sum() == 5


def test_a_candidate_that_gives_nan_is_not_left_out() -> None:
    chunks = np.ones((4, 1, 1))
    broken = chunks.copy()
    broken[2] = np.nan
    shard = played([chunks], [broken])
    assert len(shard.executed.at) == 4
    assert np.isnan(shard.executed.candidate[2, 0])


def test_recorded_actions_are_those_from_the_frame_on() -> None:
    chunks = np.zeros((5, 3, 1))
    shard = played([chunks], [chunks], [np.arange(5.0)[:, None]], timing=Timing(first=1))
    assert shard.recorded is not None
    np.testing.assert_array_equal(shard.recorded[0, :, 0], [np.nan, 0, 1])
    np.testing.assert_array_equal(shard.recorded[4, :, 0], [3, 4, np.nan])


def test_episodes_are_chosen_by_position() -> None:
    from parity.dataset.model import Dataset, Episodes

    class Nothing:
        def rows(self, names: object, start: int, stop: int) -> object:
            return iter(())

    dataset = Dataset(None, "test", {}, Episodes([3, 3, 3, 3]), Nothing())  # type: ignore[arg-type]
    chosen = {t: [e.index for e in chosen_episodes(dataset, t)] for t in (None, "1:3", "2", ":1", "3:", "3,0:2")}
    assert chosen == {None: [0, 1, 2, 3], "1:3": [1, 2], "2": [2], ":1": [0], "3:": [3], "3,0:2": [0, 1, 3]}
