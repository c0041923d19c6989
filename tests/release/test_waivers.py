"""A waiver turns one error finding into a shown, waived one; never NOT_JUDGED, NaN, shape or a missing output."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from parity.finding import Finding
from parity.release.config import WaiverTable
from parity.release.judge import conclude
from parity.release.waivers import apply_waivers

TODAY = dt.date(2026, 11, 21)


def waiver(code: str, until: dt.date = dt.date(2026, 12, 31), **more: Any) -> WaiverTable:
    return WaiverTable(finding=code, reason="known", owner="lee", until=until, **more)


def error(code: str, candidate: str | None = "ort") -> Finding:
    return Finding(code, "error", "t", where="action", candidate=candidate)


def test_it_waives_what_it_names() -> None:
    kept, complaints = apply_waivers([error("PREC001")], [waiver("PREC001", candidate="ort", where="action")], TODAY)
    assert kept[0].waived
    assert "lee" in kept[0].waived
    assert not complaints


@pytest.mark.parametrize(
    "bad",
    [
        waiver("PREC001", until=dt.date(2026, 11, 20)),
        waiver("PREC009"),
        waiver("PREC001", candidate="board"),
        waiver("PREC001", where="elsewhere"),
        waiver("GATE006"),
    ],
)
def test_without_effect_it_is_an_error_itself(bad: WaiverTable) -> None:
    kept, complaints = apply_waivers([error("PREC001"), error("GATE006")], [bad], TODAY)
    assert not any(f.waived for f in kept)
    assert [c.code for c in complaints] == ["WAIVE001"]


def report(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"candidates": [{"name": "ort"}], "comparisons": rows}


def row(fault: str | None, verdict: str) -> dict[str, Any]:
    return {"candidate": "ort", "output": "action", "verdict": verdict, "fault": fault, "reason": "r"}


def test_over_budget_can_be_waived_and_the_rest_cannot() -> None:
    failed = report([row("budget", "FAIL"), row(None, "PASS")])
    assert conclude(failed, [error("DIFF001")], [waiver("DIFF001")], TODAY)["verdict"] == "PASS"
    for code, fault in (("DIFF002", "nan"), ("DIFF003", "shape"), ("DIFF005", "missing_output")):
        failed = report([row(fault, "FAIL")])
        assert conclude(failed, [error(code)], [waiver(code)], TODAY)["verdict"] == "FAIL"


def test_not_judged_cannot_be_waived() -> None:
    open_ = report([row(None, "NOT_JUDGED"), row(None, "PASS")])
    assert conclude(open_, [error("GATE003")], [waiver("GATE003")], TODAY)["verdict"] != "PASS"


def test_nothing_compared_is_not_judged() -> None:
    assert conclude(report([]), [], [], TODAY)["verdict"] == "NOT_JUDGED"


def test_an_error_of_the_release_itself_blocks() -> None:
    good = report([row(None, "PASS")])
    assert conclude(good, [error("X001", None)], [], TODAY)["verdict"] == "FAIL"


def test_fail_comes_before_not_judged() -> None:
    mixed = report([row("budget", "FAIL"), row(None, "NOT_JUDGED")])
    assert conclude(mixed, [error("DIFF001"), error("GATE003")], [], TODAY)["verdict"] == "FAIL"
