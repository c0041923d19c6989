"""A graph with its pipeline is judged as a policy: raw observations in, physical actions out, in physical units."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from judged import verdict_of
from models import mlp
from parity.cli.judging import judge_now
from parity.errors import ArtifactError, UsageError
from parity.release.config import load_config, parse_config
from parity.release.rejudge import rejudge
from parity.report.json_file import encode
from parity.report.schema import validate
from policy_folder import KEY, policy_folder, statistics, whole_policy


def judge(root: Path, reference: dict[str, Any], *candidates: dict[str, Any], **more: Any) -> dict[str, Any]:
    tables: dict[str, Any] = {"release": {"name": "piped"}, "reference": reference, "cases": {"nominal": 4}, **more}
    tables["candidate"] = list(candidates)
    with tempfile.TemporaryDirectory(dir=root) as work:
        return judge_now(parse_config(tables, "test"), root, Path(work), strict=True).report


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A whole policy, its graph alone, and its folder."""
    whole_policy(tmp_path / "whole.onnx")
    mlp(tmp_path / "graph.onnx")
    policy_folder(tmp_path / "folder")
    return tmp_path


LEVELS = ("policy", "graph")
ORT = {"name": "ort", "path": "graph.onnx", "pipeline": "folder"}
WHOLE = {"path": "whole.onnx"}


def test_a_graph_with_its_pipeline_is_the_whole_policy(made: Path) -> None:
    report = judge(made, WHOLE, ORT)
    assert verdict_of(report, "ort") == ("PASS", [])
    rows = report["comparisons"]
    assert {r["level"] for r in rows} == {"policy"}
    assert rows[0]["id"] == "ort/policy/nominal-0000/action"
    assert max(r["floor"]["scale"][0] for r in rows) > 5  # physical: the graph's own numbers stay below 3
    assert any(a["side"] == "ort pipeline" and a["sha256"] for a in report["artifacts"])
    applied = next(f for f in report["findings"] if f["code"] == "PIPE001")
    assert [s["step"] for s in applied["evidence"]["before"]] == ["normalize"]
    assert [s["step"] for s in applied["evidence"]["after"]] == ["unnormalize"]
    assert "PIPE002" in {f["code"] for f in report["findings"]}  # the reference is a graph without one
    validate(json.loads(encode(report)))


def test_statistics_of_another_run_fail(made: Path) -> None:
    policy_folder(made / "other", statistics(seed=4))
    report = judge(made, WHOLE, {**ORT, "pipeline": "other"})
    assert verdict_of(report, "ort")[0] == "FAIL"


@pytest.mark.parametrize("legacy", [False, True])
def test_every_era_and_a_pipeline_on_both_sides(made: Path, legacy: bool) -> None:
    mlp(made / "again.onnx", doc="another export")
    policy_folder(made / "mine", legacy=legacy)
    both = judge(made, {"path": "again.onnx", "pipeline": "mine"}, ORT)
    assert verdict_of(both, "ort") == ("PASS", [])
    assert {(r["level"], r["output"]) for r in both["comparisons"]} == {("policy", "action"), ("graph", "graph:action")}
    inner = [r for r in both["comparisons"] if r["level"] == "graph"]
    assert inner[0]["id"] == "ort/graph/nominal-0000/graph:action"
    assert max(r["floor"]["scale"][0] for r in inner) < 5
    assert len(inner) == len(both["cases"])
    assert "PIPE002" not in {f["code"] for f in both["findings"]}


def off(arrays: dict[str, Any]) -> None:
    arrays["b2"][1] += 0.01


def test_budgets_are_in_physical_units(made: Path) -> None:
    mlp(made / "off.onnx", edit=off)
    gap = 0.01 * float(statistics()["action.std"][1])
    for factor, verdict in ((1.5, "PASS"), (0.5, "FAIL")):
        budget = {"max_abs": [1e-3, factor * gap, 1e-3], "units": "rad"}
        report = judge(made, WHOLE, {**ORT, "path": "off.onnx"}, budgets={"ort": {"action": budget}})
        assert report["verdict"] == verdict
        row = report["comparisons"][0]
        assert (row["units"], row["level"]) == ("rad", "policy")
        assert row["max_abs"] == pytest.approx(gap, rel=1e-3)


def test_a_saved_report_is_judged_again_at_policy_level(made: Path) -> None:
    mlp(made / "off.onnx", edit=off)
    budget, table = {"max_abs": 10, "units": "rad"}, {**ORT, "path": "off.onnx"}
    report = json.loads(encode(judge(made, WHOLE, table, budgets={"ort": {"action": budget}})))
    tables: dict[str, Any] = {"release": {"name": "piped"}, "reference": WHOLE, "candidate": [table]}
    tight = parse_config({**tables, "budgets": {"ort": {"action": {"max_abs": 1e-3, "units": "rad"}}}}, "test")
    assert report["verdict"] == "PASS"
    assert rejudge(report, tight)["verdict"] == "FAIL"
    with pytest.raises(UsageError, match="has no `units`"):
        rejudge(report, parse_config({**tables, "budgets": {"ort": {"action": {"max_abs": 1e-3}}}}, "test"))


