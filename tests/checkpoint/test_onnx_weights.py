"""ONNX tensors: where their bytes are, without parsing them; external data stays in its folder."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from parity.artifact import Artifact
from parity.checkpoint.onnx import read_onnx_weights
from parity.checkpoint.onnx_file import open_onnx
from parity.checkpoint.weights import read_weights
from parity.contract.onnx import READER
from parity.errors import ArtifactError


def gemm(weights: list[Any], path: Path, **kwargs: Any) -> Path:
    """Write a model of MatMuls of the given (name, array)."""
    nodes, last = [], "x"
    for i, (name, _) in enumerate(weights):
        nodes.append(helper.make_node("MatMul", [last, name], [f"y{i}"]))
        last = f"y{i}"
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, weights[0][1].shape[0]])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, [1, weights[-1][1].shape[1]])],
        [numpy_helper.from_array(a, n) for n, a in weights],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path, **kwargs)
    return path


@pytest.fixture
def layers() -> list[Any]:
    rng = np.random.default_rng(0)
    return [
        ("a", rng.standard_normal((40, 30), dtype=np.float32)),
        ("b", rng.standard_normal((30, 3), dtype=np.float32)),
    ]


@pytest.mark.corpus
def test_every_initializer_of_the_corpus_is_what_onnx_reads(corpus: Path) -> None:
    files = [p for p in sorted(corpus.rglob("*.onnx")) if "missing" not in str(p)]
    assert len(files) >= 18
    for path in files:
        found = read_onnx_weights(path)
        for tensor in onnx.load(path).graph.initializer:
            assert np.array_equal(found[tensor.name].array, numpy_helper.to_array(tensor))


def test_large_tensors_are_not_parsed(tmp_path: Path, layers: list[Any]) -> None:
    file = open_onnx(gemm(layers, tmp_path / "m.onnx"))
    assert file.spans[0] is not None
    assert len(file.model.SerializeToString()) < 1200  # b is small enough to stay
    assert np.array_equal(read_onnx_weights(tmp_path / "m.onnx")["a"].array, layers[0][1])


TYPES = [np.float16, np.float32, np.float64, np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint64, np.bool_]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("raw", [True, False])
def test_every_type_reads_in_both_encodings(tmp_path: Path, dtype: Any, raw: bool) -> None:
    values = (np.arange(300) % 5).astype(dtype).reshape(3, 100)
    if raw:
        tensor = numpy_helper.from_array(values, "w")
    else:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        tensor = helper.make_tensor("w", kind, values.shape, values.flatten().tolist())
    graph = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["y"])], "g", [], [helper.make_tensor_value_info("y", 1, None)], [tensor]
    )
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    found = read_onnx_weights(tmp_path / "m.onnx")["w"]
    assert found.dtype == np.dtype(dtype).name
    assert np.array_equal(found.array, values)


def test_bfloat16_is_its_bits(tmp_path: Path) -> None:
    tensor = helper.make_tensor("w", TensorProto.BFLOAT16, [2], [1.0, -2.5])
    graph = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["y"])], "g", [], [helper.make_tensor_value_info("y", 16, [2])], [tensor]
    )
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    found = read_onnx_weights(tmp_path / "m.onnx")["w"]
    assert (found.dtype, found.as_float().tolist()) == ("bfloat16", [1.0, -2.5])


def external(path: Path, layers: list[Any]) -> Path:
    return gemm(layers, path, save_as_external_data=True, location="m.data", size_threshold=0)


def test_external_data_is_read(tmp_path: Path, layers: list[Any]) -> None:
    path = external(tmp_path / "m.onnx", layers)
    assert np.array_equal(read_onnx_weights(path)["b"].array, layers[1][1])
    assert READER.read(Artifact(path, "onnx")).metadata["external_data"] == ["m.data"]


def relocate(path: Path, location: str, **entries: str) -> None:
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        kept = {e.key: e.value for e in tensor.external_data} | {"location": location} | entries
        del tensor.external_data[:]
        for key, value in kept.items():
            tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    "location", ["../m.data", "/etc/passwd", "", "sub/../../m.data", "link.data", "dir/m.data", "a\0b"]
)
def test_external_data_outside_of_the_folder_is_refused(tmp_path: Path, layers: list[Any], location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    path = external(folder / "m.onnx", layers)
    (folder / "m.data").rename(tmp_path / "m.data")
    (folder / "link.data").symlink_to(tmp_path / "m.data")
    (folder / "dir").symlink_to(tmp_path)
    relocate(path, location)
    with pytest.raises(ArtifactError, match=r"outside|missing|without a file name|cannot be found"):
        read_onnx_weights(path)


def test_external_data_that_is_missing_truncated_or_a_pointer_names_the_file(tmp_path: Path, layers: list[Any]) -> None:
    path = external(tmp_path / "m.onnx", layers)
    data = (tmp_path / "m.data").read_bytes()
    (tmp_path / "m.data").write_bytes(data[:-1])
    with pytest.raises(ArtifactError, match=r"'m\.data'"):
        read_onnx_weights(path)
    (tmp_path / "m.data").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n")
    with pytest.raises(ArtifactError, match="git lfs pull"):
        read_onnx_weights(path)
    (tmp_path / "m.data").unlink()
    with pytest.raises(ArtifactError, match=r"'m.data' is missing"):
        read_onnx_weights(path)


@pytest.mark.parametrize("entries", [{"offset": "-4"}, {"length": "9" * 30}, {"offset": "x"}, {"length": "4"}])
def test_external_places_that_lie_are_refused(tmp_path: Path, layers: list[Any], entries: dict[str, str]) -> None:
    path = external(tmp_path / "m.onnx", layers)
    relocate(path, "m.data", **entries)
    with pytest.raises(ArtifactError):
        [w.array for w in read_onnx_weights(path).values()]


@pytest.mark.corpus
def test_the_real_model_without_its_data(corpus: Path) -> None:
    path = corpus / "pairs/taie64_missing_external_data/policy.onnx"
    for read in (read_weights, lambda p: READER.read(Artifact(p, "onnx"))):
        with pytest.raises(ArtifactError) as e:
            read(path)
        assert "go2_diyleg_walk_policy.onnx.data" in str(e.value)
        assert "what to do" in str(e.value)


def test_a_shape_that_lies_takes_no_memory(tmp_path: Path, layers: list[Any]) -> None:
    model = onnx.load(gemm(layers, tmp_path / "m.onnx"))
    model.graph.initializer[0].dims[0] = 2**60
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    weight = read_onnx_weights(tmp_path / "m.onnx")["a"]
    with pytest.raises(ArtifactError, match="expected"):
        _ = weight.array


def test_quantized_weights_mean_numbers(tmp_path: Path) -> None:
    q = np.array([[-128, 0, 127], [1, 2, 3]], np.int8)
    graph = helper.make_graph(
        [
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], axis=1),
            helper.make_node("MatMul", ["x", "w"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", 1, [1, 2])],
        [helper.make_tensor_value_info("y", 1, [1, 3])],
        [
            numpy_helper.from_array(q, "q"),
            numpy_helper.from_array(np.array([0.5, 1, 2], np.float32), "s"),
            numpy_helper.from_array(np.zeros(3, np.int8), "z"),
        ],
    )
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    found = read_onnx_weights(tmp_path / "m.onnx")
    assert list(found) == ["q"]  # scale and zero point say how to read it and are no weights
    assert found["q"].as_float().tolist() == [[-64, 0, 254], [0.5, 2, 6]]


SCALES = np.array([0.5, 1], np.float32)


@pytest.mark.parametrize(
    ("op", "scale", "attributes", "expected"),
    [
        ("QGemm", SCALES, {"transB": 1}, [[-64, 0, 63.5], [1, 2, 3]]),
        ("QGemm", np.array([0.5, 1, 2], np.float32), {}, [[-64, 0, 254], [0.5, 2, 6]]),
        ("DequantizeLinear", SCALES, {"axis": 0}, [[-64, 0, 63.5], [1, 2, 3]]),
        ("DequantizeLinear", np.array([[0.5, 1], [2, 3]], np.float32), {"block_size": 2}, [[-64, 0, 127], [2, 4, 9]]),
        ("QGemm", SCALES, {}, None),
    ],
)
def test_quantized_along_another_axis_in_blocks_or_not_to_be_read(
    tmp_path: Path, op: str, scale: np.ndarray, attributes: dict[str, int], expected: list[list[float]] | None
) -> None:
    q = np.array([[-128, 0, 127], [1, 2, 3]], np.int8)
    before = ["x", "xs", "xz"] if op == "QGemm" else []
    node = helper.make_node(op, [*before, "q", "s", "z"], ["y"], **attributes)
    constants = {"q": q, "s": scale, "z": np.zeros(scale.shape, np.int8)}
    initializers = [numpy_helper.from_array(a, n) for n, a in constants.items()]
    graph = helper.make_graph([node], "g", [], [helper.make_tensor_value_info("y", 1, None)], initializers)
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    weight = read_onnx_weights(tmp_path / "m.onnx")["q"]
    if expected is None:
        with pytest.raises(
            ArtifactError, match=r"integers of shape \[2, 3\] with scales or zero points of shape \[2\]"
        ):
            weight.as_float()
    else:
        assert weight.as_float().tolist() == expected


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["pairs/ur10_reach_pass/policy.onnx", "pairs/ogre_15af4916_pass/policy.onnx"])
def test_damage_is_refused_or_harmless(corpus: Path, tmp_path: Path, name: str) -> None:
    whole = (corpus / name).read_bytes()
    rng = random.Random(name)
    path = tmp_path / "m.onnx"
    for i in range(200):
        data = bytearray(whole)
        if i % 3 == 0:
            data = data[: rng.randrange(len(data))]
        for _ in range(rng.choice((0, 1, 4)) if i % 3 == 0 else rng.choice((1, 2, 8))):
            if data:
                data[rng.choice((rng.randrange(len(data)), rng.randrange(max(1, len(data) // 20))))] = rng.randrange(
                    256
                )
        path.write_bytes(data)
        with contextlib.suppress(ArtifactError):
            READER.read(Artifact(path, "onnx"))
        with contextlib.suppress(ArtifactError):
            for weight in read_onnx_weights(path).values():
                assert weight.array.shape == weight.shape


@pytest.mark.corpus
def test_every_truncation_of_a_real_model_is_refused(corpus: Path, tmp_path: Path) -> None:
    whole = (corpus / "pairs/ur10_reach_pass/policy.onnx").read_bytes()
    path = tmp_path / "m.onnx"
    for n in [*range(300), *range(300, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:n])
        with pytest.raises(ArtifactError) as e:
            READER.read(Artifact(path, "onnx"))
        assert str(path) in str(e.value)


def field(number: int, content: bytes, length: int | None = None) -> bytes:
    """Return a protobuf field of bytes; ``length`` claims more than are there."""
    size, head = len(content) if length is None else length, bytearray([number << 3 | 2])
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*head, size]) + content


def test_a_model_beyond_the_limit_of_protobuf_is_read(tmp_path: Path) -> None:
    rows = 600_000_000  # of float32: 2.4 GB, as a sparse file
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[rows])
    graph = helper.make_graph(
        [helper.make_node("Identity", ["w"], ["y"])], "g", [], [helper.make_tensor_value_info("y", 1, None)]
    )
    start = tensor.SerializeToString() + b"\x4a"  # the tag of raw_data
    raw = field(9, b"", rows * 4)[1:]
    size = len(start) + len(raw) + rows * 4
    graph_head = graph.SerializeToString()
    initializer = field(5, b"", size)
    head = helper.make_model(helper.make_graph([], "", [], [])).SerializeToString()
    head += field(7, b"", len(graph_head) + len(initializer) + size) + graph_head + initializer + start + raw
    path = tmp_path / "m.onnx"
    with path.open("wb") as f:
        f.write(head)
        f.truncate(len(head) + rows * 4)
    found = read_onnx_weights(path)["w"]
    assert found.shape == (rows,)
    assert found.array[-1] == 0
    with path.open("r+b") as f:
        f.truncate(len(head) + rows * 4 - 1)
    with pytest.raises(ArtifactError, match="claims"):
        read_onnx_weights(path)
