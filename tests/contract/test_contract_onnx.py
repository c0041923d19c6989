"""Contracts of ONNX models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from parity.artifact import Artifact
from parity.contract import Contract, read_contract
from parity.contract.onnx import READER
from parity.errors import ArtifactError

F, H, I64, BOOL = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT64, TensorProto.BOOL
node = helper.make_node
info = helper.make_tensor_value_info


def array(name: str, values: Any, dtype: Any = np.float32) -> Any:
    return numpy_helper.from_array(np.asarray(values, dtype=dtype), name)


@pytest.fixture
def contract_of(tmp_path: Path) -> Any:
    def make(
        nodes: Sequence[Any],
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        init: Sequence[Any] = (),
        opset: int = 17,
        props: dict[str, str] | None = None,
    ) -> Contract:
        model = helper.make_model(
            helper.make_graph(list(nodes), "g", list(inputs), list(outputs), list(init)),
            opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)],
        )
        helper.set_model_props(model, props or {})
        path = tmp_path / "m.onnx"
        path.write_bytes(model.SerializeToString())
        contract = READER.read(Artifact(path, "onnx"))
        json.dumps(contract.as_json())
        return contract

    return make


def codes(contract: Contract) -> list[str]:
    return [f.code for f in contract.findings]


OBS, ACT = info("obs", F, ["batch", 4]), info("actions", F, ["batch", 2])
W = array("w", np.arange(8).reshape(4, 2) / 7)


@pytest.mark.corpus
def test_contracts_agree_with_the_index(corpus: Path, corpus_entries: dict[str, dict[str, Any]]) -> None:
    entries = [e for e in corpus_entries.values() if e["kind"] == "ONNX_CONTRACT"]
    assert len(entries) == 3
    for entry in entries:
        contract = read_contract(corpus / entry["files"][0]["file"])
        expected = entry["expected"]
        assert [[t.name, list(t.shape or ())] for t in contract.inputs] == expected["inputs"]
        assert [[t.name, list(t.shape or ())] for t in contract.outputs] == expected["outputs"]
        assert sorted(contract.metadata["metadata_props"]) == expected["metadata_keys"]
        assert {t.dtype for t in (*contract.inputs, *contract.outputs)} == {"float32"}
        assert (contract.complete, contract.precision) == (True, "float32")


@pytest.mark.corpus
def test_all_pairs_of_the_corpus_read(corpus: Path) -> None:
    files = [p for p in sorted(corpus.glob("pairs/*/*.onnx")) if "missing" not in str(p)]
    for path in files:
        contract = read_contract(path)
        assert [len(contract.inputs), len(contract.outputs)] == [1, 1]
        assert contract.outputs[0].role == "action"
        assert contract.inputs[0].role == ("image" if "samplenet" in path.name else "state")
        assert not [f for f in contract.findings if f.severity != "info"]
        normalized = "ogre" in str(path)
        assert (contract.inputs[0].range is not None) == normalized
    assert len(files) == 15


@pytest.mark.corpus
def test_joint_names_and_gains_of_real_metadata(corpus: Path) -> None:
    contract = read_contract(corpus / "onnx_with_metadata/5cd8043b_ppo_g1_29dof.onnx")
    assert contract.outputs[0].elements is not None
    assert contract.outputs[0].elements[:2] == ("left_hip_pitch_joint", "left_hip_roll_joint")
    assert contract.inputs[0].elements is None
    assert len(contract.metadata["metadata_props"]["kp"]) == 29


@pytest.mark.corpus
def test_the_normalizer_of_a_real_graph_is_that_of_its_checkpoint(corpus: Path) -> None:
    graph = read_contract(corpus / "pairs/ogre_15af4916_pass/policy.onnx").inputs[0].range
    script = read_contract(corpus / "pairs/ogre_15af4916_pass/policy.pt").inputs[0].range
    assert graph is not None
    assert script is not None
    assert (graph.kind, graph.shape) == (script.kind, script.shape) == ("mean_std", (10,))
    assert np.allclose(graph.first, script.first, rtol=1e-6)
    assert np.allclose(graph.second, script.second, rtol=1e-6)
    assert "normalizer._mean" in graph.source


def test_names_symbols_types_and_producer(contract_of: Any) -> None:
    c = contract_of(
        [node("MatMul", ["obs", "w"], ["actions"])],
        [OBS, info("w", F, [4, 2])],
        [ACT],
        [W],
        props={"a": "1", "b": "x y"},
    )
    assert [t.name for t in c.inputs] == ["obs"]  # w is an initializer, listed as an input as old exporters do
    assert c.inputs[0].shape == ("batch", 4)
    assert (c.metadata["opset"], c.metadata["metadata_props"]) == (17, {"a": 1, "b": "x y"})
    assert (c.complete, codes(c)) == (True, [])


def test_dims_without_a_name_and_shapes_that_are_missing(contract_of: Any) -> None:
    c = contract_of([node("Identity", ["obs"], ["actions"])], [info("obs", F, [None, 4])], [info("actions", F, None)])
    assert c.inputs[0].shape == (None, 4)
    assert (c.outputs[0].shape, c.complete) == (None, False)


ROLES = [
    ("observation.images.top", F, ["b", 2, 3, 96, 96], "image"),
    ("depth", F, ["b", 1, 72, 96], "image"),
    ("obs", F, ["b", 48], "state"),
    ("observation.state", F, ["b", 2, 7], "state"),
    ("observation.environment_state", F, ["b", 16], "environment_state"),
    ("input_ids", I64, ["b", 20], "tokens"),
    ("attention_mask", BOOL, ["b", 20], "mask"),
    ("timestep", I64, ["b"], "timestep"),
    ("t", F, [1], "timestep"),
    ("noise", F, ["b", 16, 2], "noise"),
    ("h_in", F, [1, "b", 64], "hidden_state"),
    ("c_in", F, [1, "b", 64], "hidden_state"),
    ("hidden_state", F, [1, 1, 64], "hidden_state"),
]


@pytest.mark.parametrize(("name", "kind", "shape", "role"), ROLES)
def test_roles_of_inputs(contract_of: Any, name: str, kind: int, shape: list[Any], role: str) -> None:
    c = contract_of([node("Identity", [name], ["y"])], [info(name, kind, shape)], [info("y", kind, shape)])
    assert c.inputs[0].role == role


def test_roles_of_outputs(contract_of: Any) -> None:
    outputs = [info(n, F, ["b", 4]) for n in ("actions", "h_out", "value")]
    c = contract_of([node("Identity", ["obs"], [o.name]) for o in outputs], [info("obs", F, ["b", 4])], outputs)
    assert [t.role for t in c.outputs] == ["action", "hidden_state", None]


MEAN, STD = [1.0, 2.0, 3.0, 4.0], [0.5, 1.0, 2.0, 4.0]
NORMALIZERS: dict[str, tuple[list[Any], list[Any]]] = {
    "sub div": (
        [node("Sub", ["obs", "m"], ["a"]), node("Div", ["a", "s"], ["n"])],
        [array("m", [MEAN]), array("s", STD)],
    ),
    "sub mul": (
        [node("Sub", ["obs", "m"], ["a"]), node("Mul", ["r", "a"], ["n"])],
        [array("m", MEAN), array("r", 1 / np.array(STD))],
    ),
    "mul add": (
        [node("Mul", ["obs", "r"], ["a"]), node("Add", ["a", "b"], ["n"])],
        [array("r", 1 / np.array(STD)), array("b", -np.array(MEAN) / STD)],
    ),
    "std plus eps": (
        [
            node("Sub", ["obs", "m"], ["a"]),
            node("Add", ["s", "e"], ["d"]),
            node("Div", ["a", "d"], ["c"]),
            node("Clip", ["c", "lo", "hi"], ["n"]),
        ],
        [array("m", MEAN), array("s", np.array(STD) - 0.01), array("e", 0.01), array("lo", -5), array("hi", 5)],
    ),
    "root of variance": (
        [
            node("Identity", ["obs"], ["i"]),
            node("Sub", ["i", "m"], ["a"]),
            node("Sqrt", ["v"], ["d"]),
            node("Div", ["a", "d"], ["n"]),
        ],
        [array("m", MEAN), array("v", np.square(STD))],
    ),
    "batch norm": (
        [node("BatchNormalization", ["obs", "g", "b", "m", "v"], ["n"], epsilon=0.0)],
        [array("g", [1] * 4), array("b", [0] * 4), array("m", MEAN), array("v", np.square(STD))],
    ),
}


@pytest.mark.parametrize("name", NORMALIZERS)
def test_normalizers_give_the_range(contract_of: Any, name: str) -> None:
    nodes, init = NORMALIZERS[name]
    c = contract_of([*nodes, node("MatMul", ["n", "w"], ["actions"])], [OBS], [ACT], [*init, W])
    found = c.inputs[0].range
    assert found is not None
    assert (found.kind, found.shape) == ("mean_std", (4,))
    assert np.allclose(found.first, MEAN, rtol=1e-5)
    assert np.allclose(found.second, STD, rtol=1e-5)
    assert "m.onnx" in found.source


def test_what_is_no_normalizer(contract_of: Any) -> None:
    scaled = [node("Mul", ["obs", "k"], ["n"]), node("MatMul", ["n", "w"], ["actions"])]
    assert contract_of(scaled, [OBS], [ACT], [array("k", 0.5), W]).inputs[0].range is None
    dead = [node("Sub", ["obs", "m"], ["a"]), node("Div", ["a", "z"], ["n"]), node("MatMul", ["n", "w"], ["actions"])]
    assert contract_of(dead, [OBS], [ACT], [array("m", MEAN), array("z", [0.0] * 4), W]).inputs[0].range is None
    later = [node("MatMul", ["obs", "w"], ["h"]), node("Sub", ["h", "k"], ["actions"])]
    assert contract_of(later, [OBS], [ACT], [W, array("k", [1, 2])]).inputs[0].range is None


def test_a_normalizer_of_an_image_is_per_channel(contract_of: Any) -> None:
    c = contract_of(
        [node("Sub", ["image", "m"], ["a"]), node("Div", ["a", "s"], ["actions"])],
        [info("image", F, ["b", 3, 8, 8])],
        [info("actions", F, ["b", 3, 8, 8])],
        [array("m", np.ones((1, 3, 1, 1))), array("s", np.full((1, 3, 1, 1), 2.0))],
    )
    assert c.inputs[0].range.shape == (3, 1, 1)


RANDOM = [
    [node("RandomNormalLike", ["obs"], ["r"]), node("Add", ["obs", "r"], ["actions"])],
    [node("RandomUniform", [], ["r"], shape=[1, 4]), node("Add", ["obs", "r"], ["actions"])],
    [node("Dropout", ["obs", "half", "yes"], ["actions"])],
]


@pytest.mark.parametrize("nodes", RANDOM)
def test_random_ops_are_named(contract_of: Any, nodes: list[Any]) -> None:
    init = [array("half", 0.5), array("yes", True, np.bool_)]
    c = contract_of(nodes, [OBS], [info("actions", F, ["batch", 4])], init)
    assert len(c.metadata["random_ops"]) == 1
    assert codes(c) == ["ONNX001"]


def test_randomness_that_nothing_depends_on_or_that_is_off(contract_of: Any) -> None:
    nodes = [
        node("RandomNormalLike", ["obs"], ["unused"]),
        node("Dropout", ["obs", "half", "no"], ["d"]),
        node("Identity", ["d"], ["actions"]),
    ]
    c = contract_of(
        nodes, [OBS], [info("actions", F, ["batch", 4])], [array("half", 0.5), array("no", False, np.bool_)]
    )
    assert (c.metadata["random_ops"], codes(c)) == ([], [])


def test_randomness_inside_a_branch(contract_of: Any) -> None:
    then = helper.make_graph([node("RandomNormalLike", ["obs"], ["r"])], "then", [], [info("r", F, None)])
    other = helper.make_graph([node("Identity", ["obs"], ["i"])], "else", [], [info("i", F, None)])
    c = contract_of(
        [node("If", ["flag"], ["actions"], then_branch=then, else_branch=other)],
        [OBS, info("flag", BOOL, [])],
        [info("actions", F, ["batch", 4])],
    )
    assert c.metadata["random_ops"] == ["RandomNormalLike"]


def half_gemm(weight: Any) -> list[Any]:
    return [
        node("Cast", ["obs"], ["h"], to=H),
        node("MatMul", ["h", weight], ["y"]),
        node("Cast", ["y"], ["actions"], to=F),
    ]


def test_precision_is_the_lowest_class_that_values_pass_through(contract_of: Any) -> None:
    w16 = array("w16", np.ones((4, 2)), np.float16)
    assert contract_of([node("MatMul", ["obs", "w"], ["actions"])], [OBS], [ACT], [W]).precision == "float32"
    assert contract_of(half_gemm("w16"), [OBS], [ACT], [w16]).precision == "float16"
    stored = [node("Cast", ["w16"], ["w32"], to=F), node("MatMul", ["obs", "w32"], ["actions"])]
    c = contract_of(stored, [OBS], [ACT], [w16])
    assert (c.precision, codes(c)) == ("float16", ["ONNX004"])
    assert c.metadata["precision_from"] == {"float16": "w16"}
    through = [node("Cast", ["obs"], ["b"], to=TensorProto.BFLOAT16), node("Cast", ["b"], ["f"], to=F)]
    assert contract_of([*through, node("MatMul", ["f", "w"], ["actions"])], [OBS], [ACT], [W]).precision == "bfloat16"


def test_a_class_that_no_output_depends_on_does_not_count(contract_of: Any) -> None:
    nodes = [node("MatMul", ["obs", "w"], ["actions"]), node("Cast", ["obs"], ["unused"], to=H)]
    assert contract_of(nodes, [OBS], [ACT], [W, array("w16", [1, 2], np.float16)]).precision == "float32"


def test_quantized_graphs_are_int8(contract_of: Any) -> None:
    q = [array("q", np.ones((4, 2)), np.int8), array("s", 0.1), array("z", 0, np.int8)]
    qdq = [node("DequantizeLinear", ["q", "s", "z"], ["dq"]), node("MatMul", ["obs", "dq"], ["actions"])]
    c = contract_of(qdq, [OBS], [ACT], q)
    assert (c.precision, c.metadata["quantization"], codes(c)) == ("int8", {"DequantizeLinear": 1}, ["ONNX003"])
    dynamic = [
        node("DynamicQuantizeLinear", ["obs"], ["oq", "os", "oz"]),
        node("MatMulInteger", ["oq", "q"], ["yi"]),
        node("Cast", ["yi"], ["actions"], to=F),
    ]
    assert contract_of(dynamic, [OBS], [ACT], q).precision == "int8"
    bits = [
        node("MatMulNBits", ["obs", "p", "s"], ["actions"], domain="com.microsoft", K=4, N=2, bits=4, block_size=16)
    ]
    c = contract_of(bits, [OBS], [ACT], [array("p", np.ones((2, 1, 8)), np.uint8), array("s", [1.0, 1.0])])
    assert (c.precision, codes(c)) == ("int8", ["ONNX003", "ONNX007"])


def test_a_batch_that_is_dynamic_in_name_only(contract_of: Any) -> None:
    baked = [node("Reshape", ["obs", "shape"], ["r"]), node("MatMul", ["r", "w"], ["actions"])]
    assert codes(contract_of(baked, [OBS], [ACT], [W, array("shape", [1, 4], np.int64)])) == ["ONNX002"]
    assert codes(contract_of(baked, [OBS], [ACT], [W, array("shape", [1, -1], np.int64)])) == ["ONNX002"]
    assert codes(contract_of(baked, [OBS], [ACT], [W, array("shape", [-1, 4], np.int64)])) == []
    assert codes(contract_of(baked, [OBS], [ACT], [W, array("shape", [0, 4], np.int64)])) == []
    fixed = [info("obs", F, [1, 4])], [info("actions", F, [1, 2])]
    assert codes(contract_of(baked, *fixed, [W, array("shape", [1, 4], np.int64)])) == []
    simple = [node("MatMul", ["obs", "w"], ["actions"])]
    assert codes(contract_of(simple, [OBS], fixed[1], [W])) == ["ONNX002"]


def test_an_initial_state_that_fixes_the_batch(contract_of: Any) -> None:
    rng = np.random.default_rng(0)
    nodes = [
        node("Unsqueeze", ["obs", "zero"], ["x"]),
        node("LSTM", ["x", "W", "R", "B", "", "h0", "c0"], ["y"], hidden_size=2),
        node("Squeeze", ["y", "axes"], ["actions"]),
    ]
    init = [
        array("zero", [0], np.int64),
        array("axes", [0, 1], np.int64),
        array("W", rng.standard_normal((1, 8, 4))),
        array("R", rng.standard_normal((1, 8, 2))),
        array("B", rng.standard_normal((1, 16))),
        array("h0", np.zeros((1, 1, 2))),
        array("c0", np.zeros((1, 1, 2))),
    ]
    assert set(codes(contract_of(nodes, [OBS], [ACT], init))) == {"ONNX002"}


def test_weights_that_are_not_numbers(contract_of: Any) -> None:
    nodes = [node("MatMul", ["obs", "w"], ["actions"])]
    broken = array("w", [[1, np.nan], [np.inf, 2], [3, 4], [5, 6]])
    c = contract_of(nodes, [OBS], [ACT], [broken])
    assert [(f.code, f.severity) for f in c.findings] == [("WEIGHT002", "error")]
    assert c.findings[0].title == "Weights hold 1 NaN and 1 Inf: w."
    masked = [node("Add", ["obs", "mask"], ["m"]), node("MatMul", ["m", "w"], ["actions"])]
    assert codes(contract_of(masked, [OBS], [ACT], [W, array("mask", [0, -np.inf, 0, -np.inf])])) == []


def test_an_input_that_nothing_depends_on(contract_of: Any) -> None:
    c = contract_of([node("MatMul", ["obs", "w"], ["actions"])], [OBS, info("goal", F, ["batch", 3])], [ACT], [W])
    assert [(f.code, f.where) for f in c.findings] == [("ONNX006", "goal")]


def test_training_mode_of_batch_norm(contract_of: Any) -> None:
    stats = [array(n, [1.0] * 4) for n in ("g", "m", "v")] + [array("b", [0.0, 1, 2, 3])]
    n = node("BatchNormalization", ["obs", "g", "b", "m", "v"], ["n", "mm", "vv"], training_mode=1)
    c = contract_of([n, node("MatMul", ["n", "w"], ["actions"])], [OBS], [ACT], [*stats, W])
    assert "ONNX005" in codes(c)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('["j0", "j1"]', ("j0", "j1")),
        ("j0,j1", ("j0", "j1")),
        ("j0, j1, j2", None),
        ('{"policy": ["j0", "j1"]}', ("j0", "j1")),
    ],
)
def test_joint_names_where_their_number_fits(contract_of: Any, text: str, names: Any) -> None:
    nodes = [node("MatMul", ["obs", "w"], ["actions"])]
    props = {"joint_names": text, "action_scale": "0.25,0.5", "default_joint_pos": "[0.1, NaN]", "other": "[broken"}
    c = contract_of(nodes, [OBS], [ACT], [W], props=props)
    assert c.outputs[0].elements == names
    assert c.metadata["metadata_props"]["action_scale"] == [0.25, 0.5]
    assert c.metadata["metadata_props"]["default_joint_pos"] == [0.1, "nan"]
    assert c.metadata["metadata_props"]["other"] == "[broken"


def test_models_that_say_nothing_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    graph = helper.make_graph([node("Identity", ["obs"], ["y"])], "g", [OBS], [])
    path.write_bytes(helper.make_model(graph).SerializeToString())
    with pytest.raises(ArtifactError, match="no outputs"):
        READER.read(Artifact(path, "onnx"))
    path.write_bytes(onnx.ModelProto(ir_version=8).SerializeToString())
    with pytest.raises(ArtifactError, match="no graph"):
        READER.read(Artifact(path, "onnx"))
    path.write_bytes(b"this is not a model")
    with pytest.raises(ArtifactError, match="not a readable ONNX model"):
        READER.read(Artifact(path, "onnx"))
    dangling = helper.make_graph([node("Add", ["obs", "ghost"], ["actions"])], "g", [OBS], [ACT])
    path.write_bytes(helper.make_model(dangling).SerializeToString())
    with pytest.raises(ArtifactError, match="'ghost', which nothing in the graph produces"):
        READER.read(Artifact(path, "onnx"))
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(ArtifactError, match="Git LFS"):
        READER.read(Artifact(path, "onnx"))
    path.write_bytes(b"")
    with pytest.raises(ArtifactError, match="empty"):
        READER.read(Artifact(path, "onnx"))


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    graph = helper.make_graph([node("Identity", ["obs"], ["actions"])], "g", [OBS], [info("actions", F, ["batch", 4])])
    data = helper.make_model(graph).SerializeToString()
    (tmp_path / "m.onnx").write_bytes(data.replace(b"Identity", b"\xff\xfe" + b"entity"))
    with pytest.raises(ArtifactError, match="not UTF-8"):
        READER.read(Artifact(tmp_path / "m.onnx", "onnx"))


def test_functions_that_call_each_other_without_end_are_walked_once(tmp_path: Path) -> None:
    def function(n: int) -> Any:
        nodes = [node(f"f{n + 1}", ["x"], ["y"], domain="d") for _ in range(20)] if n < 15 else []
        nodes += [node("RandomNormalLike", ["x"], ["y"])]
        return helper.make_function("d", f"f{n}", ["x"], ["y"], nodes, [helper.make_opsetid("", 17)])

    graph = helper.make_graph(
        [node("f0", ["obs"], ["actions"], domain="d")], "g", [OBS], [info("actions", F, ["batch", 4])]
    )
    model = helper.make_model(graph, functions=[function(n) for n in range(16)])
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    c = READER.read(Artifact(tmp_path / "m.onnx", "onnx"))
    assert len(c.metadata["random_ops"]) == 16
