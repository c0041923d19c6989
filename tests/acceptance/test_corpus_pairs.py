"""The real pairs of the corpus: right ones pass, wrong ones fail, at defaults, in every precision class."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus_index import corpus_index
from faults import to_float16, to_int8
from judged import judge_pair, verdict_of

pytestmark = pytest.mark.corpus

PAIRS = {e["id"]: e for e in corpus_index() if e["kind"] == "pair"}
RIGHT = [i for i, e in PAIRS.items() if e["expected"]["verdict"] == "PASS"]
WRONG = [i for i, e in PAIRS.items() if e["expected"]["verdict"] == "MISMATCH"]


def files(corpus: Path, pair: str) -> tuple[Path, Path]:
    return corpus / "pairs" / pair / "policy.pt", corpus / "pairs" / pair / "policy.onnx"


def test_the_index_holds_right_and_wrong_pairs(corpus: Path) -> None:
    assert len(RIGHT) >= 10
    assert len(WRONG) >= 3
    assert len(RIGHT) + len(WRONG) == len(PAIRS)


@pytest.mark.parametrize("pair", RIGHT)
def test_right_pairs_pass_and_conversions_need_declaring(corpus: Path, tmp_path: Path, pair: str) -> None:
    reference, candidate = files(corpus, pair)
    half, quantized = to_float16(candidate, tmp_path / "half.onnx"), to_int8(candidate, tmp_path / "int8.onnx")
    report = judge_pair(
        reference,
        {
            "float32": (candidate, None),
            "half-declared": (half, "float16"),
            "half-undeclared": (half, None),
            "int8-declared": (quantized, "int8"),
            "int8-undeclared": (quantized, None),
            "int8-claimed": (candidate, "int8"),
        },
        tmp_path,
    )
    assert verdict_of(report, "float32") == ("PASS", [])
    assert verdict_of(report, "half-declared")[0] == "PASS", verdict_of(report, "half-declared")
    assert verdict_of(report, "int8-declared")[0] == "PASS", verdict_of(report, "int8-declared")
    for name in ("half-undeclared", "int8-undeclared"):
        verdict, codes = verdict_of(report, name)
        assert verdict == "FAIL"
        assert "PREC001" in codes
    assert "PREC002" in verdict_of(report, "int8-claimed")[1]  # a class that the graph does not have


@pytest.mark.parametrize("pair", WRONG)
def test_wrong_pairs_fail_in_every_class(corpus: Path, tmp_path: Path, pair: str) -> None:
    reference, candidate = files(corpus, pair)
    half, quantized = to_float16(candidate, tmp_path / "half.onnx"), to_int8(candidate, tmp_path / "int8.onnx")
    candidates: dict[str, tuple[Path, str | None]] = {
        "float32": (candidate, None),
        "half": (half, "float16"),
        "int8": (quantized, "int8"),
    }
    report = judge_pair(reference, candidates, tmp_path)
    for name in candidates:
        verdict, codes = verdict_of(report, name)
        assert verdict == "FAIL"
        assert "DIFF001" in codes, codes  # by its numbers, not by its class
    assert "another checkpoint" in report["cause"]
