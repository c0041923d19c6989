"""The metrics agree with values that NumPy, SciPy and torch gave, and with them on what ONNX Runtime computes."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from naive_diff import ulp_distance

from parity.compare.metrics import diff

SHARED = {"max_abs": "max_abs", "mean_abs": "mean_abs", "rmse": "rmse", "rel": "rel_to_absmax"}
COSINES = {"cosine_min": "cosine_row_min", "cosine_mean": "cosine_row_mean"}


def vectors(corpus: Path) -> Iterator[tuple[dict[str, Any], np.ndarray, np.ndarray]]:
    folder = corpus / "oracle_vectors"
    arrays = np.load(folder / "vectors.npz", allow_pickle=False)
    for case in json.loads((folder / "oracle.json").read_text(encoding="utf-8"))["cases"]:
        yield case, arrays[f"{case['name']}__a"], arrays[f"{case['name']}__b"]


@pytest.mark.corpus
def test_oracle_vectors(corpus: Path) -> None:
    checked = 0
    for case, a, b in vectors(corpus):
        found = diff(b, a)  # the oracle's reference is a
        if a.shape != b.shape:
            assert found.max_abs is None, case["name"]
            continue
        if "max_abs" not in case:  # integers and booleans: the oracle knows only whether they are equal
            assert (found.max_abs == 0) == case["np_allclose_0_1e-4"], case["name"]
            continue
        finite = not isinstance(case["max_abs"], str)  # NumPy's own metrics are NaN or Inf where one element is
        assert finite == (found.nan_mismatches + found.inf_mismatches == 0), case["name"]
        for ours, theirs in (SHARED | COSINES).items() if finite else ():
            if theirs in case and case[theirs] != "nan":
                value, right = getattr(found, ours), float(case[theirs])
                assert value == pytest.approx(right, rel=1e-12, abs=1e-12 if ours in COSINES else 0), (
                    case["name"],
                    ours,
                )
                checked += 1
        if finite:
            coarse = np.float32  # the oracle's ULP are rounded to float32, and wrap around where the signs differ
            assert found.max_ulp == ulp_distance(a.astype(coarse), b.astype(coarse)), case["name"]
            if (np.signbit(a) == np.signbit(b)).all():
                assert found.max_ulp == pytest.approx(case["max_ulp"], rel=2.0**-23), case["name"]
            assert found.worst_index == np.unravel_index(case["argmax"], a.shape), case["name"]
    assert checked > 80


# Large pools, whose expected outputs ONNX computes in Python, one element after the other: half of all the time.
SLOW = {"export_averagepool_3d_default", "export_lppool_3d_default", "export_maxpool_3d_default"}


@pytest.fixture
def collected_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX makes its cases while classes are defined; without `SLOW`, and without the sources for its documentation."""
    from onnx.backend.test.case import base

    def make(cls: Any, name: str, bases: Any, members: dict[str, Any]) -> None:
        for member in members:
            if member.startswith("export") and member not in SLOW:
                np.random.seed(seed=0)  # noqa: NPY002 (as ONNX does)
                getattr(cls, member)()
        type.__init__(cls, name, bases, members)

    monkeypatch.setattr(base._Exporter, "__init__", make)


def node_cases() -> Iterator[Any]:
    """Yield the conformance cases of ONNX whose model stands for itself: no test data, few elements."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in collect_testcases(""):
            if case.model is not None and case.data_sets:
                yield case


def run_in_ort(model: Any, inputs: list[np.ndarray]) -> list[Any] | None:
    """Return what ONNX Runtime computes, or None where it does not support the model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return list(session.run(None, dict(zip((i.name for i in session.get_inputs()), inputs, strict=True))))
    except Exception:
        return None


def peers(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Return the metrics that NumPy, SciPy and torch have, in float64, over what is finite on both sides."""
    import torch
    from scipy.spatial import distance

    x, y = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(x) & np.isfinite(y)
    p, q = x[finite], y[finite]
    gap = np.abs(p - q)
    out = {
        "max_abs": float(distance.chebyshev(p, q)),
        "mean_abs": float(distance.cityblock(p, q)) / p.size,
        "rmse": float(np.sqrt(np.mean(gap**2))),
        "p50_abs": float(np.percentile(gap, 50)),
        "p99_abs": float(np.percentile(gap, 99)),
    }
    if finite.all() and x.ndim and x.shape[-1] > 1:
        norms = np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1)
        if (norms > 1e-6).all():
            rows = torch.nn.functional.cosine_similarity(torch.from_numpy(x), torch.from_numpy(y), dim=-1)
            out |= {"cosine_min": float(rows.min()), "cosine_mean": float(rows.mean()), "cosine_max": float(rows.max())}
    return out


@pytest.mark.corpus
@pytest.mark.filterwarnings("ignore")
def test_onnx_node_cases(corpus: Path, collected_fast: None) -> None:
    population = json.loads((corpus / "populations" / "onnx_node_cases_vs_ort1.31.json").read_text(encoding="utf-8"))
    known = {entry["case"]: entry for entry in population}
    compared = agreed = 0
    for case in node_cases():
        entry = known.get(case.name)
        if entry is None or entry["status"] not in ("pass", "fail"):
            continue
        inputs, outputs = case.data_sets[0]
        results = run_in_ort(case.model, inputs)
        if results is None:
            continue
        largest = 0.0
        for actual, expected in zip(results, outputs, strict=False):
            expected = np.asarray(expected)
            if (
                not isinstance(actual, np.ndarray)
                or actual.dtype.kind not in "fiub"
                or expected.dtype.kind not in "fiub"
            ):
                continue
            found = diff(actual, expected)
            if actual.shape != expected.shape or not found.compared:
                continue
            for name, value in peers(actual, expected).items():
                slack = 1e-12 if name.startswith("cosine") else 0
                assert getattr(found, name) == pytest.approx(value, rel=1e-12, abs=slack), (case.name, name)
            compared += 1
            assert found.max_abs is not None
            largest = max(largest, found.max_abs)
        stored = entry.get("max_abs")
        if isinstance(stored, int | float) and np.isfinite(stored) and stored == pytest.approx(largest, rel=1e-6):
            agreed += 1
    assert compared > 1400
    assert agreed > 1200  # cases whose stored max_abs, by another program, is ours
