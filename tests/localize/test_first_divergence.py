"""A fault planted in one layer of a real policy is found in that layer, however the graph is named."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from corpus_index import corpus_index
from parity.errors import ArtifactError, RunnerError, UsageError
from parity.localize.first import first_divergence, first_divergence_onnx
from parity.localize.report import LayerReport
from parity.runner.base import RunnerSpec

RIGHT = [e for e in corpus_index() if e["kind"] == "pair" and e["expected"]["verdict"] == "PASS"]
FAULTS = {
    "scale": lambda w: w * np.float32(1.01),
    "rows": lambda w: w[[1, 0, *range(2, len(w))]],
    "other": lambda w: np.random.default_rng(0).standard_normal(w.shape).astype(np.float32) * w.std(),
    "one element": lambda w: np.where(np.arange(w.size).reshape(w.shape) == w.size // 2, w + np.float32(0.1), w),
}


def onnx_of(corpus: Path, entry: dict[str, Any]) -> Path:
    return next(corpus / f["file"] for f in entry["files"] if f["file"].endswith(".onnx"))


def cases_for(path: Path, n: int = 3) -> list[dict[str, np.ndarray]]:
    graph = onnx.load(str(path)).graph
    rng = np.random.default_rng(0)
    shape = [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim]
    return [{graph.input[0].name: rng.standard_normal(shape).astype(np.float32)} for _ in range(n)]


def save(model: onnx.ModelProto, path: Path) -> Path:
    onnx.save(model, str(path))
    return path


def with_weight(path: Path, name: str, change: Callable[[np.ndarray], np.ndarray], out: Path) -> Path:
    model = onnx.load(str(path))
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)).astype(np.float32), name))
    return save(model, out)


def renamed(path: Path, out: Path) -> Path:
    """The same graph with every node, value and weight called something else, but for inputs and outputs."""
    model = onnx.load(str(path))
    fixed = {v.name for v in (*model.graph.input, *model.graph.output)}
    names: dict[str, str] = {}

    def new(name: str) -> str:
        return name if not name or name in fixed else names.setdefault(name, f"t{len(names) * 7 % 1000}_{len(names)}")

    for k, node in enumerate(model.graph.node):
        node.name = f"n{k}"
        node.input[:] = [new(n) for n in node.input]
        node.output[:] = [new(n) for n in node.output]
    for tensor in model.graph.initializer:
        tensor.name = new(tensor.name)
    del model.graph.value_info[:]
    return save(model, out)


def in_half(path: Path, k: int, out: Path) -> tuple[Path, str]:
    """The k-th Gemm computed in float16: Cast in front of each operand, Cast behind."""
    model = onnx.load(str(path))
    nodes = list(model.graph.node)
    node = [n for n in nodes if n.op_type == "Gemm"][k]
    at, result = nodes.index(node), node.output[0]
    casts = [
        helper.make_node("Cast", [n], [f"half_{i}"], to=onnx.TensorProto.FLOAT16) for i, n in enumerate(node.input)
    ]
    node.input[:] = [f"half_{i}" for i in range(len(node.input))]
    node.output[0] = "half_result"
    back = helper.make_node("Cast", ["half_result"], [result], to=onnx.TensorProto.FLOAT)
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:at], *casts, node, back, *nodes[at + 1 :]])
    return save(model, out), result


def layers_of(path: Path) -> list[onnx.NodeProto]:
    return [n for n in onnx.load(str(path)).graph.node if n.op_type == "Gemm"]


def agrees(report: LayerReport) -> None:
    assert report.first is None, report.sentence
    assert report.sentence == f"none of the {len(report.rows)} values compared differs by more than rounding"


@pytest.mark.corpus
@pytest.mark.parametrize("entry", RIGHT, ids=lambda e: e["id"])
def test_a_policy_does_not_part_from_itself_under_other_names(
    corpus: Path, entry: dict[str, Any], tmp_path: Path
) -> None:
    path = onnx_of(corpus, entry)
    report = first_divergence_onnx(path, renamed(path, tmp_path / "renamed.onnx"), cases_for(path))
    agrees(report)
    assert len(report.rows) == len(onnx.load(str(path)).graph.node)
    assert (report.unmatched_reference, report.unmatched_candidate) == ((), ())


@pytest.mark.corpus
@pytest.mark.parametrize("entry", RIGHT, ids=lambda e: e["id"])
def test_a_changed_weight_is_found_in_its_layer(corpus: Path, entry: dict[str, Any], tmp_path: Path) -> None:
    """Every layer of every policy; the faults and the renaming take turns."""
    path = onnx_of(corpus, entry)
    turn = RIGHT.index(entry)
    for k, node in enumerate(layers_of(path)):
        fault = list(FAULTS.values())[(turn + k) % len(FAULTS)]
        bad = with_weight(path, node.input[1], fault, tmp_path / f"bad{k}.onnx")
        candidate = renamed(bad, tmp_path / f"renamed{k}.onnx") if (turn // len(FAULTS) + k) % 2 else bad
        report = first_divergence_onnx(path, candidate, cases_for(path, 2))
        assert report.first is not None
        assert report.first.reference == node.output[0]
        assert report.inputs_rel is not None
        assert report.inputs_rel < 1e-5
        changed = [w for w in report.weights if not w.same]
        assert [w.reference for w in changed] == [node.input[1]]
        assert f"its weight {node.input[1]} differs" in report.sentence


@pytest.mark.corpus
@pytest.mark.parametrize("entry", RIGHT[::2], ids=lambda e: e["id"])
def test_a_layer_in_float16_is_found(corpus: Path, entry: dict[str, Any], tmp_path: Path) -> None:
    path = onnx_of(corpus, entry)
    for k in range(len(layers_of(path))):
        bad, result = in_half(path, k, tmp_path / f"half{k}.onnx")
        report = first_divergence_onnx(path, bad, cases_for(path, 2))
        assert report.first is not None
        assert report.first.reference == result
        assert "only the candidate computes" in report.sentence
    agrees(first_divergence_onnx(path, bad, cases_for(path, 2), precision="float16"))


@pytest.mark.corpus
def test_what_a_runtime_optimizes_and_saves_is_still_aligned(corpus: Path, tmp_path: Path) -> None:
    import onnxruntime as ort

    path = onnx_of(corpus, next(e for e in RIGHT if e["id"] == "ogre_15af4916_pass"))
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 3
    ort.InferenceSession(str(path), options)
    report = first_divergence_onnx(path, tmp_path / "optimized.onnx", cases_for(path))
    agrees(report)
    assert len(report.rows) == 6  # three pairs of Gemm and Elu became one node each


@pytest.mark.corpus
def test_a_missing_normalizer_is_named_as_what_only_the_reference_computes(corpus: Path) -> None:
    whole = onnx_of(corpus, next(e for e in RIGHT if e["id"] == "ogre_15af4916_pass"))
    stripped = corpus / "derived" / "ogre_15af4916_pass_normaliser_stripped" / "policy.onnx"
    report = first_divergence_onnx(whole, stripped, cases_for(whole))
    assert report.first is not None
    assert report.first.op == "Linear"
    assert "only the reference computes Sub /normalizer/Sub, Div /normalizer/Div before it" in report.sentence
    assert report.sentence.endswith("its weights are the same")


@pytest.mark.corpus
@pytest.mark.parametrize("entry", [e for e in corpus_index() if e["kind"] == "pair"], ids=lambda e: e["id"])
def test_torchscript_against_onnx(corpus: Path, entry: dict[str, Any]) -> None:
    pytest.importorskip("torch")
    path = onnx_of(corpus, entry)
    script = next(corpus / f["file"] for f in entry["files"] if f["file"].endswith(".pt"))
    report = first_divergence(
        RunnerSpec("reference", "torch", str(script)),
        RunnerSpec("candidate", "onnxruntime", str(path)),
        cases_for(path),
    )
    assert len(report.rows) == len(onnx.load(str(path)).graph.node)
    if entry["expected"]["verdict"] == "PASS":
        agrees(report)
    else:
        assert report.first == report.rows[0]
        assert "differs" in report.sentence


POLICY = """
import torch

