"""The corpus through `compare`'s static check and `parity provenance`: the same answer of both, and the right one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from corpus_index import corpus_index
from faults import to_float16, to_int8
from parity.artifact import recognize
from parity.provenance.match import WeightMatch, match_sides
from parity.provenance.origin import trace

pytestmark = pytest.mark.corpus

RSL, LEROBOT = "made/rsl-rl", ("lerobot-0.3.3-legacy", "lerobot-0.4.4", "lerobot-0.6.1")
POLICIES = ("act_aloha_image_narrowresnet", "act_envstate", "dp_pusht_2cam_bn_h64", "dp_pusht_image_narrowresnet")
MATCH, OTHER = ("MATCH",), ("STALE", "FOREIGN")
RIGHT = [e["id"] for e in corpus_index() if e["kind"] == "pair" and e["expected"]["verdict"] == "PASS"]


def indexed() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield (exported, checkpoint, relations) of every pair of the index; of two graphs in both directions."""
    for entry in corpus_index():
        if entry["kind"] in ("pair", "checkpoint_vs_jit", "checkpoint_vs_onnx"):
            models = [e["file"] for e in entry["files"] if e["file"].endswith((".onnx", ".pt", ".pth"))]
            models.sort(key=lambda m: (".onnx", ".pt", ".pth").index(Path(m).suffix))
            expected = MATCH if entry["expected"]["verdict"] == "PASS" else OTHER
            yield models[0], models[1], expected
            if entry["kind"] == "pair":
                yield models[1], models[0], expected


def made() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield the same of what was made for the corpus, and of policies that have nothing to do with each other."""
    for exported in ("policy_rsl551.onnx", "policy_rsl551_jit.pt"):
        for checkpoint in ("model_rsl551.pt", "model_rsl330.pt", "model_rsl233.pt"):
            yield f"{RSL}/{exported}", f"{RSL}/{checkpoint}", MATCH if checkpoint == "model_rsl551.pt" else OTHER
    yield f"{RSL}/policy_rsl551_jit.pt", f"{RSL}/policy_rsl551.onnx", MATCH
    for one in ("dill_lambda.ckpt", "dp_workspace.ckpt", "legacy_format.pt", "namespace.pt"):
        yield "made/checkpoints/ref_sd.pt", f"made/checkpoints/{one}", MATCH
    for name in POLICIES:
        for a, b in pairwise(LEROBOT):
            yield f"made/{b}/{name}", f"made/{a}/{name}", MATCH
    for a, b in pairwise(POLICIES):
        yield f"made/{LEROBOT[2]}/{a}", f"made/{LEROBOT[2]}/{b}", OTHER
    yield "stateful_jit/g1/motion.pt", "pairs/ur10_reach_pass/policy.pt", OTHER
    yield "pairs/ur10_reach_pass/policy.onnx", "stateful_jit/g1/motion.pt", OTHER
    yield "onnx_with_metadata/a7708c8c_mjlab_g1.onnx", "onnx_with_metadata/c8f545ac_stance_29dof.onnx", OTHER


PAIRS = [*indexed(), *made()]


def asked(exported: Path, checkpoint: Path) -> tuple[WeightMatch, str]:
    """Return what `compare` finds, and the relation of `parity provenance`."""
    best = trace(exported, [checkpoint]).best.outcome
    return match_sides(recognize(checkpoint), recognize(exported)), best.relation


def test_the_index_holds_right_and_wrong_pairs(corpus: Path) -> None:
    expected = [e for _, _, e in indexed()]
    assert (expected.count(MATCH), expected.count(OTHER)) == (23, 8)
    assert len(RIGHT) == 11


@pytest.mark.parametrize(("exported", "checkpoint", "expected"), PAIRS, ids=[f"{a}-{b}" for a, b, _ in PAIRS])
def test_both_say_the_same(corpus: Path, exported: str, checkpoint: str, expected: tuple[str, ...]) -> None:
    match, relation = asked(corpus / exported, corpus / checkpoint)
    assert relation in expected
    assert match.relation == relation
    codes = [] if match.finding() is None else [getattr(match.finding(), "code", "")]
    if expected == MATCH:
        assert (match.matched, match.statistics_matched) == (match.total, len(match.statistics))
        assert match.total > 0
        assert codes == []
    else:
        assert 2 * match.matched < match.total
        assert codes == ["WEIGHT001"]


@pytest.mark.parametrize("pair", RIGHT)
@pytest.mark.parametrize("convert", [to_float16, to_int8])
def test_of_a_lower_precision_class_too(corpus: Path, tmp_path: Path, pair: str, convert: Any) -> None:
    folder = corpus / "pairs" / pair
    match, relation = asked(convert(folder / "policy.onnx", tmp_path / "policy.onnx"), folder / "policy.pt")
    assert (match.relation, relation) == ("MATCH", "MATCH")
    assert match.rounded > 0
    assert match.finding() is None


def test_a_stripped_normalizer_is_no_fault_of_the_weights(corpus: Path) -> None:
    folder = corpus / "derived/ogre_15af4916_pass_normaliser_stripped"
    match, relation = asked(folder / "policy.onnx", folder / "policy.pt")
    assert (match.relation, relation, match.finding()) == ("MATCH", "MATCH", None)
    match, relation = asked(folder / "policy.pt", folder / "policy.onnx")
    assert (match.relation, relation, match.finding()) == ("PARTIAL", "PARTIAL", None)
    assert {f.exported.rpartition(".")[2] for f in match.statistics} == {"_mean", "_std", "_var"}
