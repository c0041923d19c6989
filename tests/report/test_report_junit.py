from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from parity.report.junit import junit

Build = Callable[..., dict[str, Any]]

# The layout that Jenkins' JUnit plugin, GitLab and dorny/test-reporter share.
LAYOUT: dict[str, tuple[set[str], set[str], set[str]]] = {
    # element: required attributes, allowed attributes, allowed children
    "testsuites": ({"name", "tests", "failures", "errors", "time"}, set(), {"testsuite"}),
    "testsuite": ({"name", "tests", "failures", "errors", "time"}, {"skipped", "timestamp"}, {"testcase"}),
    "testcase": ({"name", "classname", "time"}, set(), {"failure", "error", "system-out"}),
    "failure": ({"message", "type"}, set(), set()),
    "error": ({"message", "type"}, set(), set()),
    "system-out": (set(), set(), set()),
}


def parsed(report: dict[str, Any], **more: Any) -> ET.Element:
    """Return the report's JUnit XML, checked against the common layout and its own counts."""
    root = ET.fromstring(junit(report, **more))
    for element in root.iter():
        required, allowed, children = LAYOUT[element.tag]
        assert required <= set(element.attrib) <= required | allowed, element.tag
        assert {c.tag for c in element} <= children
    for holder in (root, *root.iter("testsuite")):
        assert int(holder.attrib["tests"]) == len(list(holder.iter("testcase")))
        assert int(holder.attrib["failures"]) == len(list(holder.iter("failure")))
        assert int(holder.attrib["errors"]) == len(list(holder.iter("error")))
        float(holder.attrib["time"])
    names = Counter((t.attrib["classname"], t.attrib["name"]) for t in root.iter("testcase"))
    assert max(names.values()) == 1, "two tests of one name would hide each other"
    return root


def test_a_pass_is_green(build: Build) -> None:
    root = parsed(build("PASS"), timings={"seconds": {"executed": 1.0, "judged": 0.5}, "sides": {}})
    assert (root.attrib["tests"], root.attrib["failures"], root.attrib["errors"]) == ("4", "0", "0")
    assert root.attrib["time"] == "1.500"


def test_fail_is_a_failure_and_not_judged_an_error(build: Build) -> None:
    failed = parsed(build("FAIL"))
    assert (failed.attrib["failures"], failed.attrib["errors"]) == ("2", "0")  # a comparison and its error finding
    unjudged = parsed(build("NOT_JUDGED"))
    assert (unjudged.attrib["failures"], unjudged.attrib["errors"]) == ("0", "1")
    assert not list(failed.iter("skipped")) + list(unjudged.iter("skipped"))


@pytest.mark.parametrize("verdict", ["FAIL", "NOT_JUDGED"])
def test_never_green_where_the_verdict_is_not(build: Build, verdict: str) -> None:
    empty = build(verdict, comparisons=[], measures=[], findings=[], candidates=[])
    root = parsed(empty)
    assert int(root.attrib["failures"]) == (verdict == "FAIL")
    assert int(root.attrib["errors"]) == (verdict == "NOT_JUDGED")
    # a candidate that did not pass for reasons of its own, among comparisons that all passed
    silent = {**build("PASS"), "verdict": verdict}
    silent["candidates"][0]["verdict"] = verdict
    root = parsed(silent)
    assert int(root.attrib["failures"]) + int(root.attrib["errors"]) >= 1


def test_an_unknown_verdict_is_an_error(build: Build) -> None:
    report = build("PASS")
    report["comparisons"][0]["verdict"] = "SOMETHING"
    assert parsed(report).attrib["errors"] == "1"


def test_findings_that_say_nothing_can_be_concluded_are_errors(build: Build, statement: Build) -> None:
    root = parsed(build("FAIL", findings=[statement("GATE001"), statement("PREC001")]))
    assert {e.attrib["type"] for e in root.iter("error")} == {"GATE001"}
    assert "PREC001" in {e.attrib["type"] for e in root.iter("failure")}


def test_what_is_waived_is_shown_and_green(build: Build, entry: Build, statement: Build) -> None:
    report = build("PASS", findings=[statement("DIFF001", where="action", waived="known (me, until 2026-12-31)")])
    report["comparisons"].append(entry(case="edge-0001", verdict="FAIL", fault="budget", reason="0.4 > 0.1"))
    root = parsed(report)
    assert (root.attrib["failures"], root.attrib["errors"]) == ("0", "0")
    assert [bool(o.text and "waived" in o.text) for o in root.iter("system-out")] == [True, True]


def test_warnings_are_no_tests(build: Build, statement: Build) -> None:
    warned = parsed(build("PASS", findings=[statement(severity="warning"), statement(severity="info")]))
    assert warned.attrib["tests"] == "4"


def test_hostile_text_parses_and_loses_nothing_visible(hostile: dict[str, Any]) -> None:
    raw = junit(hostile)
    root = parsed(hostile)
    assert b"\x1b" not in raw
    assert b"<script>" not in raw
    assert b"]]>" not in raw.replace(b"]]&gt;", b"")
    messages = [e.attrib["message"] for e in root.iter("failure")]
    assert any("\\x1b[2J" in m and "<script>alert(1)</script>" in m and "\\ud800" in m for m in messages)


def test_ten_thousand_comparisons(large: dict[str, Any]) -> None:
    root = parsed(large)
    assert int(root.attrib["tests"]) == 10_000 + 1 + 1
    assert int(root.attrib["failures"]) == 10 + 1
