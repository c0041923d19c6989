"""Which observations are changed how: reproducible, one feature at a time, from another episode where there is one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity.replay.probing import partners, probe_inputs, shifted


def observed(frames: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "observation.state": rng.normal(size=(frames, 3)).astype(np.float32),
        "observation.images.wrist": rng.integers(0, 256, (frames, 4, 4, 3)).astype(np.uint8),
        "task_index": np.ones(frames, np.int64),
    }


EPISODES = np.array([0, 0, 1, 1, 2, 2])


def test_one_feature_is_changed_and_the_others_are_left() -> None:
    given_ = observed()
    seen = []
    for name, kind, changed in probe_inputs(given_, EPISODES, 42, skip=()):
        seen.append((name, kind))
        for other, values in given_.items():
            assert np.array_equal(changed[other], values) == (other != name)
            assert changed[other].dtype == values.dtype
    assert seen == [
        ("observation.state", "swap"),
        ("observation.state", "zero"),
        ("observation.state", "shift"),
        ("observation.images.wrist", "swap"),
        ("observation.images.wrist", "zero"),
        ("task_index", "zero"),  # the same at all frames: swapping it would change nothing
    ]


def test_skipped_features_are_left_out() -> None:
    names = {n for n, _, _ in probe_inputs(observed(), EPISODES, 42, skip={"observation.state", "task_index"})}
    assert names == {"observation.images.wrist"}


def test_images_are_swapped_as_a_whole_with_another_episode() -> None:
    given_ = observed()
    images = next(c for n, k, c in probe_inputs(given_, EPISODES, 3) if n.endswith("wrist") and k == "swap")
    for i, image in enumerate(images["observation.images.wrist"]):
        source = [j for j in range(6) if np.array_equal(given_["observation.images.wrist"][j], image)]
        assert len(source) == 1
        assert EPISODES[source[0]] != EPISODES[i]


def test_a_shift_is_a_tenth_of_the_spread_of_each_element() -> None:
    values = np.array([[0.0, 5.0, np.nan], [2.0, 5.0, 1.0]])
    np.testing.assert_allclose(shifted(values), [[0.2, 5.0, np.nan], [2.2, 5.0, 1.0]])


def test_the_same_seed_gives_the_same_bytes_and_another_other_partners() -> None:
    def all_of(seed: int) -> Iterator[bytes]:
        for name, kind, changed in probe_inputs(observed(40), np.repeat(np.arange(8), 5), seed):
            yield name.encode() + kind.encode() + b"".join(a.tobytes() for a in changed.values())

    assert list(all_of(7)) == list(all_of(7))
    assert list(all_of(7)) != list(all_of(8))


def test_golden_partners() -> None:
    assert partners(EPISODES, 42).tolist() == partners(EPISODES + 100, 42).tolist() == GOLDEN


GOLDEN = [2, 3, 4, 0, 3, 3]


@given(st.lists(st.integers(0, 4), max_size=40), st.integers(0, 2**40))
def test_a_partner_is_of_another_episode_where_there_is_one(numbers: list[int], seed: int) -> None:
    episodes = np.array(numbers, np.int64)
    found = partners(episodes, seed)
    assert found.shape == episodes.shape
    if len(set(numbers)) > 1:
        assert (episodes[found] != episodes).all()
    elif len(numbers) > 1:
        assert (found != np.arange(len(numbers))).all()


def test_every_frame_of_another_episode_can_be_a_partner() -> None:
    got = {int(partners(EPISODES, seed)[0]) for seed in range(200)}
    assert got == {2, 3, 4, 5}


def test_a_single_frame_is_not_swapped() -> None:
    one = {"observation.state": np.array([[1.0, 2.0]])}
    assert [k for _, k, _ in probe_inputs(one, np.array([0]), 1)] == ["zero"]


@pytest.mark.parametrize("values", [np.zeros((0, 3)), np.array(["a", "b"])])
def test_nothing_to_change_is_nothing(values: np.ndarray) -> None:
    assert list(probe_inputs({"x": values}, np.zeros(len(values), np.int64), 1)) == []
