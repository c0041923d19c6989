"""`[stats]` in a release: whose normalization statistics it uses is judged with the rest, and fails closed."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from judged import run_release, with_code
from lerobot_data import episodes, write_v2
from models import mlp, toml
from parity.cli import main
from stats_files import ACTION, STATE, norm_stats

SUITES = Path(__file__).resolve().parents[2] / "suites"
NAMES = {"state": "observation.state", "actions": "action"}
SOURCES = '\n[stats]\nsources = ["deployed/norm_stats.json", "trained.json"]\n'


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release whose two sources of statistics are the same."""
    mlp(tmp_path / "reference.onnx")
    mlp(tmp_path / "right.onnx", doc="exported again")
    norm_stats(tmp_path / "deployed/norm_stats.json")
    norm_stats(tmp_path / "trained.json")
    toml(tmp_path, {"ort": "right.onnx"}, more=SOURCES)
    return tmp_path


def test_sources_that_agree_pass_and_are_in_the_report(release: Path) -> None:
    code, report = run_release(release)
    assert (code, report["verdict"]) == (0, "PASS")
    assert [s["label"] for s in report["stats"]["sources"]] == ["deployed/norm_stats.json", "trained.json"]
    assert {p["verdict"] for p in report["stats"]["agreement"]} == {"SAME"}
    deployed = (release / "deployed/norm_stats.json").read_bytes()
    assert report["stats"]["sources"][0]["sha256"] == hashlib.sha256(deployed).hexdigest()
    assert "stats" not in report["facts"]["reference"]
    assert run_release(release, "--from", str(release / "out" / "report.json"))[0] == 0


def test_statistics_of_another_run_fail_though_the_numbers_are_right(release: Path) -> None:
    norm_stats(release / "deployed/norm_stats.json", state=STATE * 2, actions=ACTION)
    code, report = run_release(release)
    assert (code, report["verdict"]) == (1, "FAIL")
    assert all(c["verdict"] == "PASS" for c in report["comparisons"])
    (finding,) = with_code(report, "STATS071")
    assert (finding["candidate"], finding["where"].startswith("observation.state")) == (None, True)
    assert str(release) not in json.dumps([report["stats"], report["findings"], report["reasons"]])
    assert run_release(release, "--from", str(release / "out" / "report.json"))[0] == 1


def test_a_waiver_lets_a_conflict_through(release: Path) -> None:
    norm_stats(release / "deployed/norm_stats.json", state=STATE * 2, actions=ACTION)
    where = with_code(run_release(release)[1], "STATS071")[0]["where"]
    waiver = f'\n[[waiver]]\nfinding = "STATS071"\nwhere = "{where}"\nreason = "x"\nowner = "y"\nuntil = 2999-01-01\n'
    toml(release, {"ort": "right.onnx"}, more=SOURCES + waiver)
    code, report = run_release(release)
    assert (code, with_code(report, "STATS071")[0]["waived"] is not None) == (0, True)


def test_drift_is_a_warning(release: Path) -> None:
    norm_stats(release / "trained.json", state=STATE + np.array([0.02, 0.0, 0.0]), actions=ACTION)
    code, report = run_release(release)
    assert (code, [f["severity"] for f in with_code(report, "STATS072")]) == (0, ["warning"])


@pytest.mark.parametrize("damage", ["unreadable", "nothing in common"])
def test_what_cannot_be_compared_is_not_judged(release: Path, damage: str) -> None:
    if damage == "unreadable":
        (release / "trained.json").write_text('{"norm_stats": ')
    else:
        norm_stats(release / "trained.json", wrist=STATE)
    code, report = run_release(release)
    assert (code, report["verdict"]) == (3, "NOT_JUDGED")
    assert {f["code"] for f in report["findings"] if f["severity"] == "error"} == {"GATE015"}
    assert run_release(release, "--from", str(release / "out" / "report.json"))[0] == 3


