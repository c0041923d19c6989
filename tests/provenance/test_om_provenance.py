"""Which checkpoint an OM was compiled from: real OM files against what they were made from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compiled_om import compiled
from graph_def import constants
from om_writer import Constant, Node, Om, write
from parity.artifact import recognize
from parity.checkpoint.weights import read_weights
from parity.cli import main
from parity.om.reading import open_om
from parity.om.uses import uses
from parity.provenance.compare_weights import rounded_to
from parity.provenance.match import match_sides
from parity.provenance.origin import Trace, trace
from parity.report.schema import validate
from tensor_files import save_tensors

FILES = [("a3c_pong_v1.om", "a3c_pong.pb", 10), ("a3c_pong_v2.om", "a3c_pong.pb", 10), ("vae_hh.om", "vae_hh.pb", 12)]


def floats(pb: Path) -> dict[str, Any]:
    return {n: a for n, a in constants(pb).items() if a.dtype == np.float32}


def later(arrays: dict[str, Any], by: float = 1e-3) -> dict[str, Any]:
    """Return the weights of another epoch: every one moved a little."""
    rng = np.random.default_rng(0)
    return {n: (a * (1 + by * rng.standard_normal(a.shape))).astype(np.float32) for n, a in arrays.items()}


def retrained(arrays: dict[str, Any]) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {n: (rng.standard_normal(a.shape) * a.std()).astype(np.float32) for n, a in arrays.items()}


def codes(found: Trace) -> dict[str, str]:
    from parity.provenance.tell import findings_of

    return {f.code: f.title for f in findings_of(found)}


@pytest.mark.corpus
@pytest.mark.parametrize(("om", "pb", "total"), FILES)
def test_real_oms_against_what_they_were_compiled_from(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], om: str, pb: str, total: int
) -> None:
    source = floats(corpus / "om" / pb)
    right = save_tensors(tmp_path / "step_100.safetensors", source)
    np.savez(tmp_path / "step_100.npz", **source)
    epoch = save_tensors(tmp_path / "step_200.safetensors", later(source))
    other = save_tensors(tmp_path / "other.safetensors", retrained(source))
    given = [epoch, other, right, tmp_path / "step_100.npz"]
    code = main(["provenance", str(corpus / "om" / om), *map(str, given), "--json", "-"])
    document = json.loads(capsys.readouterr().out)
    validate(document, "provenance")
    assert (code, document["verdict"]) == (0, "PASS")
    assert [c["relation"] for c in document["candidates"]] == ["STALE", "FOREIGN", "MATCH", "MATCH"]
    best = document["best"]
    assert Path(best["checkpoint"]) == right
    assert best["matched"] + best["folded"] == best["total"]
    told = best["total"] + sum(document["left_out"].values())
    assert told >= total
    assert {f["code"] for f in document["findings"]} >= {"PROV001", "PROV010"}


@pytest.mark.corpus
def test_one_tensor_of_another_run_is_named(corpus: Path, tmp_path: Path) -> None:
    source = floats(corpus / "om/vae_hh.pb")
    changed = next(n for n, a in source.items() if a.ndim == 2 and a.size > 1000)
    mixed = save_tensors(tmp_path / "mixed.safetensors", source | {changed: later(source)[changed]})
    found = trace(corpus / "om/vae_hh.om", [mixed])
    assert (found.best.outcome.relation, len(found.best.outcome.missing)) == ("PARTIAL", 1)
    assert "11 of 12 tensors are from" in codes(found)["PROV002"]
    layer = changed.rpartition("/")[0]  # the OM calls it dynamic_const_5478_<n>
    assert f"goes into {layer}" in codes(found)["OM049"]


@pytest.mark.corpus
def test_one_om_against_another(corpus: Path, tmp_path: Path) -> None:
    one, other = corpus / "om/a3c_pong_v1.om", corpus / "om/a3c_pong_v2.om"
    for exported, source in ((one, other), (other, one)):
        found = trace(exported, [source, corpus / "om/vae_hh.om"])
        assert [c.outcome.relation for c in found.candidates] == ["MATCH", "FOREIGN"]
        assert (found.best.outcome.matched, found.best.outcome.rounded) == (10, 0)


@pytest.mark.corpus
def test_an_om_is_no_source_of_what_it_was_compiled_from(corpus: Path, tmp_path: Path) -> None:
    source = save_tensors(tmp_path / "a3c.safetensors", floats(corpus / "om/a3c_pong.pb"))
    found = trace(source, [corpus / "om/a3c_pong_v1.om"])
    assert found.best.outcome.relation == "STALE"
    assert "ask the other way round" in next(f.remedy for f in _findings(found) if f.code == "OM046")
    assert match_sides(recognize(corpus / "om/a3c_pong_v1.om"), recognize(source)).relation == "MATCH"
    assert match_sides(recognize(source), recognize(corpus / "om/a3c_pong_v1.om")).relation == "MATCH"


def _findings(found: Trace) -> list[Any]:
    from parity.provenance.tell import findings_of

    return findings_of(found)


@pytest.mark.corpus
@pytest.mark.parametrize("checkpoint", ["booster_t1_ckpt10000_pass/model_10000.pth"])
def test_the_epoch_of_a_real_policy(corpus: Path, tmp_path: Path, checkpoint: str) -> None:
    """Two checkpoints of one run, 100 iterations apart: cosine over 0.99, and the OM tells which."""
    right, near = corpus / "pairs" / checkpoint, corpus / "pairs/booster_t1_ckpt9900_near/model_9900.pth"
    exported = read_weights(right.with_suffix(".pt"))
    actor = {n: w.as_float() for n, w in exported.items() if w.dtype == "float32"}
    om = compiled(tmp_path / "policy.om", actor)
    found = trace(om, [near, right])
    assert [c.outcome.relation for c in found.candidates] == ["STALE", "MATCH"]
    assert found.best.outcome.matched == found.best.outcome.total == 8
    assert found.best.outcome.rounded == 8
    retrained_ = save_tensors(tmp_path / "again.safetensors", retrained(actor))
    assert trace(om, [retrained_]).best.outcome.relation == "FOREIGN"


@pytest.mark.corpus
def test_an_onnx_policy_of_the_corpus(corpus: Path, tmp_path: Path) -> None:
    base = corpus / "made/rsl-rl"
    weights = {n: w.as_float() for n, w in read_weights(base / "policy_rsl551.onnx").items() if w.dtype == "float32"}
    om = compiled(tmp_path / "policy.om", weights)
    found = trace(om, [base / "model_rsl330.pt", base / "policy_rsl551.onnx", base / "model_rsl551.pt"])
    assert [c.outcome.relation for c in found.candidates if c.outcome.relation != "FOREIGN"][-2:] == ["MATCH", "MATCH"]
    assert {Path(c.source.name).name for c in (found.best, *found.ties)} == {"policy_rsl551.onnx"}
    assert trace(om, [base / "model_rsl551.pt"]).best.outcome.relation == "MATCH"


def vision(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)

    def new(*shape: int) -> np.ndarray:
        return (0.1 * rng.standard_normal(shape)).astype(np.float32)

    found = {"conv1.weight": new(20, 3, 5, 5), "conv2.weight": new(24, 20, 3, 3), "conv2.bias": new(24)}
    found |= {"bn.weight": 1 + new(20), "bn.bias": new(20), "bn.running_mean": new(20), "bn.running_var": 1 + new(20)}
    return found | {"head.weight": new(6, 24), "head.bias": new(6), "gate": new(1, 24, 1, 1)}


def fused(w: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    scale = w["bn.weight"] / np.sqrt(w["bn.running_var"] + np.float32(1e-5))
    kernel = w["conv1.weight"] * scale[:, None, None, None]
    bias = -w["bn.running_mean"] * scale + w["bn.bias"]
    return {"conv1_bn_filter_host": kernel.astype(np.float16), "conv1_bn_bias_host": bias.astype(np.float16)}


def plain(w: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {n: a for n, a in w.items() if not n.startswith(("bn", "conv1"))}


def test_every_layout_and_a_folded_batch_norm(tmp_path: Path) -> None:
    w = vision()
    om = compiled(tmp_path / "p.om", {**plain(w), "pad": np.zeros((16, 16), np.float32)}, ready=fused(w))
    right = save_tensors(tmp_path / "step_1.safetensors", w)
    next_one = save_tensors(tmp_path / "step_2.safetensors", later(w, 1e-4))
    found = trace(om, [next_one, right])
    assert [c.outcome.relation for c in found.candidates] == ["STALE", "MATCH"]
    outcome = found.best.outcome
    assert (outcome.matched, outcome.folded, outcome.total) == (5, 2, 7)
    assert {f.source for f in outcome.found if f.how == "folded"} == {"conv1.weight and bn.*", "bn.*"}
    assert not {"PROV015", "WEIGHT002"} & codes(found).keys()  # the compiler's pads are no fault of the weights


def test_a_fold_that_nothing_explains_is_named_as_one(tmp_path: Path) -> None:
    w = vision()
    om = compiled(tmp_path / "p.om", plain(w), ready=fused(w))
    without = {n: a for n, a in w.items() if not n.startswith("bn")}
    found = trace(om, [save_tensors(tmp_path / "a.safetensors", without)])
    assert found.best.outcome.relation == "PARTIAL"
    assert "OM045" in codes(found)
    later_bn = w | {"bn.running_var": w["bn.running_var"] * np.float32(1.001)}
    found = trace(om, [save_tensors(tmp_path / "b.safetensors", later_bn)])
    assert (found.best.outcome.relation, len(found.best.outcome.missing)) == ("PARTIAL", 2)


def test_weights_that_are_equal_after_the_cast_cannot_be_told_apart_and_that_is_said(tmp_path: Path) -> None:
    w = plain(vision())
    om = compiled(tmp_path / "p.om", w)
    nearly = {n: np.nextafter(a.astype(np.float16).astype(np.float32), np.float32(9)) for n, a in w.items()}
    half = {n: a.astype(np.float16) for n, a in w.items()}
    np.savez(tmp_path / "half.npz", **half)
    given = [save_tensors(tmp_path / f"{n}.safetensors", a) for n, a in (("w", w), ("nearly", nearly))]
    found = trace(om, [*given, tmp_path / "half.npz"])
    assert [c.outcome.relation for c in found.candidates] == ["MATCH"] * 3
    tied = next(f for f in _findings(found) if f.code == "PROV010")
    assert "after the rounding" in tied.detail


def test_an_om_in_float32_is_exact(tmp_path: Path) -> None:
    w = plain(vision())
    om = compiled(tmp_path / "p.om", w, dtype="float32")
    outcome = trace(om, [save_tensors(tmp_path / "w.safetensors", w)]).best.outcome
    assert (outcome.relation, outcome.rounded) == ("MATCH", 0)
    half = {n: a.astype(np.float16).astype(np.float32) for n, a in w.items()}
    assert trace(om, [save_tensors(tmp_path / "h.safetensors", half)]).best.outcome.matched == 0


def test_an_om_without_weights_is_not_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    om = compiled(tmp_path / "p.om", {"pad": np.zeros((4, 4), np.float32)})
    source = save_tensors(tmp_path / "w.safetensors", plain(vision()))
    assert main(["provenance", str(om), str(source)]) == 3
    assert "NOT_JUDGED" in capsys.readouterr().out


def test_a_constant_that_cannot_be_read_is_not_taken_for_found(tmp_path: Path) -> None:
    w = plain(vision())
    kept = [Constant(n, a.astype(np.float16)) for n, a in w.items() if a.ndim == 1]
    odd = Constant("odd", w["head.weight"].astype(np.float16), external=True)
    om = write(tmp_path / "p.om", Om(constants=(*kept, odd)))
    found = trace(om, [save_tensors(tmp_path / "w.safetensors", w)])
    assert found.best.outcome.relation == "PARTIAL"
    assert [f.exported for f in found.best.outcome.missing] == ["odd"]
    assert "kept outside of the file" in codes(found)["OM048"]


def test_only_is_refused_of_rounded_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    w = plain(vision())
    om, source = compiled(tmp_path / "p.om", w), save_tensors(tmp_path / "w.safetensors", w)
    assert main(["provenance", str(om), str(source), "--only", "head.*"]) == 2
    assert "rounded" in capsys.readouterr().err


def test_integers_without_a_scale_are_not_taken_for_nothing(tmp_path: Path) -> None:
    """A quantized OM of which only the biases are known must not match by them."""
    w = plain(vision())
    kept = [Constant(n, a.astype(np.float16)) for n, a in w.items() if a.ndim == 1]
    matrix = np.random.default_rng(0).integers(-127, 127, (6, 24)).astype(np.int8)
    om = write(tmp_path / "p.om", Om(constants=(*kept, Constant("quantized", matrix))))
    found = trace(om, [save_tensors(tmp_path / "w.safetensors", w)])
    assert found.best.outcome.relation == "PARTIAL"
    assert [f.exported for f in found.best.outcome.missing] == ["quantized"]
    assert "int8" in codes(found)["OM048"]


def test_damaged_files_are_refused_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a damaged file says, there is an exit code that says so, and no traceback."""
    w = plain(vision())
    whole = compiled(tmp_path / "whole.om", w).read_bytes()
    source = save_tensors(tmp_path / "w.safetensors", w)
    rng, seen = np.random.default_rng(0), set()
    for i in range(120):
        data = bytearray(whole)
        if i % 2:
            data = data[: int(rng.integers(0, len(whole)))]
        for _ in range(0 if i % 2 else int(rng.integers(1, 4))):
            data[int(rng.integers(0, 2000))] ^= 1 << int(rng.integers(0, 8))
        damaged = tmp_path / "damaged.om"
        damaged.write_bytes(data)
        code = main(["provenance", str(damaged), str(source)])
        seen.add(code)
        assert code in (0, 1, 2, 3)
        if i % 2:
            assert code == 2, i
    assert {1, 2} & seen
    assert "Traceback" not in "".join(capsys.readouterr())


