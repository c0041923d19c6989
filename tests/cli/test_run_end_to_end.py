"""`parity run`, whole: plan, execute, judge, report; and what must not move a verdict."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import mlp, toml
from parity.cli import main, releasing
from processes import heard

FILES = {"report.html", "report.json", "junit.xml", "summary.md", "timings.json"}


def run(folder: Path, *args: str) -> tuple[int, dict[str, Any]]:
    """Run the release in ``folder`` and return exit code and report (empty where none was written)."""
    code = main(["run", str(folder / "parity.toml"), "--out", str(folder / "out"), *args])
    path = folder / "out" / "report.json"
    return code, json.loads(path.read_text()) if path.is_file() else {}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release whose candidate is right."""
    mlp(tmp_path / "reference.onnx")
    mlp(tmp_path / "right.onnx", doc="exported again")
    toml(tmp_path, {"ort": "right.onnx"})
    return tmp_path


def test_a_right_release_passes_and_leaves_five_files(release: Path) -> None:
    code, report = run(release)
    assert code == 0
    assert report["verdict"] == "PASS"
    assert {p.name for p in (release / "out").iterdir()} == FILES
    assert report["release"]["scope"]["planned"] == len(report["comparisons"]) >= 30


def test_a_wrong_release_fails_and_says_why(release: Path) -> None:
    mlp(release / "right.onnx", seed=1)
    code, report = run(release)
    assert code == 1
    assert report["verdict"] == "FAIL"
    assert "0 of 4 weights match: another checkpoint" in report["cause"]


def test_the_same_release_gives_the_same_report(release: Path) -> None:
    first, second = run(release)[1], run(release)[1]
    for report in (first, second):
        del report["release"]["created"], report["release"]["environment"]
    assert first == second


def test_the_same_file_twice_says_nothing(release: Path) -> None:
    toml(release, {"ort": "reference.onnx"})
    code, report = run(release)
    assert code == 3
    assert "GATE006" in {f["code"] for f in report["findings"]}


def test_a_missing_output_fails(release: Path) -> None:
    mlp(release / "reference.onnx", outputs=("action", "value"))
    code, report = run(release)
    assert code == 1
    assert "DIFF005" in {f["code"] for f in report["findings"]}


def test_an_unreadable_candidate_is_not_judged(release: Path) -> None:
    (release / "right.onnx").write_bytes((release / "right.onnx").read_bytes()[:100])
    code, report = run(release)
    assert code == 3
    assert report["verdict"] == "NOT_JUDGED"


def test_nan_weights_fail(release: Path) -> None:
    def poison(arrays: dict[str, Any]) -> None:
        arrays["b2"][0] = np.nan

    mlp(release / "right.onnx", edit=poison)
    assert run(release)[0] == 1
    mlp(release / "reference.onnx", edit=poison, doc="both")
    code, report = run(release)
    assert code == 1, report["reasons"]


def test_an_absent_provider_is_not_judged(release: Path) -> None:
    toml(release, {"ort": "right.onnx"}, more='provider = "CUDAExecutionProvider"\n')
    code, report = run(release)
    assert code == 3
    assert "CUDAExecutionProvider" in str(report["reasons"])


def test_a_policy_that_ignores_its_input_is_not_judged(release: Path) -> None:
    for name, doc in (("reference.onnx", ""), ("right.onnx", "again")):
        mlp(release / name, gain=0.0, doc=doc)
    code, report = run(release)
    assert code == 3
    assert "GATE007" in {f["code"] for f in report["findings"]}


def test_one_case_says_nothing(release: Path) -> None:
    toml(release, {"ort": "right.onnx"}, more="[cases]\nnominal = 1\nedge = false\n")
    assert run(release)[0] == 3
    toml(release, {"ort": "right.onnx"}, more="[cases]\nnominal = 0\nedge = false\n")
    assert run(release)[0] in (2, 3)


def test_a_filtered_run_needs_partial(release: Path) -> None:
    code, report = run(release, "-k", "nominal")
    assert code == 3
    scope = report["release"]["scope"]
    assert 0 < scope["selected"] < scope["planned"]
    assert run(release, "-k", "nominal", "--partial")[0] == 0
    assert run(release, "-k", "nothing_at_all", "--partial")[0] == 3


def test_a_filtered_run_does_not_overwrite_a_full_report(release: Path) -> None:
    assert run(release)[0] == 0
    code, report = run(release, "-k", "nominal", "--partial")
    assert code == 0
    assert report["release"]["scope"]["selected"] == report["release"]["scope"]["planned"]
    assert (release / "out" / "partial" / "report.json").is_file()


