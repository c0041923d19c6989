"""Stages by the command: `parity run` with its exit codes, the suites, `--from`, budgets and waivers, and `pack`."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from judged import with_code
from models import mlp
from parity.cli import main
from parity.report.html import html
from parity.report.schema import validate
from staged_policy import export_expert, made_in, toml


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = made_in(tmp_path_factory.mktemp("staged"))
    export_expert(folder / "inverted.onnx", fault="inverted")
    export_expert(folder / "slope.onnx", fault="slope")
    return folder


def run(path: Path, *more: str) -> tuple[int, dict[str, Any]]:
    out = path.with_suffix("")
    code = main(["run", str(path), "--out", str(out), *more])
    return code, json.loads((out / "report.json").read_text(encoding="utf-8"))


def test_a_right_release_passes_and_the_suites_judge_every_stage(made: Path) -> None:
    path = toml(made, "", name="right.toml")
    code, report = run(path)
    validate(report)
    assert code == 0
    assert report["verdict"] == "PASS"
    junit = (made / "right" / "junit.xml").read_text(encoding="utf-8")
    assert "board/graph/expert/nominal-0000/alone:v_t" in junit
    assert "board/graph/expert/nominal-0000/step-0010:x_t" in junit
    assert report["release"]["scope"] == {"planned": 57, "selected": 57}
    page = (made / "right" / "report.html").read_text(encoding="utf-8")
    assert "Stage by stage" in page
    code, again = run(path, "--from", str(made / "right" / "report.json"))
    assert (code, again["verdict"]) == (0, "PASS")


def test_one_stage_can_be_asked_for(made: Path) -> None:
    code, report = run(toml(made, "", name="some.toml"), "-k", "alone and expert", "--partial")
    assert code == 0
    assert {r["output"] for r in report["comparisons"]} == {"alone:v_t"}


def test_a_fault_fails_and_a_report_judged_again_says_it_anew(made: Path) -> None:
    path = toml(made, "", name="wrong.toml", expert="slope.onnx")
    code, report = run(path)
    assert code == 1
    assert report["cause"].startswith("The error enters at stage 'expert'")
    source = made / "wrong" / "report.json"
    code, again = run(path, "--from", str(source))
    assert code == 1
    assert again["findings"] == report["findings"]
    wide = toml(made, "", name="wide.toml", expert="slope.onnx", more="[budgets.board.v_t]\nmax_abs = 0.1\n")
    code, again = run(wide, "--from", str(source))
    assert code == 1
    failed = {r["output"] for r in again["comparisons"] if r["verdict"] == "FAIL"}
    assert "action" in failed
    assert not any(o.endswith("v_t") for o in failed)
    said = with_code(again, "STAGE011")[0]["title"]
    assert re.search(r"the error grows in the loop \(× 1\.\d+ per step\), over budget from step [2-9] on", said)
    assert f"{again['cause']}." == said
    both = "[budgets.board.v_t]\nmax_abs = 0.1\n[budgets.board.action]\nmax_abs = 0.1\n"
    code, again = run(toml(made, "", name="both.toml", expert="slope.onnx", more=both), "--from", str(source))
    assert (code, again["verdict"], again["cause"]) == (0, "PASS", None)
    assert not [f for f in again["findings"] if f["code"].startswith("STAGE01")]


def test_a_waiver_is_of_a_value_alone_or_chained(made: Path) -> None:
    lines = ["[[waiver]]", 'finding = "DIFF001"', 'where = "v_t of stage expert ({})"', 'reason = "r"']
    waiver = "\n".join([*lines, 'owner = "o"', "until = 2999-01-01", ""])
    wide = "[budgets.board.action]\nmax_abs = 0.1\n"
    path = toml(
        made, "", name="waived.toml", expert="slope.onnx", more=wide + waiver.format("alone") + waiver.format("chained")
    )
    code, report = run(path)
    assert code == 0, report["reasons"]
    waived = {f["where"] for f in report["findings"] if f["waived"]}
    assert waived == {"v_t of stage expert (alone)", "v_t of stage expert (chained)"}
    assert {r["output"] for r in report["comparisons"] if r["verdict"] == "FAIL"} == {"alone:v_t", "chained:v_t"}
    code, report = run(toml(made, "", name="other.toml", expert="slope.onnx", more=wide + waiver.format("alone")))
    assert code == 1


def test_a_missing_stage_is_not_judged(made: Path) -> None:
    code, report = run(toml(made, "", name="gone.toml", expert="gone.onnx"))
    assert code == 3
    assert "stage 'expert'" in report["reasons"][0]


def test_removing_a_stage_from_a_saved_report_is_seen(made: Path) -> None:
    path = toml(made, "", name="cut.toml", expert="inverted.onnx")
    run(path)
    report = json.loads((made / "cut" / "report.json").read_text(encoding="utf-8"))
    kept = [r for r in report["comparisons"] if r["id"] != "board/graph/expert/nominal-0001/alone:v_t"]
    scope = {"planned": len(kept), "selected": len(kept)}
    cut = {**report, "comparisons": kept, "release": {**report["release"], "scope": scope}}
    (made / "less.json").write_text(json.dumps(cut), encoding="utf-8")
    assert main(["run", str(path), "--out", str(made / "cut2"), "--from", str(made / "less.json")]) == 2


@pytest.mark.parametrize(
    ("candidate", "more", "words"),
    [
        ('path = "expert.onnx"', "", "has `stages` and a `path`"),
        ('pipeline = "x"', "", "a `pipeline` around `stages` is not judged by this version"),
        ("loop = {steps = 0, state = {x_t = 'v_t'}}", "", "loop.steps"),
        ("loop = {steps = 2, state = {}}", "", "loop.state"),
        ("loop = {steps = 2, state = {x_t = 'v_t'}, stpes = 3}", "", "did you mean 'steps'?"),
        ("loop = {steps = 2, state = {x_t = 'v_t'}, time = 't', times = [1]}", "", "has 1 numbers for 2 steps"),
        ("loop = {steps = 2, state = {x_t = 'v_t'}, times = [1, 2]}", "", "are told to nobody"),
        ("loop = {steps = 2, state = {x_t = 'v_t'}, between = [1, 1]}", "", "begins where it ends"),
        ("loop = {steps = 2, state = {x_t = 'v_t'}, between = [1, inf]}", "", "loop.between.1"),
        ("loop = {steps = 2, state = {x_t = 'v_t'}, start = {x = 'noise'}}", "", "which is no `state`"),
        ("loop = {steps = 2, state = {x_t = 'v_t'}, update = 'heun'}", "", "loop.update"),
        ("loop = {steps = 2, state = {x_t = 'v_t'}, update = 'replace', time = 't'}", "", "at each step"),
        ("loop = {steps = 2, state = {x_t = 'v_t', y = 'v_t'}}", "", "changes two states by one value"),
        ("loop = {steps = 2, state = {x = 'v_t'}}", "", "takes no 'x'"),
        ("", "[budgets.board.vt]\nmax_abs = 1.0\n", "there is no 'vt'; did you mean 'v_t'?"),
        ("", '[replay]\ndataset = "data"\n', "is in stages, which this version does not replay"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(
    made: Path, capsys: pytest.CaptureFixture[str], candidate: str, more: str, words: str
) -> None:
    path = toml(made, candidate, name="usage.toml", more=more)
    assert main(["run", str(path), "--out", str(made / "usage")]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ('[{name = "prefix"}]', "neither `path` nor `command`"),
        ('[{name = "p", path = "a"}, {name = "p", path = "b"}]', "two stages are called p"),
        ('[{name = "p", path = "a", pipeline = "b"}]', "unknown key 'candidate.0.stages.0.pipeline'"),
        ('[{name = "a/b", path = "a"}]', "stages.0.name"),
        (
            '[{name = "prefix", path = "prefix.onnx", rename = {kk = "k"}}, {name = "expert", path = "expert.onnx"}]',
            "'kk'",
        ),
        (
            '[{name = "prefix", path = "prefix.onnx", outputs = ["v", "k"]}, {name = "expert", path = "expert.onnx"}]',
            "but the file has ['k', 'v', 'pad_mask']",
        ),
    ],
)
def test_stages_are_parsed_strictly(made: Path, capsys: pytest.CaptureFixture[str], stages: str, words: str) -> None:
    text = toml(made, "", name="strict.toml").read_text(encoding="utf-8")
    lines = text.splitlines()
    last = max(i for i, line in enumerate(lines) if line.startswith("stages"))
    lines[last] = f"stages = {stages}"
    (made / "strict.toml").write_text("\n".join(lines), encoding="utf-8")
    assert main(["run", str(made / "strict.toml"), "--out", str(made / "strict")]) == 2
    assert words in capsys.readouterr().err


def test_the_report_of_stages_can_be_made_from_the_json_alone(made: Path) -> None:
    _, report = run(toml(made, "", name="page.toml", expert="inverted.onnx"))
    page = html(report)
    assert "The error enters at stage &#39;expert&#39;" in page
    assert "Error by denoising step" in page


def test_a_release_in_stages_is_packed_with_all_its_files(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "release"
    shutil.copytree(made, folder, ignore=shutil.ignore_patterns("*.toml", "right", "wrong", "usage"))
    path = toml(folder, "")
    assert main(["run", str(path), "--out", str(folder / "out")]) == 0
    assert (
        main(["pack", str(path), "--report", str(folder / "out" / "report.json"), "-o", str(tmp_path / "packed")]) == 0
    )
    assert main(["verify", str(tmp_path / "packed")]) == 0


def test_one_stage_is_compared_by_itself_with_the_settings_of_its_release(made: Path) -> None:
    path = toml(made, "", name="single.toml")
    pair = [str(made / "expert.onnx"), str(made / "inverted.onnx")]
    assert main(["compare", *pair, "--config", str(path), "--out", str(made / "single")]) == 1
    assert main(["compare", pair[0], str(made / "expert32.onnx"), "--config", str(path)]) == 0


def test_the_commands_of_the_report_name_files_and_a_baseline_is_compared_stage_by_stage(made: Path) -> None:
    right, wrong = toml(made, "", name="before.toml"), toml(made, "", name="after.toml", expert="inverted.onnx")
    _, before = run(right)
    inspect = next(line for line in before["reproduce"] if " inspect " in line)
    assert [Path(w).name for w in inspect.split()[2:]] == [
        "prefix.onnx",
        "expert.onnx",
        "prefix32.onnx",
        "expert32.onnx",
    ]
    code, after = run(wrong, "--baseline", str(made / "before" / "report.json"))
    assert code == 1
    moved = {m["output"] for m in after["baseline"]["moved"]}
    assert {"action", "alone:v_t", "step-0010:x_t"} <= moved
    assert "alone:k" not in moved


def test_one_stage_that_is_the_reference_itself_compares_nothing(tmp_path: Path) -> None:
    mlp(tmp_path / "policy.onnx")
    (tmp_path / "parity.toml").write_text(
        '[release]\nname = "r"\n[reference]\npath = "policy.onnx"\n[cases]\nnominal = 4\nworst = 0\n'
        '[[candidate]]\nname = "same"\nstages = [{name = "all", path = "policy.onnx"}]\n'
    )
    code, report = run(tmp_path / "parity.toml")
    assert code == 3, report["reasons"]
    assert with_code(report, "GATE006")
