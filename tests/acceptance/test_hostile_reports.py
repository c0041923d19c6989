"""A report that was edited does not become a PASS by being judged again."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from hostile import judged
from models import mlp
from parity.errors import ParityError
from parity.release.config import parse_config
from parity.release.rejudge import rejudge
from parity.report.json_file import encode

Report = dict[str, Any]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    """A report that passed and one that failed, as they are read back."""
    folder = tmp_path_factory.mktemp("reports")
    mlp(folder / "r.onnx")
    mlp(folder / "right.onnx", doc="again")
    mlp(folder / "wrong.onnx", seed=1)
    made = {n: judged(folder, {"path": "r.onnx"}, [{"name": "ort", "path": f"{n}.onnx"}]) for n in ("right", "wrong")}
    return {name: json.loads(encode(report)) for name, report in made.items()}


def again(report: Report, **more: Any) -> str:
    """Return the verdict of judging again, or that it was refused."""
    tables = {"reference": {"path": "r.onnx"}, "candidate": [{"name": "ort", "path": "c.onnx"}]}
    try:
        return str(rejudge(report, parse_config({"release": {"name": "r"}, **tables, **more}, "test"))["verdict"])
    except ParityError:
        return "REFUSED"


def whitewash(report: Report) -> None:
    report |= {"verdict": "PASS", "findings": [], "reasons": []}
    for entry in (*report["candidates"], *report["comparisons"]):
        entry["verdict"] = "PASS"


def test_an_untouched_report_is_judged_as_it_was(reports: dict[str, Report]) -> None:
    assert again(reports["right"]) == "PASS"
    assert again(reports["wrong"]) == "FAIL"


def test_flipped_verdicts_change_nothing(reports: dict[str, Report]) -> None:
    report = copy.deepcopy(reports["wrong"])
    whitewash(report)
    assert again(report) == "FAIL"


@pytest.mark.parametrize("kept", [0, 2])
@pytest.mark.parametrize("consistent", [True, False])
def test_dropped_comparisons_are_missed(reports: dict[str, Report], kept: int, consistent: bool) -> None:
    report = copy.deepcopy(reports["right"])
    report["comparisons"] = report["comparisons"][:kept]
    if consistent:
        report["release"]["scope"] = {"planned": kept, "selected": kept}
    assert again(report) != "PASS"


def test_comparisons_do_not_hide_behind_one_id(reports: dict[str, Report]) -> None:
    report = copy.deepcopy(reports["wrong"])
    report["comparisons"][-1] = copy.deepcopy(reports["right"]["comparisons"][-1])
    for row in report["comparisons"]:
        row["id"] = "same"
    assert again(report) == "REFUSED"


def figures(row: dict[str, Any], part: str, key: str, value: Any) -> None:
    row[part][key] = value


EDITS: list[Callable[[dict[str, Any]], None]] = [
    lambda row: figures(row, "dims", "max_abs", [0]),
    lambda row: figures(row, "dims", "max_abs", 0),
    lambda row: figures(row, "dims", "max_abs", [0.0, 0.0, 0.0]),
    lambda row: (figures(row, "dims", "max_abs", [0.0] * 3), figures(row, "dims", "max_abs_all", [0.0] * 3))[0],
    lambda row: figures(row, "dims", "max_abs_all", []),
    lambda row: figures(row, "floor", "total", ["NaN"] * 3),
    lambda row: figures(row, "floor", "total", [1e300]),
    lambda row: figures(row, "floor", "unstable", "x"),
    lambda row: row.update(floor={}),
    lambda row: row.update(dims=None),
    lambda row: row.update(problem="x"),
    lambda row: row.update(candidate="other"),
    lambda row: row.pop("nan_mismatches"),
    lambda row: row.pop("dims"),
]


@pytest.mark.parametrize("edit", EDITS)
def test_edited_figures_do_not_pass(reports: dict[str, Report], edit: Callable[[dict[str, Any]], None]) -> None:
    report = copy.deepcopy(reports["wrong"])
    whitewash(report)
    for row in report["comparisons"]:
        edit(row)
    assert again(report) != "PASS"


@pytest.mark.parametrize("key", ["release", "candidates", "cases", "outputs", "comparisons", "findings"])
@pytest.mark.parametrize("value", [None, "x", 3, [3], {"a": 1}])
def test_a_report_of_another_form_is_refused(reports: dict[str, Report], key: str, value: Any) -> None:
    report = {**copy.deepcopy(reports["right"]), key: value}
    assert again(report) == "REFUSED"
    del report[key]
    assert again(report) == "REFUSED"


def test_budgets_are_checked_as_in_a_run(reports: dict[str, Report]) -> None:
    assert again(reports["right"], budgets={"default": {"acton": {"max_abs": 1.0}}}) == "REFUSED"
    assert again(reports["right"], budgets={"default": {"action": {"max_abs": 1.0, "units": "px"}}}) == "NOT_JUDGED"
