"""Real policies in both runtimes: they run, say what they are, and differ as the corpus's index says they do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpus_index import corpus_index
from parity.errors import ArtifactError
from parity.tensor import TensorSpec
from runs import block, opened

CASES = 16


def pairs() -> list[Any]:
    found = []
    for entry in corpus_index():
        files = [f["file"] for f in entry["files"]]
        old, new = [f for f in files if f.endswith("policy.pt")], [f for f in files if f.endswith("policy.onnx")]
        if entry["kind"] in ("pair", "DERIVED_PAIR") and old and new:
            found.append(pytest.param(old[0], new[0], entry["expected"]["verdict"], id=entry["id"]))
    return found


@pytest.mark.corpus
@pytest.mark.parametrize(("old", "new", "verdict"), pairs())
def test_pair_in_both_runtimes(corpus: Path, tmp_path: Path, old: str, new: str, verdict: str) -> None:
    with opened("onnxruntime", corpus / new, tmp_path / "ort") as ort:
        spec = ort.info.inputs[0]
        shape = tuple(d if isinstance(d, int) else 1 for d in spec.shape or ())
        x = np.random.default_rng(0).standard_normal((CASES, *shape)).astype(np.float32)
        data = block(CASES, **{spec.name: x})
        result = ort.run(data, repeat=True)
        assert result.failure is None
        assert result.repeat_differs == {}
        doubles = ort.run(data, "float64")
        assert doubles.failure is None
    with opened("torch", corpus / old, tmp_path / "torch", inputs=ort.info.inputs, outputs=ort.info.outputs) as session:
        reference = session.run(data, repeat=True)
        assert reference.failure is None
        assert reference.repeat_differs == {}
        assert session.info.stateful is None
        assert session.info.precision == "float32"
        assert session.info.environment["random_ops"] == []
        truth = session.run(data, "float64")
        assert truth.failure is None
    (name,) = result.outputs
    a, b = np.asarray(reference.outputs[name]), np.asarray(result.outputs[name])
    rel = np.abs(a - b).max() / np.abs(a).max()
    if verdict == "PASS":
        assert rel < 1e-5
        exact, other = np.asarray(truth.outputs[name]), np.asarray(doubles.outputs[name])
        assert exact.dtype == other.dtype == np.float64
        # 1e-15 on most; an exporter that folded `std + eps` into one float32 constant leaves half a unit of float32
        assert np.abs(exact - other).max() / np.abs(exact).max() < 6e-8
    else:
        assert rel > 0.05


@pytest.mark.corpus
def test_recurrent_policy_is_stateful_and_not_called_nondeterministic(corpus: Path, tmp_path: Path) -> None:
    data = block(8, x=np.random.default_rng(0).standard_normal((8, 1, 47)).astype(np.float32))
    with opened("torch", corpus / "stateful_jit/g1/motion.pt", tmp_path) as session:
        assert session.info.stateful is not None
        assert "hidden_state" in session.info.stateful
        assert "cell_state" in session.info.stateful
        result = session.run(data, repeat=True)
        assert result.failure is None
        assert result.repeat_differs == {}
        backwards = session.run(block(8, x=data.inputs["x"][::-1]))
        np.testing.assert_array_equal(np.asarray(backwards.outputs["output_0"])[::-1], result.outputs["output_0"])
        assert session.run(data, "float64").failure is None


@pytest.mark.corpus
def test_exporter_with_external_data(corpus: Path, tmp_path: Path) -> None:
    folder = corpus / "made/rsl-rl"
    data = block(4, obs=np.random.default_rng(0).standard_normal((4, 1, 48)).astype(np.float32))
    outputs = (TensorSpec("actions", (1, 12), "float32"),)
    with (
        opened("onnxruntime", folder / "policy_rsl551.onnx", tmp_path / "a") as new,
        opened(
            "torch", folder / "policy_rsl551_jit.pt", tmp_path / "b", inputs=new.info.inputs, outputs=outputs
        ) as old,
    ):
        a, b = (np.asarray(s.run(data).outputs["actions"]) for s in (old, new))
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        assert old.info.environment["training_flag"] == "train, set to eval"


@pytest.mark.corpus
def test_missing_external_data_is_named(corpus: Path, tmp_path: Path) -> None:
    path = corpus / "pairs/taie64_missing_external_data/policy.onnx"
    with pytest.raises(ArtifactError, match=r"\.data"), opened("onnxruntime", path, tmp_path):
        pass
