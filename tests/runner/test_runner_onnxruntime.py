"""The onnxruntime runner: the provider that was asked for, variants, external data, and inputs that do not fit."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models import mlp
from parity.artifact import digest, recognize
from parity.errors import ArtifactError, RunnerError
from runs import block, opened

F, D = TensorProto.FLOAT, TensorProto.DOUBLE


def observations(n: int = 4) -> Any:
    return block(n, obs=np.random.default_rng(3).standard_normal((n, 1, 6)).astype(np.float32))


def model(path: Path, nodes: list[Any], inputs: dict[str, Any], outputs: dict[str, Any], **weights: Any) -> Path:
    """Write a graph; ``inputs`` and ``outputs`` map names to (type, shape)."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, t, s) for n, (t, s) in inputs.items()],
        [helper.make_tensor_value_info(n, t, s) for n, (t, s) in outputs.items()],
        [numpy_helper.from_array(a, n) for n, a in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def test_runs_and_tells_what_ran(tmp_path: Path) -> None:
    path = mlp(tmp_path / "p.onnx")
    with opened("onnxruntime", path, tmp_path) as session:
        result = session.run(observations(), repeat=True)
        assert result.failure is None
        assert result.repeat_differs == {}
        assert np.shape(result.outputs["action"]) == (4, 1, 3)
        info = session.info
        assert info.environment["provider"] == "CPUExecutionProvider"
        assert info.loaded_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert [(t.name, t.shape, t.dtype) for t in info.inputs] == [("obs", (1, 6), "float32")]


def test_nobody_is_told_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime sends telemetry and leaves an id of the device in the user's folder, unless it is told not to."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    with opened("onnxruntime", mlp(tmp_path / "p.onnx"), tmp_path) as session:
        assert session.run(observations()).failure is None
    assert list(home.rglob("*")) == []


@pytest.mark.parametrize("provider", ["cuda", "CANNExecutionProvider", "tensorrt"])
def test_provider_that_is_absent_is_refused_and_never_replaced(tmp_path: Path, provider: str) -> None:
    path = mlp(tmp_path / "p.onnx")
    with (
        pytest.raises(RunnerError, match=r"asked for .*ExecutionProvider.* has only .*CPUExecutionProvider"),
        opened("onnxruntime", path, tmp_path, provider=provider),
    ):
        pass


def reference(path: Path, inputs: Any) -> Any:
    """The MLP of `models` in float64, by hand."""
    w = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in onnx.load(str(path)).graph.initializer}
    return np.tanh(inputs.astype(np.float64) @ w["w1"] + w["b1"]) @ w["w2"] + w["b2"]


def test_float64_by_onnxruntime(tmp_path: Path) -> None:
    path, data = mlp(tmp_path / "p.onnx"), observations()
    with opened("onnxruntime", path, tmp_path) as session:
        result = session.run(data, "float64")
        assert result.failure is None
        np.testing.assert_allclose(result.outputs["action"], reference(path, data.inputs["obs"]), rtol=0, atol=1e-14)
        assert session.info.environment["float64_by"] in ("onnxruntime", "onnx.reference")


def test_float64_where_onnxruntime_has_no_kernel(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Elu", ["x"], ["e"]),
        helper.make_node("Constant", [], ["half"], value_float=0.1),
        helper.make_node("Mul", ["e", "half"], ["m"]),
        helper.make_node("Cast", ["m"], ["y"], to=F),
    ]
    path = model(tmp_path / "p.onnx", nodes, {"x": (F, [1, 4])}, {"y": (F, [1, 4])})
    data = block(3)
    with opened("onnxruntime", path, tmp_path) as session:
        result = session.run(data, "float64")
        assert result.failure is None
        x = data.inputs["x"].astype(np.float64)
        np.testing.assert_allclose(
            result.outputs["y"], np.where(x > 0, x, np.expm1(x)) * np.float64(np.float32(0.1)), rtol=1e-14
        )
        assert session.info.environment["float64_by"] == "onnx.reference"
        assert np.asarray(session.run(data).outputs["y"]).dtype == np.float32


def test_float64_of_a_quantized_graph_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    scale, zero = np.float32(0.1), np.uint8(3)
    path = model(
        tmp_path / "p.onnx", nodes, {"x": (F, [1, 4])}, {"y": (F, [1, 4])}, s=np.array(scale), z=np.array(zero)
    )
    with opened("onnxruntime", path, tmp_path) as session:
        failure = session.run(block(2), "float64").failure
        assert failure is not None
        assert "QuantizeLinear" in failure.message
        assert session.run(block(2)).failure is None


@pytest.mark.parametrize("variant", ["no_optimization", "one_thread"])
def test_variants(tmp_path: Path, variant: str) -> None:
    with opened("onnxruntime", mlp(tmp_path / "p.onnx"), tmp_path) as session:
        base, other = session.run(observations()), session.run(observations(), variant)  # type: ignore[arg-type]
        np.testing.assert_allclose(base.outputs["action"], other.outputs["action"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "missing obs"),
        ({"obs": np.zeros((2, 1, 6), np.float32), "more": np.zeros((2, 1))}, "unknown more"),
        ({"obs": np.zeros((2, 1, 5), np.float32)}, "dimension"),
        ({"obs": np.zeros((2, 6), np.float32)}, "rank"),
        ({"obs": np.zeros((2, 1, 6), np.int64)}, "dtype int64"),
    ],
)
def test_inputs_that_do_not_fit(tmp_path: Path, inputs: dict[str, Any], said: str) -> None:
    with opened("onnxruntime", mlp(tmp_path / "p.onnx"), tmp_path) as session:
        failure = session.run(block(2, **inputs) if inputs else block(2, none=np.zeros((2, 1)))).failure
        assert failure is not None
        assert failure.kind in ("input", "run")
        assert said.lower() in failure.message.lower()
        assert session.run(observations()).failure is None


