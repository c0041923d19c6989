"""Judges candidates in stages beside a reference in stages, as `parity run` does."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parity.cli.judging import judge_now
from parity.release.config import parse_config
from staged_policy import LOOP, stages

CASES = {"nominal": 5, "edge": False}


def judged(folder: Path, candidates: Mapping[str, Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """Return the report on candidates in stages, beside the reference's."""
    reference = more.pop("reference", {"stages": stages(), "loop": LOOP})
    tables = [{"name": n, **c} for n, c in candidates.items()]
    data = {"release": {"name": "staged"}, "reference": reference, "candidate": tables, "cases": CASES, **more}
    with tempfile.TemporaryDirectory(dir=folder) as work:
        return judge_now(parse_config(data, "test"), folder, Path(work), strict=False).report


def of(report: Mapping[str, Any], name: str) -> tuple[str, list[str]]:
    found = next(c for c in report["candidates"] if c["name"] == name)
    return found["verdict"], found["reasons"]


def rows(report: Mapping[str, Any], name: str, **wanted: Any) -> list[dict[str, Any]]:
    return [r for r in report["comparisons"] if r["candidate"] == name and all(r[k] == v for k, v in wanted.items())]
