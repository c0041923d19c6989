"""Normalizers inside checkpoints and graphs: diffusion_policy, rsl_rl of all eras, TorchScript, ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity.checkpoint.weights import read_weights
from parity.errors import ArtifactError
from parity.stats.names import by_name
from parity.stats.registry import read_stats
from tensor_files import save_tensors

RSL = {
    "model_rsl233.pt": ("obs_norm_state_dict", "privileged_obs_norm_state_dict"),
    "model_rsl330.pt": ("model_state_dict.actor_obs_normalizer", "model_state_dict.critic_obs_normalizer"),
    "model_rsl551.pt": ("actor_state_dict.obs_normalizer", "critic_state_dict.obs_normalizer"),
}


@pytest.mark.parametrize("name", RSL)
def test_rsl_rl_of_every_era(corpus: Path, name: str) -> None:
    torch = pytest.importorskip("torch")
    path = corpus / "made/rsl-rl" / name
    (stats,) = read_stats(path)
    assert (stats.kind, stats.era, stats.facts["step"]) == ("rsl_rl", "rsl_rl", 29)
    assert list(stats.features) == ["obs", "critic_obs"]
    raw = torch.load(path, map_location="cpu", weights_only=False)
    for key, prefix in zip(stats.features, RSL[name], strict=True):
        outer, _, inner = prefix.partition(".")
        held = {k.removeprefix(f"{inner}." if inner else ""): v for k, v in raw[outer].items()}
        one = stats.features[key]
        for ours, theirs in (("mean", "_mean"), ("std", "_std")):
            np.testing.assert_array_equal(one.values[ours], held[theirs].double().numpy()[0])
            assert one.sources[ours] == f"{name}: {prefix}.{theirs}"
        assert (one.count, one.mode, one.eps) == (int(held["count"]), "MEAN_STD", 0.01)


def test_an_export_has_the_statistics_of_its_checkpoint(corpus: Path) -> None:
    folder = corpus / "made/rsl-rl"
    (trained,) = read_stats(folder / "model_rsl551.pt")
    (script,) = read_stats(folder / "policy_rsl551_jit.pt")
    (graph,) = read_stats(folder / "policy_rsl551.onnx")
    ours = trained.features["obs"]
    assert script.features["obs"].eps == pytest.approx(0.01)  # written in the file
    for name in ("mean", "std"):
        np.testing.assert_array_equal(script.features["obs"].values[name], ours.values[name])
    baked = by_name(graph)["observation"]
    assert (baked.eps, graph.facts["eps_in_std"]) == (0.0, True)
    np.testing.assert_allclose(baked.values["mean"], ours.values["mean"], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(baked.values["std"], ours.values["std"] + 0.01, rtol=1e-6)


def test_a_graph_without_a_normalizer_holds_no_statistics(corpus: Path) -> None:
    with pytest.raises(ArtifactError, match="recognized as onnx"):
        read_stats(corpus / "pairs/kscale_standing_pass/policy.onnx")
    with pytest.raises(ArtifactError, match="recognized as onnx"):
        read_stats(corpus / "derived/ogre_15af4916_pass_normaliser_stripped/policy.onnx")


def test_a_real_workspace(corpus: Path) -> None:
    path = corpus / "made/checkpoints/dp_workspace.ckpt"
    (stats,) = read_stats(path)
    assert (stats.kind, stats.era, stats.chunk) == ("diffusion_policy", "diffusion_policy", 16)
    raw = read_weights(path)["state_dicts.model.normalizer.params_dict.action.scale"].array
    np.testing.assert_array_equal(stats.features["action"].values["scale"], raw)
    assert [d.name for d in stats.declared if d.output] == ["action"]


PARTS = {"scale": [2.0, 1.0], "offset": [-1.0, 0.0]}
INPUT = {"min": [0.0, -1.0], "max": [1.0, 1.0], "mean": [0.5, 0.0], "std": [0.25, 0.5]}


def normalizer(prefix: str, keys: tuple[str, ...] = ("action", "agent_pos"), shift: float = 0.0) -> dict[str, Any]:
    start = f"{prefix}params_dict."
    found = {f"{start}{k}.{n}": np.array(v) + shift for k in keys for n, v in PARTS.items()}
    return {**found, **{f"{start}{k}.input_stats.{n}": np.array(v) for k in keys for n, v in INPUT.items()}}


@pytest.mark.parametrize("prefix", ["normalizer.", "model.normalizer.", ""])
def test_a_linear_normalizer_in_converted_weights(tmp_path: Path, prefix: str) -> None:
    path = save_tensors(tmp_path / "policy.safetensors", {"w": [1.0], **normalizer(prefix)})
    (stats,) = read_stats(path)
    assert list(stats.features) == ["action", "agent_pos"]
    one = stats.features["action"]
    assert {n: v.tolist() for n, v in one.values.items()} == {**PARTS, **INPUT}
    assert one.mode == "LINEAR"
    assert one.sources["offset"] == f"policy.safetensors: {prefix}params_dict.action.offset"
    assert one.sources["min"] == f"policy.safetensors: {prefix}params_dict.action.input_stats.min"


def test_two_weight_sets_with_one_normalizer_are_one_source_and_with_two_are_two(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    def save(shift: float, *, ema: bool) -> Path:
        sets = {
            n: {k: torch.tensor(v) for k, v in normalizer("normalizer.", shift=s).items()}
            for n, s in (("model", 0.0), ("ema_model", shift))
        }
        path = tmp_path / "latest.ckpt"
        torch.save({"cfg": {"training": {"use_ema": ema}}, "state_dicts": sets, "pickles": {}}, path)
        return path

    (same,) = read_stats(save(0.0, ema=True))
    assert same.facts["weight_set"] == "ema_model"
    first, second = read_stats(save(1.0, ema=True))
    assert (first.facts["weight_set"], second.facts["weight_set"]) == ("ema_model", "model")
    assert Path(second.label).name == "latest.ckpt [model]"
    assert read_stats(save(1.0, ema=False))[0].facts["weight_set"] == "model"


def test_running_variances_and_batch_norm_are_told_apart(tmp_path: Path) -> None:
    weights = {
        "running_mean_std.running_mean": [1.0, 2.0],
        "running_mean_std.running_var": [4.0, 9.0],
        "encoder.1.running_mean": [0.0, 0.0],
        "encoder.1.running_var": [1.0, 1.0],
    }
    torch = pytest.importorskip("torch")
    torch.save({"model": {k: torch.tensor(v) for k, v in weights.items()}}, tmp_path / "a.pth")
    (stats,) = read_stats(tmp_path / "a.pth")
    assert list(stats.features) == ["obs"]
    assert {n: v.tolist() for n, v in stats.features["obs"].values.items()} == {"mean": [1.0, 2.0], "std": [2.0, 3.0]}
    assert (stats.era, stats.features["obs"].eps) == (None, None)


def test_what_scales_rewards_is_no_observation(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    held = {"_mean": torch.zeros(1, 2), "_std": torch.ones(1, 2)}
    rnd = {f"state_normalizer.{k}": v for k, v in held.items()}
    actor = {f"obs_normalizer.{k}": v + 1 for k, v in held.items()}
    torch.save({"rnd_state_dict": rnd, "actor_state_dict": actor, "infos": None}, tmp_path / "model_1.pt")
    (stats,) = read_stats(tmp_path / "model_1.pt")
    assert list(stats.features) == ["rnd_state_dict.state_normalizer", "obs"]
    assert stats.features["obs"].values["std"].tolist() == [2.0, 2.0]
