"""Judges a release whose tables a test writes freely, as `parity run` does, and says what became of each candidate."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from parity.cli.judging import judge_now
from parity.release.config import parse_config


def judged(
    folder: Path, reference: dict[str, Any], candidates: Sequence[dict[str, Any]], **more: Any
) -> dict[str, Any]:
    """Return the report on ``candidates``, tables of `parity.toml`, with paths relative to ``folder``."""
    data = {"release": {"name": "hostile"}, "reference": reference, "candidate": list(candidates), **more}
    with tempfile.TemporaryDirectory(dir=folder) as work:
        return judge_now(parse_config(data, "test"), folder, Path(work), strict=False).report


def verdicts(report: dict[str, Any]) -> dict[str, str]:
    """Return the verdict on each candidate by name."""
    return {c["name"]: c["verdict"] for c in report["candidates"]}


def codes(report: dict[str, Any], candidate: str) -> set[str]:
    """Return the codes of the findings about a candidate."""
    return {f["code"] for f in report["findings"] if f["candidate"] == candidate}
