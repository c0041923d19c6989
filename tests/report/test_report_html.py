from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import parity.report
from parity.report.html import MAX_ROWS, html

Build = Callable[..., dict[str, Any]]
VOID = {"meta", "br"}


class Page(HTMLParser):
    """What a browser would see: elements (checked to be nested), attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}


STRUCTURE = {"html", "head", "meta", "title", "style", "body", "main", "header", "section", "div", "span"}
CONTENT = {"h1", "h2", "h3", "p", "ul", "li", "dl", "dt", "dd", "code", "pre", "details", "summary", "br"}
ALLOWED = STRUCTURE | CONTENT | {"table", "thead", "tbody", "tr", "th", "td"}


def test_says_what_a_signatory_asks(build: Build) -> None:
    text = Page(html(build("FAIL"))).text
    for words in (
        "0 of 8 weights match: another checkpoint",
        "it must not ship",
        "pusht-dp-2026.11",
        "onnxruntime, float32",
        "2026-11-21 09:18:31 UTC",
        "a" * 64,
        "What to do: export the checkpoint",
        "median_cosine",
        "left_knee",
        "25,750",
        "32 × floor",
        "libraries.onnxruntime",
        "parity run",
    ):
        assert words in text, words


def test_asks_for_nothing_outside_and_runs_nothing(build: Build, hostile: dict[str, Any]) -> None:
    for report in (build("PASS"), build("FAIL"), build("NOT_JUDGED"), hostile):
        page = Page(html(report))
        assert page.tags() <= ALLOWED
        for _, attributes in page.elements:
            assert not set(attributes) & {"src", "href", "srcset", "style", "action"}
            assert not any(name.startswith("on") for name in attributes)
        assert "url(" not in html(report)
        assert "@import" not in html(report)
        policy = [a["content"] for t, a in page.elements if t == "meta" and a.get("http-equiv")]
        assert policy[0] is not None
        assert policy[0].startswith("default-src 'none'")


def test_hostile_text_is_shown_as_text(hostile: dict[str, Any]) -> None:
    raw = html(hostile)
    assert "<script" not in raw
    assert not set(raw) & set("\x1b\x00\u202e")
    raw.encode("utf-8")
    assert "<script>alert(1)</script>" in Page(raw).text


def test_no_template_marks_anything_as_safe() -> None:
    folder = Path(parity.report.__file__).parent / "templates"
    templates = list(folder.glob("*.j2"))
    assert templates
    for template in templates:
        text = template.read_text(encoding="utf-8")
        for mark in ("|safe", "| safe", "autoescape false", "Markup"):
            assert mark not in text


def test_works_with_everything_absent(build: Build) -> None:
    report = build(
        "NOT_JUDGED", comparisons=[], measures=[], candidates=[], artifacts=[], reasons=[], findings=[], cause=None
    )
    report["release"]["environment"] = {}
    text = Page(html(report)).text
    assert "no reason was recorded" in text
    assert "Nothing was compared." in text


def test_null_metrics_and_missing_tensors(build: Build, entry: Build) -> None:
    nothing = dict.fromkeys(("max_abs", "rel", "cosine_min", "worst_index", "worst_values", "where", "limit_ratio"))
    missing = entry(case="edge-0003", verdict="FAIL", reason="missing in candidate", candidate_shape=None, **nothing)
    report = build("FAIL", comparisons=[entry(), missing, entry(case="edge-0004", verdict="FAIL", max_abs=9.0)])
    text = Page(html(report)).text
    assert text.index("missing in candidate") < text.index("edge-0004")
    assert "None" not in text


def test_waivers_measures_and_baseline_are_shown(build: Build, statement: Build) -> None:
    report = build(
        "PASS",
        findings=[statement(waived="known (me, until 2026-12-31)")],
        baseline={"name": "old", "verdict": "PASS", "same_bytes": True},
        cases=[{"id": "edge-0000", "note": "obs[3] at its upper end"}],
        reproduce=["parity compare a.pt b.onnx"],
    )
    text = Page(html(report)).text
    for words in (
        "known (me, until 2026-12-31)",
        "Against the baseline",
        "nothing moved",
        "0.01 rad",
        "upper end",
        "compare a.pt",
    ):
        assert words in text, words


def test_only_the_worst_rows_are_inline(large: dict[str, Any]) -> None:
    page = Page(html(large))
    assert sum(tag == "tr" for tag, _ in page.elements) < MAX_ROWS + 20
    assert "8000 more are in report.json" in page.text
    assert len(html(large)) < 2_000_000


def test_names_of_a_megabyte_do_not_make_a_page_of_a_gigabyte(build: Build, entry: Build, statement: Build) -> None:
    name = "n" * 1_000_000
    report = build("FAIL", findings=[statement(where=name, evidence={str(i): name for i in range(1000)})])
    report["comparisons"] = [entry(output=name, case=f"edge-{i:04d}", id=f"{i}{name}", where=name) for i in range(50)]
    assert len(html(report)) < 1_000_000
    assert "900 more in report.json" in Page(html(report)).text