def test_a_wrong_pipeline_does_not_hide_a_right_graph(made: Path) -> None:
    mlp(made / "again.onnx", doc="another export")
    policy_folder(made / "other", statistics(seed=4))
    report = judge(made, {"path": "again.onnx", "pipeline": "folder"}, {**ORT, "pipeline": "other"})
    verdicts = {level: {r["verdict"] for r in report["comparisons"] if r["level"] == level} for level in LEVELS}
    assert verdicts == {"policy": {"FAIL"}, "graph": {"PASS"}}
    assert report["verdict"] == "FAIL"
    assert "the pipeline around it does not" in report["cause"]
    assert [f["where"] for f in report["findings"] if f["code"] == "DIFF001"] == ["action"]


def test_a_wrong_graph_fails_at_both_levels_and_each_has_its_budget(made: Path) -> None:
    mlp(made / "off.onnx", edit=off)
    table, mine = {**ORT, "path": "off.onnx"}, {"path": "graph.onnx", "pipeline": "folder"}
    report = judge(made, mine, table)
    assert {(r["level"], r["verdict"]) for r in report["comparisons"]} == {(level, "FAIL") for level in LEVELS}
    gap = 0.01 * float(statistics()["action.std"][1])
    loose, tight = {"max_abs": 2 * gap, "units": "rad"}, {"max_abs": 0.005}
    report = judge(made, mine, table, budgets={"default": {"action": tight}, "ort": {"action": loose}})
    assert {r["level"]: r["units"] for r in report["comparisons"]} == {"policy": "rad", "graph": None}
    assert {(r["level"], r["verdict"]) for r in report["comparisons"]} == {("policy", "PASS"), ("graph", "FAIL")}
    again = parse_config(
        {
            "release": {"name": "piped"},
            "reference": mine,
            "candidate": [table],
            "budgets": {"ort": {"action": {"max_abs": 0.5 * gap, "units": "rad"}}},
        },
        "test",
    )
    judged = rejudge(json.loads(encode(report)), again)
    assert {(r["level"], r["verdict"]) for r in judged["comparisons"]} == {("policy", "FAIL"), ("graph", "FAIL")}


def test_candidates_with_and_without_a_pipeline_beside_one_another(made: Path) -> None:
    mine = {"path": "graph.onnx", "pipeline": "folder"}
    mlp(made / "again.onnx", doc="another export")
    piped, whole = {**ORT, "path": "again.onnx"}, {"name": "whole", "path": "whole.onnx"}
    report = judge(made, mine, piped, whole, cases={"nominal": 3, "edge": False, "worst": 40})
    assert report["verdict"] == "PASS"
    levels = {(r["candidate"], r["level"]) for r in report["comparisons"]}
    assert levels == {("ort", "policy"), ("ort", "graph"), ("whole", "policy")}
    rejudge(
        json.loads(encode(report)),
        parse_config({"release": {"name": "piped"}, "reference": mine, "candidate": [piped, whole]}, "test"),
    )


@pytest.mark.parametrize(
    ("budget", "message"),
    [({"max_abs": 1.0}, "has no `units`"), ({"max_abs": 1.0, "units": "rad", "scale": 2.0}, "physical already")],
)
def test_a_budget_of_the_graphs_own_numbers_is_refused(made: Path, budget: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        judge(made, WHOLE, ORT, budgets={"default": {"action": budget}})


def test_the_same_graph_and_pipeline_twice_compares_nothing(made: Path) -> None:
    same = judge(made, {"path": "graph.onnx", "pipeline": "folder"}, ORT)
    assert verdict_of(same, "ort") == ("NOT_JUDGED", ["GATE006"])
    policy_folder(made / "other", statistics(seed=4))
    other = judge(made, {"path": "graph.onnx", "pipeline": "other"}, ORT)
    assert verdict_of(other, "ort") == ("FAIL", ["DIFF001"])


def unknown(before: list[Any], after: list[Any]) -> None:
    before.insert(2, {"registry_name": "clip_observations_processor", "config": {"limit": 3}})


def renamed(before: list[Any], after: list[Any]) -> None:
    before[3]["config"]["features"]["observation.states"] = before[3]["config"]["features"].pop(KEY)


def no_action(before: list[Any], after: list[Any]) -> None:
    del after[0]["config"]["features"]["action"]


def no_file(before: list[Any], after: list[Any]) -> None:
    before[3]["state_file"] = "gone.safetensors"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (unknown, "the step 'clip_observations_processor' is not known"),
        (renamed, "no statistics for observation.states, which is declared MEAN_STD"),
        (no_action, "knows no action, so nothing is done to any"),
        (no_file, "gone.safetensors is not beside it"),
    ],
)
def test_what_would_not_be_applied_is_an_error(
    made: Path, edit: Callable[[list[Any], list[Any]], None], message: str
) -> None:
    policy_folder(made / "broken", edit=edit)
    with pytest.raises(ArtifactError, match=message):
        judge(made, WHOLE, {**ORT, "pipeline": "broken"})


