"""Normalization statistics in `report.html`: who agrees with whom, coverage, in any shape a report may have."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from parity.report.html import html
from parity.report.json_file import encode
from parity.report.schema import validate
from parity.report.statistics import statistics_shown

Build = Callable[..., dict[str, Any]]


def source(label: str, **changes: Any) -> dict[str, Any]:
    feature = {"name": "action", "key": "actions", "shape": [2], "mode": None, "statistics": ["mean"], "count": None}
    made = {"path": label, "label": label, "kind": "openpi", "era": None, "features": [feature], "taken_from": None}
    return {**made, "odd_in": [], **changes}


def pair(a: str, b: str, gap: float | None, verdict: str) -> dict[str, Any]:
    where = {"statistic": "q99", "index": [1], "values": [0.5, 0.9], "judged": ["q01", "q99"], "equal": None}
    return {"a": a, "b": b, "feature": "action", "max_gap": gap, "verdict": verdict, **where, "reason": ""}


def row(label: str, outside: list[float]) -> dict[str, Any]:
    ends = {"min": [-2.0, -1.5], "q01": [-1.0, -1.0], "q99": [1.0, 1.0], "max": [1.5, "NaN"]}
    values = [[0.0, 1.0], [0.5, 0.25]]
    return {
        "source": label,
        "feature": "action",
        "mode": "QUANTILES",
        "statistics": ["q01", "q99"],
        "stored": values,
        "recomputed": values,
        "ends": ["q01", "q99"],
        "range": values,
        "outside": outside,
        "expected": 0.02,
        "normalized": ends,
    }


@pytest.fixture
def stats() -> dict[str, Any]:
    labels = ("checkpoint", "deployed", "data")
    taken = {"source": "data", "equal": "float32"}
    conflict, same = "CONFLICT", "SAME"
    return {
        "sources": [source(labels[0], taken_from=taken), source(labels[1], odd_in=["action"]), source(labels[2])],
        "matrix": [[None, conflict, same], [conflict, None, conflict], [same, conflict, None]],
        "agreement": [
            pair(*labels[:2], 0.31, conflict),
            pair("checkpoint", "data", 0.0, same),
            pair(*labels[1:], None, conflict),
        ],
        "recomputed": [row("checkpoint", [0.02, 0.02]), row("deployed", [0.11, 0.4])],
    }


def test_says_who_agrees_with_whom_in_words(build: Build, stats: dict[str, Any]) -> None:
    raw = html(build("FAIL", stats=stats))
    for words in (
        "Normalization statistics",
        "3 sources, 1 feature compared: 1 in conflict. The odd one out is deployed.",
        "those of data, rounded to float32",
        '<td class="conflict">conflict<span class="said">31 %</span></td>',
        '<td class="conflict">conflict<span class="said">cannot be measured</span></td>',
        '<td class="same">same<span class="said">0 %</span></td>',
        "40.00% of the values of dimension 1 lie outside, the most of all; 2% should.",
        'aria-label="action as deployed normalizes it. q01 to q99 becomes -1 to 1;',
    ):
        assert words in raw, words


def test_what_covers_least_comes_first(build: Build, stats: dict[str, Any]) -> None:
    shown = statistics_shown(build("FAIL", stats=stats))
    assert shown is not None
    assert [r["source"] for r in shown["stored"]] == ["deployed", "checkpoint"]
    assert [p["kind"] for p in shown["pairs"]] == ["conflict", "conflict", "same"]


def test_a_report_that_did_not_ask_has_no_such_section(build: Build) -> None:
    assert "Normalization statistics" not in html(build("PASS"))


def test_the_same_report_gives_the_same_bytes_and_fits_the_schema(build: Build, stats: dict[str, Any]) -> None:
    report = build("FAIL", stats=stats)
    assert html(report) == html(json.loads(encode(report)))
    validate(json.loads(encode(report)))


def test_hostile_text_is_shown_as_text(build: Build, stats: dict[str, Any], evil: str) -> None:
    renamed = json.loads(
        json.dumps(stats).replace('"deployed"', json.dumps(evil)).replace('"action"', json.dumps(evil))
    )
    raw = html(build("FAIL", stats=renamed))
    assert raw.count("<script") == raw.count("</script")
    assert "<script>alert" not in raw
    assert not set(raw) & set("\x1b\x00\u202e\u2028\u2029")


@pytest.mark.parametrize(
    "broken", [None, [], {}, "x", {"sources": 3, "matrix": [1], "agreement": [None], "recomputed": [{}]}]
)
def test_what_is_not_as_parity_writes_it_breaks_no_page(build: Build, broken: Any) -> None:
    assert "<html" in html(build("FAIL", stats=broken))


@pytest.mark.parametrize("key", ["sources", "matrix", "agreement", "recomputed"])
def test_parts_that_are_missing_break_no_page(build: Build, stats: dict[str, Any], key: str) -> None:
    for value in (None, [{}], [[]], {"x": 1}):
        assert "<html" in html(build("FAIL", stats={**stats, key: value}))


def test_many_sources_and_features_stay_bounded(build: Build) -> None:
    labels = [f"s{i}" for i in range(64)]
    pairs = [pair(a, b, 0.5, "CONFLICT") for a in labels for b in labels if a < b]
    matrix = [["CONFLICT"] * 64 for _ in range(64)]
    rows = [row(label, [0.02] * 2) for label in labels]
    many = {"sources": [source(x) for x in labels], "matrix": matrix, "agreement": pairs, "recomputed": rows}
    shown = statistics_shown(build("FAIL", stats=many))
    assert shown is not None
    assert (len(shown["matrix"]), len(shown["pairs"]), len(shown["stored"])) == (24, 100, 40)
    assert sum(r["figure"] is not None for r in shown["stored"]) == 8
