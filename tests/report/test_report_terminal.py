from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import pytest

from parity.report.terminal import plain_lines, print_report

Build = Callable[..., dict[str, Any]]
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "GITHUB_ACTIONS", "FORCE_COLOR", "COLUMNS", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def on_terminal(report: dict[str, Any], width: int) -> str:
    stream = Terminal()
    print_report(report, stream, width=width)
    return stream.getvalue()


def in_log(report: dict[str, Any]) -> str:
    stream = io.StringIO()
    print_report(report, stream)
    return stream.getvalue()


def test_first_line_is_the_verdict_and_its_cause(build: Build) -> None:
    first = "FAIL  0 of 8 weights match: another checkpoint"
    assert in_log(build("FAIL")).splitlines()[0] == first
    assert ANSI.sub("", on_terminal(build("FAIL"), 60)).splitlines()[0] == first
    assert in_log(build("PASS")).startswith(
        "PASS  all 3 comparisons keep their limits, the worst at 0.0075 × the limit"
    )
    assert in_log(build("NOT_JUDGED", cause=None, reasons=["ort crashed"])).startswith("NOT_JUDGED  ort crashed")


def test_then_how_far_off_and_where(build: Build) -> None:
    lines = in_log(build("FAIL")).splitlines()
    far = next(i for i, line in enumerate(lines) if line.startswith("off by:"))
    assert "0.412" in lines[far]
    assert "25,750 × the limit of 1.6e-05" in lines[far]
    assert lines[far + 1] == "where: ort/action, case edge-0000, time step 3, action dimension 1 (left_knee)"
    assert "  what to do: export the checkpoint that the reference was made from" in lines


@pytest.mark.parametrize("width", [40, 60, 100, 200])
@pytest.mark.parametrize("verdict", ["PASS", "FAIL", "NOT_JUDGED"])
def test_fits_the_terminal(build: Build, entry: Build, hostile: dict[str, Any], width: int, verdict: str) -> None:
    from rich.cells import cell_len

    wide = build(verdict)
    wide["comparisons"] += [entry(output=name) for name in ("観察.状態" * 20, "x" * 300, "gripper")]
    for report in (wide, hostile, {**hostile, "verdict": verdict}):
        for line in ANSI.sub("", on_terminal(report, width)).splitlines():
            assert cell_len(line) <= width


def test_a_wide_terminal_shows_more(build: Build) -> None:
    narrow, wide = on_terminal(build("FAIL"), 60), on_terminal(build("FAIL"), 200)
    assert "onnxruntime" not in narrow
    assert "onnxruntime" in wide
    assert "1.6e-05" in wide
    assert max(map(len, ANSI.sub("", wide).splitlines())) > 60


def test_colour_on_a_terminal_only(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" in on_terminal(build("FAIL"), 80)
    assert "\x1b" not in in_log(build("FAIL"))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in on_terminal(build("FAIL"), 80)


def test_hostile_text_moves_nothing(hostile: dict[str, Any]) -> None:
    for text in (ANSI.sub("", on_terminal(hostile, 80)), in_log(hostile)):
        assert not set(text) & set("\x1b\x00\r\u202e\u009b")
        assert "[bold]x[/bold]" in text
        text.encode("utf-8")
    assert not any(line.lstrip().startswith("::") for line in in_log(hostile).splitlines())


def test_annotations_under_github_actions_only(
    build: Build, hostile: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "::error" not in in_log(build("FAIL"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    found = [line for line in in_log(build("FAIL")).splitlines() if line.startswith("::")]
    assert found == [
        "::error title=parity%3A FAIL::0 of 8 weights match: another checkpoint",
        "::error title=WEIGHT001::actor.0.weight: 0 of 8 weights match: another checkpoint",
    ]
    assert "::error" not in in_log(build("PASS"))
    lines = in_log(hostile).splitlines()
    assert sum(line.lstrip().startswith("::") for line in lines) == 2
    assert all("\r" not in line for line in lines)
    many = build("FAIL", findings=[{**build("FAIL")["findings"][0], "where": str(i)} for i in range(50)])
    assert sum(line.startswith("::error") for line in in_log(many).splitlines()) == 10


def test_every_candidate_and_output_is_there(build: Build, entry: Build) -> None:
    report = build("FAIL")
    report["candidates"].append(
        {**report["candidates"][0], "name": "om", "verdict": "NOT_JUDGED", "reasons": ["absent"]}
    )
    report["comparisons"] += [entry("om", verdict="NOT_JUDGED"), entry(output="value")]
    lines = plain_lines(report)
    assert "candidate om: NOT_JUDGED, onnxruntime, float32 (absent)" in lines
    assert any(line.startswith("  output value: PASS, 1 passed") for line in lines)
    text = ANSI.sub("", on_terminal(report, 120))
    assert re.search(r"om +onnxruntime +float32 +NOT_JUDGED", text)
    assert re.search(r"ort +value +1 passed", text)


def test_findings_come_by_severity(build: Build, statement: Build) -> None:
    kinds = [("info", "A001"), ("error", "B001"), ("warning", "C001")]
    report = build("FAIL", findings=[statement(code, severity=s) for s, code in kinds])
    text = in_log(report)
    assert text.index("error B001") < text.index("warning C001") < text.index("info A001")


def test_tolerates_absent_keys(build: Build) -> None:
    report = build("FAIL")
    del report["cause"]
    for comparison in report["comparisons"]:
        del comparison["where"], comparison["limit_ratio"]
    assert "FAIL  ort: 1 of 3 comparisons is over its limit" in in_log(report)
    assert "element [0, 3, 1]" in in_log(report)
    assert "25,750 × the limit" in in_log(report)  # from max_abs and the budget


def test_ten_thousand_comparisons_are_a_few_lines(large: dict[str, Any]) -> None:
    assert len(in_log(large).splitlines()) < 20
    assert "9,990 passed, 10 failed" in in_log(large)


def test_nothing_is_said_twice(build: Build, statement: Build) -> None:
    title = "Action is over budget in 1 of 3 cases."
    over = statement("DIFF001", title=title, where="action")
    report = build("FAIL", reasons=[f"ort: {title}", "0 of 8 weights match: another checkpoint.", "something else"])
    report["findings"].append(over)
    report["candidates"][0]["reasons"] = [title, "something else"]
    text = in_log(report)
    assert text.count("over budget in 1 of 3 cases") == 1
    assert text.count("0 of 8 weights match") == 2  # the first line, and its finding with the evidence
    assert "why: something else" in text
    assert "error DIFF001: Action is over budget" in text  # the title begins with the place
