"""Actors that look at images, from checkpoint to export: compared, refused, looked into."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from judged import judge_pair, verdict_of
from parity.cli import main

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from cnn_actor import PLAIN, SETUPS, Setup, own_actor, saved  # noqa: E402


def pair(setup: Setup, folder: Path, *, configured: bool = True) -> tuple[Path, Path]:
    """Return a checkpoint and its export, for images and observations of one size as rsl_rl's own exports."""
    actor = own_actor(setup)
    inputs = (torch.zeros(1, setup.flat), *(torch.zeros(1, *shape) for shape in setup.images.values()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls this exporter old; it needs no further package
        torch.onnx.export(
            actor,
            inputs,
            str(folder / "policy.onnx"),
            input_names=["obs", *setup.images],
            output_names=["actions"],
            opset_version=17,
            dynamo=False,
        )
    return saved(actor.state_dict(), folder, setup.agent if configured else None), folder / "policy.onnx"


def test_a_norm_that_the_exporter_folded_is_not_blamed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    checkpoint, exported = pair(SETUPS["every setting"], tmp_path)
    assert "BatchNormalization" not in {n.op_type for n in onnx.load(str(exported)).graph.node}
    wrong = with_conv_changed(exported, tmp_path / "wrong.onnx", 2)
    assert main(["compare", str(checkpoint), str(wrong), "--layers", "--cases", "4"]) == 1
    (line,) = [x for x in capfd.readouterr().out.splitlines() if "DIAG020" in x]
    assert "Conv cnns.depth.7: first differs" in line


def with_conv_changed(path: Path, out: Path, k: int) -> Path:
    model = onnx.load(str(path))
    name = [n.input[1] for n in model.graph.node if n.op_type == "Conv"][k]
    for tensor in model.graph.initializer:
        if tensor.name == name:
            changed = numpy_helper.to_array(tensor) * np.float32(1.05)
            tensor.CopyFrom(numpy_helper.from_array(changed, name))
    onnx.save(model, str(out))
    return out


@pytest.mark.parametrize("name", [n for n, s in SETUPS.items() if s.flat])
def test_an_export_passes(tmp_path: Path, name: str) -> None:
    checkpoint, exported = pair(SETUPS[name], tmp_path)
    assert verdict_of(judge_pair(checkpoint, {"ort": (exported, None)}, tmp_path), "ort") == ("PASS", [])


def test_the_checkpoint_may_be_the_candidate(tmp_path: Path) -> None:
    checkpoint, exported = pair(PLAIN, tmp_path)
    assert verdict_of(judge_pair(exported, {"weights": (checkpoint, None)}, tmp_path), "weights") == ("PASS", [])


def test_an_export_with_another_kernel_fails(tmp_path: Path) -> None:
    checkpoint, exported = pair(PLAIN, tmp_path)
    wrong = with_conv_changed(exported, tmp_path / "wrong.onnx", 1)
    assert verdict_of(judge_pair(checkpoint, {"ort": (wrong, None)}, tmp_path), "ort")[0] == "FAIL"


def test_without_a_configuration_it_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    checkpoint, exported = pair(PLAIN, tmp_path, configured=False)
    assert main(["compare", str(checkpoint), str(exported)]) == 2
    shown = capfd.readouterr().err
    assert "do not show strides" in shown
    assert "cnn_cfg" in shown


def test_the_layer_that_was_changed_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    checkpoint, exported = pair(PLAIN, tmp_path)
    wrong = with_conv_changed(exported, tmp_path / "wrong.onnx", 1)
    assert main(["compare", str(checkpoint), str(wrong), "--layers", "--cases", "4"]) == 1
    (line,) = [x for x in capfd.readouterr().out.splitlines() if "DIAG020" in x]
    assert "Conv cnns.depth.2: first differs" in line
    assert "its weight actor_state_dict.cnns.depth.2.weight differs (rel 0.05)" in line
