"""Policies in stages in the report and on a terminal: which stage is wrong, how the error grows, in any shape."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest

from parity.report.html import html
from parity.report.json_file import encode
from parity.report.schema import validate
from parity.report.stages_section import MAX_DRAWN, stages_shown
from parity.report.stages_view import staged_of
from parity.report.terminal import print_report
from staged_report import staged_report

Build = Callable[..., dict[str, Any]]
GROWING = [0.5 * 1.5**k for k in range(6)]  # over the limit from step 3 on


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(report: dict[str, Any], width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    print_report(report, stream, width=width)
    return stream.getvalue()


def in_log(report: dict[str, Any]) -> list[str]:
    stream = io.StringIO()
    print_report(report, stream)
    return stream.getvalue().splitlines()


@pytest.fixture
def report(build: Build, entry: Build, statement: Build) -> dict[str, Any]:
    made = staged_report(build, entry, {"prefix": (0.25, 0.25), "expert": (0.5, 40.0)}, GROWING)
    said = {"severity": "warning", "where": "loop", "title": "Each stage is within its budget alone; it grows."}
    made["findings"].append(statement("STAGE011", **said))
    return made


def only(report: dict[str, Any]) -> dict[str, Any]:
    shown = stages_shown(report)
    assert shown is not None
    assert len(shown["candidates"]) == 1
    found: dict[str, Any] = shown["candidates"][0]
    return found


def test_a_policy_of_one_graph_has_no_such_section(build: Build) -> None:
    assert stages_shown(build()) is None
    assert "Stage by stage" not in html(build())
    assert not any("stage" in line for line in in_log(build()))


def test_each_stage_is_shown_alone_and_chained_with_its_worst_case(report: dict[str, Any]) -> None:
    validate(json.loads(encode(report)))
    shown = only(report)
    assert [r["name"] for r in shown["rows"]] == ["prefix", "expert"]
    alone, chained = shown["rows"][1]["ways"]
    assert alone == {
        "verdict": "PASS", "value": "expert_out", "case": "nominal-0000", "max_abs": "5e-06", "limit": "1e-05",
        "ratio": "0.5",
    }  # fmt: skip
    assert (chained["verdict"], chained["ratio"], chained["case"]) == ("FAIL", "40", "nominal-0000")
    assert shown["said"] == ["Each stage is within its budget alone; it grows."]
    page = html(report)
    assert page.index("Stage by stage") < page.index('id="tested-title"')
    assert "<td>alone</td>" in page


def test_the_error_by_step_is_told_in_words_and_drawn(report: dict[str, Any]) -> None:
    course = staged_of(report)[0].courses[0]
    assert [s.ratio for s in course.steps] == pytest.approx(GROWING)
    assert course.growth == pytest.approx(1.5)
    assert course.over_from == 3
    words = "x_t: 0.5 × the limit after step 1, 3.8 × the limit after step 6 (|Δ| 5e-06 → 3.8e-05, × 1.5 per step); "
    assert course.words == f"{words}over from step 3 on."
    svg = ElementTree.fromstring(str(only(report)["figure"]["svg"]))
    assert course.words in svg.attrib["aria-label"]
    texts = {"".join(t.itertext()).strip() for t in svg.iter("{http://www.w3.org/2000/svg}text")}
    assert {"denoising step", "limit", "x_t", "1", "6", "10"} <= texts


def test_the_line_is_drawn_where_the_numbers_are(build: Build, entry: Build) -> None:
    """Ten times the error is one decade up: between equal factors the picture has equal distances."""
    made = staged_report(build, entry, {"expert": (0.1, 0.1)}, [0.01, 0.1, 1.0, 10.0])
    svg = str(only(made)["figure"]["svg"])
    paths = [
        re.findall(r"[ML] ([\d.]+) ([\d.]+)", p) for p in re.findall(r'<path d="([^"]+)"[^>]*var\(--candidate\)', svg)
    ]
    points = next(p for p in paths if len(p) == 4)
    heights = [float(y) for _, y in points]
    gaps = [a - b for a, b in pairwise(heights)]
    assert gaps == pytest.approx([gaps[0]] * 3, rel=1e-3)
    assert gaps[0] > 5


@pytest.mark.parametrize(
    ("steps", "words", "drawn"),
    [
        ([0.0, 0.0, 0.0], "x_t is the same after every step.", False),
        ([None, None], "x_t: nothing could be compared.", False),
        ([0.5, math.nan, math.nan], "after step 1, NaN × the limit after step 3", True),
        ([math.nan], "NaN × the limit after step 1", False),
        ([0.5, None], "0.5 × the limit after step 1, not judged after step 2", True),
        ([2.0], "x_t: 2 × the limit after step 1 (|Δ| 2e-05 → 2e-05); over from step 1 on.", True),
    ],
)
def test_a_loop_of_any_kind_is_told(
    build: Build, entry: Build, steps: list[float | None], words: str, drawn: bool
) -> None:
    shown = only(staged_report(build, entry, {"expert": (0.1, 0.1)}, steps))
    assert words in shown["courses"][0]
    assert (shown["figure"] is not None) is drawn


def test_nan_is_never_shown_as_no_difference(build: Build, entry: Build) -> None:
    made = staged_report(build, entry, {"expert": (math.nan, math.nan)}, [math.nan] * 3)
    shown = only(made)
    assert {(w["verdict"], w["ratio"]) for w in shown["rows"][0]["ways"]} == {("FAIL", "NaN")}
    assert "same" not in shown["courses"][0]
    assert any("alone FAIL, worst NaN (expert_out)" in line for line in in_log(made))


def test_a_release_that_passes_says_so(build: Build, entry: Build) -> None:
    made = staged_report(build, entry, {"prefix": (0.1, 0.1)}, [0.1, 0.2], verdict="PASS")
    assert only(made)["said"] == ["Each stage keeps its limits, alone and chained."]


def test_many_candidates_are_bounded_and_failures_come_first(build: Build, entry: Build) -> None:
    made = staged_report(build, entry, {"expert": (0.1, 0.1)}, [0.1, 0.2], candidate="c000", verdict="PASS")
    rows = [r for r in made["comparisons"] if r["stage"]]
    for i in range(1, 40):
        made["candidates"].append(
            {**made["candidates"][0], "name": f"c{i:03d}", "verdict": "FAIL" if i == 39 else "PASS"}
        )
        made["comparisons"] += [{**r, "candidate": f"c{i:03d}"} for r in rows]
    shown = stages_shown(made)
    assert shown is not None
    assert shown["candidates"][0]["name"] == "c039"
    assert sum(c["figure"] is not None for c in shown["candidates"]) == MAX_DRAWN
    assert shown["more"] == 16
    assert len(html(made)) < 2_000_000


def test_a_log_has_a_line_for_each_stage_and_one_for_the_loop(report: dict[str, Any]) -> None:
    lines = in_log(report)
    at = next(i for i, line in enumerate(lines) if line.startswith("candidate ort"))
    assert lines[at + 1].startswith("  output action: ")
    same = "PASS, worst 0.25 × the limit (prefix_out)"
    assert lines[at + 2] == f"  stage prefix: alone {same}; chained {same}"
    assert lines[at + 3].startswith(
        "  stage expert: alone PASS, worst 0.5 × the limit (expert_out); chained FAIL, worst 40"
    )
    assert lines[at + 4].startswith("  loop x_t: 0.5 × the limit after step 1")
    assert not any("step-0003" in line for line in lines)


@pytest.mark.parametrize("width", [40, 60, 100, 200])
def test_a_terminal_of_any_width_shows_the_stages(
    report: dict[str, Any], width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.cells import cell_len

    text = on_terminal(report, width, monkeypatch)
    assert all(cell_len(line) <= width for line in text.splitlines())
    if width >= 60:
        row = next(line for line in text.splitlines() if "expert" in line and "FAIL" in line)
        assert row.split() == ["ort", "expert", "PASS", "0.5", "FAIL", "40"]
        assert "loop: x_t" in text


def test_hostile_names_of_stages_are_harmless(
    build: Build, entry: Build, evil: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = staged_report(build, entry, {evil: (0.1, 40.0)}, GROWING, candidate=evil, state=evil)
    page = html(made)
    assert "<script>alert" not in page
    for text in (on_terminal(made, 60, monkeypatch), "\n".join(in_log(made))):
        assert "\x1b[2J" not in text
    assert not any(line.startswith("::") for line in in_log(made))
