"""Small faults on right pairs, at default budgets: all fail, and swap, sign and bias are named with their joints.

Ascend's five gates pass most of these: `docs/benchmarks.md` has the figures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import faults
from corpus_index import corpus_index
from judged import judge_pair, verdict_of

pytestmark = pytest.mark.corpus

RIGHT = [e["id"] for e in corpus_index() if e["kind"] == "pair" and e["expected"]["verdict"] == "PASS"]
OTHERS = [e["id"] for e in corpus_index() if e["kind"] == "pair"]


def foreign(corpus: Path, pair: str, name: str, own: np.ndarray) -> np.ndarray:
    """Return a tensor of the same shape from another checkpoint of the corpus, else one with the same statistics."""
    for other in OTHERS:
        if other != pair:
            for values in faults.matrices(corpus / "pairs" / other / "policy.onnx").values():
                if values.shape == own.shape and not np.array_equal(values, own):
                    return values
    rng = np.random.default_rng(len(name))
    return rng.normal(own.mean(), own.std(), own.shape).astype(np.float32)


def named(report: dict[str, Any], candidate: str) -> str:
    """Return the titles of the diagnosis of one candidate."""
    return " ".join(
        f["title"] for f in report["findings"] if f["candidate"] == candidate and f["code"].startswith("DIAG")
    )


@pytest.mark.parametrize("pair", RIGHT)
def test_all_fail_and_are_named(corpus: Path, tmp_path: Path, pair: str) -> None:
    reference, right = (corpus / "pairs" / pair / n for n in ("policy.pt", "policy.onnx"))
    model_width = faults.width(__import__("onnx").load(str(right)))
    a, b = 1, model_width - 1
    name, own = list(faults.matrices(right).items())[-1]
    planted = {
        "sign": faults.sign(a),
        "bias": faults.bias(b),
        "swap": faults.swap(a, b),
        "constant": faults.constant,
        "weight": faults.replace(name, foreign(corpus, pair, name, own)),
        "half": faults.last_layer_float16,
    }
    candidates: dict[str, tuple[Path, str | None]] = {
        n: (faults.write(right, tmp_path / f"{n}.onnx", edit), None) for n, edit in planted.items()
    }
    report = judge_pair(reference, candidates, tmp_path)
    for candidate in planted:
        verdict, codes = verdict_of(report, candidate)
        assert verdict == "FAIL", candidate
        assert "DIFF001" in codes, (candidate, codes)
    assert "sign" in named(report, "sign")
    assert f"{a}" in named(report, "sign")
    assert "0.15" in named(report, "bias")
    assert "swapped" in named(report, "swap")
    assert "constant" in named(report, "constant")


@pytest.mark.parametrize("pair", RIGHT)
def test_a_shifted_chunk_fails_and_is_named(corpus: Path, tmp_path: Path, pair: str) -> None:
    right = corpus / "pairs" / pair / "policy.onnx"
    reference = faults.chunked(right, tmp_path / "reference.onnx")
    candidates: dict[str, tuple[Path, str | None]] = {
        f"shift-{k}": (faults.chunked(right, tmp_path / f"shift{k}.onnx", shift=k), None) for k in (1, 4)
    }
    nominal = {"nominal": 16, "edge": False}  # enough; a recurrent policy has hundreds of edge cases
    report = judge_pair(reference, candidates, tmp_path, cases=nominal)
    for k in (1, 4):
        assert verdict_of(report, f"shift-{k}")[0] == "FAIL"
        assert f"shifted by {k} step" in named(report, f"shift-{k}")
