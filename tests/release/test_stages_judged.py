"""A policy in two stages with a loop: right conversions pass, each planted fault fails with the right stage named."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from judged import with_code
from parity.cli.judging import judge_now
from parity.release.config import parse_config
from parity.report.schema import validate
from staged_policy import EXPERT_INPUTS, LOOP, STEPS, export_expert, export_prefix, export_whole, made_in, stages

CASES = {"nominal": 5, "edge": False}
NAMED_IN, NAMED_OUT = (["patches"], EXPERT_INPUTS), (["k", "v", "pad_mask"], ["v_t"])
TIMES = [1.0 - i / STEPS for i in range(STEPS)]
CANDIDATES: dict[str, dict[str, Any]] = {
    "good": {"stages": stages("prefix32.onnx", "expert32.onnx")},
    "half": {"stages": stages("prefix16.onnx", "expert16.onnx"), "precision": "float16"},
    "mixed": {"stages": stages("prefix16.onnx", "expert32.onnx"), "precision": "float16"},
    "renamed": {
        "stages": [
            {"name": "prefix", "path": "called.onnx", "rename": {"keys": "k", "values": "v", "valid": "pad_mask"}},
            {"name": "expert", "path": "expert32.onnx"},
        ]
    },
    "float_mask": {"stages": stages("prefix32.onnx", "float_mask.onnx")},
    "whole": {"path": "whole.onnx"},
    "inverted": {"stages": stages("prefix32.onnx", "inverted.onnx")},
    "inverted_float": {"stages": stages("prefix32.onnx", "inverted_float.onnx")},
    "other_expert": {"stages": stages("prefix32.onnx", "other_expert.onnx")},
    "other_prefix": {"stages": stages("other_prefix.onnx", "expert32.onnx")},
    "swapped": {"stages": stages("swapped.onnx", "expert32.onnx")},
    "nan": {"stages": stages("prefix32.onnx", "nan.onnx")},
    "in_float64": {"stages": stages("prefix32.onnx", "in_float64.onnx")},
    "unearned": {"stages": stages("prefix16.onnx", "slope.onnx"), "precision": "float16"},
    "undeclared": {"stages": stages("prefix16.onnx", "expert32.onnx")},
    "declared": {"stages": stages("prefix32.onnx", "expert32.onnx"), "precision": "float16"},
    "dt_sign": {
        "stages": stages("prefix32.onnx", "expert32.onnx"),
        "loop": {**LOOP, "between": [0.0, 1.0], "times": TIMES},
    },
    "fewer": {"stages": stages("prefix32.onnx", "expert32.onnx"), "loop": {**LOOP, "steps": STEPS - 1}},
    "late": {"stages": stages("prefix32.onnx", "expert32.onnx"), "loop": {**LOOP, "times": [1.0, *TIMES[:-1]]}},
    "backwards": {"stages": stages("prefix32.onnx", "expert32.onnx"), "loop": {**LOOP, "between": [0.0, 1.0]}},
    "absent": {"stages": stages("prefix32.onnx", "gone.onnx")},
    "broken": {"stages": stages("prefix32.onnx", "broken.onnx")},
    "short": {"stages": stages("prefix32.onnx", "expert32.onnx")[:1], "loop": None},
}


def judged(folder: Path, candidates: Mapping[str, Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """Return the report on candidates in stages, beside the reference's."""
    reference = more.pop("reference", {"stages": stages(), "loop": LOOP})
    tables = [{"name": n, **c} for n, c in candidates.items()]
    data = {"release": {"name": "staged"}, "reference": reference, "candidate": tables, "cases": CASES, **more}
    with tempfile.TemporaryDirectory(dir=folder) as work:
        return judge_now(parse_config(data, "test"), folder, Path(work), strict=False).report


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = made_in(tmp_path_factory.mktemp("staged"))
    export_whole(made / "whole.onnx")
    export_prefix(made / "called.onnx", outputs=("keys", "values", "valid"))
    export_prefix(made / "swapped.onnx", outputs=("v", "k", "pad_mask"))
    export_prefix(made / "other_prefix.onnx", seed=5)
    export_expert(made / "other_expert.onnx", seed=5)
    for fault in ("float_mask", "inverted", "inverted_float", "nan", "in_float64", "slope"):
        export_expert(made / f"{fault}.onnx", fault=fault)
    (made / "broken.onnx").write_bytes((made / "expert.onnx").read_bytes()[:700])
    return made


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    found = judged(folder, CANDIDATES)
    validate(found)
    return found