def test_other_strides_and_byte_order_are_the_same_numbers(tmp_path: Path) -> None:
    straight = observations().inputs["obs"]
    strided = np.asfortranarray(np.repeat(straight, 2, axis=2))[:, :, ::2]
    with opened("onnxruntime", mlp(tmp_path / "p.onnx"), tmp_path) as session:
        expected = session.run(observations()).outputs["action"]
        np.testing.assert_array_equal(session.run(block(4, obs=strided)).outputs["action"], expected)
        np.testing.assert_array_equal(session.run(block(4, obs=straight.astype(">f4"))).outputs["action"], expected)


def test_float16_inputs_are_cast_to_what_the_graph_declares(tmp_path: Path) -> None:
    with opened("onnxruntime", mlp(tmp_path / "p.onnx"), tmp_path) as session:
        half = observations().inputs["obs"].astype(np.float16)
        expected = session.run(block(4, obs=half.astype(np.float32))).outputs["action"]
        np.testing.assert_array_equal(session.run(block(4, obs=half)).outputs["action"], expected)


def test_random_graph_differs_between_repeats(tmp_path: Path) -> None:
    nodes = [helper.make_node("RandomNormalLike", ["x"], ["r"]), helper.make_node("Add", ["x", "r"], ["y"])]
    path = model(tmp_path / "p.onnx", nodes, {"x": (F, [1, 4])}, {"y": (F, [1, 4])})
    with opened("onnxruntime", path, tmp_path) as session:
        assert session.run(block(2), repeat=True).repeat_differs["y"] > 0


def test_recurrent_state_that_goes_in_and_out_is_a_plain_input(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "h"], ["h_out"]), helper.make_node("Neg", ["h_out"], ["y"])]
    path = model(
        tmp_path / "p.onnx", nodes, {"x": (F, [1, 4]), "h": (F, [1, 4])}, {"y": (F, [1, 4]), "h_out": (F, [1, 4])}
    )
    x, h = np.ones((2, 1, 4), np.float32), np.full((2, 1, 4), 2, np.float32)
    with opened("onnxruntime", path, tmp_path) as session:
        result = session.run(block(2, x=x, h=h), repeat=True)
        np.testing.assert_array_equal(result.outputs["y"], -(x + h))
        assert result.repeat_differs == {}


def test_empty_output_is_kept(tmp_path: Path) -> None:
    nodes = [helper.make_node("Slice", ["x", "at", "at", "axis"], ["y"])]
    path = model(
        tmp_path / "p.onnx", nodes, {"x": (F, [1, 4])}, {"y": (F, [1, 0])}, at=np.array([0]), axis=np.array([1])
    )
    with opened("onnxruntime", path, tmp_path) as session:
        assert np.shape(session.run(block(2), repeat=True).outputs["y"]) == (2, 1, 0)


def external(folder: Path, location: str | None = None) -> Path:
    path = mlp(folder / "p.onnx")
    loaded = onnx.load(str(path))
    onnx.save(loaded, str(path), save_as_external_data=True, location="p.onnx.data", size_threshold=0)
    if location is not None:
        bare = onnx.load(str(path), load_external_data=False)
        for tensor in bare.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = location
        path.write_bytes(bare.SerializeToString())
    return path


def test_external_data_is_loaded_and_hashed(tmp_path: Path) -> None:
    path, plain = external(tmp_path), mlp(tmp_path / "plain.onnx")
    with opened("onnxruntime", path, tmp_path) as session, opened("onnxruntime", plain, tmp_path) as other:
        np.testing.assert_array_equal(
            session.run(observations()).outputs["action"], other.run(observations()).outputs["action"]
        )
        assert session.info.loaded_sha256 == digest(recognize(path))[0]
        assert session.run(observations(), "float64").failure is None


def test_external_data_that_is_missing(tmp_path: Path) -> None:
    path = external(tmp_path)
    (tmp_path / "p.onnx.data").unlink()
    with pytest.raises(ArtifactError, match="missing"), opened("onnxruntime", path, tmp_path):
        pass


@pytest.mark.parametrize("location", ["../outside.data", "/etc/passwd", "link.data"])
def test_external_data_outside_its_folder(tmp_path: Path, location: str) -> None:
    inside = tmp_path / "model"
    inside.mkdir()
    (tmp_path / "outside.data").write_bytes(b"\0" * 4096)
    (inside / "link.data").symlink_to(tmp_path / "outside.data")
    path = external(inside, location)
    with pytest.raises(ArtifactError, match="outside"), opened("onnxruntime", path, tmp_path):
        pass


@pytest.mark.parametrize("cut", [30, 200])
def test_truncated_file(tmp_path: Path, cut: int) -> None:
    path = mlp(tmp_path / "p.onnx")
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises((ArtifactError, RunnerError)), opened("onnxruntime", path, tmp_path):
        pass


def test_file_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    np.savez(path, a=np.zeros(3))
    with pytest.raises(ArtifactError, match="not ONNX"), opened("onnxruntime", path, tmp_path):
        pass


def test_session_options_are_checked_by_onnxruntime_and_recorded_threads(tmp_path: Path) -> None:
    with opened("onnxruntime", mlp(tmp_path / "p.onnx"), tmp_path, options={"threads": 1}) as session:
        assert session.info.environment["threads"] == 1
        assert session.run(observations()).failure is None
