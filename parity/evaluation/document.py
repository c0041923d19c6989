"""A comparison of two evaluations as the plain data of `report.json`, schema version 1."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from parity.evaluation.against import Comparison, Terms
from parity.evaluation.model import EvaluationLog
from parity.finding import by_severity
from parity.software import software

LIBRARIES = ("numpy", "scipy", "pyarrow")


def document(
    comparison: Comparison,
    reference: EvaluationLog,
    candidate: EvaluationLog,
    terms: Terms,
    hashes: Sequence[tuple[str, int]],
    name: str,
) -> dict[str, Any]:
    """Return the report: the measures at level ``task``, no comparisons of tensors, figures under ``evaluation``.

    Args:
        comparison: what came out.
        reference: the log of the trusted policy's evaluation.
        candidate: that of the policy under test.
        terms: what was allowed.
        hashes: SHA-256 and number of bytes of both files, the reference's first.
        name: of the comparison.
    """
    verdict, count = str(comparison.verdict), len(comparison.measures)
    return {
        "schema": 1,
        "verdict": verdict,
        "reasons": list(comparison.reasons),
        "cause": None,
        "release": {
            "name": name,
            "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "seed": terms.seed,
            "environment": software(LIBRARIES),
            "scope": {"planned": count, "selected": count},
        },
        "artifacts": [
            {"path": log.path, "kind": log.kind, "sha256": sha, "bytes": size}
            for log, (sha, size) in zip((reference, candidate), hashes, strict=True)
        ],
        "candidates": [
            {
                "name": "candidate",
                "runner": "evaluation",
                "precision": None,
                "verdict": verdict,
                "reasons": list(comparison.reasons),
            }
        ],
        "comparisons": [],
        "measures": [dict(m) for m in comparison.measures],
        "findings": [f.as_json() for f in by_severity(list(comparison.findings))],
        "evaluation": _evaluation(comparison, reference, candidate, terms),
    }


def _evaluation(
    comparison: Comparison, reference: EvaluationLog, candidate: EvaluationLog, terms: Terms
) -> Mapping[str, Any]:
    return {
        "figure": comparison.figure,
        "paired": comparison.how,
        "margin": terms.margin,
        "alpha": terms.alpha,
        "success_at": terms.success_at,
        "reference": _log(reference),
        "candidate": _log(candidate),
        "tasks": [dict(t) for t in comparison.tasks],
        "rewards": [dict(r) for r in comparison.rewards],
        "changed": {k: list(v) for k, v in comparison.changed.items()},
    }


def _log(log: EvaluationLog) -> dict[str, Any]:
    return {k: v for k, v in log.as_json().items() if k != "findings"}
