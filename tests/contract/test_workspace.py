"""Workspace checkpoints of diffusion_policy: the configuration inside, the normalizer of what is evaluated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from parity.artifact import recognize
from parity.contract import Contract, Window
from parity.contract.shape_meta import READER
from parity.errors import ArtifactError

CFG = {
    "shape_meta": {"obs": {"agent_pos": {"shape": [2], "type": "low_dim"}}, "action": {"shape": [2]}},
    "horizon": 16,
    "n_obs_steps": 2,
    "policy": {"_target_": "a.b.Policy", "horizon": "${horizon}", "n_action_steps": 8},
    "training": {"use_ema": True},
}


def state(low: float) -> dict[str, Any]:
    torch = pytest.importorskip("torch")
    stats = "normalizer.params_dict.{}.input_stats.{}"
    return {
        "net.weight": torch.zeros(3, 3),
        "normalizer.params_dict.action.scale": torch.ones(2),
        stats.format("action", "min"): torch.full((2,), low),
        stats.format("action", "max"): torch.full((2,), 5.0),
        stats.format("agent_pos", "min"): torch.zeros(3),
        stats.format("agent_pos", "max"): torch.ones(3),
    }


def read(path: Path, content: Any) -> Contract:
    torch = pytest.importorskip("torch")
    torch.save(content, path)
    artifact = recognize(path)
    assert artifact.kind == "checkpoint"
    assert READER.matches(artifact)
    return READER.read(artifact)


def test_ranges_come_from_the_weights_that_are_evaluated(tmp_path: Path) -> None:
    dicts = {"model": state(1.0), "ema_model": state(2.0)}
    contract = read(tmp_path / "latest.ckpt", {"cfg": CFG, "state_dicts": dicts, "pickles": {}})
    assert (contract.kind, contract.policy) == ("diffusion_policy", "Policy")
    assert contract.window == Window(2, 16, None, 8)
    action = contract.outputs[0].range
    assert action is not None
    assert (action.kind, action.first, action.second) == ("min_max", (2.0, 2.0), (5.0, 5.0))
    assert action.source == "latest.ckpt: state_dicts.ema_model.normalizer.params_dict.action"
    assert contract.metadata["trees"] == ["ema_model", "model"]
    assert contract.metadata["evaluated"] == "ema_model"
    assert (contract.metadata["epoch"], contract.metadata["step"]) == (None, None)
    assert "training_log" not in contract.metadata
    assert contract.inputs[0].range is None
    assert [f.code for f in contract.findings] == ["CONTRACT006"]
    plain = read(tmp_path / "b.ckpt", {"cfg": {**CFG, "training": {"use_ema": False}}, "state_dicts": dicts})
    assert plain.outputs[0].range is not None
    assert plain.outputs[0].range.first == (1.0, 1.0)
    silent = read(tmp_path / "c.ckpt", {"cfg": {**CFG, "training": {}}, "state_dicts": dicts})
    assert silent.metadata["evaluated"] is None


def test_scale_and_offset_of_what_is_evaluated_are_told(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    name = "normalizer.params_dict.{}.{}"
    whole = {name.format("action", "scale"): torch.tensor([0.5, 4.0]), name.format("action", "offset"): torch.ones(2)}
    broken = {name.format("agent_pos", "scale"): torch.tensor([float("inf"), 1.0])}
    broken[name.format("agent_pos", "offset")] = torch.ones(2)
    dicts = {"model": state(1.0), "ema_model": {**state(2.0), **whole, **broken}}
    contract = read(tmp_path / "latest.ckpt", {"cfg": CFG, "state_dicts": dicts, "pickles": {}})
    assert contract.metadata["normalizer"] == {"action": {"scale": [0.5, 4.0], "offset": [1.0, 1.0]}}


def test_averaged_weights_that_are_not_there(tmp_path: Path) -> None:
    contract = read(tmp_path / "x.ckpt", {"cfg": CFG, "state_dicts": {"model": state(1.0)}})
    assert [(f.code, f.severity) for f in contract.findings] == [("CONTRACT013", "error")]
    assert contract.outputs[0].range is None


@pytest.mark.parametrize("content", [{"cfg": CFG}, {"cfg": {"a": 1}, "state_dicts": {}}, {"state_dicts": {}}, [1]])
def test_other_checkpoints_are_left_alone(tmp_path: Path, content: Any) -> None:
    torch = pytest.importorskip("torch")
    torch.save(content, tmp_path / "x.ckpt")
    artifact = recognize(tmp_path / "x.ckpt")
    assert not READER.matches(artifact)
    with pytest.raises(ArtifactError, match="no diffusion_policy workspace"):
        READER.read(artifact)


def test_a_truncated_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "x.ckpt").write_bytes(b"\x80\x02}q\x00X")
    assert not READER.matches(recognize(tmp_path / "x.ckpt"))


@pytest.mark.corpus
def test_a_workspace_written_with_dill(corpus: Path) -> None:
    for name in ("dp_workspace.ckpt", "dill_lambda.ckpt"):
        artifact = recognize(corpus / "made" / "checkpoints" / name)
        assert READER.matches(artifact)
        contract = READER.read(artifact)
        assert {t.name: t.shape for t in contract.inputs} == {"image": (3, 96, 96), "agent_pos": (2,)}
        assert contract.window == Window(2, 16, None, 8)
        assert contract.sampler is not None
        assert contract.sampler.train_steps == 100
