"""The measure "classifier": flips that rounding cannot explain, their frames, calibration against labels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from parity.replay.classes import calibration_error
from parity.replay.measure import merged, must_judge
from parity.replay.measures.classifier import MEASURE
from parity.replay.model import Context, Judged, Played
from replayed import context, played

FRAMES, BORDER = 400, 0.0
DECLARED = {"classes": {"action": {"label": "near", "threshold": BORDER, "flips": 0.0}}}


def logits(seed: int = 0, width: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, (FRAMES, 1, width))


def shard(
    reference: np.ndarray,
    candidate: np.ndarray,
    labels: np.ndarray | None = None,
    border: float = BORDER,
    first: int = 0,
) -> Played:
    made = played([reference], [candidate], first_episode=first)
    return replace(made, border=border, labels=labels)


def judged(*parts: Played, **given: Any) -> tuple[Judged, Context]:
    given.setdefault("options", DECLARED)
    told = context(parts[0], **given)
    return MEASURE.judge(merged(MEASURE, [MEASURE.observe(p) for p in parts]), told), told


def test_the_same_logits_pass_and_nothing_is_said_without_labels() -> None:
    found, _ = judged(shard(logits(), logits()))
    (row,) = found.rows
    assert (row.name, row.value, row.verdict, row.n) == ("flips", 0.0, "PASS", FRAMES)
    assert found.findings == ()
    assert found.shown["classes"]["agreement"] == 1
    assert found.shown["classes"]["reference"]["accuracy"] is None


def test_a_flip_is_told_with_its_frame_and_the_clearest_comes_first() -> None:
    right = logits()
    wrong = right.copy()
    clear, faint = int(right[:, 0, 0].argmax()), int(np.argmin(np.where(right[:, 0, 0] > 0.5, right[:, 0, 0], np.inf)))
    wrong[[clear, faint]] *= -1
    found, _ = judged(shard(right, wrong))
    (row,) = found.rows
    assert (row.value, row.verdict) == (2 / FRAMES, "FAIL")
    (flips,) = [f for f in found.findings if f.code == "REPLAY068"]
    assert f"2 of {FRAMES} frames" in flips.title
    assert f"episode 0, frame {clear}" in flips.title
    assert f"then episode 0, frame {faint}" in flips.detail
    assert row.reason == flips.title
    assert [e[0] for e in found.shown["classes"]["examples"]] == [f"episode 0, frame {n}" for n in (clear, faint)]


@pytest.mark.parametrize("seed", range(20))
def test_flips_that_rounding_makes_at_the_border_pass(seed: int) -> None:
    rng = np.random.default_rng(seed)
    right = np.where(rng.random((FRAMES, 1, 1)) < 0.3, rng.normal(0, 1e-4, (FRAMES, 1, 1)), logits(seed))
    wrong = right + rng.uniform(-2e-4, 2e-4, right.shape)
    found, _ = judged(shard(right, wrong), limits=np.array([2e-4]))
    assert found.shown["classes"]["flips"] > 0
    assert found.rows[0].verdict == "PASS"
    assert found.findings == ()
    found, _ = judged(shard(right, wrong), limits=np.array([1e-5]))
    assert found.rows[0].verdict == "FAIL"


def test_the_border_may_lie_elsewhere_and_some_flips_may_be_allowed() -> None:
    right = logits()
    wrong = np.where((right > 0.2) & (right < 1), -right, right)
    assert judged(shard(right, wrong, border=-20.0))[0].rows[0].verdict == "PASS"
    some = {"classes": {"action": {"label": None, "threshold": 0.0, "flips": 0.5}}}
    assert judged(shard(right, wrong), options=some)[0].rows[0].verdict == "PASS"
    assert judged(shard(right, wrong))[0].rows[0].verdict == "FAIL"


def test_several_logits_are_classes_of_their_own() -> None:
    right = logits(width=4)
    assert judged(shard(right, right))[0].rows[0].verdict == "PASS"
    found, _ = judged(shard(right, np.roll(right, 1, axis=2)))
    assert (found.rows[0].value, found.rows[0].verdict) == (1.0, "FAIL")


def test_a_candidate_without_a_number_does_not_pass() -> None:
    right = logits()
    wrong = right.copy()
    wrong[int(np.abs(right[:, 0, 0]).argmax())] = np.nan
    found, _ = judged(shard(right, wrong))
    assert (found.rows[0].value, found.rows[0].verdict) == (1 / FRAMES, "FAIL")
    assert "not finite of the candidate" in found.findings[0].title


def test_what_was_not_measured_does_not_pass() -> None:
    nothing = np.full((FRAMES, 1, 1), np.nan)
    assert judged(shard(nothing, nothing))[0].rows[0].verdict == "NOT_JUDGED"
    bare = played([logits()], [logits()])  # an action, when it was replayed
    assert judged(bare)[0].rows[0].verdict == "NOT_JUDGED"


def test_an_action_is_not_judged_as_a_class() -> None:
    bare = played([logits()], [-logits()])
    assert judged(bare, options={})[0] == Judged(())
    assert not must_judge(MEASURE, sampled=False)


@pytest.mark.parametrize("back", [False, True])
def test_a_sigmoid_on_one_side_is_named(back: bool) -> None:
    plain = logits()
    chance = 1 / (1 + np.exp(-plain))
    sides = (chance, plain) if back else (plain, chance)
    found, _ = judged(shard(*sides))
    (finding,) = [f for f in found.findings if f.code == "REPLAY067"]
    assert ("gives the logit where" if back else "gives the probability where") in finding.title
    assert found.findings[0] is finding
    assert not [f for f in judged(shard(plain, plain / 4 + 0.5))[0].findings if f.code == "REPLAY067"]


def test_accuracy_and_calibration_are_those_of_guo_et_al() -> None:
    rng = np.random.default_rng(3)
    right = logits()
    chance = 1 / (1 + np.exp(-right[:, 0, 0]))
    labels = (rng.random(FRAMES) < chance).astype(float)
    found, _ = judged(shard(right, 3 * right, labels))
    sure = np.maximum(chance, 1 - chance)
    hit = (chance > 0.5) == (labels > 0)
    error = 0.0
    for m in range(1, 16):
        inside = (sure > (m - 1) / 15) & (sure <= m / 15)
        if inside.any():
            error += inside.mean() * abs(hit[inside].mean() - sure[inside].mean())
    assert found.shown["classes"]["reference"]["ece"] == pytest.approx(error)
    assert (
        found.shown["classes"]["reference"]["accuracy"]
        == found.shown["classes"]["candidate"]["accuracy"]
        == pytest.approx(hit.mean())
    )
    assert (
        found.shown["classes"]["candidate"]["ece"] > 2 * found.shown["classes"]["reference"]["ece"]
    )  # surer, and no better
    assert [f.code for f in found.findings] == ["REPLAY093"]
    assert sum(row[0] for row in found.shown["classes"]["reference"]["bins"]) == FRAMES


def test_labels_of_other_frames_are_warned_of() -> None:
    right = logits()
    labels = (right[:, 0, 0] > 0).astype(float)
    assert [f.code for f in judged(shard(right, right, labels))[0].findings] == ["REPLAY093"]
    found, _ = judged(shard(right, right, 1 - labels))
    assert [(f.code, f.severity) for f in found.findings] == [("REPLAY093", "info"), ("REPLAY069", "warning")]
    assert found.rows[0].verdict == "PASS"


def test_shards_in_any_grouping_end_with_the_same_state() -> None:
    labels = (logits(9)[:, 0, 0] > 0).astype(float)
    parts = [shard(logits(s), logits(s + 50), labels, first=s) for s in range(3)]
    states = [MEASURE.observe(p) for p in parts]
    one = MEASURE.merge(MEASURE.merge(states[0], states[1]), states[2])
    other = MEASURE.merge(states[0], MEASURE.merge(states[1], states[2]))
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-12, err_msg=name)
    assert int(one["frames"][0]) == 3 * FRAMES
    assert sum(a.nbytes for a in one.values()) < 40_000


def test_int8_may_flip_within_what_int8_may_be_off() -> None:
    right = logits()
    near = np.where(np.abs(right) < 0.3, -right, right)
    far = np.where(np.abs(right) < 2, -right, right)
    for wrong, verdict in ((near, "PASS"), (far, "FAIL")):
        assert judged(shard(right, wrong), limits=np.array([np.inf]))[0].rows[0].verdict == verdict


def test_no_labelled_frame_has_no_calibration() -> None:
    assert np.isnan(calibration_error(np.zeros((15, 3))))
