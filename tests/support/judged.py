"""Judges a reference against several candidates in one release, as `parity run` does, or by the command itself."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parity.cli import main
from parity.cli.judging import judge_now
from parity.release.config import parse_config


def judge_pair(
    reference: Path, candidates: Mapping[str, tuple[Path, str | None]], folder: Path, **more: Any
) -> dict[str, Any]:
    """Return the report on ``candidates`` (path and declared precision, by name) at default budgets."""
    tables = [
        {"name": n, "path": str(p)} if declared is None else {"name": n, "path": str(p), "precision": declared}
        for n, (p, declared) in candidates.items()
    ]
    data = {"release": {"name": "pair"}, "reference": {"path": str(reference)}, "candidate": tables, **more}
    with tempfile.TemporaryDirectory(dir=folder) as work:
        return judge_now(parse_config(data, "test"), folder, Path(work), strict=True).report


def verdict_of(report: Mapping[str, Any], candidate: str) -> tuple[str, list[str]]:
    """Return the verdict on a candidate and the codes of its error findings."""
    verdict = next(c["verdict"] for c in report["candidates"] if c["name"] == candidate)
    errors = (f for f in report["findings"] if f["candidate"] == candidate and f["severity"] == "error")
    return verdict, sorted({f["code"] for f in errors})


def run_release(folder: Path, *more: str) -> tuple[int, dict[str, Any]]:
    """Return exit code and report of ``parity run`` on the `parity.toml` of a folder; it writes into ``out``."""
    code = main(["run", str(folder / "parity.toml"), "--out", str(folder / "out"), *more])
    return code, json.loads((folder / "out" / "report.json").read_text(encoding="utf-8"))


def with_code(report: Mapping[str, Any], code: str) -> list[dict[str, Any]]:
    """Return the findings of a report that have this code."""
    return [f for f in report["findings"] if f["code"] == code]


def agrees_on_a_stand_in(report: Mapping[str, Any]) -> bool:
    """Whether all comparisons pass, and only that no device computed them keeps the report from passing."""
    errors = {f["code"] for f in report["findings"] if f["severity"] == "error" and not f.get("waived")}
    rows = [*report["comparisons"], *report["measures"]]
    agree = bool(rows) and {r["verdict"] for r in rows} == {"PASS"}
    return agree and report["verdict"] == "NOT_JUDGED" and errors == {"GATE020"}
