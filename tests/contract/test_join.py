"""Joining: the first stays, the others fill in, and each field says who told it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import parity.contract.join as joining
from parity.contract import Contract, Normalization, Sampler, Window
from parity.contract.join import join, with_siblings
from parity.errors import UsageError
from parity.tensor import Range, TensorSpec

SCRIPT = Contract(Path("policy.pt"), "torchscript", inputs=(TensorSpec("x"),), complete=False)
ONNX = Contract(
    Path("policy.onnx"),
    "onnx",
    inputs=(TensorSpec("obs", (1, 45), "float32", "state"),),
    outputs=(TensorSpec("actions", (1, 12), "float32", "action"),),
    precision="float16",
    metadata={"opset": 17},
)
DEPLOY = Contract(
    Path("config.yaml"),
    "deploy_yaml",
    inputs=(TensorSpec("obs", (45,), role="state", batched=False),),
    outputs=(TensorSpec("actions", (12,), role="action", batched=False, elements=tuple("abcdefghijkl")),),
    window=Window(control_hz=50.0),
    metadata={"action_scale": 0.25},
    complete=False,
)
STATS = Range("mean_std", (0.0,) * 45, (1.0,) * 45, (45,), "model.pt: obs_normalizer")


def test_torchscript_takes_names_and_shapes_from_its_partner() -> None:
    joined = join([SCRIPT, ONNX])
    assert (joined.path, joined.kind, joined.complete) == (SCRIPT.path, "torchscript", True)
    assert joined.inputs == ONNX.inputs
    assert joined.outputs == ONNX.outputs
    assert joined.precision is None  # the candidate's class is not the reference's
    told = joined.metadata["told_by"]
    assert told["inputs.obs.shape"] == told["inputs.obs.name"] == told["outputs.actions.dtype"] == "policy.onnx"


def test_a_complete_reference_keeps_its_names() -> None:
    other = replace(ONNX, inputs=(TensorSpec("observation", (1, 45)),))
    assert join([ONNX, other]).inputs[0].name == "obs"
    generated = replace(ONNX, inputs=(TensorSpec("onnx::Gemm_0", (1, 45)),), path=Path("gen.onnx"))
    assert join([generated, ONNX]).inputs[0].name == "onnx::Gemm_0"


def test_names_that_mean_something_stay_in_torchscript_too() -> None:
    named = replace(SCRIPT, inputs=(TensorSpec("proprio"),))
    assert join([named, ONNX]).inputs[0].name == "proprio"


def test_torchscript_with_a_config_alone() -> None:
    joined = join([SCRIPT, DEPLOY])
    assert joined.inputs[0].name == "obs"
    assert joined.inputs[0].shape == ("batch", 45)
    assert joined.inputs[0].batched
    assert joined.outputs[0].shape == ("batch", 12)
    assert joined.outputs[0].elements == tuple("abcdefghijkl")
    assert joined.window.control_hz == 50.0
    assert joined.metadata["action_scale"] == 0.25
    assert joined.metadata["told_by"]["metadata.action_scale"] == "config.yaml"
    assert joined.complete


def test_a_bare_feature_gets_time_where_the_policy_observes_several_steps() -> None:
    script = replace(SCRIPT, window=Window(n_obs_steps=2))
    assert join([script, DEPLOY]).inputs[0].shape == ("batch", 2, 45)


def test_a_range_is_found_in_any_of_them() -> None:
    with_range = replace(DEPLOY, inputs=(replace(DEPLOY.inputs[0], range=STATS),))
    joined = join([SCRIPT, ONNX, with_range])
    assert joined.inputs[0].range == STATS
    assert joined.metadata["told_by"]["inputs.obs.range"] == STATS.source


@pytest.mark.parametrize(
    ("mine", "theirs", "joined"),
    [
        (("batch", 45), (1, 45), (1, 45)),
        ((1, 45), ("batch", 45), (1, 45)),
        ((None, "n"), ("batch", None), ("batch", "n")),
        ((1, 45), (1, 48), (1, 45)),
        ((1, 45), (1, 1, 45), (1, 45)),
        (None, (1, 45), (1, 45)),
        ((1, 45), None, (1, 45)),
    ],
)
def test_shapes(mine: Any, theirs: Any, joined: Any) -> None:
    a, b = replace(ONNX, inputs=(TensorSpec("obs", mine),)), replace(ONNX, inputs=(TensorSpec("obs", theirs),))
    assert join([a, b]).inputs[0].shape == joined


def test_a_graph_joined_to_bare_features_has_the_batch_axis_whoever_comes_first() -> None:
    graph = replace(ONNX, inputs=(TensorSpec("obs", ("batch", 2, None)),))
    bare = replace(ONNX, inputs=(TensorSpec("obs", (45,), batched=False),))
    for pair in ([graph, bare], [bare, graph]):
        assert join(pair).inputs[0].shape == ("batch", 2, 45)
        assert join(pair).inputs[0].batched


def test_the_first_says_wins_and_references_resolve() -> None:
    a = replace(ONNX, window=Window(n_obs_steps="${n_obs_steps}", horizon=16), policy="diffusion")
    b = replace(ONNX, path=Path("b"), window=Window(n_obs_steps=2, horizon=32), policy="act")
    joined = join([a, b])
    assert joined.window == Window(n_obs_steps=2, horizon=16)
    assert joined.policy == "diffusion"
    assert joined.metadata["told_by"]["window.n_obs_steps"] == "b"


def test_sampler_and_normalization_fill_in() -> None:
    a = replace(ONNX, sampler=Sampler(scheduler="DDIM"), normalization=Normalization({"STATE": "MIN_MAX"}, ("a",)))
    b = replace(
        ONNX,
        sampler=Sampler(scheduler="DDPM", train_steps=100),
        normalization=Normalization({"STATE": "MEAN_STD", "ACTION": "MEAN_STD"}, ("a", "b")),
    )
    joined = join([a, b])
    assert joined.sampler == Sampler(scheduler="DDIM", train_steps=100)
    assert joined.normalization == Normalization({"STATE": "MIN_MAX", "ACTION": "MEAN_STD"}, ("a", "b"))
    assert join([ONNX, b]).sampler == b.sampler


def test_one_alone_is_itself() -> None:
    joined = join([ONNX])
    assert replace(joined, metadata=ONNX.metadata) == ONNX
    assert joined.metadata["told_by"]["inputs.obs.shape"] == "policy.onnx"


def test_nothing_cannot_be_joined() -> None:
    with pytest.raises(UsageError):
        join([])


def test_a_tensor_of_the_candidate_alone_is_not_added_to_a_known_graph() -> None:
    more = replace(ONNX, inputs=(*ONNX.inputs, TensorSpec("mask", (1, 3), "bool", "mask")))
    assert [t.name for t in join([ONNX, more]).inputs] == ["obs"]


def test_a_sibling_that_contradicts_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = replace(DEPLOY, inputs=(TensorSpec("obs", (48,), role="state", batched=False),))
    monkeypatch.setattr(joining, "read_siblings", lambda path: ([wrong], []))
    joined = with_siblings(ONNX)
    assert [f.code for f in joined.findings] == ["INSP022"]
    assert "45" in joined.findings[0].title
    assert "48" in joined.findings[0].title
    assert "nothing is taken" in joined.findings[0].title
    assert joined.inputs[0].shape == (1, 45)
    assert joined.window.control_hz is None


def test_a_sibling_of_another_rate_still_fills_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "read_siblings", lambda path: ([DEPLOY], []))
    joined = with_siblings(replace(ONNX, window=Window(control_hz=30.0)))
    assert [f.code for f in joined.findings] == ["INSP022"]
    assert joined.window.control_hz == 30.0
    assert joined.metadata["action_scale"] == 0.25


def test_who_told_survives_a_second_join(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "read_siblings", lambda path: ([DEPLOY], []))
    told = with_siblings(join([SCRIPT, ONNX])).metadata["told_by"]
    assert told["inputs.obs.shape"] == "policy.onnx"
    assert told["window.control_hz"] == "config.yaml"


def test_without_siblings_nothing_changes(tmp_path: Path) -> None:
    assert with_siblings(replace(ONNX, path=tmp_path / "p.onnx")).inputs == ONNX.inputs
