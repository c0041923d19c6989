"""Recorded data in `report.html`: causes first, dimensions in units, pictures, in any shape a report may have."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from parity.compare.budget import Budget
from parity.report.html import html
from parity.report.json_file import encode
from parity.report.measures import MAX_MEASURES
from parity.report.replay_section import MAX_DRAWN, replay_shown
from parity.report.replay_tables import details_of, played_terms
from parity.report.replay_view import replayed_of
from parity.report.schema import validate
from replay_report import exhibits, offset, replay_report

Build = Callable[..., dict[str, Any]]
NAMES = ["hip", "knee", "wrist"]


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return replay_report({"good": None, "bad": offset(1)}, names=NAMES)


class Texts(HTMLParser):
    """The text of a page, and its elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.tags = "", []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)


def tracks(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    shown = replay_shown(report)
    assert shown is not None
    return {t["name"]: t for t in shown["tracks"]}


def test_the_report_of_a_replay_is_valid_also_with_numbers_that_are_not_finite(report: dict[str, Any]) -> None:
    document = json.loads(encode(report))
    validate(document)
    assert report["verdict"] == "FAIL"
    odd = {**report, "measures": [{**report["measures"][0], "value": float("inf"), "limit": float("nan")}]}
    odd["replay"] = {**report["replay"], "dataset": {**report["replay"]["dataset"], "fps": float("inf")}}
    document = json.loads(encode(odd))
    validate(document)
    assert (document["measures"][0]["value"], document["measures"][0]["limit"]) == ("Infinity", "NaN")
    assert document["replay"]["dataset"]["fps"] == "Infinity"
    assert "∞" in html(odd)


def test_without_a_replay_there_is_no_section(build: Build) -> None:
    assert replay_shown(build()) is None
    assert "Recorded data" not in html(build())
    assert replay_shown(build(replay={"candidates": {}})) is None


def test_what_fails_comes_first_with_its_dimension_units_and_frame(report: dict[str, Any]) -> None:
    found = tracks(report)
    assert list(found) == ["bad", "good"]
    bad = found["bad"]
    assert (bad["verdict"], found["good"]["verdict"]) == ("FAIL", "PASS")
    row = bad["rows"][0]
    assert (row["dimension"], row["units"], row["verdict"]) == ("1 (knee)", "rad", "FAIL")
    assert (row["rms"], row["max"], row["bias"]) == ("0.05", "0.05", "0.05")
    assert re.fullmatch(r"episode \d+, frame \d+(, step \d+)?", row["worst"])
    assert {r["dimension"] for r in (*bad["rows"], *bad["folded"])} == {"0 (hip)", "1 (knee)", "2 (wrist)"}
    text = Texts(html(report)).text
    assert text.index("bad") < text.index("Recorded data")
    for words in ("180 frames of 3 episodes", "data/pusht (lerobot_v2.1, 30 frames a second)", "action[1] (knee)"):
        assert words in text


def test_the_sentence_that_names_the_cause_stands_first(report: dict[str, Any]) -> None:
    said = tracks(report)["bad"]["said"]
    assert said[0]["severity"] == "error"
    cause = {**report["findings"][0], "code": "REPLAY023", "title": "it is scaled: gain 0.5 in action[1]"}
    more = {**report, "findings": [*report["findings"], {**cause, "candidate": "bad", "severity": "error"}]}
    more["findings"] = [f for f in more["findings"] if f["code"] in ("REPLAY023", "REPLAY092")]
    assert [s["code"] for s in tracks(more)["bad"]["said"]] == ["REPLAY023"]  # the general one says no more
    only = {**report, "findings": [f for f in report["findings"] if f["code"] == "REPLAY092"]}
    assert {s["code"] for s in tracks(only)["bad"]["said"]} == {"REPLAY092"}


def test_what_fails_is_drawn_and_a_pass_has_one_example(report: dict[str, Any]) -> None:
    found = tracks(report)
    titles = [f["title"] for f in found["bad"]["figures"]]
    assert titles[0].startswith("The episode that is furthest off")
    assert "Where in the chunk and in the episode" in titles
    assert [f["title"] for f in found["good"]["figures"]] == ["An example"]
    for track in found.values():
        for figure in track["figures"]:
            root = ElementTree.fromstring(str(figure["svg"]))
            assert "action[" in root.attrib["aria-label"]
    first = ElementTree.fromstring(str(found["bad"]["figures"][0]["svg"])).attrib["aria-label"]
    assert re.search(r"action\[1\] \(knee\) at frame \d+: reference \S+, candidate \S+ rad, \|Δ\| 0.05", first)


def test_a_picture_shows_the_numbers_that_it_is_made_of(report: dict[str, Any]) -> None:
    overlay = report["replay"]["candidates"]["bad"]["action"]["overlay"]["overlay"]["worst"]
    line = overlay["dimensions"][0]
    assert line["name"] == "1 (knee)"
    assert max(c - r for c, r in zip(line["candidate"], line["reference"], strict=True)) == pytest.approx(
        0.05, rel=1e-3
    )
    moved = json.loads(json.dumps(report))
    other = moved["replay"]["candidates"]["bad"]["action"]["overlay"]["overlay"]["worst"]["dimensions"][0]
    other["candidate"] = [v + 1 for v in other["candidate"]]
    before, after = (str(tracks(r)["bad"]["figures"][0]["svg"]) for r in (report, moved))
    assert before != after
    assert before == str(tracks(report)["bad"]["figures"][0]["svg"])  # the same data, the same bytes


def test_nan_in_a_candidate_is_counted_and_drawn_as_a_gap() -> None:
    def holes(chunks: Any) -> Any:
        out = chunks.copy()
        out[8:12, 0, 2] = float("nan")
        return out

    found = tracks(replay_report({"holes": holes}))["holes"]
    assert found["verdict"] == "FAIL"
    assert found["rows"][0]["dimension"] == "2"
    assert "not finite" in found["rows"][0]["holes"]
    assert found["figures"]


@pytest.mark.parametrize("width", [1, 64])
def test_one_to_sixty_four_dimensions(width: int) -> None:
    report = replay_report({"bad": offset(0), "good": None}, width=width, units=None, recorded=False)
    page = html(report)
    assert len(page) < 400_000
    bad = tracks(report)["bad"]
    assert len(bad["rows"]) + len(bad["folded"]) + bad["more"] == width
    assert not bad["united"]
    assert bad["rows"][0]["dimension"] == "0"


def test_twenty_candidates_of_sixty_four_dimensions_stay_small_and_3000_measures_readable() -> None:
    def lag(chunks: Any) -> Any:
        out = chunks.copy()
        out[:, :-1] = chunks[:, 1:]
        return out

    report = replay_report({f"candidate-{i:02d}": lag if i < 15 else None for i in range(20)}, width=64, frames=24)
    assert len(report["measures"]) > 2_500
    for output in report["replay"]["candidates"].values():
        output["action"] |= exhibits(64)
    page = html(report)
    assert len(page.encode()) < 2_000_000
    shown = replay_shown(report)
    assert shown is not None
    assert len(shown["tracks"]) == 20
    assert sum(t["verdict"] == "FAIL" and bool(t["figures"]) for t in shown["tracks"]) == MAX_DRAWN
    assert all(t["rows"] for t in shown["tracks"])
    seen = Texts(page)
    assert page.count('<td class="mono id">') <= MAX_MEASURES
    assert f"{len(report['measures']) - MAX_MEASURES:,} of them are in report.json only" in seen.text
    validate(json.loads(encode(report)))


def test_text_from_a_release_is_escaped() -> None:
    evil = '<script>alert("x")</script>'
    hostile = replay_report(
        {evil: offset(0)}, names=[evil, "b", "c"], units=evil, told={"action": evil, "noise": [evil]}
    )
    page = html(hostile)
    assert "<script>alert" not in page
    assert page.count("<script") == 1
    assert "&lt;script&gt;alert" in page


@pytest.mark.parametrize(
    "broken", [None, [], {}, "x", 3, {"overlay": None}, {"overlay": {"worst": {"dimensions": [3]}}}]
)
def test_an_exhibit_of_another_shape_is_left_out(report: dict[str, Any], broken: Any) -> None:
    odd = json.loads(json.dumps(report))
    for output in odd["replay"]["candidates"].values():
        output["action"] = {**output["action"], "overlay": broken, "open_loop": broken, "distribution": broken}
    assert "Recorded data" in html(odd)
    for output in odd["replay"]["candidates"].values():
        output["action"] = broken
    assert "Recorded data" in html(odd)


def test_a_budget_in_units_is_the_limit_that_is_shown() -> None:
    budget = Budget(max_abs=(0.2, 0.2, 0.2), units="rad")

    def near(chunks: Any) -> Any:
        out = chunks.copy()
        out[8, 0, 1] += 0.05
        return out

    report = replay_report({"near": near}, budgets={"near": {"action": budget}})
    row = tracks(report)["near"]["rows"][0]
    assert (row["dimension"], row["limit"], row["max"]) == ("1", "0.2", "0.05")
    assert row["verdict"] == "PASS"


def test_sides_that_are_driven_differently_are_told_apart(report: dict[str, Any]) -> None:
    odd = json.loads(json.dumps(report))
    odd["replay"]["timings"]["bad"] |= {"n_action_steps": 1, "first": 1, "n_obs_steps": 2}
    odd["replay"] |= {"noise": ["x"], "sampled": ["bad"], "padding": "zeros", "episodes": [0, 1, 2, 7]}
    replayed = replayed_of(odd)
    assert replayed is not None
    terms = dict(played_terms(replayed))
    assert terms["reference, good"].startswith("4 actions are executed")
    assert terms["bad"].startswith("one action is executed")
    assert terms["bad"].endswith("from step 1 of the chunk on, sees 2 observations")
    assert terms["episodes"] == "4: 0–2, 7"
    assert terms["before an episode"] == "zeros"
    assert terms["noise"].endswith("x")
    assert terms["sampled"].startswith("bad: compared by distribution")
    assert all(t.sampled is (t.candidate == "bad") for t in replayed.tracks)


def test_distributions_samples_dependence_and_coverage_are_told(report: dict[str, Any]) -> None:
    full = json.loads(json.dumps(report))
    for output in full["replay"]["candidates"].values():
        output["action"] |= exhibits()
    replayed = replayed_of(full)
    assert replayed is not None
    bad = next(t for t in replayed.tracks if t.candidate == "bad")
    tables = {t["title"]: t for t in details_of(bad, 64)}
    dependence = tables["Dependence on inputs"]
    assert dependence["rows"][1][:2] == ["obs.depth", "moves the reference only"]
    assert "Not changed: obs.image." in dependence["words"]
    distribution = tables["Distributions"]
    assert distribution["rows"][0] == ["1 (knee)", "0.2", "0.001"]  # the worst dimension first
    assert tables["Samples of the same observation"]["rows"][0][1] == "1"
    assert "explains" in tables["Against the recorded actions"]["words"]
    page = Texts(html(full)).text
    assert (
        "obs.state: 2 elements; least of all obs.state[0]: 12 % of the range that the dataset visits, 0 to 10." in page
    )
    assert "How actions are distributed" in page


def test_candidates_that_could_not_be_replayed_are_no_tracks(report: dict[str, Any]) -> None:
    partly = json.loads(json.dumps(report))
    del partly["replay"]["candidates"]["bad"]
    assert list(tracks(partly)) == ["good"]
    partly["replay"]["candidates"] = {}
    for key in ("frames", "planned"):
        del partly["replay"][key]
    shown = replay_shown(partly)
    assert shown is not None
    assert shown["tracks"] == []
    assert "nothing was replayed" in shown["words"]
