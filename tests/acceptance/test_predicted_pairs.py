"""The prediction does not cry wolf: policies that are right in float16 are predicted so, node by node in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from corpus_index import corpus_index
from faults import to_float16
from parity.predict.prediction import predict

pytestmark = pytest.mark.corpus

RIGHT = [e["id"] for e in corpus_index() if e["kind"] == "pair" and e["expected"]["verdict"] == "PASS"]
CASES = 8


def outputs(path: Path, rows: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {session.get_inputs()[0].name: row})[0] for row in rows])


@pytest.mark.parametrize("pair", RIGHT)
def test_what_is_right_in_float16_is_predicted_to_survive(corpus: Path, tmp_path: Path, pair: str) -> None:
    path = corpus / "pairs" / pair / "policy.onnx"
    taken = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).get_inputs()
    rng = np.random.default_rng(1)
    shapes = {t.name: [d if isinstance(d, int) else 1 for d in t.shape] for t in taken}
    cases = [
        (f"nominal-{i:04d}", {n: rng.standard_normal(s, dtype=np.float32) for n, s in shapes.items()})
        for i in range(CASES)
    ]
    found = predict(path, cases, tmp_path / "work")
    assert found.survives
    assert found.hazards == ()
    if len(shapes) == 1:  # as far as the conversion by ONNX Runtime is off, give or take
        rows = np.stack([next(iter(c.values())) for _, c in cases])
        converted = np.abs(outputs(to_float16(path, tmp_path / "half.onnx"), rows) - outputs(path, rows)).max()
        assert converted / 8 < found.endings[0].gap < converted * 8