def of(report: Mapping[str, Any], name: str) -> tuple[str, list[str]]:
    found = next(c for c in report["candidates"] if c["name"] == name)
    return found["verdict"], found["reasons"]


def rows(report: Mapping[str, Any], name: str, **wanted: Any) -> list[dict[str, Any]]:
    return [r for r in report["comparisons"] if r["candidate"] == name and all(r[k] == v for k, v in wanted.items())]


def cause(report: Mapping[str, Any], name: str) -> str:
    """Return what the report's first line says of one candidate."""
    parts = re.split(rf"(?:^|; )({'|'.join(CANDIDATES)}): ", report["cause"])
    return dict(zip(parts[1::2], parts[2::2], strict=True))[name]


@pytest.mark.parametrize("name", ["good", "half", "mixed", "renamed", "float_mask", "whole"])
def test_what_is_right_passes(report: dict[str, Any], name: str) -> None:
    assert of(report, name) == ("PASS", [])
    assert rows(report, name)


def test_every_stage_is_planned_alone_and_chained_and_every_step_of_the_loop(report: dict[str, Any]) -> None:
    found = {(r["stage"], r["output"]) for r in rows(report, "good")}
    steps = {("expert", f"step-{k:04d}:x_t") for k in range(1, STEPS + 1)}
    values = [("prefix", "k"), ("prefix", "v"), ("prefix", "pad_mask"), ("expert", "v_t")]
    ways = {(s, f"{way}:{v}") for s, v in values for way in ("alone", "chained")}
    assert found == {(None, "action")} | steps | ways
    row = rows(report, "good", stage="expert", output="alone:v_t", case="nominal-0000")[0]
    assert row["id"] == "good/graph/expert/nominal-0000/alone:v_t"
    assert row["shape"] == [STEPS, 1, 5, 3]
    assert "float64" in row["floor"]["terms"]


def test_the_floor_of_a_stage_alone_is_its_own(report: dict[str, Any]) -> None:
    """What rounding does to the prefix is no part of what the expert may be off by on given inputs."""
    alone = rows(report, "good", output="alone:v_t", profile="nominal")
    chained = rows(report, "good", output="chained:v_t", profile="nominal")
    assert sum(sum(r["limit"]) for r in alone) < sum(sum(r["limit"]) for r in chained)


def test_the_last_state_is_what_the_policy_gives(report: dict[str, Any]) -> None:
    for name in ("half", "inverted"):
        last = rows(report, name, output=f"step-{STEPS:04d}:x_t", case="nominal-0003")[0]
        action = rows(report, name, output="action", case="nominal-0003")[0]
        assert last["max_abs"] == action["max_abs"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("inverted", "The error enters at stage 'expert': on the reference's own inputs it is off by"),
        ("inverted_float", "Stage 'expert' takes pad_mask as float32, the reference's as bool"),
        ("other_expert", "The error enters at stage 'expert'"),
        ("other_prefix", "The error enters at stage 'prefix'"),
        ("swapped", "Stage 'prefix' gives its outputs in another order: its k is the reference's v, its v is"),
        ("nan", "The error enters at stage 'expert': on the reference's own inputs it gives NaN in 'v_t'"),
        ("in_float64", "The error enters at stage 'expert'"),
        ("unearned", "The error enters at stage 'expert'"),
        (
            "dt_sign",
            "Each stage is within its budget alone. The loop is not the reference's: dt 0.1 (reference -0.1)",
        ),
        (
            "fewer",
            "Each stage is within its budget alone. The loop is not the reference's: steps 9 (reference 10)",
        ),
        ("late", "the reference's: the time of step 2 is 1 (reference 0.9)"),
        ("backwards", "dt 0.1 (reference -0.1); the time of step 1 is 0 (reference 1)"),
    ],
)
def test_a_fault_fails_and_the_stage_is_named(report: dict[str, Any], name: str, words: str) -> None:
    verdict, reasons = of(report, name)
    assert verdict == "FAIL"
    assert reasons
    assert words in cause(report, name)
    assert cause(report, name) in [
        f["title"].rstrip(".") for f in report["findings"] if f["candidate"] == name and f["severity"] == "warning"
    ]