class Block(torch.nn.Module):
    def __init__(self, d):
        super().__init__()
        self.l1 = torch.nn.Linear(d, d)
        self.n = torch.nn.LayerNorm(d)
        self.act = torch.nn.GELU()

    def forward(self, x):
        return x + self.act(self.n(self.l1(x)))

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv1d(3, 8, 3, padding=1)
        self.blocks = torch.nn.ModuleList([Block(16) for _ in range(3)])
        self.head = torch.nn.Linear(16, 4)

    def forward(self, x):
        y = torch.nn.functional.mish(self.conv(x))
        for b in self.blocks:
            y = b(y)
        return self.head(y.mean(1))

def build(factor=1.0):
    torch.manual_seed(0)
    net = Net().eval()
    with torch.no_grad():
        net.blocks[1].l1.weight *= factor
    return net
"""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A policy in eager torch, and what both exporters and torch.export make of it."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    (tmp_path / "layered_policy.py").write_text(POLICY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    import layered_policy

    monkeypatch.setitem(sys.modules, "layered_policy", layered_policy)
    net, x = layered_policy.build(), (torch.randn(1, 3, 16),)
    names: dict[str, Any] = {"input_names": ["obs"], "output_names": ["action"], "verbose": False}
    torch.onnx.export(net, x, str(tmp_path / "dynamo.onnx"), dynamo=True, **names)
    torch.onnx.export(net, x, str(tmp_path / "script.onnx"), dynamo=False, opset_version=17, **names)
    torch.jit.trace(net, x).save(str(tmp_path / "policy.pt"))
    torch.export.save(torch.export.export(net, x), str(tmp_path / "policy.pt2"))
    return tmp_path


def _cases() -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [{"obs": rng.standard_normal((1, 3, 16)).astype(np.float32)} for _ in range(2)]


@pytest.mark.filterwarnings("ignore")
def test_eager_torchscript_and_pt2_against_both_exporters(made: Path) -> None:
    for source, at_least in (("layered_policy:build", 11), ("policy.pt", 11), ("policy.pt2", 11)):
        path = source if ":" in source else str(made / source)
        for exported in ("dynamo.onnx", "script.onnx"):
            candidate = RunnerSpec("candidate", "onnxruntime", str(made / exported))
            report = first_divergence(RunnerSpec("reference", "torch", path), candidate, _cases())
            agrees(report)
            assert len(report.rows) >= at_least, (source, exported, [r.reference for r in report.rows])


@pytest.mark.filterwarnings("ignore")
def test_a_changed_module_of_eager_torch_is_named(made: Path) -> None:
    for exported in ("dynamo.onnx", "script.onnx"):
        reference = RunnerSpec("reference", "torch", "layered_policy:build", kwargs={"factor": 1.01})
        candidate = RunnerSpec("candidate", "onnxruntime", str(made / exported))
        report = first_divergence(reference, candidate, _cases())
        assert report.first is not None
        assert report.first.reference == "blocks.1.l1"
        assert [w.reference for w in report.weights if not w.same] == ["blocks.1.l1.weight"]
        assert report.last_agreed is not None
        assert report.last_agreed.reference.startswith("blocks.0")


@pytest.mark.filterwarnings("ignore")
def test_a_changed_layer_is_found_against_torchscript_and_pt2(made: Path) -> None:
    for source in ("policy.pt", "policy.pt2"):
        for exported in ("dynamo.onnx", "script.onnx"):
            bad = with_weight(made / exported, "conv.weight", FAULTS["scale"], made / f"bad-{exported}")
            reference = RunnerSpec("reference", "torch", str(made / source))
            report = first_divergence(reference, RunnerSpec("candidate", "onnxruntime", str(bad)), _cases())
            assert report.first is not None
            assert report.first.op == "Conv"
            assert [w.reference for w in report.weights if not w.same] == ["conv.weight"]
            assert report.inputs_rel == 0


@pytest.mark.filterwarnings("ignore")
def test_both_exporters_agree_with_each_other(made: Path) -> None:
    report = first_divergence_onnx(made / "dynamo.onnx", made / "script.onnx", _cases())
    agrees(report)
    assert {"Conv", "Linear", "LayerNormalization", "ReduceMean"} <= {r.op for r in report.rows}


def _tiny(tmp_path: Path, name: str, nodes: list[onnx.NodeProto], outputs: list[str], opset: int = 17) -> Path:
    info = [helper.make_tensor_value_info(o, onnx.TensorProto.FLOAT, None) for o in outputs]
    given = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 4])]
    graph = helper.make_graph(nodes, "g", given, info)
    return save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9), tmp_path / name)


X = [{"x": np.array([[1.0, 2.0, 3.0, 4.0]], np.float32)}]


def test_values_that_are_sequences_are_left_out(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("SplitToSequence", ["x"], ["parts"], axis=1),
        helper.make_node("ConcatFromSequence", ["parts"], ["y"], axis=1),
        helper.make_node("Relu", ["y"], ["z"]),
    ]
    path = _tiny(tmp_path, "a.onnx", nodes, ["z"])
    report = first_divergence_onnx(path, path, X)
    agrees(report)
    assert [r.reference for r in report.rows] == ["y", "z"]


def test_another_operation_is_found_where_names_are_the_same(tmp_path: Path) -> None:
    def nodes(op: str) -> list[onnx.NodeProto]:
        return [
            helper.make_node("Sin", ["x"], ["a"]),
            helper.make_node(op, ["a"], ["b"]),
            helper.make_node("Cos", ["b"], ["c"]),
        ]

    good, bad = _tiny(tmp_path, "a.onnx", nodes("Tanh"), ["c"]), _tiny(tmp_path, "b.onnx", nodes("Sigmoid"), ["c"])
    report = first_divergence_onnx(good, bad, X)
    assert report.first is not None
    assert report.first.reference == "b"
    assert report.last_agreed is not None
    assert report.last_agreed.reference == "a"


def test_counted_up_names_that_mean_something_else_are_not_believed(tmp_path: Path) -> None:
    """The second exporter counted from another number: the same names stand for other layers of the same shape."""
    ops = ["Sin", "Tanh", "Cos", "Sigmoid", "Abs", "Sqrt"]

    def chain(first: int) -> list[onnx.NodeProto]:
        names = ["x", *(str(first + i) for i in range(len(ops) - 1)), "out"]
        return [helper.make_node(op, [names[i]], [names[i + 1]]) for i, op in enumerate(ops)]

    report = first_divergence_onnx(
        _tiny(tmp_path, "a.onnx", chain(5), ["out"]), _tiny(tmp_path, "b.onnx", chain(6), ["out"]), X
    )
    agrees(report)
    assert len(report.rows) == len(ops)


def test_names_that_deceive_are_found_out_by_what_follows(tmp_path: Path) -> None:
    """``a`` and ``b`` have changed places: what is made from them agrees, so neither is where the two part."""

    def nodes(first: str, second: str) -> list[onnx.NodeProto]:
        return [
            helper.make_node("Sin", ["x"], [first]),
            helper.make_node("Cos", ["x"], [second]),
            helper.make_node("Sub", [first, second], ["c"]),
            *(helper.make_node("Neg", ["c" if i == 0 else f"n{i}"], [f"n{i + 1}"]) for i in range(40)),
        ]

    one, two = _tiny(tmp_path, "a.onnx", nodes("a", "b"), ["n40"]), _tiny(tmp_path, "b.onnx", nodes("b", "a"), ["n40"])
    agrees(first_divergence_onnx(one, two, X))


def test_nan_on_one_side_is_where_they_part(tmp_path: Path) -> None:
    def nodes(op: str) -> list[onnx.NodeProto]:
        return [helper.make_node("Neg", ["x"], ["a"]), helper.make_node(op, ["a"], ["b"])]

    report = first_divergence_onnx(
        _tiny(tmp_path, "a.onnx", nodes("Abs"), ["b"]), _tiny(tmp_path, "b.onnx", nodes("Sqrt"), ["b"]), X
    )
    assert report.first is not None
    assert "4 elements are NaN or infinite on one side" in report.sentence
    assert report.finding("ort").code == "DIAG020"
    assert report.as_json()["first"]["reference"] == "b"


def test_inputs_with_other_names_go_by_position_and_other_counts_are_refused(tmp_path: Path) -> None:
    path = _tiny(tmp_path, "a.onnx", [helper.make_node("Neg", ["x"], ["a"])], ["a"])
    agrees(first_divergence_onnx(path, path, [{"obs": X[0]["x"]}]))
    with pytest.raises(UsageError, match="takes 1 inputs"):
        first_divergence_onnx(path, path, [{"a": X[0]["x"], "b": X[0]["x"]}])
    with pytest.raises(UsageError, match="no cases"):
        first_divergence_onnx(path, path, [])


def test_bad_files_give_messages(tmp_path: Path) -> None:
    path = _tiny(tmp_path, "a.onnx", [helper.make_node("Neg", ["x"], ["a"])], ["a"])
    (tmp_path / "cut.onnx").write_bytes(path.read_bytes()[:20])
    with pytest.raises((ArtifactError, RunnerError)):
        first_divergence_onnx(path, tmp_path / "cut.onnx", X)
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(UsageError, match="cannot be looked into"):
        first_divergence_onnx(path, tmp_path / "a.json", X)
    with pytest.raises(RunnerError, match="layer by layer"):
        first_divergence_onnx(path, path, [{"x": np.zeros((2, 2, 2), np.float32)}])
