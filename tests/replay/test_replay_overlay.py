"""What is drawn of a replay: the episode that is furthest off, whole, and the first one; in any order of the shards."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from functools import reduce
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from parity.replay.measures.overlay import FRAMES, MEASURE, TYPICAL
from parity.replay.model import State
from replayed import context, played

Array = np.ndarray[Any, Any]


def actions(episodes: int = 4, frames: int = 50, width: int = 3) -> list[Array]:
    """Smooth single actions: dimensions of very different size, the last one constant."""
    time = np.arange(frames)[:, None, None] / 10
    gain = np.array([1e-2, 1.0, 0.0])[:width]
    offset = np.array([0.0, 0.0, 5.0])[:width]
    return [gain * np.sin(time + e) + offset for e in range(episodes)]


def shown(reference: list[Array], candidate: list[Array], **given: Any) -> dict[str, Any]:
    shard = played(reference, candidate, given.pop("recorded", None))
    found = MEASURE.judge(MEASURE.observe(shard), context(shard, **given))
    assert found.rows == ()
    document: dict[str, Any] = json.loads(json.dumps(found.shown["overlay"], allow_nan=False))
    return document


def test_the_worst_episode_is_judged_by_how_far_each_dimension_moves() -> None:
    reference = actions()
    candidate = [r.copy() for r in reference]
    candidate[1][7, 0, 1] += 0.01  # larger in numbers
    candidate[2][9, 0, 0] += 0.008  # larger for a dimension that hardly moves
    worst = shown(reference, candidate, recorded=[r[:, 0] + 1 for r in reference])["worst"]
    assert (worst["episode"], worst["first"], worst["frames"]) == (2, 0, 50)
    line = worst["dimensions"][0]
    assert line["dimension"] == 0
    assert line["max_abs"] == pytest.approx(0.008, rel=1e-4)
    assert line["candidate"][9] - line["reference"][9] == pytest.approx(0.008, rel=1e-3)
    assert line["recorded"][9] == pytest.approx(reference[2][9, 0, 0] + 1, rel=1e-4)


def test_a_constant_dimension_is_no_reason_to_look_at_rounding() -> None:
    reference = actions()
    candidate = [r.copy() for r in reference]
    candidate[0][3, 0, 2] += 1e-6
    candidate[3][4, 0, 1] += 0.1
    assert shown(reference, candidate)["worst"]["episode"] == 3


def test_a_long_episode_is_shown_around_its_worst_frame() -> None:
    reference = actions(1, 2 * FRAMES)
    candidate = [r.copy() for r in reference]
    candidate[0][1100, 0, 1] += 0.5
    found = shown(reference, candidate)
    worst = found["worst"]
    assert worst["frames"] == FRAMES
    assert worst["first"] <= 1100 < worst["first"] + FRAMES
    line = next(d for d in worst["dimensions"] if d["dimension"] == 1)
    place = 1100 - worst["first"]
    assert line["candidate"][place] - line["reference"][place] == pytest.approx(0.5, rel=1e-3)
    assert found["typical"]["first"] == 0
    assert found["typical"]["frames"] == TYPICAL


def test_the_order_of_shards_does_not_matter() -> None:
    reference = actions()
    candidate = [r + 1e-7 * (1 + e) for e, r in enumerate(reference)]
    candidate[1][5] = candidate[2][5] = np.nan  # equally bad: the first of them
    candidate[3][5] += 0.3
    states = [
        MEASURE.observe(played([r], [c], first_episode=i))
        for i, (r, c) in enumerate(zip(reference, candidate, strict=True))
    ]
    results: list[State] = [reduce(MEASURE.merge, order) for order in permutations(states)]
    assert int(results[0]["worst.episode"]) == 1
    assert int(results[0]["typical.episode"]) == 0
    for other in results[1:]:
        assert all(np.array_equal(other[k], results[0][k], equal_nan=True) for k in results[0])
    whole = MEASURE.observe(played(reference, candidate))
    assert all(np.array_equal(whole[k], results[0][k], equal_nan=True) for k in whole)


def test_nan_on_one_side_is_worst_of_all_and_shown_as_a_gap() -> None:
    reference = actions()
    candidate = [r.copy() for r in reference]
    candidate[0][2] += 1.0
    candidate[3][8, 0, 1] = np.nan
    candidate[3][9, 0, 1] = np.inf
    worst = shown(reference, candidate)["worst"]
    assert worst["episode"] == 3
    line = worst["dimensions"][0]
    assert (line["dimension"], line["max_abs"]) == (1, None)
    assert line["candidate"][8] is None
    assert line["candidate"][9] is None
    assert line["recorded"] is None


def test_no_frame_shows_nothing() -> None:
    shard = played(actions(), actions())
    sent = shard.executed
    arrays = {f.name: getattr(sent.at, f.name)[:0] for f in fields(sent.at)}
    rest = {f.name: getattr(sent, f.name)[:0] for f in fields(sent) if f.name not in ("at", "recorded")}
    none = MEASURE.observe(replace(shard, executed=replace(sent, at=replace(sent.at, **arrays), **rest)))
    assert MEASURE.judge(none, context(shard)).shown == {}
    state = MEASURE.observe(shard)
    for merged in (MEASURE.merge(none, state), MEASURE.merge(state, none)):
        assert all(np.array_equal(merged[k], state[k], equal_nan=True) for k in state)


def test_names_units_and_the_dimensions_over_their_limits_first() -> None:
    reference = actions()
    candidate = [r.copy() for r in reference]
    candidate[0][2, 0, 1] += 0.2  # far, but allowed
    candidate[0][2, 0, 0] += 1e-4
    names, units = ("0 (grip)", "1", "2"), ("m", "rad", "rad")
    given = {"names": names, "units": units, "limits": np.array([1e-5, 1.0, 1.0])}
    first, second, *_ = shown(reference, candidate, **given)["worst"]["dimensions"]
    assert (first["name"], first["units"], first["limit"]) == ("0 (grip)", "m", 1e-5)
    assert second["dimension"] == 1