@pytest.mark.parametrize("name", ["dt_sign", "fewer", "late", "backwards"])
def test_a_wrong_loop_leaves_every_stage_right_alone(report: dict[str, Any], name: str) -> None:
    alone = [r for r in rows(report, name) if r["output"].startswith("alone:")]
    assert {r["verdict"] for r in alone} == {"PASS"}
    first = rows(report, name, output="step-0001:x_t", profile="nominal")
    assert {r["verdict"] for r in first} == ({"PASS"} if name == "late" else {"FAIL"})
    assert "FAIL" in {r["verdict"] for r in rows(report, name, output="step-0003:x_t")}


def test_a_state_of_a_step_that_never_came_is_missing(report: dict[str, Any]) -> None:
    last = rows(report, "fewer", output=f"step-{STEPS:04d}:x_t")
    assert {(r["verdict"], r["fault"]) for r in last} == {("FAIL", "missing_output")}


def test_stages_before_the_wrong_one_are_right(report: dict[str, Any]) -> None:
    for name in ("inverted", "other_expert", "nan"):
        assert {r["verdict"] for r in rows(report, name, stage="prefix")} == {"PASS"}


def test_a_wrong_prefix_does_not_make_the_expert_wrong_alone(report: dict[str, Any]) -> None:
    assert {r["verdict"] for r in rows(report, "other_prefix", output="alone:v_t")} == {"PASS"}
    assert "FAIL" in {r["verdict"] for r in rows(report, "other_prefix", output="chained:v_t")}


@pytest.mark.parametrize(
    ("name", "words"), [("absent", "stage 'expert': "), ("broken", "stage 'expert': "), ("short", "stage 'expert' of")]
)
def test_a_stage_that_is_not_there_is_not_judged(report: dict[str, Any], name: str, words: str) -> None:
    verdict, reasons = of(report, name)
    assert verdict == "NOT_JUDGED"
    assert words in reasons[0]
    assert {r["verdict"] for r in rows(report, name)} == {"NOT_JUDGED"}
    assert {r["stage"] for r in rows(report, name)} == {None, "prefix", "expert"}


def test_a_class_must_be_declared_and_earned_by_each_stage(report: dict[str, Any]) -> None:
    assert [f["candidate"] for f in with_code(report, "PREC001")] == ["undeclared"]
    assert [f["candidate"] for f in with_code(report, "PREC002")] == ["declared"]
    assert of(report, "undeclared")[0] == of(report, "declared")[0] == "FAIL"
    found = next(c for c in report["candidates"] if c["name"] == "mixed")
    assert found["stage_precision"] == {"alone:v_t": "float32"}
    limits = {n: rows(report, n, output="alone:v_t", case="nominal-0000")[0]["budget"] for n in ("mixed", "half")}
    assert limits["mixed"]["precision"] == "float32"
    assert limits["half"]["precision"] == "float16"


def test_what_is_said_of_stages(report: dict[str, Any]) -> None:
    assert {f["candidate"] for f in with_code(report, "STAGE008")} == {"whole"}
    assert {f["candidate"] for f in with_code(report, "STAGE005")} == {"float_mask", "inverted_float"}
    assert {f["candidate"] for f in with_code(report, "STAGE004")} == {"float_mask", "inverted_float"}
    assert {f["candidate"] for f in with_code(report, "STAGE006")} == {"swapped"}
    first = with_code(report, "STAGE001")[0]
    assert first["title"] == "Judged in stages: prefix → expert × 10 (Euler, t from 1 to 0)."
    assert first["candidate"] is None


