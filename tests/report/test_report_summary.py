from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from parity.report.summary import MAX_BYTES, summary

Build = Callable[..., dict[str, Any]]


def test_says_what_a_reviewer_asks(build: Build) -> None:
    text = summary(build("FAIL"))
    assert text.startswith("## ❌ FAIL: pusht-dp-2026.11\n\n**0 of 8 weights match: another checkpoint**")
    assert "| `ort` | onnxruntime | float32 | ❌ FAIL | `action` | 0.412 / 1.6e-05 (25,750 × the limit) |" in text
    assert "`ort/graph/edge-0000/action`" in text
    assert "what to do: export the checkpoint that the reference was made from" in text
    assert "a" * 64 in text
    assert "`libraries.numpy` | 2.4.6" in text
    assert "baseline" not in text


def test_pass_and_not_judged(build: Build) -> None:
    assert "**all 3 comparisons keep their limits, the worst at 0.0075 × the limit**" in summary(build("PASS"))
    assert summary(build("NOT_JUDGED")).startswith("## ⚠️ NOT\\_JUDGED")


def test_a_partial_run_says_so(build: Build) -> None:
    report = build("PASS")
    report["release"]["scope"] = {"planned": 30, "selected": 3}
    assert "only 3 of 30 planned comparisons were selected" in summary(report)


def test_baseline_and_waived_findings(build: Build, statement: Build) -> None:
    report = build(
        "PASS",
        baseline={
            "name": "old",
            "created": "2026-11-01",
            "verdict": "PASS",
            "same_bytes": False,
            "moved": [{"candidate": "ort", "output": "action", "before": {"verdict": "PASS", "limit_ratio": 0.26}}],
            "new_findings": [statement("PREC001")],
            "gone_findings": [],
            "no_longer_judged": [f"ort/graph/nominal-{i:04d}/action" for i in range(50)],
        },
        findings=[statement(waived="me")],
    )
    text = summary(report)
    assert "### Against the baseline" in text
    assert "- baseline old of 2026-11-01: PASS\n- other bytes were tested\n" in text
    assert "- ort/action: PASS at 0.26 × the limit → not there" in text
    assert "- new finding PREC001 (ort, actor.0.weight): " in text
    assert "- … and 30 more are no longer judged" in text
    assert "### Waived findings" in text
    assert "### Findings" not in text


def test_tolerates_what_is_absent(build: Build) -> None:
    report = build("NOT_JUDGED", comparisons=[], measures=[], candidates=[], artifacts=[], reasons=[])
    del report["cause"]
    report["release"]["environment"] = {}
    text = summary(report)
    assert "no reason was recorded" in text
    assert "No candidate was judged." in text


def test_hostile_text_is_inert(hostile: dict[str, Any]) -> None:
    text = summary(hostile)
    assert "<script" not in text
    assert not re.search(r"@(?!&#8203;)", text)
    assert "\x1b" not in text
    tags = set(re.findall(r"<[^>]*>", text))
    assert tags == {"<details>", "<summary>", "</summary>", "</details>"}
    for line in text.splitlines():
        if line.startswith("|"):
            assert not re.search(r"[^ |\\:]\|[^ |\n]", line.replace("max\\|Δ\\|", "")), line
    columns = {len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("| \\\\x1b")}
    assert columns <= {3, 4, 6, 7}


def test_fits_a_comment_whatever_there_is(build: Build, statement: Build, evil: str) -> None:
    report = build("FAIL")
    report["findings"] = [statement(title=evil * 500, remedy="@" * 10_000, where=str(i)) for i in range(500)]
    report["candidates"] = [{**report["candidates"][0], "name": f"{evil}{i}" * 40} for i in range(500)]
    report["artifacts"] = [{**report["artifacts"][0], "path": "|" * 5000} for _ in range(500)]
    report["reasons"] = ["@" * 5000] * 100
    report["cause"] = "#@" * 10_000
    report["release"]["name"] = "@" * 10_000
    text = summary(report)
    assert len(text.encode("utf-8")) <= MAX_BYTES
    assert "Shortened to fit a comment" in text


def test_ten_thousand_comparisons_show_the_ten_worst(large: dict[str, Any]) -> None:
    text = summary(large)
    assert "### The 10 worst of 10,000 comparisons" in text
    assert text.count("| FAIL |") == 10
