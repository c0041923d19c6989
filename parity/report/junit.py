"""`junit.xml`: a test case for each comparison, measure and error finding, and for a verdict that none of them shows.

FAIL is ``<failure>``, NOT_JUDGED is ``<error>``, nothing is ever ``<skipped>``: CI services count a skip as green.
The layout is the one that Jenkins, GitLab and GitHub's reporters share (``testsuites/testsuite/testcase`` with the
attributes ``tests``, ``failures``, ``errors``, ``time``), from https://llg.cubic.org/docs/junit/.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from parity.report.atomic import replace_file
from parity.report.figures import number
from parity.report.text import clean
from parity.report.view import excused, headline, off_where, waived_outputs

_MAX_NAME = 2_000
_SAYS_NOTHING = "GATE"  # findings of this family make a candidate NOT_JUDGED


@dataclass(frozen=True, slots=True)
class _Test:
    """One test case: where it is listed, what came out, and what is shown beside it."""

    classname: str
    name: str
    verdict: str
    message: str = ""
    kind: str = ""
    detail: str = ""


def junit(report: Mapping[str, Any], timings: Mapping[str, Any] | None = None) -> bytes:
    """Return the report as JUnit XML. The steps of ``timings["seconds"]``, added, are its ``time``."""
    suites: dict[str, list[_Test]] = {}
    waived = waived_outputs(report)
    for comparison in report["comparisons"]:
        test = _comparison(comparison)
        suites.setdefault(str(comparison["candidate"]), []).append(
            _green(test) if excused(comparison, waived) else test
        )
    for measure in report["measures"]:
        test = _green(_measure(measure)) if excused(measure, waived) else _measure(measure)
        suites.setdefault("measures", []).append(test)
    candidates = {str(c["name"]): str(c["verdict"]) for c in report["candidates"]}
    for i, finding in enumerate(f for f in report["findings"] if f["severity"] == "error"):
        verdict = candidates.get(str(finding.get("candidate")), str(report["verdict"]))
        suites.setdefault("findings", []).append(_finding(finding, i, verdict))
    if extra := _verdicts(report, suites):
        suites["verdict"] = [*suites.get("verdict", []), *extra]

    root = ET.Element("testsuites", name=clean(report["release"]["name"]) or "parity")
    total = [_suite(root, name, tests, str(report["release"]["created"])) for name, tests in suites.items()]
    for i, key in enumerate(("tests", "failures", "errors")):
        root.set(key, str(sum(t[i] for t in total)))
    root.set("time", f"{_seconds(timings or {}):.3f}")
    ET.indent(root, " ")
    text: str = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()


def write_junit(report: Mapping[str, Any], path: Path, timings: Mapping[str, Any] | None = None) -> None:
    """Write `junit` of ``report`` to ``path``, complete or not at all.

    Raises:
        OutputError: the folder cannot be written or the disk is full.
    """
    replace_file(path, junit(report, timings))


def _seconds(timings: Mapping[str, Any]) -> float:
    """Return how long the whole run took, as far as ``timings`` tells."""
    steps = timings.get("seconds")
    given = [number(s) for s in steps.values()] if isinstance(steps, Mapping) else []
    return sum(s for s in given if s is not None and math.isfinite(s))


def _suite(root: ET.Element, name: str, tests: Iterable[_Test], created: str) -> tuple[int, int, int]:
    """Append one ``<testsuite>`` and return its number of tests, failures and errors."""
    suite = ET.SubElement(root, "testsuite", name=clean(name) or "parity")
    count = failures = errors = 0
    for test in tests:
        count += 1
        case = ET.SubElement(
            suite,
            "testcase",
            classname=clean(test.classname, _MAX_NAME),
            name=clean(test.name, _MAX_NAME),
            time="0.000",
        )
        if test.verdict == "PASS":
            if test.detail:
                ET.SubElement(case, "system-out").text = clean(test.detail, 4000)
            continue
        failed = test.verdict == "FAIL"  # whatever is neither PASS nor FAIL was not judged
        failures, errors = failures + failed, errors + (not failed)
        message = clean(test.message, 1000) or ("failed" if failed else "not judged")
        note = ET.SubElement(case, "failure" if failed else "error", message=message, type=clean(test.kind))
        note.text = clean(test.detail, 4000) or message
    suite.set("tests", str(count))
    suite.set("failures", str(failures))
    suite.set("errors", str(errors))
    suite.set("skipped", "0")
    suite.set("time", "0.000")
    suite.set("timestamp", clean(created))
    return count, failures, errors


def _green(test: _Test) -> _Test:
    """Return a failed test whose going over budget is waived: it blocks nothing, and says so."""
    return replace(test, verdict="PASS", detail=f"over budget, waived: {test.message}")


def _comparison(c: Mapping[str, Any]) -> _Test:
    verdict = str(c["verdict"])
    return _Test(
        classname=f"{c['candidate']}.{c['level']}",
        name=str(c["id"]),
        verdict=verdict,
        message=str(c.get("reason") or off_where(c)),
        kind=verdict,
        detail="" if verdict == "PASS" else off_where(c),
    )


def _measure(m: Mapping[str, Any]) -> _Test:
    verdict = str(m["verdict"])
    detail = "" if verdict == "PASS" else f"{m['name']} {m['value']} against a limit of {m['limit']}, n = {m['n']}"
    return _Test(f"measures.{m['level']}", str(m["id"]), verdict, str(m.get("reason") or detail), verdict, detail)


def _finding(f: Mapping[str, Any], index: int, verdict: str) -> _Test:
    """Return an error finding as a test: an error where its candidate was not judged, else a failure."""
    where = f" {f['where']}" if f.get("where") else ""
    name = f"{f['code']}{where} ({index + 1})"  # two findings may share a code and a place
    classname = f"findings.{f.get('candidate') or 'release'}"
    if f.get("waived"):
        return _Test(classname, name, "PASS", detail=f"{f['title']} (waived: {f['waived']})")
    detail = " ".join(str(f[k]) for k in ("title", "detail", "remedy") if f.get(k))
    says_nothing = verdict == "NOT_JUDGED" or str(f["code"]).startswith(_SAYS_NOTHING)
    kind = "NOT_JUDGED" if says_nothing else "FAIL"
    return _Test(classname, name, kind, str(f["title"]), str(f["code"]), detail)


def _verdicts(report: Mapping[str, Any], suites: Mapping[str, list[_Test]]) -> list[_Test]:
    """Return a test for each verdict that no other test shows: a report without comparisons is not green."""
    out = []
    for c in report["candidates"]:
        name, verdict = str(c["name"]), str(c["verdict"])
        if verdict != "PASS" and all(t.verdict == "PASS" for t in suites.get(name, ())):
            reasons = "; ".join(str(r) for r in c.get("reasons") or ())
            out.append(_Test("verdict.candidate", name, verdict, reasons, verdict))
    seen = {t.verdict for tests in suites.values() for t in tests} | {t.verdict for t in out}
    verdict = str(report["verdict"])
    if verdict not in seen:
        reasons = "; ".join(str(r) for r in report.get("reasons") or ())
        name = str(report["release"]["name"])
        out.append(_Test("verdict.release", name, verdict, headline(report), verdict, reasons))
    return out