def test_files_of_all_stages_are_told_with_their_hashes(report: dict[str, Any]) -> None:
    mine = [a for a in report["artifacts"] if a["side"].split()[0] == "half"]
    assert [a["side"] for a in mine] == ["half", "half stage prefix", "half stage expert"]
    assert [a["path"] for a in mine] == ["prefix16.onnx, expert16.onnx", "prefix16.onnx", "expert16.onnx"]
    assert len({a["sha256"] for a in mine}) == 3


def test_the_same_files_compare_nothing(folder: Path) -> None:
    found = judged(folder, {"same": {"stages": stages()}, "one": {"stages": stages("prefix.onnx", "expert32.onnx")}})
    assert of(found, "same")[0] == "NOT_JUDGED"
    assert "GATE006" in {f["code"] for f in found["findings"] if f["candidate"] == "same"}
    assert of(found, "one")[0] == "PASS"


def test_a_reference_of_one_graph_compares_the_whole_alone(folder: Path) -> None:
    right, wrong = CANDIDATES["good"]["stages"], CANDIDATES["inverted"]["stages"]
    candidates = {n: {"stages": s, "loop": LOOP} for n, s in (("right", right), ("wrong", wrong))}
    found = judged(folder, candidates, reference={"path": "whole.onnx"})
    assert of(found, "right") == ("PASS", [])
    assert of(found, "wrong")[0] == "FAIL"
    assert {r["output"] for r in found["comparisons"]} == {"action"}
    assert {f["candidate"] for f in with_code(found, "STAGE008")} == {"right", "wrong"}


TORCH = """
from staged_policy import _modules

def prefix():
    return _modules(0)[0]

def expert():
    return _modules(0)[1]
"""


def test_a_reference_of_torch_modules_is_told_by_the_candidates_what_it_takes(folder: Path) -> None:
    (folder / "trained.py").write_text(TORCH, encoding="utf-8")
    support = str(Path(__file__).resolve().parents[1] / "support")
    own = [{"name": n, "path": f"trained:{n}"} for n in ("prefix", "expert")]
    (folder / "staged_policy.py").write_text((Path(support) / "staged_policy.py").read_text(encoding="utf-8"))
    reference = {"stages": own, "loop": LOOP}
    found = judged(folder, {n: CANDIDATES[n] for n in ("good", "half", "inverted")}, reference=reference)
    assert [of(found, n)[0] for n in ("good", "half", "inverted")] == ["PASS", "PASS", "FAIL"]
    assert "The error enters at stage 'expert'" in found["cause"]
    row = rows(found, "good", output="alone:v_t", case="nominal-0000")[0]
    assert 0 < row["max_abs"] < 1e-5
    named = [{**s, "inputs": i, "outputs": o} for s, i, o in zip(own, NAMED_IN, NAMED_OUT, strict=True)]
    again = judged(folder, {"good": CANDIDATES["good"]}, reference={"stages": named, "loop": LOOP})
    assert of(again, "good") == ("PASS", [])


def test_the_worst_cases_are_looked_at_in_stages_too(folder: Path) -> None:
    found = judged(folder, {"good": CANDIDATES["good"]}, cases={"nominal": 3, "edge": False, "worst": 20})
    worst = [r for r in found["comparisons"] if r["profile"] == "worst"]
    assert {r["stage"] for r in worst} == {None, "prefix", "expert"}
    assert {r["verdict"] for r in worst} == {"PASS"}