def test_a_report_made_without_asking_is_not_judged_again_as_if_it_had_asked(release: Path) -> None:
    toml(release, {"ort": "right.onnx"})
    assert run_release(release)[0] == 0
    toml(release, {"ort": "right.onnx"}, more=SOURCES)
    code, report = run_release(release, "--from", str(release / "out" / "report.json"))
    assert (code, len(with_code(report, "GATE015"))) == (3, 1)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('sources = ["gone.json"]', "gone.json"),
        ('dataset = "data/gone"', "data/gone"),
        ("sources = []", "names no source"),
        ('sources = [""]', "stats.sources"),
        ('source = ["trained.json"]', "did you mean 'sources'"),
    ],
)
def test_a_mistyped_table_is_a_usage_error(
    release: Path, capsys: pytest.CaptureFixture[str], table: str, words: str
) -> None:
    toml(release, {"ort": "right.onnx"}, more=f"\n[stats]\n{table}\n")
    assert main(["run", str(release / "parity.toml"), "--out", str(release / "out")]) == 2
    assert words in capsys.readouterr().err


def test_a_dataset_is_held_against_what_is_stored(release: Path) -> None:
    pytest.importorskip("pyarrow")
    data = episodes([200, 150], seed=2)
    write_v2(release / "data", data, version="v2.0")
    rows = {n: np.concatenate([e[k] for e in data]).astype(float) for n, k in NAMES.items()}
    norm_stats(release / "trained.json", **rows)
    table = '\n[stats]\nsources = ["trained.json"]\ndataset = "data"\n'
    toml(release, {"ort": "right.onnx"}, more=table)
    code, report = run_release(release)
    assert (code, [s["label"] for s in report["stats"]["sources"]]) == (0, ["trained.json", "data (recomputed)"])
    assert {p["verdict"] for p in report["stats"]["agreement"]} <= {"SAME", "DRIFT"}
    assert [r["feature"] for r in report["stats"]["recomputed"]] == ["action", "observation.state"]
    assert "Stored against the data" in (release / "out" / "report.html").read_text(encoding="utf-8")
    norm_stats(release / "trained.json", **{**rows, "actions": rows["actions"] * 3})
    assert run_release(release)[0] == 1


@pytest.mark.parametrize("sources", ["", 'sources = ["trained.json"]', 'sources = ["trained.json", "both.json"]'])
def test_a_dataset_that_holds_nothing_of_a_source_is_not_judged(release: Path, sources: str) -> None:
    """No source at all, one of another robot, one of another robot that agrees with one of this robot."""
    pytest.importorskip("pyarrow")
    data = episodes([200, 150], seed=2)
    write_v2(release / "data", data, version="v2.0")
    rows = {n: np.concatenate([e[k] for e in data]).astype(float) for n, k in NAMES.items()}
    norm_stats(release / "trained.json", torque=ACTION)
    norm_stats(release / "both.json", torque=ACTION, **rows)
    toml(release, {"ort": "right.onnx"}, more=f'\n[stats]\n{sources}\ndataset = "data"\n')
    code, report = run_release(release)
    assert (code, report["verdict"]) == (3, "NOT_JUDGED")
    assert all(c["verdict"] == "PASS" for c in report["comparisons"])
    assert {f["code"] for f in report["findings"] if f["severity"] == "error"} == {"GATE015"}
    assert run_release(release, "--from", str(release / "out" / "report.json"))[0] == 3


def test_the_same_release_gives_the_same_report(release: Path) -> None:
    norm_stats(release / "deployed/norm_stats.json", state=STATE * 2, actions=ACTION)
    first, second = run_release(release)[1], run_release(release)[1]
    for report in (first, second):
        report["release"] |= {"created": "", "environment": {}}
    assert first == second


def suites(release: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:randomly", str(SUITES / "test_normalization.py")]
    command += ["--parity", str(release / "parity.toml"), "-rA", *more]
    return subprocess.run(command, capture_output=True, text=True, cwd=release, timeout=120, check=False)


def test_a_users_own_pytest_judges_each_source(release: Path) -> None:
    done = suites(release)
    assert (done.returncode, "2 passed" in done.stdout) == (0, True), done.stdout
    norm_stats(release / "deployed/norm_stats.json", state=STATE * 2, actions=ACTION)
    done = suites(release)
    assert (done.returncode, "2 failed" in done.stdout) == (1, True), done.stdout
    assert "of other data" in done.stdout


def test_a_release_that_does_not_ask_has_no_such_test(release: Path) -> None:
    toml(release, {"ort": "right.onnx"})
    done = suites(release)
    assert done.returncode == 5, done.stdout
    assert "skipped" not in done.stdout