def test_bfloat16_is_told_apart_too(tmp_path: Path) -> None:
    w = plain(vision())
    bits = {n: (rounded_to(a, "bfloat16").view(np.uint32) >> 16).astype(np.uint16) for n, a in w.items()}
    om = write(tmp_path / "p.om", Om(constants=tuple(Constant(n, a, dtype="bfloat16") for n, a in bits.items())))
    given = [save_tensors(tmp_path / f"{n}.safetensors", a) for n, a in (("late", later(w, 1e-2)), ("right", w))]
    assert [c.outcome.relation for c in trace(om, given).candidates] == ["STALE", "MATCH"]


def test_a_constant_is_named_by_the_layer_that_it_goes_into(tmp_path: Path) -> None:
    """Past what the compiler puts between: the cast and the layout."""
    w = plain(vision())
    nodes = (
        Node("trans_Cast_1", "Cast", ("c:0",)),
        Node("trans_TransData_2", "TransData", ("trans_Cast_1:0",)),
        Node("fused", "Conv2D", ("obs:0", "trans_TransData_2:0"), sources=("policy/conv", "policy/relu")),
        Node("plain", "MatMulV2", ("fused:0", "d:0")),
        Node("loop_a", "Cast", ("loop_b:0",)),
        Node("loop_b", "Cast", ("loop_a:0", "e:0")),
    )
    names = ("c", "d", "e", "unread")
    constants = tuple(Constant(n, w["head.bias"].astype(np.float16)) for n in names)
    model = open_om(write(tmp_path / "p.om", Om(nodes=nodes, constants=constants)))
    assert uses(model, names) == {"c": "policy/conv", "d": "plain"}
