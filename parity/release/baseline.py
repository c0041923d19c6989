"""What moved since the last signed-off report: per output, and findings that came or went."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parity.errors import ArtifactError


def against(report: Mapping[str, Any], baseline: Mapping[str, Any]) -> dict[str, Any]:
    """Return what changed from ``baseline`` to ``report``, both in the public JSON schema."""
    before, after = _worst(baseline), _worst(report)
    moved = [
        {
            "candidate": c,
            "output": o,
            "before": before.get((c, o)),
            "after": after.get((c, o)),
        }
        for c, o in sorted({*before, *after})
        if before.get((c, o)) != after.get((c, o))
    ]
    old, new = _findings(baseline), _findings(report)
    return {
        "name": baseline["release"]["name"],
        "created": baseline["release"].get("created"),
        "verdict": baseline["verdict"],
        "same_bytes": _bytes(baseline) == _bytes(report),
        "moved": moved,
        "new_findings": [new[k] for k in sorted(new.keys() - old.keys())],
        "gone_findings": [old[k] for k in sorted(old.keys() - new.keys())],
        "no_longer_judged": sorted(
            {r["id"] for r in baseline["comparisons"]} - {r["id"] for r in report["comparisons"]}
        )[:100],
    }


def check_baseline(baseline: Mapping[str, Any], path: Path) -> None:
    """Raise `ArtifactError` where a report read back lacks what `against` needs, before anything runs.

    Raises:
        ArtifactError: so.
    """
    try:
        against(baseline, baseline)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise ArtifactError(
            f"{path}: not a report as parity writes it ({type(e).__name__}: {e})",
            remedy="give the report.json of an earlier run",
        ) from None


def _worst(report: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return, by candidate and output, the verdict and the comparison nearest to or furthest over its limit."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in report["comparisons"]:
        key = (row["candidate"], row["output"])
        ratio = row.get("limit_ratio")
        ratio = float(ratio) if isinstance(ratio, int | float) else 0.0
        held = found.get(key)
        bad = row["verdict"] != "PASS"
        if held is None or (bad, ratio) > (held["verdict"] != "PASS", held["limit_ratio"]):
            found[key] = {
                "verdict": row["verdict"],
                "max_abs": row["max_abs"],
                "limit_ratio": ratio,
                "case": row["case"],
            }
    return found


def _findings(report: Mapping[str, Any]) -> dict[tuple[str, str, str], dict[str, Any]]:
    keys = ("code", "severity", "where", "candidate", "title")
    return {(f["code"], f["candidate"] or "", f["where"]): {k: f[k] for k in keys} for f in report["findings"]}


def _bytes(report: Mapping[str, Any]) -> dict[str, Any]:
    return {a.get("side", a["path"]): a["sha256"] for a in report["artifacts"]}
