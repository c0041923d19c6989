"""How far right and wrong pairs are from their limits, in every precision class: what the derived budgets rest on."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from corpus_index import corpus_dir, corpus_index
from faults import to_float16, to_int8
from judged import judge_pair

FLOORS = 32


def measure() -> list[dict[str, str]]:
    """Return one row per pair of the corpus, right ones first."""
    logging.disable(logging.WARNING)  # the quantizer recommends itself
    pairs = [e for e in corpus_index() if e["kind"] == "pair"]
    return [
        _row(e["id"], e["expected"]["verdict"]) for e in sorted(pairs, key=lambda e: e["expected"]["verdict"] != "PASS")
    ]


def _row(name: str, expected: str) -> dict[str, str]:
    folder = corpus_dir() / "pairs" / name
    with tempfile.TemporaryDirectory() as work:
        half, quantized = to_float16(folder / "policy.onnx", Path(work) / "h.onnx"), Path(work) / "q.onnx"
        to_int8(folder / "policy.onnx", quantized)
        report = judge_pair(
            folder / "policy.pt",
            {"f32": (folder / "policy.onnx", None), "f16": (half, "float16"), "int8": (quantized, "int8")},
            Path(work),
        )
    return {
        "pair": name,
        "is": "right" if expected == "PASS" else "wrong",
        "float32: |Δ| / floor (limit 32)": f"{_worst(report, 'f32') * FLOORS:.3g}",
        "float16: |Δ| / limit": f"{_worst(report, 'f16'):.3g}",
        "int8: RMS ratio (limit 0.10)": f"{report['measures'][0]['value']:.3g}",
        "verdicts": " ".join(c["verdict"] for c in report["candidates"]),
    }


def _worst(report: dict[str, Any], candidate: str) -> float:
    rows = [r for r in report["comparisons"] if r["candidate"] == candidate]
    return max(r["limit_ratio"] for r in rows)
