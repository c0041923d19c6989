"""`parity compare` and `parity inspect` of logs of evaluations: exit codes, JSON by its schema, hostile names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval_logs import lerobot_episodes, lerobot_tasks, table, write
from models import mlp
from parity.cli import main
from parity.report.json_file import read_json
from parity.report.schema import validate


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with evaluations that are alike, worse by 30 points over 50 episodes, and too few."""
    monkeypatch.chdir(tmp_path)
    lerobot_episodes(tmp_path / "ref.json", [i % 10 > 0 for i in range(200)])
    lerobot_episodes(tmp_path / "alike.json", [i % 10 > 0 and i != 7 for i in range(200)])
    fifty = np.random.default_rng(0).random(50) < 0.9
    lerobot_episodes(tmp_path / "fifty.json", fifty)
    lerobot_episodes(tmp_path / "worse.json", fifty & (np.arange(50) % 3 > 0))
    lerobot_episodes(tmp_path / "few.json", fifty & (np.arange(50) != 3))
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = main(list(args))
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.mark.parametrize(
    ("pair", "code", "words"),
    [
        (("ref.json", "alike.json"), 0, "PASS  success 90 % → 89.5 %"),
        (("fifty.json", "worse.json"), 1, "FAIL  success"),
        (("fifty.json", "few.json"), 3, "NOT_JUDGED  50 paired episodes cannot tell a drop of 5 points"),
        (("ref.json", "ref.json"), 3, "NOT_JUDGED  both logs are the same file"),
        (("ref.json", "fifty.json"), 3, "NOT_JUDGED  the episodes do not pair"),
    ],
)
def test_exit_codes_and_first_words(
    logs: Path, capsys: pytest.CaptureFixture[str], pair: tuple[str, str], code: int, words: str
) -> None:
    found, out, err = said(capsys, "compare", *pair)
    assert (found, err) == (code, "")
    assert out.startswith(words)


@pytest.mark.parametrize("pair", [("ref.json", "alike.json"), ("fifty.json", "worse.json"), ("fifty.json", "few.json")])
def test_the_files_hold_what_was_said(logs: Path, capsys: pytest.CaptureFixture[str], pair: tuple[str, str]) -> None:
    code, out, _ = said(capsys, "compare", *pair, "--out", "out", "--json", "-")
    report = json.loads(out)
    validate(report)
    assert read_json(logs / "out" / "report.json") == report
    assert report["comparisons"] == []
    assert [m["level"] for m in report["measures"]] == ["task"]
    assert report["measures"][0]["verdict"] == report["verdict"]
    assert [a["sha256"] for a in report["artifacts"]] != [None, None]
    assert {p.name for p in (logs / "out").iterdir()} >= {"report.html", "report.json", "junit.xml", "summary.md"}
    page = (logs / "out" / "report.html").read_text()
    assert report["measures"][0]["reason"].split(":")[0] in page
    assert "candidate/task/success_difference" in page
    assert f'failures="{int(code == 1)}" errors="{int(code == 3)}"' in (logs / "out" / "junit.xml").read_text()


def test_the_margin_is_the_users(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "compare", "ref.json", "alike.json", "--margin", "0.001")[0] == 3
    assert said(capsys, "compare", "fifty.json", "few.json", "--margin", "0.2")[0] == 0
    report = json.loads(said(capsys, "compare", "fifty.json", "few.json", "--margin", "0.2", "--json", "-")[1])
    assert report["reproduce"] == ["parity compare fifty.json few.json --margin 0.2"]
    assert said(capsys, "compare", "ref.json", "alike.json", "--margin", "1")[0] == 2


