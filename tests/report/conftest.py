"""Synthetic reports: a small builder, and text as hostile as an artifact may hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

HOSTILE = (
    "\x1b[2J\x1b[31m<script>alert(1)</script> ]]> @everyone |`a`| [bold]x[/bold]"
    "\r\n::error::forged \u202egnp.exe \x00 \ud800"
)


def comparison(
    candidate: str = "ort", case: str = "nominal-0000", output: str = "action", **changes: Any
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": f"{candidate}/graph/{case}/{output}",
        "level": "graph",
        "reference": "torch",
        "candidate": candidate,
        "stage": None,
        "profile": case.split("-")[0],
        "case": case,
        "output": output,
        "units": None,
        "shape": [1, 16, 2],
        "dtype": "float32",
        "candidate_shape": [1, 16, 2],
        "candidate_dtype": "float32",
        "max_abs": 1.2e-7,
        "mean_abs": 3e-8,
        "rmse": 4e-8,
        "rel": 1e-7,
        "max_rel": 1e-6,
        "mean_rel": 1e-7,
        "p50_abs": 2e-8,
        "p99_abs": 1e-7,
        "cosine_min": 1.0,
        "cosine_mean": 1.0,
        "cosine_max": 1.0,
        "max_ulp": 3,
        "nan_mismatches": 0,
        "inf_mismatches": 0,
        "worst_index": [0, 3, 1],
        "worst_values": [0.5, 0.50000012],
        "floor": {"float64": [1e-8, 1.5e-8], "variants": [2e-8, 1e-8], "rounding": [5e-7, 5e-7]},
        "budget": {"class": "float32", "limit": [1.6e-5, 1.6e-5], "derived": "32 × floor"},
        "verdict": "PASS",
        "reason": "",
        "where": "time step 3, action dimension 1 (left_knee)",
        "limit_ratio": 0.0075,
    }
    return {**made, **changes}


def finding(code: str = "WEIGHT001", **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "code": code,
        "severity": "error",
        "where": "actor.0.weight",
        "candidate": "ort",
        "title": "0 of 8 weights match: another checkpoint",
        "detail": "Every tensor has a partner of its shape, none has its values.",
        "evidence": {"matched": 0, "total": 8, "median_cosine": 0.61},
        "remedy": "export the checkpoint that the reference was made from",
        "waived": None,
    }
    return {**made, **changes}


def measure(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": "ort/policy/wasserstein/action",
        "level": "policy",
        "name": "wasserstein",
        "value": 0.01,
        "interval": [0.005, 0.02],
        "limit": 0.05,
        "units": "rad",
        "n": 128,
        "verdict": "PASS",
        "reason": "",
    }
    return {**made, **changes}


def make_report(verdict: str = "PASS", **changes: Any) -> dict[str, Any]:
    """Return a small valid report; ``verdict`` sets the release's and its only candidate's."""
    failed = verdict == "FAIL"
    bad = {"verdict": "FAIL", "max_abs": 0.412, "limit_ratio": 25750.0, "reason": "0.412 > 1.6e-05"}
    made: dict[str, Any] = {
        "schema": 1,
        "verdict": verdict,
        "reasons": [] if verdict == "PASS" else ["ort: 1 of 3 comparisons is over its limit"],
        "release": {
            "name": "pusht-dp-2026.11",
            "created": "2026-11-21T09:18:31+00:00",
            "seed": 42,
            "environment": {"python": "3.11.9", "libraries": {"numpy": "2.4.6", "onnxruntime": "1.31.1"}},
            "scope": {"planned": 3, "selected": 3},
        },
        "artifacts": [
            {"path": "policy.pt", "kind": "torchscript", "sha256": "a" * 64, "bytes": 123456, "side": "torch"},
            {"path": "policy.onnx", "kind": "onnx", "sha256": "b" * 64, "bytes": 98765, "side": "ort"},
        ],
        "candidates": [
            {"name": "ort", "runner": "onnxruntime", "precision": "float32", "verdict": verdict, "reasons": []}
        ],
        "comparisons": [
            comparison(),
            comparison(case="edge-0000", **(bad if failed else {})),
            comparison(case="worst-0000", **({"verdict": "NOT_JUDGED"} if verdict == "NOT_JUDGED" else {})),
        ],
        "measures": [measure()],
        "findings": [finding()] if failed else [],
        "cause": "0 of 8 weights match: another checkpoint" if failed else None,
    }
    return {**made, **changes}


def make_hostile(verdict: str = "FAIL") -> dict[str, Any]:
    """Return a report in which every text that can come from an artifact is `HOSTILE`."""
    report = make_report(verdict, cause=HOSTILE, reasons=[HOSTILE])
    report["release"]["name"] = HOSTILE
    report["release"]["environment"] = {HOSTILE: HOSTILE}
    report["artifacts"] = [{"path": HOSTILE, "kind": HOSTILE, "sha256": None, "bytes": 1, "side": HOSTILE}]
    report["candidates"] = [
        {"name": HOSTILE, "runner": HOSTILE, "precision": HOSTILE, "verdict": verdict, "reasons": [HOSTILE]}
    ]
    texts = dict.fromkeys(("id", "case", "output", "units", "reason", "where", "reference"), HOSTILE)
    report["comparisons"] = [comparison(HOSTILE, **{**texts, "profile": "edge", "verdict": verdict})]
    report["comparisons"][0]["budget"] = {HOSTILE: [HOSTILE]}
    report["measures"] = [measure(id=HOSTILE, name=HOSTILE, units=HOSTILE, reason=HOSTILE, verdict=verdict)]
    words = {"where": HOSTILE, "candidate": HOSTILE, "title": HOSTILE, "detail": HOSTILE, "remedy": HOSTILE}
    report["findings"] = [
        finding(**words, evidence={HOSTILE: HOSTILE}),
        finding(**words, evidence={HOSTILE: HOSTILE}, waived=HOSTILE),
    ]
    place = {"node": HOSTILE, "value": HOSTILE, "case": HOSTILE}
    report["predicted"] = [
        {
            "candidate": HOSTILE,
            "source": HOSTILE,
            "basis": HOSTILE,
            "survives": False,
            "values": 1,
            "cases": [HOSTILE],
            "outputs": [
                {"output": HOSTILE, "survives": False, "ratio": 2.0, "max_abs": 1.0, "dimension": 0, "broken": 0}
                | {"case": HOSTILE}
            ],
            "hazards": [{"kind": HOSTILE, **place, "seen": 1e9, "in_float16": HOSTILE}],
            "keep": [HOSTILE],
        }
    ]
    report["findings"].append(finding("PRED001", **{**words, "severity": "warning"}))
    report["baseline"] = {"name": HOSTILE, "no_longer_judged": [HOSTILE], "new_findings": [finding(**words)]}
    report["reproduce"] = [HOSTILE]
    return report


def make_large(count: int = 10_000) -> dict[str, Any]:
    """Return a report of ``count`` comparisons, every 1,000th of which fails with a NaN."""
    report = make_report("FAIL")
    bad = {"verdict": "FAIL", "max_abs": float("nan"), "limit_ratio": float("nan")}
    report["comparisons"] = [
        comparison(case=f"nominal-{i:05d}", **(bad if i % 1000 == 0 else {"limit_ratio": 0.001 * (i % 900)}))
        for i in range(count)
    ]
    report["release"]["scope"] = {"planned": count, "selected": count}
    return report


@pytest.fixture
def build() -> Callable[..., dict[str, Any]]:
    """The builder of small valid reports."""
    return make_report


@pytest.fixture
def hostile() -> dict[str, Any]:
    return make_hostile()


@pytest.fixture(scope="session")
def large() -> dict[str, Any]:
    return make_large()


@pytest.fixture
def entry() -> Callable[..., dict[str, Any]]:
    """The builder of single comparisons."""
    return comparison


@pytest.fixture
def statement() -> Callable[..., dict[str, Any]]:
    """The builder of single findings."""
    return finding


@pytest.fixture
def evil() -> str:
    return HOSTILE
