from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import parity.report
from exhibits import exhibit, nothing
from parity.report.html import html
from parity.report.rows import MAX_ROWS, SHOWN

Build = Callable[..., dict[str, Any]]
VOID = {"meta", "br", "input", "img"}


class Page(HTMLParser):
    """What a browser would see: elements (checked to be nested), attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
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

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))  # of SVG alone

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            self.scripts.append(data)
        else:
            self.text += data

    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}


STRUCTURE = {"html", "head", "meta", "title", "style", "body", "main", "header", "section", "div", "span"}
CONTENT = {"h1", "h2", "h3", "p", "ul", "li", "dl", "dt", "dd", "code", "pre", "details", "summary", "br"}
TABLES = {"table", "thead", "tbody", "tr", "th", "td"}
CONTROLS = {"script", "label", "input", "select", "option", "button"}
PICTURES = {
    "figure",
    "figcaption",
    "img",
    "svg",
    "g",
    "path",
    "use",
    "defs",
    "clippath",
    "pattern",
    "rect",
    "text",
    "image",
}
ALLOWED = STRUCTURE | CONTENT | TABLES | CONTROLS | PICTURES | {"b", "h4", "h5"}


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


def test_asks_for_nothing_outside_and_runs_its_own_script_alone(build: Build, hostile: dict[str, Any]) -> None:
    shown = build("FAIL", exhibits=[exhibit(16, 2, over=True), exhibit(1, 3)])
    for report in (build("PASS"), shown, build("NOT_JUDGED"), hostile):
        raw = html(report)
        page = Page(raw)
        assert page.tags() <= ALLOWED
        for tag, attributes in page.elements:
            assert not set(attributes) & {"href", "srcset", "action", "formaction", "xlink:role"}
            assert not any(name.startswith("on") for name in attributes)
            assert "style" not in attributes or tag in PICTURES
            inside = tag in {"use", "image"}
            assert "xlink:href" not in attributes or inside
            for name in ("src", "xlink:href"):
                source = attributes.get(name) or ""
                assert not source or source.startswith(("data:image/png;base64,", "#")), source[:60]
        assert set(re.findall(r"url\((.)", raw)) <= {"#"}
        assert "@import" not in raw
        (policy,) = [a["content"] or "" for t, a in page.elements if t == "meta" and a.get("http-equiv")]
        assert policy.startswith("default-src 'none'")
        types = [a.get("type") for t, a in page.elements if t == "script"]
        assert types in (["application/json", None], [None])
        digest = base64.b64encode(hashlib.sha256(page.scripts[-1].encode()).digest()).decode()
        assert f"script-src 'sha256-{digest}';" in policy


def test_hostile_text_is_shown_as_text(hostile: dict[str, Any], evil: str) -> None:
    hostile["exhibits"] = [exhibit(t, 2, names=[evil, "$x$"], candidate=evil, output=evil, units=evil) for t in (1, 4)]
    hostile["comparisons"] *= 3
    raw = html(hostile)
    assert raw.count("<script") == raw.count("</script") == 2
    assert "alert(1)" not in "".join(Page(raw).scripts[1:])
    assert not set(raw) & set("\x1b\x00\u202e\u2028\u2029")
    raw.encode("utf-8")
    assert "<script>alert(1)</script>" in Page(raw).text
    (data,) = [s for s in Page(raw).scripts if s.startswith("{")]
    assert not set(data) & set("<>&")
    assert "<script>alert(1)</script>" in json.loads(data)["rows"][0][2]


def test_the_same_report_gives_the_same_bytes(build: Build) -> None:
    report = build("FAIL", exhibits=[exhibit(16, 2, over=True), exhibit(1, 3, output="gripper")])
    assert html(report) == html(json.loads(json.dumps(report)))


def test_pictures_say_their_numbers_in_words(build: Build) -> None:
    page = Page(html(build("FAIL", exhibits=[exhibit(16, 2, over=True, names=["x", "y"])])))
    words = [a["aria-label"] or "" for t, a in page.elements if t == "svg"]
    assert len(words) == 5  # the errors, their distribution, three worst cases
    assert "the worst is 30,000 × the limit, in dimension 1 (y) at time step 8" in words[0]
    assert "8 of 32 cells are over the limit" in words[0]
    assert "2 errors are exactly 0" in words[1]
    assert "limit 1.5e-05" in words[2]
    assert all(a["role"] == "img" for t, a in page.elements if t == "svg")
    assert all(a["alt"] for t, a in page.elements if t == "img")


def test_what_a_pass_would_have_caught(build: Build) -> None:
    text = Page(html(build("PASS", exhibits=[exhibit(1, 3, names=["a", "b", "c"])]))).text
    for words in (
        "What this PASS would have caught",
        "no: constant here",
        "yes: 50,000 × the limit",
        "NO: 0 × the limit",
    ):
        assert words in text, words


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"by_step": None, "distribution": None, "worst": None, "sensitivity": None, "elements": None},
        {
            "by_step": {"max_abs": [[1, 2], [3]], "ratio": "x"},
            "distribution": {"edges": [0, 0], "error": [1]},
            "worst": [{}],
        },
        {"steps": -1, "worst": [None, 3], "elements": 3, "sensitivity": {"dimensions": [None, {}], "sentences": 4}},
        {"by_step": {"max_abs": [["Infinity", "NaN", None]], "ratio": [["Infinity", 0.0, None]]}},
        {"by_step": {"max_abs": [[0, 0, 0]] * 4, "ratio": [[0, 0, 0]] * 4}, "steps": 4},
    ],
)
def test_exhibits_that_are_missing_or_malformed_cost_a_picture_and_no_page(
    build: Build, broken: dict[str, Any]
) -> None:
    text = Page(html(build("PASS", exhibits=[{**exhibit(1, 3), **broken}, 3, {}, nothing()]))).text
    assert "Everything that was planned was judged" in text
    assert "Worst case: edge-0000" in text  # of the entry that has no number at all


def test_only_png_becomes_a_picture(build: Build) -> None:
    entry = exhibit(1, 2, by_step=None, distribution=None)
    picture = entry["worst"][0]["inputs"][0]["pictures"][0]
    svg = base64.b64encode(b"<svg onload=alert(1)>").decode()
    for png in (svg, 'x" onerror="alert(1)', "", None, "é"):
        entry["worst"] = entry["worst"][:1]
        picture["png"] = png
        page = Page(html(build("PASS", exhibits=[entry])))
        assert "img" not in page.tags()


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


def test_outputs_that_moved_against_the_baseline_are_a_table(build: Build) -> None:
    moved = [
        {
            "candidate": "ort",
            "output": "action",
            "before": {"verdict": "PASS", "limit_ratio": 0.26},
            "after": {"verdict": "FAIL", "limit_ratio": 740.0},
        }
    ]
    text = Page(html(build("FAIL", baseline={"name": "old", "verdict": "PASS", "moved": moved}))).text
    assert "PASS at 0.26 × the limit→ FAIL at 740 × the limit" in text
    assert "nothing moved" not in text


def test_the_worst_rows_are_inline_and_all_are_data(large: dict[str, Any]) -> None:
    raw = html(large)
    page = Page(raw)
    assert SHOWN < sum(tag == "tr" for tag, _ in page.elements) < SHOWN + 20
    assert "The 50 worst are shown" in page.text
    assert len(json.loads(page.scripts[0])["rows"]) == 10_000
    assert len(raw.encode()) < 5_000_000


def test_rows_beyond_what_a_browser_is_given_are_said_to_be_absent(large: dict[str, Any], entry: Build) -> None:
    text = Page(html({**large, "comparisons": [*large["comparisons"], entry()]})).text
    assert "1 of them are in report.json only" in text
    assert MAX_ROWS == 10_000


def test_names_of_a_megabyte_do_not_make_a_page_of_a_gigabyte(build: Build, entry: Build, statement: Build) -> None:
    name = "n" * 1_000_000
    report = build("FAIL", findings=[statement(where=name, evidence={str(i): name for i in range(1000)})])
    report["comparisons"] = [entry(output=name, case=f"edge-{i:04d}", id=f"{i}{name}", where=name) for i in range(50)]
    assert len(html(report)) < 1_500_000
    assert "900 more in report.json" in Page(html(report)).text
