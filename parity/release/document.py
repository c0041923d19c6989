"""A report with everything but what judging adds: what was run, on what, with what came out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from parity.release.config import Config
from parity.release.facts import Facts
from parity.release.measure import Measured
from parity.release.prepare import Prepared
from parity.software import software

SCHEMA = 1
LEFT_OUT = ("environment", "stats", "replay")  # of a side's facts: told in places of their own
LIBRARIES = ("numpy", "scipy", "onnx", "onnxruntime", "torch", "openvino", "h5py")
TOLD = ("sources", "matrix", "agreement", "recomputed")  # of a survey of statistics; its findings stand with the others


def blank_report(
    prepared: Prepared,
    config: Config,
    facts: Mapping[str, Facts],
    classes: Mapping[str, str],
    rows: list[Measured],
    measures: list[dict[str, Any]],
) -> dict[str, Any]:
    """Return a report with everything but findings and verdicts."""
    plan, stats, limited = prepared.plan, facts["reference"].stats, prepared.stages.limited_as
    return {
        "schema": SCHEMA,
        "verdict": "NOT_JUDGED",
        "reasons": [],
        "cause": None,
        "release": {
            "name": plan.release,
            "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "seed": plan.seed,
            "environment": environment(facts),
            "scope": {"planned": len(plan.entries), "selected": len(rows)},
        },
        "artifacts": [
            *(a for s in (prepared.reference, *prepared.candidates) for a in s.artifacts_json()),
            *prepared.configured,
        ],
        "candidates": [
            {
                "name": s.name,
                "runner": s.spec.runner,
                "precision": classes[s.name],
                "verdict": "NOT_JUDGED",
                "reasons": [],
            }
            for s in prepared.candidates
        ],
        "cases": [
            {"id": c.id, "profile": c.profile, "seed": c.seed, "note": c.note, "sha256": c.sha256} for c in plan.cases
        ],
        "outputs": {
            t.name: {
                "role": t.role,
                "elements": None if t.elements is None else list(t.elements),
                "units": t.units,
                **({"limited_as": list(limited[t.name])} if t.name in limited else {}),
            }
            for t in prepared.outputs
        },
        "facts": {n: {k: v for k, v in f.as_json().items() if k not in LEFT_OUT} for n, f in facts.items()},
        "comparisons": rows,
        "measures": measures,
        **({"stats": {k: v for k, v in stats.items() if k in TOLD}} if stats and "problem" not in stats else {}),
        "findings": [],
        "waivers": [w.model_dump(mode="json") for w in config.waiver],
    }


def environment(facts: Mapping[str, Facts]) -> dict[str, Any]:
    """Return what ran the release: interpreter, platform, libraries here, and what each worker said of itself."""
    return {**software(LIBRARIES), "sides": {name: dict(f.environment) for name, f in facts.items()}}
