"""How sides are driven: what users, artifacts and shapes say, in that order, and what contradicts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from parity.contract.model import Contract, Sampler, Window
from parity.contract.registry import read_contract
from parity.errors import UsageError
from parity.finding import Finding
from parity.replay.model import Timing
from parity.replay.timing import disagreements, doubts, timing_of, told_of


def contract(policy: str | None = None, name: str = "a", **given: Any) -> Contract:
    fields = {k: given.pop(k) for k in ("metadata", "sampler") if k in given}
    return Contract(Path(name), "lerobot", policy, window=Window(**given), **fields)


DIFFUSION = contract("diffusion", n_obs_steps=2, horizon=16, n_action_steps=8)
ACT = contract("act", n_obs_steps=1, chunk_size=100, n_action_steps=100)
SILENT = Contract(Path("x.onnx"), "onnx")


@pytest.mark.parametrize(
    ("steps_out", "first", "count"),
    [
        (16, 1, 8),  # the whole horizon: its first step lies in the past
        (8, 0, 8),  # cut in the graph already
        (15, 0, 8),  # the horizon from the current step on
        (9, 1, 8),  # cut at its end only
        (1, 0, 1),
    ],
)
def test_the_executed_slice_of_a_diffusion_policy(steps_out: int, first: int, count: int) -> None:
    timing = timing_of(DIFFUSION, steps_out, {})
    assert (timing.n_obs_steps, timing.first, timing.n_action_steps) == (2, first, count)
    assert told_of(DIFFUSION, steps_out, {}).start


@pytest.mark.parametrize(
    ("policy", "config", "first"),
    [
        ("DiffusionUnetHybridImagePolicy", {}, 2),
        ("DiffusionTransformerHybridImagePolicy", {}, 2),
        ("DiffusionUnetLowdimPolicy", {"oa_step_convention": True}, 2),
        ("DiffusionUnetLowdimPolicy", {}, 3),
        ("DiffusionUnetTimmPolicy", {}, 0),
        ("RobomimicImagePolicy", {}, 0),
        ("vqbet", {}, 0),
        ("tdmpc", {}, 0),
    ],
)
def test_what_lies_in_the_past_is_what_each_framework_cuts(policy: str, config: Mapping[str, Any], first: int) -> None:
    told = contract(policy, n_obs_steps=3, horizon=16, n_action_steps=8, metadata={"config": config})
    assert timing_of(told, 16, {}).first == first


def test_act_executes_its_chunk_from_the_current_step() -> None:
    assert timing_of(ACT, 100, {}) == Timing(1, 0, 100)
    half = contract("act", n_obs_steps=1, chunk_size=100, n_action_steps=50)
    assert timing_of(half, 100, {}) == Timing(1, 0, 50)


def test_temporal_ensembling_asks_at_every_frame() -> None:
    act = contract("act", chunk_size=100, n_action_steps=1, metadata={"config": {"temporal_ensemble_coeff": 0.01}})
    assert timing_of(act, 100, {}) == Timing(1, 0, 1, 0.01)
    assert timing_of(act, 100, {"ensemble": False}) == Timing(1, 0, 1)
    assert timing_of(ACT, 100, {"ensemble": 0.0}) == Timing(1, 0, 1, 0.0)
    assert timing_of(act, 1, {}).ensemble is None
    off = contract("act", chunk_size=100, n_action_steps=9, metadata={"config": {"temporal_ensemble_coeff": None}})
    assert timing_of(off, 100, {}) == Timing(1, 0, 9)


def test_the_momentum_of_old_lerobot_is_told_and_not_replayed() -> None:
    act = contract("act", n_action_steps=1, metadata={"config": {"temporal_ensemble_momentum": 0.9}})
    told = told_of(act, 100, {})
    assert told.timing.ensemble is None
    assert codes(doubts(told, "reference")) == ["TIME012"]


def test_what_an_export_does_not_say_the_policy_says() -> None:
    assert timing_of(SILENT, 16, {}, DIFFUSION) == timing_of(DIFFUSION, 16, {})
    assert timing_of(SILENT, 8, {}, DIFFUSION) == Timing(2, 0, 8)
    own = contract(None, n_action_steps=4)
    assert timing_of(own, 16, {}, DIFFUSION) == Timing(2, 1, 4)


def test_references_that_are_not_resolved_say_nothing() -> None:
    told = told_of(contract("diffusion", n_obs_steps="${n_obs_steps}", n_action_steps="${n}"), 8, {})
    assert told.timing == Timing(1, 0, 8)
    assert told.unsaid


def test_the_user_comes_first_and_it_is_said() -> None:
    settings = {"n_obs_steps": 1, "first": 3, "n_action_steps": 2, "control_hz": 20.0}
    told = told_of(DIFFUSION, 16, settings)
    assert told.timing == Timing(1, 3, 2, None, 20.0)
    assert codes(doubts(told, "ort")) == ["TIME011", "TIME011"]
    assert "drives ort with n_obs_steps = 1; its own configuration says 2" in doubts(told, "ort")[0].title
    assert doubts(told_of(DIFFUSION, 16, {"n_action_steps": 8}), "ort") == ()


def test_more_actions_than_there_are_is_an_error() -> None:
    told = told_of(contract("gr00t", chunk_size=16, n_action_steps=24), 16, {})
    assert told.timing == Timing(1, 0, 16)
    (found,) = doubts(told, "ort")
    assert (found.code, found.severity) == ("TIME009", "error")
    assert "24 actions" in found.title
    late = told_of(DIFFUSION, 16, {"first": 12})
    assert late.timing.n_action_steps == 4
    assert codes(doubts(late, "ort")) == ["TIME009"]


def test_a_first_step_beyond_the_chunk_is_refused() -> None:
    with pytest.raises(UsageError, match="first = 16: the policy gives 16 actions, 0 to 15"):
        timing_of(DIFFUSION, 16, {"first": 16})


def test_a_slice_that_nothing_explains_is_a_warning() -> None:
    told = told_of(contract("diffusion", n_obs_steps=2, n_action_steps=8), 12, {})
    assert told.timing == Timing(2, 1, 8)
    assert codes(doubts(told, "ort")) == ["TIME008"]
    assert doubts(told_of(DIFFUSION, 16, {}), "ort") == ()


def test_a_chunk_of_which_nothing_says_how_much_is_executed_is_told() -> None:
    assert codes(doubts(told_of(SILENT, 16, {}), "reference")) == ["TIME010"]
    assert doubts(told_of(SILENT, 1, {}), "reference") == ()


def test_rates_are_found_in_windows_and_metadata() -> None:
    assert timing_of(contract(control_hz=50.0), 1, {}).control_hz == 50.0
    assert timing_of(contract(metadata={"step_dt": 0.02}), 1, {}).control_hz == pytest.approx(50.0)
    assert timing_of(SILENT, 1, {}, contract(control_hz=50.0)).control_hz is None


def codes(findings: tuple[Finding, ...]) -> list[str]:
    return [f.code for f in findings]


def test_sides_that_are_driven_alike_raise_nothing() -> None:
    timing = Timing(2, 1, 8, None, 10.0)
    assert disagreements(timing, timing, 10.0) == ()
    assert disagreements(timing, Timing(2, 1, 8), 10.0, (DIFFUSION, SILENT)) == ()
    assert disagreements(Timing(control_hz=29.97), Timing(control_hz=30.0), 30.0) == ()
    assert disagreements(Timing(control_hz=10.0), Timing(control_hz=10.0), None) == ()


@pytest.mark.parametrize(
    ("candidate", "code", "words"),
    [
        (Timing(1, 1, 8), "TIME001", "shown 2 observations at once, the candidate 1"),
        (Timing(2, 0, 8), "TIME002", "step 0 of the candidate's: its actions lag by 1 step (0.1 s)"),
        (Timing(2, 3, 8), "TIME002", "run ahead by 2 steps (0.2 s)"),
        (Timing(2, 1, 16), "TIME003", "executes 8 (0.8 s) actions before it is asked again, the candidate 16 (1.6 s)"),
        (Timing(2, 1, 1, 0.01), "TIME004", "ensembled over its chunks (coefficient 0.01)"),
    ],
)
def test_sides_that_are_driven_differently_are_an_error(candidate: Timing, code: str, words: str) -> None:
    (found,) = disagreements(Timing(2, 1, 8), candidate, 10.0)
    assert (found.code, found.severity) == (code, "error")
    assert words in found.title


def test_rates_that_differ_are_an_error_and_from_the_dataset_a_warning() -> None:
    found = disagreements(Timing(control_hz=30.0), Timing(control_hz=15.0), 30.0)
    assert [(f.code, f.severity) for f in found] == [("TIME005", "error"), ("TIME006", "warning")]
    assert "The candidate acts at 15 Hz, and the dataset was recorded at 30 frames per second" in found[1].title
    assert "0.5 times the speed" in found[1].title
    (both,) = disagreements(Timing(control_hz=50.0), Timing(control_hz=50.0), 30.0)
    assert both.title.startswith("Both sides act at 50 Hz")


def test_what_contracts_contradict_is_said_once_in_their_words() -> None:
    other = contract("diffusion", "b", n_obs_steps=2, horizon=16, n_action_steps=4)
    found = disagreements(timing_of(DIFFUSION, 16, {}), timing_of(other, 16, {}), 10.0, (DIFFUSION, other))
    assert codes(found) == ["INSP008"]
    settled = {"n_action_steps": 4}
    timings = [timing_of(c, 16, settled) for c in (DIFFUSION, other)]
    assert disagreements(*timings, 10.0, (DIFFUSION, other)) == ()


def test_samplers_that_differ_are_said() -> None:
    trained = contract("diffusion", "a", sampler=Sampler("DDPM", 100, 100, prediction_type="epsilon", clip_sample=True))
    shipped = contract("diffusion", "b", sampler=Sampler("DDIM", 100, 10, prediction_type="sample", clip_sample=True))
    found = disagreements(Timing(), Timing(), 10.0, (trained, shipped))
    assert {f.where for f in found} == {
        "sampler.scheduler",
        "sampler.inference_steps",
        "sampler.prediction_type",
    }
    assert {f.code for f in found} == {"INSP012"}


def isaac(**terms: int) -> Contract:
    return contract(name="env.yaml", metadata={"format": "isaac lab environment", "observation_history": terms})


def rl_sar(numbers: list[int], **more: Any) -> Contract:
    return contract(name="config.yaml", metadata={"observations_history": numbers, **more})


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        (rl_sar([2, 1, 0]), ["term by term on the reference's side, frame by frame on the candidate's"]),
        (rl_sar([0, 1, 2]), ["term by term", "oldest first on the reference's side, newest first on the candidate's"]),
        (rl_sar([0, 1, 2], observations_history_priority="time"), ["term by term"]),
        (isaac(joint_pos=5), ["3 steps on the reference's side, 5 on the other"]),
    ],
)
def test_histories_that_are_laid_out_differently_are_an_error(candidate: Contract, words: list[str]) -> None:
    (found,) = disagreements(Timing(), Timing(), None, (isaac(joint_pos=3, actions=1), candidate))
    assert (found.code, found.severity) == ("TIME007", "error")
    assert all(w in found.title for w in words)


def test_histories_that_agree_or_are_not_told_raise_nothing() -> None:
    same = rl_sar([2, 1, 0], observations_history_priority="term")
    assert disagreements(Timing(), Timing(), None, (isaac(joint_pos=3), same)) == ()
    assert disagreements(Timing(), Timing(), None, (isaac(joint_pos=3), SILENT)) == ()
    assert disagreements(Timing(), Timing(), None, (isaac(joint_pos=1), rl_sar([0, 1]))) == ()
    assert disagreements(Timing(), Timing(), None, (rl_sar([1, 0]), rl_sar([1, 0]))) == ()


@pytest.mark.parametrize("coefficient", [0.01, None])
def test_a_lerobot_folder_is_read_as_it_is_written(tmp_path: Path, coefficient: float | None) -> None:
    import json

    config = {
        "type": "act",
        "n_obs_steps": 1,
        "chunk_size": 20,
        "n_action_steps": 1 if coefficient is not None else 10,
        "temporal_ensemble_coeff": coefficient,
        "input_features": {"observation.state": {"type": "STATE", "shape": [6]}},
        "output_features": {"action": {"type": "ACTION", "shape": [6]}},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    timing = timing_of(read_contract(tmp_path / "config.json"), 20, {})
    assert timing == Timing(1, 0, 10 if coefficient is None else 1, coefficient)
