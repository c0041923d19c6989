"""Whose weights are in an exported file: the corpus's pairs, and each way in which an export may store them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from parity.artifact import Artifact, recognize
from parity.checkpoint.checkpoint import Checkpoint
from parity.checkpoint.weight import Quantization, Weight, trees
from parity.contract import Contract, read_contract
from parity.provenance.compare_weights import rounded_to
from parity.provenance.match import WeightMatch, match_evaluated, match_sides
from parity.provenance.normalizer import normalizer_finding, normalizer_on_one_side
from parity.provenance.source import source_of
from parity.tensor import Range, TensorSpec

RNG = np.random.default_rng(0)


def weights(arrays: Mapping[str, Any], **kwargs: Any) -> dict[str, Weight]:
    def one(name: str, a: Any) -> Weight:
        a = np.asarray(a)
        return Weight(name, a.shape, a.dtype.name, lambda: a, **kwargs)

    return {n: one(n, a) for n, a in arrays.items()}


def match_weights(exported: Mapping[str, Weight], source: Mapping[str, Weight]) -> WeightMatch:
    def one(held: Mapping[str, Weight]) -> Any:
        return source_of(Checkpoint(Artifact(Path("p.pt"), "torchscript"), "", held, tuple(trees(held))))

    return match_evaluated(one(exported), one(source))


def of_pair(corpus: Path, name: str, exported: str = "policy.onnx", source: str = "policy.pt") -> WeightMatch:
    return match_sides(recognize(corpus / name / source), recognize(corpus / name / exported))


@pytest.mark.corpus
def test_right_pairs_match_in_full_and_wrong_ones_not_at_all(
    corpus: Path, corpus_entries: dict[str, dict[str, Any]]
) -> None:
    judged = 0
    for entry in corpus_entries.values():
        if entry["kind"] not in ("pair", "checkpoint_vs_jit", "checkpoint_vs_onnx"):
            continue
        files = [e["file"] for e in entry["files"]]
        models = [f for f in files if f.endswith((".onnx", ".pt", ".pth"))]
        exported = next(
            f for f in (*[m for m in models if m.endswith(".onnx")], *[m for m in models if m.endswith(".pt")])
        )
        source = next(m for m in models if m != exported)
        found = match_sides(recognize(corpus / source), recognize(corpus / exported))
        assert found.total >= 6, entry["id"]
        assert found.rounded == 0
        assert all(p.source is not None for p in found.weights)
        if entry["expected"]["verdict"] == "PASS":
            assert found.matched == found.total, entry["id"]
            assert found.finding() is None
            assert found.one_sentence == f"{found.total} of {found.total} weights match"
        else:
            assert found.matched == 0, entry["id"]
            assert found.one_sentence == f"0 of {found.total} weights match: another checkpoint"
        judged += 1
    assert judged == 17


@pytest.mark.corpus
def test_the_stale_export_in_words(corpus: Path) -> None:
    found = of_pair(corpus, "pairs/ogre_e0ee1102_ros2_stale")
    assert found.one_sentence == "0 of 8 weights match: another checkpoint"
    assert (found.statistics_matched, len(found.statistics)) == (0, 2)
    finding = found.finding()
    assert finding is not None
    assert (finding.code, finding.severity) == ("WEIGHT001", "error")
    assert len(finding.evidence["unmatched"]) == 8
    assert all(0.2 < u["cosine"] < 0.9 for u in finding.evidence["unmatched"])


@pytest.mark.corpus
def test_a_folded_normalizer_matches(corpus: Path) -> None:
    found = of_pair(corpus, "pairs/ogre_15af4916_pass")
    assert {p.exported: (p.source, p.how) for p in found.statistics} == {
        "normalizer._mean": ("normalizer._mean", "exact"),
        "onnx::Div_24": ("normalizer._std", "folded"),
    }


@pytest.mark.corpus
def test_a_stripped_normalizer_is_told_apart_from_foreign_weights(corpus: Path) -> None:
    folder = "derived/ogre_15af4916_pass_normaliser_stripped"
    assert of_pair(corpus, folder).one_sentence == "8 of 8 weights match"
    script, graph = read_contract(corpus / folder / "policy.pt"), read_contract(corpus / folder / "policy.onnx")
    sides = normalizer_on_one_side(script, graph)
    assert sides is not None
    assert (sides.input, sides.b) == ("x", None)
    finding = normalizer_finding(script, graph)
    assert finding is not None
    assert finding.title.startswith("The normalizer is missing in the ONNX graph")
    whole = read_contract(corpus / "pairs/ogre_15af4916_pass/policy.onnx")
    assert normalizer_on_one_side(script, whole) is None
    reverse = normalizer_finding(graph, script)
    assert reverse is not None
    assert "ONNX graph" in reverse.title


@pytest.mark.corpus
def test_training_checkpoints_of_rsl_rl(corpus: Path) -> None:
    base = corpus / "made/rsl-rl"
    for exported in ("policy_rsl551.onnx", "policy_rsl551_jit.pt"):
        found = match_sides(recognize(base / "model_rsl551.pt"), recognize(base / exported))
        assert (found.matched, found.total) == (6, 6)
        assert found.statistics_matched == len(found.statistics) > 0
        other = match_sides(recognize(base / "model_rsl330.pt"), recognize(base / exported))
        assert other.matched == 0


A = RNG.standard_normal((6, 4)).astype(np.float32)
B = RNG.standard_normal((6, 4)).astype(np.float32)
V = RNG.standard_normal(6).astype(np.float32)


def how(exported: Any, source: Any) -> Any:
    return match_weights(weights({"e": exported}), weights({"s": source})).weights[0].how


def test_names_do_not_matter_and_transposition_is_allowed() -> None:
    assert how(A, A) == how(A.T, A) == how(A[None], A) == how(V[None, :], V) == "exact"
    assert how(A, B) is None
    assert how(A.reshape(4, 6), A) is None  # the same bytes in another shape are no transposition


def test_bits_count() -> None:
    assert how(np.nextafter(A, 9, dtype=np.float32), A) is None
    signed = A.copy()
    signed[0, 0] = 0.0
    negative = signed.copy()
    negative[0, 0] = -0.0
    assert how(negative, signed) is None
    nan = A.copy()
    nan[1, 1] = np.nan
    assert how(nan, nan.copy()) == "exact"
    late = A.copy()
    late[5, 3] += 1
    assert how(late, A) is None


def test_rounding_is_counted_apart() -> None:
    half = A.astype(np.float16)
    found = match_weights(weights({"a": half, "b": half.astype(np.float32), "c": A}), weights({"s": A}))
    assert (found.matched, found.rounded) == (3, 2)
    assert found.one_sentence == "3 of 3 weights match (2 after rounding)"
    assert how(A, half) is None  # a source cannot have more digits than its export came from
    assert how(A.astype(np.float64), A.astype(np.float64)) == "exact"
    assert how(A, A.astype(np.float64) + 1e-12) == "rounded"
    assert how(rounded_to(A, "bfloat16"), A) == "rounded"


@settings(deadline=None)
@given(hnp.arrays(np.float32, 20, elements=st.floats(width=32, allow_nan=False)))
def test_bfloat16_rounding_is_that_of_torch(values: Any) -> None:
    torch = pytest.importorskip("torch")
    expected = torch.from_numpy(values.copy()).to(torch.bfloat16).float().numpy()
    assert np.array_equal(rounded_to(values, "bfloat16"), expected)


def quantized(array: Any, axis: int | None) -> Weight:
    scale = np.abs(array).max(axis=None if axis is None else 1 - axis) / 127
    scale = np.asarray(scale, dtype=np.float32)
    spread = scale if axis is None else np.expand_dims(scale, 1 - axis)
    q = np.clip(np.round(array / spread), -128, 127).astype(np.int8)
    return Weight("q", q.shape, "int8", lambda: q, quantization=Quantization(lambda: scale, None, axis))


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_quantized_weights_match_to_half_a_step(axis: int | None) -> None:
    found = match_weights({"q": quantized(A, axis)}, weights({"s": A}))
    assert found.weights[0].how == "rounded"
    assert match_weights({"q": quantized(A, axis)}, weights({"s": A.T.copy()})).weights[0].how == "rounded"
    assert match_weights({"q": quantized(B, axis)}, weights({"s": A})).weights[0].how is None
    assert match_weights({"q": quantized(A, axis)}, weights({"s": A * np.float32(1.05)})).weights[0].how is None


def test_tensors_that_say_nothing_do_not_count() -> None:
    found = match_weights(
        weights(
            {
                "zero": np.zeros((3, 3), np.float32),
                "one": np.ones(4, np.float32),
                "scalar": np.float32(3),
                "shape": [1, 2],
            }
        ),
        weights({"s": A}),
    )
    assert (found.total, found.one_sentence) == (0, "the exported file holds no weights that could be compared")
    finding = found.finding()
    assert finding is not None
    assert (finding.code, finding.severity) == ("WEIGHT003", "info")


def test_one_of_many_is_named_with_its_cosine() -> None:
    arrays = {f"actor.{i}.weight": RNG.standard_normal((8, 8)).astype(np.float32) for i in range(8)}
    changed = dict(arrays)
    noise = RNG.standard_normal((8, 8)).astype(np.float32)
    changed["actor.6.weight"] = arrays["actor.6.weight"] + np.float32(0.4) * noise
    found = match_weights(weights(changed), weights(arrays))
    assert (found.matched, found.total) == (7, 8)
    assert found.unmatched[0].source == "actor.6.weight"
    assert found.one_sentence.startswith("7 of 8 weights match; actor.6.weight differs (cosine 0.9")
    gone = match_weights(weights({**arrays, "x": RNG.standard_normal((3, 5)).astype(np.float32)}), weights(arrays))
    assert gone.one_sentence == "8 of 9 weights match; x differs (no weight of its shape)"


def test_another_architecture_is_said() -> None:
    assert match_weights(weights({"a": A, "v": V}), weights({"b": B[:2]})).one_sentence == (
        "0 of 2 weights match: another architecture"
    )
    assert match_weights(weights({"a": A}), {}).matched == 0


def test_a_reference_that_holds_no_weights_is_no_other_architecture() -> None:
    found = match_weights(weights({"a": A}), weights({"zero": np.zeros((6, 4), np.float32)}))
    assert (found.total, found.one_sentence) == (0, "the other file holds no weights that could be compared")
    assert getattr(found.finding(), "code", None) == "WEIGHT003"


def test_a_normalizer_is_no_partner_that_another_architecture_has() -> None:
    arrays = {f"w{i}": RNG.standard_normal(6).astype(np.float32) for i in range(3)}
    source = weights({"s": B[:, :3]}) | weights({"normalizer._mean": V}, statistics=True)
    assert match_weights(weights(arrays), source).one_sentence == "0 of 3 weights match: another architecture"


def test_what_a_training_needs_beside_the_policy_is_not_missed_in_a_graph(tmp_path: Path) -> None:
    """Counted from the graph, whichever side it is: a checkpoint holds a critic, and may be the candidate."""
    from onnx import TensorProto, helper, numpy_helper, save_model

    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "policy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(A, "w")],
    )
    save_model(helper.make_model(graph), str(tmp_path / "policy.onnx"))
    np.savez(tmp_path / "run.npz", actor=A, critic=B)
    files = [recognize(tmp_path / n) for n in ("policy.onnx", "run.npz")]
    assert {match_sides(*f).one_sentence for f in (files, files[::-1])} == {"1 of 1 weights match"}


def test_counted_from_the_exported_side() -> None:
    found = match_weights(weights({"a": A}), weights({"a": A, "critic": B, "more": V}))
    assert (found.matched, found.total) == (1, 1)


def test_a_normalizer_is_no_weight_and_no_partner_of_one() -> None:
    mean = weights({"normalizer._mean": V}, statistics=True)
    assert match_weights(weights({"w": V}), mean).matched == 0
    found = match_weights(mean, mean)
    assert (found.total, found.statistics_matched) == (0, 1)
    moved = weights({"normalizer._mean": V + 1}, statistics=True)
    found = match_weights({**moved, **weights({"a": A})}, {**mean, **weights({"a": A})})
    assert found.one_sentence == "1 of 1 weights match; 1 of the normalizer's constants differ"
    finding = found.finding()
    assert finding is not None
    assert (finding.code, finding.severity, finding.where) == ("WEIGHT005", "error", "normalizer._mean")
    none = match_weights({**moved, **weights({"a": A})}, weights({"a": A}))
    assert none.finding() is None  # a normalizer on one side is another finding's


def test_recurrent_layers_and_batch_norm_of_a_real_export(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Policy(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 8, 3)
            self.norm = torch.nn.BatchNorm2d(8)
            self.lstm = torch.nn.LSTM(8, 7, bidirectional=True)
            self.gru = torch.nn.GRU(14, 4)
            for p in (self.norm.running_mean, self.norm.running_var, self.norm.weight, self.norm.bias):
                p.data.uniform_(0.5, 2)

        def forward(self, x: Any) -> Any:
            y, _ = self.lstm(torch.relu(self.norm(self.conv(x))).mean((2, 3))[None])
            return self.gru(y)[0][0]

    torch.manual_seed(0)
    policy = Policy().eval()
    torch.save(policy.state_dict(), tmp_path / "right.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(policy, (torch.randn(1, 3, 8, 8),), tmp_path / "p.onnx", dynamo=False, opset_version=17)
    exported = recognize(tmp_path / "p.onnx")
    right = match_sides(recognize(tmp_path / "right.pt"), exported)
    assert right.one_sentence == "8 of 8 weights match (2 with a BatchNorm folded in)"
    with torch.no_grad():
        for p in policy.parameters():  # what one step of an optimizer does
            p.add_(1e-5 * torch.sign(torch.randn_like(p)))
    torch.save(policy.state_dict(), tmp_path / "next.pt")
    assert match_sides(recognize(tmp_path / "next.pt"), exported).matched == 0


def test_a_recording_is_not_said_to_lack_a_normalizer() -> None:
    """It holds inputs and outputs only: what was inside the policy cannot be seen in it."""

    def contract(kind: str, path: str, *, normalizes: bool) -> Contract:
        found = Range("mean_std", (0.0,), (1.0,), (1,), f"{path}: mean") if normalizes else None
        return Contract(Path(path), kind, inputs=(TensorSpec("x", range=found),))

    graph = contract("onnx", "policy.onnx", normalizes=True)
    assert normalizer_finding(contract("onnx", "bare.onnx", normalizes=False), graph) is not None
    assert normalizer_finding(contract("trace", "golden.h5", normalizes=False), graph) is None