def test_large_values_are_looked_at_in_some_cases_and_that_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parity.release.stages_plan.KEPT", 1)
    monkeypatch.setattr("parity.release.stages_plan.IN_BLOCK", 1)
    found = judged(folder, {n: CANDIDATES[n] for n in ("good", "inverted")}, cases={"nominal": 6, "edge": True})
    said = with_code(found, "STAGE014")[0]
    looked = {r["case"] for r in found["comparisons"] if r["stage"]}
    assert looked == set(said["evidence"]["cases"])
    assert len(looked) == 4
    assert {c.split("-")[0] for c in looked} == {"nominal", "edge"}
    whole = {r["case"] for r in rows(found, "good", output="action")}
    assert len(whole) > 40
    assert said["title"].startswith(f"Stages are looked at in 4 of {len(whole)} cases")
    assert of(found, "good") == ("PASS", [])
    assert "The error enters at stage 'expert'" in found["cause"]


def test_a_candidates_own_loop_may_use_its_own_names(folder: Path) -> None:
    import onnx

    model = onnx.load(str(folder / "expert32.onnx"))
    for node in model.graph.node:
        node.output[:] = ["velocity" if n == "v_t" else n for n in node.output]
    model.graph.output[0].name = "velocity"
    onnx.save(model, str(folder / "velocity.onnx"))
    own = {**LOOP, "state": {"x_t": "velocity"}}
    found = judged(folder, {"own": {"stages": stages("prefix32.onnx", "velocity.onnx"), "loop": own}})
    assert of(found, "own") == ("PASS", [])
    assert "'velocity' is taken to be the reference's 'v_t', by" in with_code(found, "STAGE002")[0]["title"]


def test_a_recording_of_a_reference_in_stages_is_a_recording_of_the_policy(folder: Path, tmp_path: Path) -> None:
    from parity.cli import main
    from staged_policy import toml

    path = toml(folder, "", name="record.toml")
    assert main(["run", str(path), "--out", str(tmp_path / "out"), "--record", str(folder / "golden.h5")]) == 0
    candidates = {"whole": {"path": "whole.onnx"}, "good": {**CANDIDATES["good"], "loop": LOOP}}
    found = judged(folder, candidates, reference={"path": "golden.h5"}, cases=None)
    assert {r["output"] for r in found["comparisons"]} == {"action"}
    assert [of(found, n)[0] for n in ("whole", "good")] == ["PASS", "PASS"]


def test_a_graph_with_noise_of_its_own_in_a_stage_is_not_judged(folder: Path) -> None:
    import onnx
    from onnx import helper

    model = onnx.load(str(folder / "expert32.onnx"))
    for node in model.graph.node:
        node.input[:] = ["drawn" if n == "x_t" else n for n in node.input]
    model.graph.node.insert(0, helper.make_node("RandomNormalLike", ["x_t"], ["drawn"]))
    onnx.save(model, str(folder / "drawing.onnx"))
    found = judged(folder, {"drawing": {"stages": stages("prefix32.onnx", "drawing.onnx")}})
    assert of(found, "drawing")[0] in ("NOT_JUDGED", "FAIL")
    assert "GATE005" in {f["code"] for f in found["findings"]}


def test_batches_go_through_stages_whose_batch_is_free(folder: Path) -> None:
    import onnx

    def freed(name: str) -> str:
        model = onnx.load(str(folder / f"{name}32.onnx"))
        for tensor in (*model.graph.input, *model.graph.output):
            tensor.type.tensor_type.shape.dim[0].dim_param = "batch"
        onnx.save(model, str(folder / f"{name}_free.onnx"))
        return f"{name}_free.onnx"

    free = stages(freed("prefix"), freed("expert"))
    found = judged(folder, {"free": {"stages": free}, "half": {"stages": stages("prefix_free.onnx", "expert32.onnx")}})
    assert [of(found, n)[0] for n in ("free", "half")] == ["PASS", "PASS"]
    batched = [r for r in found["comparisons"] if "-b" in r["case"]]
    assert {(r["candidate"], r["output"], r["stage"]) for r in batched} == {("free", "action", None)}
    assert batched[0]["shape"] == [4, 5, 3]