def test_judging_again_with_other_budgets_runs_nothing(release: Path) -> None:
    mlp(release / "right.onnx", gain=1.001)
    assert run(release)[0] == 1
    saved = release / "saved.json"
    (release / "out" / "report.json").replace(saved)
    (release / "reference.onnx").unlink()
    toml(release, {"ort": "right.onnx"}, more="[budgets.default.action]\nmax_abs = 0.1\n")
    code, report = run(release, "--from", str(saved))
    assert code == 0, report["reasons"]
    toml(release, {"ort": "right.onnx"}, more="[budgets.ort.action]\nmax_abs = [0.1, 0.1, 0.0000001]\n")
    assert run(release, "--from", str(saved))[0] == 1


def test_the_baseline_shows_what_moved(release: Path) -> None:
    assert run(release)[0] == 0
    signed = release / "signed.json"
    (release / "out" / "report.json").replace(signed)
    mlp(release / "right.onnx", seed=1)
    _, report = run(release, "--baseline", str(signed))
    assert report["baseline"]["verdict"] == "PASS"
    assert report["baseline"]["moved"]
    assert not report["baseline"]["same_bytes"]


def test_a_recording_stands_in_for_the_reference(release: Path) -> None:
    trace = release / "golden.h5"
    assert run(release, "--record", str(trace))[0] == 0
    (release / "reference.onnx").unlink()
    toml(release, {"ort": "right.onnx"}, reference="golden.h5")
    code, report = run(release)
    assert code == 0, report["reasons"]
    mlp(release / "right.onnx", seed=1)
    assert run(release)[0] == 1
    toml(release, {"ort": "right.onnx"}, reference="golden.h5", more="[cases]\nnominal = 99\n")
    assert run(release)[0] == 2


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTEST_ADDOPTS": "-k nothing"},
        {"PYTEST_ADDOPTS": "--lf -p no:parity"},
        {"PYTEST_PLUGINS": "pytest_randomly,pytest_rerunfailures"},
    ],
)
def test_a_users_pytest_settings_do_not_move_the_verdict(
    release: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    (release / "pytest.ini").write_text("[pytest]\naddopts = -k nothing --lf\n")
    (release / "conftest.py").write_text("raise SystemExit('a conftest of the user')\n")
    monkeypatch.chdir(release)
    code, report = run(release)
    assert code == 0
    assert report["release"]["scope"]["selected"] == report["release"]["scope"]["planned"]
    mlp(release / "right.onnx", seed=1)
    assert run(release)[0] == 1


def test_workers_do_not_move_the_verdict(release: Path) -> None:
    _, alone = run(release)
    code, shared = run(release, "-n", "4")
    assert code == 0
    assert [r["id"] for r in shared["comparisons"]] == [r["id"] for r in alone["comparisons"]]
    assert shared["comparisons"] == alone["comparisons"]
    mlp(release / "right.onnx", seed=1)
    assert run(release, "-n", "2")[0] == 1


def test_a_stale_report_is_gone_before_anything_runs(release: Path) -> None:
    assert run(release)[0] == 0
    (release / "reference.onnx").write_bytes(b"")
    code, report = run(release)
    assert code == 3
    assert report.get("verdict") != "PASS"


def test_two_runs_into_one_folder(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second begins while the first measures."""
    command = [sys.executable, "-m", "parity", "run", str(release / "parity.toml"), "--out", str(release / "out")]
    measuring, seconds = releasing.run_suites, []

    def meanwhile(*args: Any, **options: Any) -> Any:
        seconds.append(subprocess.run(command, capture_output=True, text=True, check=False))
        return measuring(*args, **options)

    monkeypatch.setattr(releasing, "run_suites", meanwhile)
    code, report = run(release)
    assert (code, report["verdict"]) == (0, "PASS")
    (second,) = seconds
    assert second.returncode == 3
    assert "another run is writing here" in second.stderr


def test_ctrl_c_keeps_what_was_measured(release: Path) -> None:
    toml(release, {"ort": "right.onnx"}, more="[cases]\nnominal = 200000\n")
    command = [sys.executable, "-m", "parity", "run", str(release / "parity.toml"), "--out", str(release / "out")]
    with heard(signal.SIGINT):
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
    try:
        time.sleep(4)
        os.kill(child.pid, signal.SIGINT)
        _, errors = child.communicate(timeout=120)
    finally:
        child.kill()
    assert child.returncode == 3, errors
    assert "Traceback" not in errors


def test_an_unwritable_folder(release: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (release / "out").write_text("a file, not a folder")
    assert main(["run", str(release / "parity.toml"), "--out", str(release / "out")]) == 3
    assert "out" in capsys.readouterr().err


def test_budgets_that_could_not_apply(release: Path) -> None:
    """A budget for an output that is not there, and one in units that nothing turns the graph's numbers into."""
    toml(release, {"ort": "right.onnx"}, more="[budgets.default.actoin]\nmax_abs = 1.0\n")
    assert run(release)[0] == 2
    toml(release, {"ort": "right.onnx"}, more='[budgets.default.action]\nmax_abs = 100.0\nunits = "px"\n')
    code, report = run(release)
    assert code == 3
    assert "GATE009" in {f["code"] for f in report["findings"]}
    toml(release, {"ort": "right.onnx"}, more='[budgets.default.action]\nmax_abs = 0.5\nunits = "px"\nscale = 256\n')
    code, report = run(release)
    assert code == 0
    assert {r["units"] for r in report["comparisons"]} == {"px"}


def test_the_search_finds_what_cases_miss(release: Path) -> None:
    """A divergence planted in 1 % of the box: past the fourth decimal of one observation, and nowhere else."""
    from onnx import helper

    nodes = [
        helper.make_node("Gemm", ["obs", "w1", "b1"], ["h"]),
        helper.make_node("Tanh", ["h"], ["t"]),
        helper.make_node("Gemm", ["t", "w2", "b2"], ["plain"]),
        helper.make_node("Gather", ["obs", "index"], ["one"], axis=1),
        helper.make_node("Sub", ["one", "centre"], ["off"]),
        helper.make_node("Abs", ["off"], ["far"]),
        helper.make_node("Less", ["far", "half"], ["inside"]),
        helper.make_node("Cast", ["inside"], ["mask"], to=1),
        helper.make_node("Mul", ["mask", "half"], ["fault"]),
        helper.make_node("Add", ["plain", "fault"], ["action"]),
    ]

    def constants(arrays: dict[str, Any]) -> None:
        arrays |= {
            "index": np.array([2]),
            "centre": np.array([2.6], dtype=np.float32),
            "half": np.array([0.04], dtype=np.float32),
        }

    mlp(release / "right.onnx", nodes=nodes, edit=constants)
    toml(release, {"ort": "right.onnx"})
    assert run(release)[0] == 0
    toml(release, {"ort": "right.onnx"}, more="[cases]\nworst = 200\n")
    code, report = run(release)
    assert code == 1
    assert {r["profile"] for r in report["comparisons"] if r["verdict"] == "FAIL"} == {"worst"}


def test_the_checkpoint_of_a_recorded_reference_names_the_cause(
    release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A recording shows no weights: without `checkpoint` nothing says whose the candidate's are."""
    assert run(release, "--record", str(release / "golden.h5"))[0] == 0
    recorded = (release / "parity.toml").read_text().replace("reference.onnx", "golden.h5")
    mlp(release / "right.onnx", seed=1)
    for line, cause in (("", False), ('checkpoint = "reference.onnx"\n', True)):
        (release / "parity.toml").write_text(recorded.replace("[reference]\n", f"[reference]\n{line}"))
        code, report = run(release)
        assert code == 1
        assert ("0 of 4 weights match: another checkpoint" in str(report["cause"])) is cause
    (release / "parity.toml").write_text(recorded.replace("[reference]\n", '[reference]\ncheckpoint = "nowhere.pt"\n'))
    assert run(release)[0] == 2
    assert "[reference] checkpoint" in capsys.readouterr().err


def test_the_checkpoint_of_a_recorded_candidate_names_the_cause(
    release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same of a candidate: what shows no weights may say where they lie."""
    mlp(release / "other.onnx", seed=1)
    toml(release, {"ort": "reference.onnx"}, reference="other.onnx")
    assert run(release, "--record", str(release / "recorded.h5"))[0] == 1
    toml(release, {"played": "recorded.h5"})
    played = (release / "parity.toml").read_text()
    for line, cause in (("", False), ('checkpoint = "other.onnx"\n', True)):
        (release / "parity.toml").write_text(played.replace('path = "recorded.h5"\n', f'path = "recorded.h5"\n{line}'))
        code, report = run(release)
        assert code == 1
        assert ("0 of 4 weights match: another checkpoint" in str(report["cause"])) is cause
        assert ("played checkpoint" in {a["side"] for a in report["artifacts"]}) is cause
    text = (release / "parity.toml").read_text().replace('checkpoint = "other.onnx"', 'checkpoint = "nowhere.pt"')
    (release / "parity.toml").write_text(text)
    assert run(release)[0] == 2
    assert "[played] checkpoint" in capsys.readouterr().err
