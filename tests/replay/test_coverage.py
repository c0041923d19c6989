"""What was shown, and what was not, in words and units: exact ranges, whatever the order of the shards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import replayed
from parity.finding import Finding
from parity.replay.measure import measures
from parity.replay.measures.coverage import MEASURE
from parity.replay.model import Judged, Played
from parity.tensor import Range

STATE, WRIST = "observation.state", "observation.images.wrist"


def shard(features: Mapping[str, np.ndarray], first_episode: int = 0) -> Played:
    count = len(next(iter(features.values())))
    actions = [np.zeros((count, 1, 2))]
    shown = {n: [v] for n, v in features.items()}
    return replayed.played(actions, actions, observations=shown, first_episode=first_episode)


def judge(*shards: Played, **given_: Any) -> Judged:
    state = MEASURE.observe(shards[0])
    for other in shards[1:]:
        state = MEASURE.merge(state, MEASURE.observe(other))
    return MEASURE.judge(state, replayed.context(shards[0], **given_))


def one(judged: Judged, code: str) -> Finding:
    (found,) = [f for f in judged.findings if f.code == code]
    return found


def ramp(low: float, high: float, frames: int = 50) -> np.ndarray:
    return np.linspace(low, high, frames)


def allowed(low: list[float], high: list[float], kind: Any = "min_max") -> dict[str, Range]:
    return {STATE: Range(kind, tuple(low), tuple(high), (len(low),), "stats.json")}


def test_it_is_registered_and_does_not_gate() -> None:
    assert MEASURE in measures()
    assert (MEASURE.gates, MEASURE.rank) == ("never", 60)


def test_a_narrow_part_of_the_allowed_range_is_told_in_words_and_units() -> None:
    seen = shard({STATE: np.stack([ramp(-1.5, 1.5), ramp(-0.1, 0.2)], axis=1)})
    options = {"observation_units": {STATE: "rad"}, "elements": {STATE: ("elbow", "wrist")}}
    judged = judge(seen, ranges=allowed([-1.57, -1.57], [1.57, 1.57]), options=options)
    found = one(judged, "REPLAY081")
    assert found.title == (
        "observation.state[1] (wrist) was shown only between -0.1 and 0.2 rad of the allowed -1.57 to 1.57 rad."
    )
    assert found.severity == "warning"
    assert found.evidence["elements"] == [1]
    (row,) = judged.rows
    assert row.verdict == "PASS"
    assert row.value == pytest.approx(0.3 / 3.14)


def test_half_of_it_is_not_worth_a_warning() -> None:
    judged = judge(shard({STATE: ramp(-1, 0.2)[:, None]}), ranges=allowed([-1.57], [1.57]))
    assert one(judged, "REPLAY081").severity == "info"
    assert judge(shard({STATE: ramp(-1.4, 1.4)[:, None]}), ranges=allowed([-1.57], [1.57])).findings == ()


def test_what_the_dataset_visits_and_was_not_asked_is_a_warning() -> None:
    visited = {"visited": {STATE: (np.array([-1.0, 0.0]), np.array([1.0, 2.0]))}}
    judged = judge(shard({STATE: np.stack([ramp(-1, 1), ramp(0, 0.9)], axis=1)}), options=visited)
    found = one(judged, "REPLAY080")
    assert (found.severity, found.where) == ("warning", "observation.state[1]")
    assert "between 0 and 0.9 of the range that the dataset visits, 0 to 2" in found.title


@pytest.mark.parametrize(("kind", "first", "second", "share"), [("quantiles", -1, 1, 0.5), ("mean_std", 0, 1, 1 / 6)])
def test_ranges_of_every_kind_are_held_against(kind: str, first: float, second: float, share: float) -> None:
    judged = judge(shard({STATE: ramp(-0.5, 0.5)[:, None]}), ranges=allowed([first], [second], kind))
    assert judged.rows[0].value == pytest.approx(share)
    assert "usual" in judged.rows[0].reason
    severities = {f.severity for f in judged.findings if f.code == "REPLAY081"}
    assert severities == ({"info"} if kind == "mean_std" else set())  # a spread is no claim about extremes


def test_a_range_of_another_width_is_not_used() -> None:
    judged = judge(shard({STATE: ramp(0, 0.1)[:, None]}), ranges=allowed([0.0] * 3, [1.0] * 3))
    assert judged.findings == ()
    assert judged.rows == ()


def test_constant_elements_are_told_once() -> None:
    seen = shard({STATE: np.stack([ramp(0, 1), np.full(50, 0.25), np.zeros(50)], axis=1)})
    found = one(judge(seen), "REPLAY082")
    assert found.severity == "info"
    assert "observation.state[1] = 0.25, observation.state[2] = 0" in found.title
    judged = judge(seen, ranges=allowed([0, 0, 0], [1, 1, 1]))
    assert one(judged, "REPLAY081").evidence["elements"] == [1, 2]
    assert "was shown only at 0.25" in one(judged, "REPLAY081").title
    assert "REPLAY082" not in {f.code for f in judged.findings}


def test_values_far_beyond_the_statistics_are_a_warning() -> None:
    judged = judge(shard({STATE: ramp(-90, 90)[:, None]}), ranges=allowed([-1.57], [1.57]))
    assert one(judged, "REPLAY083").severity == "warning"
    assert "from -90 to 90, beyond the allowed -1.57 to 1.57" in one(judged, "REPLAY083").title
    judged = judge(shard({STATE: ramp(-1.6, 1.6)[:, None]}), ranges=allowed([-1.57], [1.57]))
    assert judged.findings == ()


def test_values_that_are_not_finite_are_counted_and_placed() -> None:
    values = np.stack([ramp(0, 1), ramp(0, 1)], axis=1)
    values[[7, 9], 1] = np.nan, np.inf
    judged = judge(shard({STATE: values}))
    found = one(judged, "REPLAY084")
    assert "observation.state[1] is NaN or infinite, first in episode 0, frame 7" in found.title
    assert found.evidence == {"elements": [1], "values": [2]}
    assert judged.shown["coverage"]["rows"][1]["high"] == 1.0


def test_where_nothing_can_be_held_against_anything_there_is_no_row() -> None:
    """A number that is not judged would count as one that could not be: this measure never stops a release."""
    judged = judge(shard({STATE: np.full((5, 2), np.nan)}), ranges=allowed([0, 0], [1, 1]))
    assert (judged.rows, {f.code for f in judged.findings}) == ((), {"REPLAY084"})
    assert judge(shard({"task": np.array(["push"] * 5)})) == Judged((), (), {})


def test_images_are_told_by_channel_and_a_wide_feature_as_a_whole() -> None:
    image = np.zeros((6, 16, 16, 3), np.uint8)
    image[..., 1] = np.arange(6)[:, None, None] * 10
    rows = judge(shard({WRIST: image, "scan": np.tile(ramp(0, 1, 1000), (6, 1))})).shown["coverage"]["rows"]
    assert [(r["element"], r["low"], r["high"]) for r in rows] == [
        (f"{WRIST}[0]", 0.0, 0.0),
        (f"{WRIST}[1]", 0.0, 50.0),
        (f"{WRIST}[2]", 0.0, 0.0),
        ("scan", 0.0, 1.0),
    ]
    first = judge(shard({WRIST: np.moveaxis(image, -1, 1)})).shown["coverage"]["rows"]
    assert first == rows[:3]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=2, max_size=4), st.integers(0, 1000), st.randoms())
def test_the_order_of_shards_says_nothing(lengths: list[int], seed: int, shuffled: Any) -> None:
    rng = np.random.default_rng(seed)
    length = max(lengths)
    parts = [shard({STATE: rng.normal(size=(length, 3))}, first_episode=i) for i in range(len(lengths))]
    states = [MEASURE.observe(p) for p in parts]
    left = states[0]
    for state in states[1:]:
        left = MEASURE.merge(left, state)
    shuffled.shuffle(states)
    right = states[-1]
    for state in reversed(states[:-1]):
        right = MEASURE.merge(state, right)
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name])
    whole = np.concatenate([p.observations[STATE] for p in parts])
    np.testing.assert_array_equal(left[f"low:{STATE}"], whole.min(axis=0))
    np.testing.assert_array_equal(left[f"high:{STATE}"], whole.max(axis=0))
    assert len(left["hash"]) == min(128, len(whole))


def test_quantiles_of_the_sample_are_about_right_and_the_state_is_small() -> None:
    rng = np.random.default_rng(4)
    parts = [shard({STATE: rng.uniform(size=(5000, 2))}, first_episode=i) for i in range(3)]
    state = MEASURE.merge(MEASURE.merge(*(MEASURE.observe(p) for p in parts[:2])), MEASURE.observe(parts[2]))
    assert sum(np.asarray(v).nbytes for v in state.values()) < 16_000
    quantiles = judge(*parts).shown["coverage"]["rows"][0]["quantiles"]
    np.testing.assert_allclose(quantiles, [0.05, 0.5, 0.95], atol=0.12)
