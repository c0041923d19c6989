"""Pipelines of which only statistics are known: openpi, diffusion_policy, rsl_rl; what is missing is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from parity.checkpoint.checkpoint import read_checkpoint
from parity.contract.model import Contract
from parity.errors import ArtifactError, UsageError
from parity.runner.compose import compose
from parity.stats.pipeline import read_pipeline
from parity.stats.steps import Cast, Rename, Window
from parity.tensor import TensorSpec

MEAN = {"mean": [1.0, 2.0], "std": [2.0, 4.0], "q01": [-1.0, -2.0], "q99": [3.0, 6.0]}


def norm_stats(path: Path, **keys: Any) -> Path:
    path.write_text(json.dumps({"norm_stats": keys or {"state": MEAN, "actions": MEAN}}))
    return path


def pi0(path: Path) -> Contract:
    """The contract of a graph as wide as the model, fed and giving normalized numbers."""
    return Contract(
        path,
        "onnx",
        inputs=(
            TensorSpec("state", ("batch", 32), "float32", "state"),
            TensorSpec("noise", (1, 5, 32), "float32", "noise"),
        ),
        outputs=(TensorSpec("actions", ("batch", 5, 32), "float32", "action"),),
    )


def test_openpi_normalizes_pads_and_unnormalizes(tmp_path: Path) -> None:
    pipeline = read_pipeline(norm_stats(tmp_path / "norm_stats.json"), {"mode": "QUANTILES"})
    assert pipeline.era == "openpi"
    composed = compose(pipeline, pi0(tmp_path / "pi0.onnx"), {})
    assert [(t.name, t.shape) for t in composed.contract.inputs] == [("state", ("batch", 2)), ("noise", (1, 5, 32))]
    assert composed.contract.inputs[0].range is not None
    assert composed.contract.inputs[0].range.kind == "quantiles"
    assert [s["step"] for s in composed.composition.as_json()["before"]] == ["normalize", "pad"]
    noise = np.ones((3, 1, 5, 32), np.float32)
    state = np.array([[[-1.0, 6.0]], [[3.0, -2.0]], [[1.0, 2.0]]], np.float32)
    fed = composed.composition.inputs({"state": state, "noise": noise})
    assert fed["state"].dtype == np.float32
    np.testing.assert_allclose(fed["state"][:, 0, :2], [[-1, 1], [1, -1], [0, 0]], atol=1e-6)
    assert not fed["state"][..., 2:].any()
    assert fed["noise"] is noise
    given = np.full((3, 1, 5, 32), 0.5, np.float32)
    actions = composed.composition.outputs({"actions": given})["actions"]
    np.testing.assert_allclose(np.asarray(actions)[0, 0, 0, :3], [2.0, 4.0, 0.5], atol=1e-5)
    assert np.asarray(actions).dtype == np.float32  # computed in float64, given as the graph gives


def test_the_mode_that_a_file_does_not_say_is_asked_for(tmp_path: Path) -> None:
    path = norm_stats(tmp_path / "norm_stats.json")
    with pytest.raises(UsageError, match="does not say how state is normalized"):
        read_pipeline(path)
    with pytest.raises(UsageError, match="moed: no such setting"):
        read_pipeline(path, {"moed": "MEAN_STD"})
    with pytest.raises(ArtifactError, match="no statistics for 'states', by which x is"):
        read_pipeline(path, {"mode": "MEAN_STD", "inputs": {"x": "states"}})


def test_index_columns_are_refused_as_openpi_refuses_them(tmp_path: Path) -> None:
    path = norm_stats(tmp_path / "norm_stats.json", state=MEAN, actions=MEAN, episode_index=MEAN, **{"a/index": MEAN})
    with pytest.raises(ArtifactError, match="episode_index, a/index, which no policy takes"):
        read_pipeline(path, {"mode": "MEAN_STD"})
    said = {"mode": "MEAN_STD", "inputs": {"state": "state"}, "outputs": {"actions": "actions"}}
    assert read_pipeline(path, said).era == "openpi"


def test_statistics_of_what_the_graph_does_not_have(tmp_path: Path) -> None:
    path = norm_stats(tmp_path / "norm_stats.json", state=MEAN, gripper=MEAN, actions=MEAN)
    with pytest.raises(ArtifactError, match=r"statistics of gripper, which is nothing that pi0\.onnx has"):
        compose(read_pipeline(path, {"mode": "MEAN_STD"}), pi0(tmp_path / "pi0.onnx"), {})


def test_a_diffusion_policy_normalizer(tmp_path: Path) -> None:
    names = {"obs.scale": 0.5, "obs.offset": -1.0, "action.scale": 0.25, "action.offset": 0.5}
    weights = {f"normalizer.params_dict.{n}": np.full(3, v, np.float32) for n, v in names.items()}
    save_file(weights, tmp_path / "policy.safetensors")
    pipeline = read_pipeline(tmp_path / "policy.safetensors")
    assert pipeline.era == "diffusion_policy"
    x = np.array([[0.0, 2.0, 4.0]], np.float32)
    np.testing.assert_array_equal(pipeline.inputs({"obs": x})["obs"], [[-1, 0, 1]])
    np.testing.assert_array_equal(pipeline.outputs({"action": x})["action"], [[-2, 6, 14]])
    with pytest.raises(ArtifactError, match="normalizes obs, and there is no such array"):
        pipeline.inputs({"image": x})


def elu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


@pytest.mark.corpus
@pytest.mark.parametrize("version", ["233", "330", "551"])
def test_an_rsl_rl_normalizer_around_its_actor_gives_the_golden_actions(corpus: Path, version: str) -> None:
    """2.x keeps the normalizer beside the policy, 3.x and later inside: the same pipeline in all."""
    path = corpus / "made" / "rsl-rl" / f"model_rsl{version}.pt"
    golden = load_file(path.with_name(f"model_rsl{version}_golden.safetensors"))
    pipeline = read_pipeline(path)
    assert pipeline.era == "rsl_rl"
    assert pipeline.after == ()
    weights = read_checkpoint(path).weights
    names = [n for n in weights if n.endswith("weight") and "critic" not in n and "optimizer" not in n]
    x = pipeline.inputs({"obs": golden["obs"]})["obs"]
    assert np.abs(x - golden["obs"]).max() > 0.1
    for k, name in enumerate(names):
        w, b = (weights[n].as_float() for n in (name, name.removesuffix("weight") + "bias"))
        x = x @ w.T + b
        x = elu(x) if k < len(names) - 1 else x
    np.testing.assert_allclose(x, golden["action"], rtol=0, atol=2e-6 * np.abs(golden["action"]).max())


def test_steps_say_what_they_lack() -> None:
    x = {"a": np.zeros((2, 1, 3), np.float32)}
    windowed = Window(4, {"a": 1}, 2).apply(x)
    assert windowed["a"].shape == (2, 1, 4, 3)
    assert Window(4, {"a": 1}, 2).apply(windowed)["a"].shape == (2, 1, 4, 3)
    with pytest.raises(ArtifactError, match=r"a has shape \(1, 4, 3\)"):
        Window(5, {"a": 1}, 2).apply(windowed)
    with pytest.raises(ArtifactError, match="renames two arrays to 'b'"):
        Rename({"a": "b"}).apply({**x, "b": x["a"]})
    cast = Cast("float16").apply({**x, "i": np.arange(3)})
    assert (cast["a"].dtype.name, cast["i"].dtype.name) == ("float16", "int64")
