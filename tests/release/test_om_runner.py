"""An OM in the gate, on a double of pyACL that is not hardware: what passes, what fails, what cannot be judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from acl_runs import DOUBLE, compiled, logged
from judged import agrees_on_a_stand_in, run_release, with_code
from models import mlp
from parity.cli import main
from parity.release.config import CandidateTable
from parity.release.sides import resolve
from replay_release import replay, write_release

GEARED = [{"name": "obs", "shape": [-1, 6], "dtype": "float32"}]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(DOUBLE))
    monkeypatch.setenv("ACL_DOUBLE_LOG", str(tmp_path / "acl.log"))
    return tmp_path / "acl.log"


def compare(folder: Path, *more: str) -> tuple[int, dict[str, Any]]:
    """Compare reference.onnx with policy.om; return the exit code and the report."""
    code = main(
        ["compare", str(folder / "reference.onnx"), str(folder / "policy.om"), "--out", str(folder / "out"), *more]
    )
    return code, json.loads((folder / "out" / "report.json").read_text(encoding="utf-8"))


def pair(folder: Path, dtype: str = "float16", wrong: bool = False, **told: Any) -> None:
    reference = mlp(folder / "reference.onnx", batch="batch" if "gears" in told else 1)
    source = mlp(folder / "other.onnx", seed=1, batch="batch") if wrong else reference
    compiled(source, folder / "policy.om", dtype, **told)


def test_an_om_that_is_the_policy_agrees_in_its_class_and_does_not_pass_as_no_device_computed(
    log: Path, tmp_path: Path
) -> None:
    pair(tmp_path)
    code, report = compare(tmp_path, "--precision", "float16")
    assert code == 3
    assert agrees_on_a_stand_in(report), report["reasons"]
    (candidate,) = report["candidates"]
    assert candidate["runner"] == "om"
    environment = json.dumps(report["release"]["environment"])
    assert "acl double, no hardware" in environment
    assert '"device": "Ascend310P3"' not in environment
    (told,) = with_code(report, "GATE020")
    assert "not by a device" in told["title"]
    for name in ("report.html", "summary.md"):
        assert "acl double, no hardware" in (tmp_path / "out" / name).read_text(encoding="utf-8")
    assert logged(log, "violation") == []
    assert logged(log, "call")[-1] == "finalize"


def test_the_compilers_float16_is_not_taken_in_silence(log: Path, tmp_path: Path) -> None:
    pair(tmp_path)
    code, report = compare(tmp_path)
    assert code == 1
    assert with_code(report, "PREC001")


def test_another_policy_fails(log: Path, tmp_path: Path) -> None:
    pair(tmp_path, wrong=True)
    code, report = compare(tmp_path, "--precision", "float16")
    assert (code, report["verdict"]) == (1, "FAIL")


def test_values_that_are_not_finite_fail(log: Path, tmp_path: Path) -> None:
    pair(tmp_path)
    (tmp_path / "policy.om.py").write_text(
        "import numpy as np\ndef compute(i): return {'action': np.full((1, 3), np.nan, np.float32)}"
    )
    code, report = compare(tmp_path, "--precision", "float16")
    assert (code, report["verdict"]) == (1, "FAIL")


@pytest.mark.parametrize(
    ("environment", "told", "said"),
    [
        ({"PYTHONPATH": ""}, {}, "pyACL cannot be imported"),
        ({"ACL_DOUBLE_SOC": "Ascend310B4"}, {}, "compiled for Ascend310P3, but the device is Ascend310B4"),
        ({"ACL_DOUBLE_FAIL": "mdl.load_from_file:1:145000"}, {}, "error 145000"),
        ({"ACL_DOUBLE_FAIL": "mdl.execute:7:507011"}, {}, "error 507011: the model failed while it ran"),
        ({}, {"unwritten": "Gemm_1:0:action/1"}, "1 of 3 values of output 'Gemm_1:0:action' were not written"),
    ],
)
def test_what_did_not_run_is_not_judged_and_says_why(
    log: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, str], told: Any, said: str
) -> None:
    pair(tmp_path, **told)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    code, report = compare(tmp_path, "--precision", "float16")
    assert (code, report["verdict"]) == (3, "NOT_JUDGED")
    (finding,) = with_code(report, "GATE003")
    assert said in f"{finding['title']} {finding['detail']}"
    if not environment.get("PYTHONPATH", "x"):
        assert "parity bundle" in f"{finding['title']} {finding['detail']} {finding['remedy']}"
    assert logged(log, "violation") == []


def test_batches_are_judged_in_the_sizes_that_were_compiled(log: Path, tmp_path: Path) -> None:
    gears = {"kind": "batch", "values": [[1], [2], [8]]}
    out = [{"name": "Gemm_1:0:action", "shape": [8, 3], "dtype": "float32"}]
    pair(tmp_path, inputs=GEARED, outputs=out, gears=gears, output_shapes=["0,0,1,3", "1,0,2,3", "2,0,8,3"])
    code, report = compare(tmp_path, "--precision", "float16")
    assert code == 3
    assert agrees_on_a_stand_in(report), report["reasons"]
    shapes = {tuple(row["shape"]) for row in report["comparisons"]}
    assert shapes == {(1, 3), (2, 3)}


def test_without_a_compiled_batch_no_batch_is_planned(log: Path, tmp_path: Path) -> None:
    out = [{"name": "Gemm_1:0:action", "shape": [8, 3], "dtype": "float32"}]
    gears = {"kind": "batch", "values": [[1], [8]]}
    pair(tmp_path, inputs=GEARED, outputs=out, gears=gears, output_shapes=["0,0,1,3", "1,0,8,3"])
    code, report = compare(tmp_path, "--precision", "float16")
    assert code == 3
    assert agrees_on_a_stand_in(report), report["reasons"]
    assert {tuple(row["shape"]) for row in report["comparisons"]} == {(1, 3)}


def test_a_chosen_gear_is_the_batch_of_all_cases(log: Path, tmp_path: Path) -> None:
    out = [{"name": "Gemm_1:0:action", "shape": [8, 3], "dtype": "float32"}]
    gears = {"kind": "batch", "values": [[2], [8]]}
    pair(tmp_path, inputs=GEARED, outputs=out, gears=gears, output_shapes=["0,0,2,3", "1,0,8,3"])
    (tmp_path / "parity.toml").write_text(
        '[release]\nname = "r"\n[reference]\npath = "reference.onnx"\n[[candidate]]\nname = "npu"\npath = "policy.om"\n'
        'precision = "float16"\noptions = {gear = 8}\n[cases]\nnominal = 4\nworst = 0\n'
    )
    code, report = run_release(tmp_path)
    assert code == 3
    assert agrees_on_a_stand_in(report), report["reasons"]
    assert {tuple(row["shape"]) for row in report["comparisons"]} == {(8, 3)}


def test_an_om_against_itself_says_nothing(log: Path, tmp_path: Path) -> None:
    pair(tmp_path)
    path = str(tmp_path / "policy.om")
    assert main(["compare", path, path, "--out", str(tmp_path / "out")]) == 3


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({}, {"device": "npu:0"}, True),
        ({}, {"options": {"device_id": 0, "soc": "Ascend310P3"}}, True),
        ({"device": "npu:1"}, {"options": {"device_id": 1}}, True),
        ({}, {"device": "npu:1"}, False),
        ({}, {"options": {"runtime": "ais_bench"}}, False),
    ],
)
def test_what_differs_on_paper_only_is_the_same(tmp_path: Path, one: Any, other: Any, same: bool) -> None:
    pair(tmp_path)
    tables = [{"name": "npu", "path": "policy.om", **told} for told in (one, other)]
    sides = [resolve(CandidateTable.model_validate(t), "npu", tmp_path, {}, strict=True) for t in tables]
    assert (sides[0].identity == sides[1].identity) is same


def test_init_writes_a_release_with_an_om(log: Path, tmp_path: Path) -> None:
    pair(tmp_path)
    target = tmp_path / "parity.toml"
    assert main(["init", str(tmp_path / "reference.onnx"), str(tmp_path / "policy.om"), "-o", str(target)]) == 0
    text = target.read_text(encoding="utf-8")
    assert 'runner = "om"' in text
    assert 'precision = "float16"' in text
    code, report = run_release(tmp_path)
    assert (code, report["candidates"][0]["name"]) == (3, "om"), report["reasons"]
    assert agrees_on_a_stand_in(report), report["reasons"]


def test_an_om_that_changes_while_it_is_tested_is_not_judged(
    log: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from parity.release import execute

    pair(tmp_path)
    opened = execute.runner_for

    def late(spec: Any) -> Any:
        if spec.runner == "om":
            path = Path(spec.path)
            path.write_bytes(path.read_bytes()[:-1] + b"\x01")
        return opened(spec)

    monkeypatch.setattr(execute, "runner_for", late)
    code, report = compare(tmp_path, "--precision", "float16")
    assert (code, report["verdict"]) == (3, "NOT_JUDGED")
    (finding,) = with_code(report, "GATE003")
    assert "changed while it was being tested" in f"{finding['title']} {finding['detail']}"


@pytest.mark.parametrize("gears", [[[1], [8]], [[1]]])
def test_recorded_data_go_through_an_om_in_its_largest_gear(log: Path, tmp_path: Path, gears: list[list[int]]) -> None:
    toml = write_release(tmp_path, {"npu": None})
    largest = gears[-1][0]
    compiled(
        tmp_path / "npu.onnx",
        tmp_path / "npu.om",
        inputs=[{"name": "obs", "shape": [-1, 6], "dtype": "float32"}],
        outputs=[{"name": "Reshape_3:0:action", "shape": [largest, 4, 3], "dtype": "float32"}],
        gears={"kind": "batch", "values": gears},
        output_shapes=[f"{i},0,{values[0]},4,3" for i, values in enumerate(gears)],
    )
    text = toml.read_text(encoding="utf-8").replace('path = "npu.onnx"', 'path = "npu.om"\nprecision = "float16"')
    toml.write_text(text, encoding="utf-8")
    _, report = replay(toml)
    verdicts = {m["verdict"] for m in report["measures"] if m["id"].startswith("npu/")}
    assert "PASS" in verdicts
    assert verdicts <= {"PASS"}, report["measures"]
    assert logged(log, "violation") == []
    frames = 40 + 25 + 33
    assert logged(log, "call").count("mdl.execute") >= frames / largest
    assert (logged(log, "call").count("mdl.execute") < frames) == (largest > 1)


def test_a_replay_alone_does_not_pass_on_a_stand_in(log: Path, tmp_path: Path) -> None:
    toml = write_release(tmp_path, {"npu": None})
    shape = {"shape": [1, 6], "dtype": "float32"}
    out = {"name": "Reshape_3:0:action", "shape": [1, 4, 3], "dtype": "float32"}
    compiled(tmp_path / "npu.onnx", tmp_path / "npu.om", inputs=[{"name": "obs", **shape}], outputs=[out])
    text = toml.read_text(encoding="utf-8").replace('path = "npu.onnx"', 'path = "npu.om"\nprecision = "float16"')
    toml.write_text(text, encoding="utf-8")
    _, report = replay(toml)
    assert report["verdict"] == "NOT_JUDGED"
    assert [f["candidate"] for f in with_code(report, "GATE020")] == ["npu"]


def test_a_report_judged_again_still_says_that_no_device_computed(log: Path, tmp_path: Path) -> None:
    pair(tmp_path)
    text = '[release]\nname = "r"\n[reference]\npath = "reference.onnx"\n[cases]\nnominal = 4\nworst = 0\n'
    toml = tmp_path / "parity.toml"
    toml.write_text(text + '[[candidate]]\nname = "npu"\npath = "policy.om"\nprecision = "float16"\n')
    _, report = run_release(tmp_path)
    assert agrees_on_a_stand_in(report)
    again = tmp_path / "again"
    assert main(["run", str(toml), "--from", str(tmp_path / "out" / "report.json"), "--out", str(again)]) == 3
    assert with_code(json.loads((again / "report.json").read_text(encoding="utf-8")), "GATE020")
