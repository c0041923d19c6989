"""`parity provenance` on real artifacts: the right checkpoint and weight set named, the wrong ones told apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from parity.artifact import recognize
from parity.cli import main
from parity.provenance.match import match_sides
from parity.provenance.origin import Trace, trace
from parity.provenance.relation import STALE_COSINE
from parity.provenance.tell import findings_of, sentence
from parity.report.schema import validate


def said(found: Trace) -> dict[str, str]:
    return {f.code: f.title for f in findings_of(found)}


def asked(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    code = main(["provenance", *map(str, arguments), "--json", "-"])
    document = json.loads(capsys.readouterr().out)
    validate(document, "provenance")
    return code, document


@pytest.mark.corpus
def test_every_pair_of_the_corpus(corpus: Path, corpus_entries: dict[str, dict[str, Any]]) -> None:
    judged = 0
    for entry in corpus_entries.values():
        if entry["kind"] not in ("pair", "checkpoint_vs_jit", "checkpoint_vs_onnx"):
            continue
        models = [e["file"] for e in entry["files"] if e["file"].endswith((".onnx", ".pt", ".pth"))]
        exported = next(
            f for f in (*[m for m in models if m.endswith(".onnx")], *[m for m in models if m.endswith(".pt")])
        )
        best = trace(corpus / exported, [corpus / m for m in models if m != exported]).best
        outcome = best.outcome
        assert outcome.total >= 6, entry["id"]
        if entry["expected"]["verdict"] == "PASS":
            assert (outcome.relation, outcome.matched + outcome.folded) == ("MATCH", outcome.total), entry["id"]
        else:
            assert outcome.relation in ("STALE", "FOREIGN"), entry["id"]
            assert outcome.matched + outcome.folded == 0
        judged += 1
    assert judged == 17


@pytest.mark.corpus
def test_trained_apart_is_foreign_and_trained_on_is_stale(corpus: Path) -> None:
    """The threshold lies far from both: what the corpus holds of either kind."""
    for pair, name in (("omz_samplenet_mismatch", "samplenet"), ("rl_sar_go2w_stale_HEAD", "policy")):
        folder = corpus / "pairs" / pair
        apart = trace(folder / f"{name}.onnx", list(folder.glob(f"{name}.pt*"))).best.outcome
        assert apart.relation == "FOREIGN"
        assert apart.cosine is not None
        assert apart.cosine < STALE_COSINE / 2
    for pair in ("ogre_e0ee1102_ros2_stale", "kscale_standing_micro_stale"):
        outcome = trace(corpus / "pairs" / pair / "policy.onnx", [corpus / "pairs" / pair / "policy.pt"]).best.outcome
        assert outcome.relation == "STALE", pair
        assert outcome.cosine is not None
        assert outcome.cosine > 2 * STALE_COSINE, pair


@pytest.mark.corpus
def test_booster_by_weights_alone(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right = corpus / "pairs/booster_t1_ckpt10000_pass/model_10000.pth"
    near = corpus / "pairs/booster_t1_ckpt9900_near/model_9900.pth"
    exported = right.with_suffix(".pt")
    code, document = asked(capsys, exported, near, right)
    assert (code, document["verdict"]) == (0, "PASS")
    assert {k: document["best"][k] for k in ("checkpoint", "tree", "relation", "matched", "folded", "total")} == {
        "checkpoint": str(right),
        "tree": "model",
        "relation": "MATCH",
        "matched": 8,
        "folded": 0,
        "total": 8,
    }
    assert [c["relation"] for c in document["candidates"]] == ["STALE", "MATCH"]
    assert "step 10,000" in document["findings"][0]["title"]
    code, document = asked(capsys, exported, near)
    assert (code, document["verdict"], document["best"]["relation"]) == (1, "FAIL", "STALE")
    assert document["best"]["cosine"] > 0.99


@pytest.mark.corpus
def test_the_right_one_of_the_whole_corpus(corpus: Path) -> None:
    checkpoints = sorted(corpus.glob("pairs/*/policy.pt"))
    found = trace(corpus / "pairs/ur10_reach_pass/policy.onnx", checkpoints)
    assert Path(found.best.source.name).parent.name == "ur10_reach_pass"
    assert sum(c.outcome.relation == "MATCH" for c in found.candidates) == 1


@pytest.mark.corpus
def test_the_eras_of_rsl_rl_and_a_folded_normalizer(corpus: Path) -> None:
    base = corpus / "made/rsl-rl"
    checkpoints = sorted(base.glob("model_*.pt"))
    for exported in ("policy_rsl551.onnx", "policy_rsl551_jit.pt"):
        found = trace(base / exported, checkpoints)
        assert (Path(found.best.source.name).name, found.best.tree) == ("model_rsl551.pt", "actor_state_dict")
        assert found.best.outcome.folded <= 1
        assert "step 29" in sentence(found)
        assert {c.outcome.relation for c in found.candidates if c.source is not found.best.source} == {"STALE"}


@pytest.mark.corpus
def test_the_eras_of_lerobot_hold_the_same_weights(corpus: Path) -> None:
    for folder in sorted((corpus / "made/lerobot-0.3.3-legacy").iterdir()):
        newer = corpus / "made/lerobot-0.6.1" / folder.name
        assert trace(newer, [folder]).best.outcome.relation == "MATCH", folder.name
        assert trace(folder, [newer]).best.outcome.relation == "MATCH", folder.name


@pytest.mark.corpus
def test_a_stripped_normalizer_is_named(corpus: Path) -> None:
    folder = corpus / "derived/ogre_15af4916_pass_normaliser_stripped"
    found = trace(folder / "policy.onnx", [folder / "policy.pt"])
    assert found.best.outcome.relation == "MATCH"
    assert "normalizer._mean" in said(found)["PROV009"]
    assert "the observation normalizer in the checkpoint is not in the exported file" in sentence(found)
    whole = corpus / "pairs/ogre_15af4916_pass"
    assert "PROV009" not in said(trace(whole / "policy.onnx", [whole / "policy.pt"]))


@pytest.mark.corpus
def test_the_normalizer_of_another_run_is_not_said_to_be_missing(corpus: Path, tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(corpus / "pairs/ogre_15af4916_pass/policy.onnx"))
    for tensor in model.graph.initializer:
        if tensor.name in ("normalizer._mean", "onnx::Div_24"):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 1.5, tensor.name))
    onnx.save(model, str(tmp_path / "policy.onnx"))
    checkpoint = corpus / "pairs/ogre_15af4916_pass/policy.pt"
    found = trace(tmp_path / "policy.onnx", [checkpoint])
    assert found.best.outcome.relation == "PARTIAL"
    assert "not from there: normalizer._mean, onnx::Div_24, its normalizer's" in sentence(found)
    assert "PROV009" not in said(found)
    match = match_sides(recognize(checkpoint), recognize(tmp_path / "policy.onnx"))
    assert match.one_sentence == "8 of 8 weights match; 2 of the normalizer's constants differ"
    assert getattr(match.finding(), "code", None) == "WEIGHT005"


@pytest.mark.corpus
def test_unreadable_files(corpus: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    right = corpus / "pairs/booster_t1_ckpt10000_pass/model_10000.pth"
    broken = tmp_path / "model_20000.pth"
    broken.write_bytes(right.read_bytes()[:5000])
    code, document = asked(capsys, right.with_suffix(".pt"), broken, right)
    assert code == 0
    assert [f["where"] for f in document["findings"] if f["code"] == "PROV006"] == [str(broken)]
    missing = corpus / "pairs/taie64_missing_external_data/policy.onnx"
    for exported, checkpoints in ((missing, [right]), (right, [broken]), (right, [broken, tmp_path / "gone.pt"])):
        assert main(["provenance", str(exported), *map(str, checkpoints)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "Traceback" not in captured.err
    assert main(["provenance", str(missing), str(right)]) == 2
    assert "go2_diyleg_walk_policy.onnx.data" in capsys.readouterr().err
