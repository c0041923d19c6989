"""A replay in a terminal, a log, `summary.md` and JUnit: how much, how it ended, causes, dimensions in units."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from parity.report.alike import together
from parity.report.glance import glances
from parity.report.html import html
from parity.report.junit import junit
from parity.report.replay_view import badness, measure_ratio, replayed_of, tally_of
from parity.report.summary import summary
from parity.report.terminal import plain_lines, print_report
from parity.report.view import findings_of, headline, other_reasons, said
from replay_report import offset, replay_report

LONG = ["left_shoulder_pitch_joint", "left_elbow_joint_of_the_arm", "right_hand_thumb_rotation_joint"]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return replay_report({"good": None, "bad": offset(1), "worse": offset(2, 0.5)}, names=LONG)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def printed(report: dict[str, Any], width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    print_report(report, stream, width=width)
    return stream.getvalue()


def test_a_log_says_what_was_replayed_and_how_it_ended(report: dict[str, Any]) -> None:
    lines = plain_lines(report)
    total, failed = len(report["measures"]), sum(m["verdict"] == "FAIL" for m in report["measures"])
    assert f"replayed: 180 frames of 3 episodes, asked every 4 frames; {total} measures, {failed} fail" in lines
    assert not any(line.startswith("compared:") for line in lines)
    own = next(line for line in lines if line.startswith("  replayed bad: "))
    assert "of action[1] (left_elbow_joint_of_the_arm): 0.05 rad" in own
    detail = next(line for line in lines if line.startswith("    action[1] (left_elbow_joint_of_the_arm): "))
    assert re.search(
        r"RMS 0.05 rad, max 0.05 rad, bias 0.05 rad, [\d,]+ × the limit, at episode \d+, frame \d+", detail
    )


def test_causes_stand_before_the_tables_and_once(report: dict[str, Any]) -> None:
    lines = plain_lines(report)
    candidates = [i for i, line in enumerate(lines) if line.startswith("candidate ")]
    for name in ("bad", "worse"):
        first = next(f for f in replayed_of(report).tracks if f.candidate == name).findings[0]  # type: ignore[union-attr]
        told = [i for i, line in enumerate(lines) if first["title"] in line and line.startswith("error ")]
        assert len(told) == 1
        assert told[0] < candidates[0]


@pytest.mark.parametrize("width", [60, 200])
def test_a_terminal_of_any_width_has_the_worst_dimensions(
    report: dict[str, Any], width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = printed(report, width, monkeypatch)
    assert all(len(line) <= width for line in text.splitlines())
    assert "nothing compared" not in text
    rows = [line for line in text.splitlines() if line.startswith("worse ") and "rad" in line and "action[2]" in line]
    row = rows[-1]
    assert "0.5 rad" in row
    assert ("episode" in row) is (width == 200)
    squeezed = re.sub(r"\s", "", text)
    assert "replayed180framesof3episodes" in squeezed
    assert text.index("error REPLAY") < text.index("candidate ")


def test_a_pass_says_how_many_measures_and_the_margin() -> None:
    report = replay_report({"good": None})
    assert report["verdict"] == "PASS"
    words = f"all {len(report['measures'])} measures of 180 replayed frames keep their limits, the worst at "
    assert headline(report).startswith(words)
    assert words in html(report)
    assert "Comparisons" not in html(report)
    (glance,) = glances(report)
    assert glance.tally == f"replayed: {len(report['measures'])} measures, all pass"
    assert glance.words.startswith("replayed, ")


def test_comparisons_and_a_replay_are_both_told(report: dict[str, Any], build: Any) -> None:
    both = build(replay=report["replay"], measures=report["measures"])
    words = headline(both)
    assert words.startswith("all 3 comparisons keep their limits")
    assert f"all {len(report['measures'])} measures of 180 replayed frames" in words
    lines = plain_lines(both)
    assert "compared: 3 passed" in lines
    assert any(line.startswith("replayed: 180 frames") for line in lines)


def test_the_summary_has_candidates_and_dimensions(report: dict[str, Any]) -> None:
    text = summary(report)
    assert "nothing compared" not in text
    assert "- replayed: 180 frames of 3 episodes" in text
    assert "| `bad` | `action[1] (left_elbow_joint_of_the_arm)` | 0.05 | 0.05 | 0.05 rad | 0.05 |" in text
    assert re.search(r"\| `good` \| onnxruntime \| float32 \| ✅ PASS \| \d+ measures, all pass \|", text)
    widths = [line.count(" | ") for line in text.splitlines() if line.startswith("| `bad` | `action")]
    header = next(line for line in text.splitlines() if line.startswith("| candidate | worst dim"))
    assert set(widths) == {header.count(" | ")}


def test_junit_has_failures_with_reasons_and_errors_where_nothing_was_judged(report: dict[str, Any]) -> None:
    odd = {**report, "measures": [dict(m) for m in report["measures"]]}
    odd["measures"][0] |= {"verdict": "NOT_JUDGED", "value": None, "reason": "no frame was compared"}
    root = ET.fromstring(junit(odd))
    cases = {c.attrib["name"]: c for c in root.iter("testcase")}
    for m in odd["measures"]:
        case = cases[m["id"]]
        kinds = [child.tag for child in case if child.tag != "system-out"]
        assert kinds == {"PASS": [], "FAIL": ["failure"], "NOT_JUDGED": ["error"]}[m["verdict"]]
        if m["verdict"] != "PASS":
            assert case[0].attrib["message"] == m["reason"] != ""
    assert not list(root.iter("skipped"))
    assert int(root.attrib["failures"]) >= sum(m["verdict"] == "FAIL" for m in odd["measures"])


def test_measures_are_sorted_by_what_failed_and_by_how_much() -> None:
    made = [
        {"id": "a", "verdict": "PASS", "value": 0.9, "limit": 1.0},
        {"id": "b", "verdict": "FAIL", "value": 2.0, "limit": 1.0},
        {"id": "c", "verdict": "NOT_JUDGED", "value": None, "limit": 1.0},
        {"id": "d", "verdict": "FAIL", "value": "NaN", "limit": 1.0},
        {"id": "e", "verdict": "FAIL", "value": -3.0, "limit": 1.0},
        {"id": "f", "verdict": "FAIL", "value": 3.0, "limit": None},
        {"id": "g", "verdict": "FAIL", "value": 1.0, "limit": 0.0},
        {"id": "h", "verdict": "PASS", "value": 0.0, "limit": 0.0},
    ]
    assert [m["id"] for m in sorted(made, key=badness)] == ["d", "g", "e", "b", "f", "c", "a", "h"]
    assert measure_ratio(made[-1]) is None
    assert tally_of(made) == "8 measures, 5 fail, 1 not judged"
    assert tally_of(made[:1]) == "1 measure, it passes"
    assert tally_of([]) == "nothing measured"


def test_warnings_of_several_candidates_are_told_once_and_errors_never() -> None:
    def finding(candidate: str, severity: str = "warning", **changes: Any) -> dict[str, Any]:
        made = {
            "code": "REPLAY003",
            "severity": severity,
            "where": "action",
            "title": "off",
            "detail": "",
            "remedy": "x",
        }
        return {**made, "waived": None, "candidate": candidate, "evidence": {}, **changes}

    found = together([finding("a"), finding("b", evidence={"n": 1}), finding("c", title="else")], 3)
    assert [(f["candidate"], f["title"]) for f in found] == [("a, b", "off"), ("c", "else")]
    assert found[0]["evidence_of"] == "a"
    assert "evidence_of" not in found[1]
    assert [f["candidate"] for f in together([finding("a"), finding("b")], 2)] == ["all 2 candidates"]
    assert len(together([finding("a", "error"), finding("b", "error")], 2)) == 2
    many = together([finding(f"c{i}") for i in range(9)], 10)
    assert many[0]["candidate"] == "c0, c1, c2, c3, c4, c5 and 3 more"


def test_findings_of_a_report_keep_their_order(report: dict[str, Any]) -> None:
    severities = [f["severity"] for f in findings_of(report)]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)
    errors = [f for f in report["findings"] if f["severity"] == "error"]
    assert sum(s == "error" for s in severities) == len(errors)


def test_that_it_failed_is_not_said_where_the_cause_is_named(report: dict[str, Any]) -> None:
    def finding(code: str, title: str) -> dict[str, Any]:
        return {**report["findings"][0], "code": code, "candidate": "worse", "title": title, "severity": "error"}

    general, cause = finding("REPLAY092", "Replayed, it differs."), finding("REPLAY023", "it is scaled")
    reasons = ["bad: another", "worse: it is scaled", "worse: Replayed, it differs."]
    assert other_reasons({**report, "reasons": reasons, "findings": [cause, general]}) == ["worse: it is scaled"]
    assert other_reasons({**report, "reasons": reasons, "findings": [general]}) == reasons[1:]


def test_the_first_screen_has_room_for_so_many_reasons(report: dict[str, Any]) -> None:
    page = html({**report, "reasons": [f"reason {i}" for i in range(40)]})
    hero = page[page.index("<header") : page.index("</header>")]
    assert "reason 16" in hero
    assert "reason 17" not in hero
    assert "… and 23 more: see Findings" in hero


def test_a_place_that_the_sentence_names_is_not_said_again() -> None:
    report = {"candidates": [{"name": "a"}, {"name": "b"}]}
    finding = {
        "candidate": "a",
        "where": "action[4] (wrist)",
        "title": "an offset is added: +0.05 in action[4] (wrist)",
    }
    assert said(finding, report) == "a: an offset is added: +0.05 in action[4] (wrist)"
    assert said({**finding, "where": "action"}, report).startswith("a, action: ")