def test_missing_statistics_are_an_error(made: Path) -> None:
    policy_folder(made / "broken", {k: v for k, v in statistics().items() if not k.startswith(KEY)})
    with pytest.raises(ArtifactError, match=r"no statistics for observation\.state"):
        judge(made, WHOLE, {**ORT, "pipeline": "broken"})


@pytest.mark.parametrize("broken", ["nan", "shape"])
def test_statistics_that_cannot_be_applied_are_not_judged(made: Path, broken: str) -> None:
    stats = statistics()
    if broken == "nan":
        stats[f"{KEY}.std"][2] = np.nan
    else:
        stats[f"{KEY}.mean"] = stats[f"{KEY}.mean"][:4]
    policy_folder(made / "broken", stats)
    report = judge(made, WHOLE, {**ORT, "pipeline": "broken"})
    assert verdict_of(report, "ort") == ("NOT_JUDGED", ["GATE003"])
    said = next(f for f in report["findings"] if f["code"] == "GATE003")
    assert {"nan": "not finite", "shape": "does not fit data of shape"}[broken] in said["title"] + said["detail"]


def test_a_pipeline_that_is_not_there_or_would_be_applied_twice(made: Path) -> None:
    with pytest.raises(UsageError, match=r"pipeline: .*nowhere"):
        judge(made, WHOLE, {**ORT, "pipeline": "nowhere"})
    with pytest.raises(ArtifactError, match="applied twice"):
        judge(made, WHOLE, {"name": "ort", "path": "folder", "runner": "torch", "pipeline": "folder"})


def test_an_unreadable_pipeline_of_one_candidate_leaves_the_others_judged(made: Path) -> None:
    policy_folder(made / "broken", edit=unknown)
    bad = {**ORT, "name": "bad", "pipeline": "broken"}
    tables = {"release": {"name": "piped"}, "reference": WHOLE, "candidate": [ORT, bad], "cases": {"nominal": 2}}
    with tempfile.TemporaryDirectory(dir=made) as work:
        report = judge_now(parse_config(tables, "test"), made, Path(work), strict=False).report
    assert verdict_of(report, "ort") == ("PASS", [])
    assert verdict_of(report, "bad") == ("NOT_JUDGED", ["GATE003"])


def test_the_adapter_joins_the_graph_to_its_pipeline(made: Path) -> None:
    mlp(made / "named.onnx", input_name="x", outputs=("y",))
    report = judge(
        made,
        WHOLE,
        {**ORT, "path": "named.onnx"},
        adapter={"ort": {"rename": {"x": KEY, "y": "action"}}},
    )
    assert verdict_of(report, "ort") == ("PASS", [])
    order = [2, 0, 1, 3, 4, 5]
    report = judge(
        made,
        WHOLE,
        {**ORT, "path": "named.onnx"},
        adapter={"ort": {"rename": {"x": KEY, "y": "action"}, "permute": {"x": order}}},
    )
    assert verdict_of(report, "ort")[0] == "FAIL"


def test_the_search_looks_at_the_policy(made: Path) -> None:
    report = judge(made, WHOLE, ORT, cases={"nominal": 3, "edge": False, "worst": 60})
    assert verdict_of(report, "ort") == ("PASS", [])
    assert any(r["profile"] == "worst" and r["level"] == "policy" for r in report["comparisons"])


def test_a_table_of_its_own_in_parity_toml(made: Path) -> None:
    lines = ['[release]\nname = "t"', '[reference]\npath = "whole.onnx"', '[[candidate]]\nname = "ort"']
    lines += ['path = "graph.onnx"', 'pipeline = {path = "folder", mode = "MEAN_STD"}']
    (made / "parity.toml").write_text("\n".join(lines))
    config = load_config(made / "parity.toml")
    with (
        pytest.raises(UsageError, match="says itself what is applied; mode cannot"),
        tempfile.TemporaryDirectory() as w,
    ):
        judge_now(config, made, Path(w), strict=False)