def test_two_runs_give_the_same_json(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = (json.loads(said(capsys, "compare", "fifty.json", "worse.json", "--json", "-")[1]) for _ in range(2))
    for report in (one, two):
        report["release"].pop("created")
    assert one == two


def test_a_log_against_a_policy_is_refused(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mlp(logs / "policy.onnx")
    for pair in (("ref.json", "policy.onnx"), ("policy.onnx", "ref.json")):
        code, out, err = said(capsys, "compare", *pair)
        assert (code, out) == (2, "")
        assert "ref.json is the log of an evaluation, policy.onnx is not" in err


@pytest.mark.parametrize("option", ["--layers", "--cases 4", "--precision int8", "--inputs a.npz", "--worst 0"])
def test_options_that_run_a_policy_are_refused(logs: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    code, _, err = said(capsys, "compare", "ref.json", "alike.json", *option.split())
    assert code == 2
    assert option.split()[0] in err


@pytest.mark.parametrize("option", ["--margin 0.1", "--margin 0", "--paired", "--unpaired", "--success-at 1"])
def test_options_of_logs_are_refused_for_policies(logs: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    pair = [str(mlp(logs / f"{k}.onnx", doc=k)) for k in "ab"]
    code, _, err = said(capsys, "compare", *pair, *option.split())
    assert code == 2
    assert "neither artifact is one" in err


def test_a_damaged_log_is_unreadable(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads((logs / "ref.json").read_text())
    data["per_episode"][5]["success"] = "perhaps"
    write(logs / "bad.json", data)
    code, _, err = said(capsys, "compare", "ref.json", "bad.json")
    assert code == 2
    assert "per_episode[5].success: 'perhaps' is no outcome of an episode" in err
    assert said(capsys, "inspect", "bad.json")[0] == 2


def test_a_log_that_is_cut_short_says_so(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (logs / "cut.json").write_text((logs / "ref.json").read_text()[:5000])
    for pair in (("ref.json", "cut.json"), ("cut.json", "ref.json")):
        code, _, err = said(capsys, "compare", *pair)
        assert code == 2
        assert "cut.json: not valid JSON in line" in err


def test_a_plan_is_told_in_one_line(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(logs / "plan.json", {"evaluation_id": "eval12", "status": "not run"})
    code, out, _ = said(capsys, "inspect", "plan.json")
    assert code == 0
    assert out.splitlines() == [
        "plan.json (plan of an evaluation)",
        "  EVAL001 warning: plan of an evaluation: holds no episodes",
        "",
    ]
    assert said(capsys, "compare", "ref.json", "plan.json")[0] == 3


def test_inspect_shows_what_is_in_a_log(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lerobot_tasks(logs / "tasks.json", {("libero_10", 0): [True, False], ("libero_10", 1): [True, True]})
    code, out, _ = said(capsys, "inspect", "ref.json", "tasks.json")
    assert code == 0
    assert "200 episodes, 180 succeeded (90 %)" in out
    assert "libero_10/0: 2 episodes, 1 succeeded (50 %)" in out
    code, out, _ = said(capsys, "inspect", "ref.json", "tasks.json", "--json", "-")
    document = json.loads(out)
    assert [e["episodes"] for e in document["evaluations"]] == [200, 4]
    assert document["artifacts"] == []


def test_inspect_of_a_policy_and_a_log_shows_both(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mlp(logs / "policy.onnx")
    code, out, _ = said(capsys, "inspect", "policy.onnx", "ref.json", "--json", "-")
    document = json.loads(out)
    assert code == 0
    assert len(document["artifacts"]) == 1
    assert [e["path"] for e in document["evaluations"]] == ["ref.json"]


def test_inspect_strict_fails_on_a_wrong_aggregate(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads((logs / "ref.json").read_text())
    data["aggregated"]["pc_success"] = 99.0
    write(logs / "wrong.json", data)
    assert said(capsys, "inspect", "wrong.json")[0] == 0
    assert said(capsys, "inspect", "wrong.json", "--strict")[0] == 1
    assert "aggregated.pc_success says 99, its own episodes say 90" in said(capsys, "inspect", "wrong.json")[1]


def test_names_from_a_log_cannot_move_the_cursor(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "lift\x1b[2J<script>alert(1)</script>"
    rows: list[dict[str, Any]] = [
        {"task": t, "seed": i, "success": i % 7 > 0} for t in (evil, "other") for i in range(60)
    ]
    table(logs / "a.jsonl", rows)
    table(logs / "b.jsonl", [{**r, "success": False} for r in rows])
    code, out, _ = said(capsys, "compare", "a.jsonl", "b.jsonl", "--out", "out")
    assert code == 1
    assert "\x1b" not in out
    assert "\x1b" not in said(capsys, "inspect", "a.jsonl")[1]
    page = (logs / "out" / "report.html").read_text()
    assert "<script>alert(1)" not in page
