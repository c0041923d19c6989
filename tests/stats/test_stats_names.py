"""One name for a feature across formats, what is equal up to spelling only, and the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity.stats.model import Declared, FeatureStats, NormStats
from parity.stats.names import by_name, canonical, is_metadata, names_of, nearest, same_spelling, spelling

SAME = {
    "observation.state": (
        "observation/state observation_state observations.state obs.state obs/state obs_state state states "
        "so100.buffer.observation.state so101-blue_buffer_observation_state buffer_observation_state"
    ),
    "action": "actions so100.buffer.action so100_buffer_action buffer_action a.c.t.i.o.n",
    "observation.images.top": (
        "observation.image.top images.top image.top image/top video.top obs/images/top observation_images_top"
    ),
    "observation.image": "image observation_image observation/image obs.image",
    "observation.environment_state": "env_state environment_state obs.env_state observation_environment_state",
    "observation.images.wrist_cam": "observation_images_wrist_cam images/wrist_cam",
    "observation": "obs observations",
    "observation.state.left_arm": "state.left_arm state/left_arm obs.state.left_arm",
    "action.left_arm": "actions.left_arm action/left_arm",
}


@pytest.mark.parametrize("name", SAME)
def test_every_spelling_of_a_format_is_one_name(name: str) -> None:
    assert {other: canonical(other) for other in (name, *SAME[name].split())} == dict.fromkeys(
        (name, *SAME[name].split()), name
    )


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("observation.images.wrist_cam", "observation.images.wrist.cam"),
        ("observation.images.wrist_cam", "observation.images.wrist-cam"),
        ("observation.State", "observation.state"),
        ("action.joint_1", "action.joint.1"),
    ],
)
def test_other_names_that_are_equal_up_to_spelling(a: str, b: str) -> None:
    assert canonical(a) != canonical(b)
    assert same_spelling(a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("observation.image", "observation.image2"),
        ("observation.state", "next.observation.state"),
        ("action", "relative_action"),
        ("observation.images.left", "observation.images.right"),
        ("action.joint_position", "joint_position"),
        ("obs", "critic_obs"),
        ("observation.state", "observation.environment_state"),
    ],
)
def test_names_that_are_others(a: str, b: str) -> None:
    assert spelling(a) != spelling(b)


def test_the_nearest_comes_first() -> None:
    camera = "observation.images.wrist_cam"
    others = ["observation.images.wrist.cam", "observation.images.top", "observation.state", "action"]
    assert nearest(camera, others)[0] == others[0]
    assert nearest("action", ["so100.buffer.action", "observation.state"]) == ("so100.buffer.action",)
    assert nearest("observation.state", ["state", "observation.State", "x.state"]) == (
        "state",
        "observation.State",
        "x.state",
    )
    assert nearest("action", ["timestamp"]) == nearest("action", ["action"]) == ()


def test_metadata_columns() -> None:
    columns = ["index", "frame_index", "episode_index", "timestamp", "task_index"]
    assert [n for n in (*columns, "state", "observation.index") if is_metadata(n)] == columns


def features(*keys: str) -> dict[str, FeatureStats]:
    return {key: FeatureStats(key, {}) for key in keys}


def test_a_buffer_has_the_name_that_its_policy_declares() -> None:
    key = "observation_images_wrist_cam"
    for name in ("observation.images.wrist_cam", "observation.images.wrist.cam"):
        stats = NormStats(Path("p"), "p", "x", features(key), declared=(Declared(name, key),))
        assert names_of(stats) == {key: name}
    both = (Declared("observation.images.wrist.cam", key), Declared("observation.images.wrist_cam", key))
    assert names_of(NormStats(Path("p"), "p", "x", features(key), declared=both)) == {key: canonical(key)}


def test_of_two_spellings_the_exact_one_counts() -> None:
    found = by_name(NormStats(Path("p"), "p", "x", features("state", "observation.state", "actions")))
    assert {name: one.name for name, one in found.items()} == {
        "observation.state": "observation.state",
        "action": "actions",
    }


WORDS = ("observation", "obs", "state", "images", "image", "video", "action", "actions", "top", "wrist_cam", "x")
words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4)


@given(words, st.sampled_from("./_"))
def test_a_canonical_name_is_its_own(parts: list[str], mark: str) -> None:
    name = canonical(mark.join(parts))
    assert canonical(name) == name


@given(st.text(max_size=40))
def test_any_text_has_a_name_and_a_spelling(text: str) -> None:
    assert isinstance(canonical(text), str)
    assert isinstance(spelling(text), str)
    assert nearest(text, [text]) == ()
