"""`[weights]` in a release: whose weights the candidates hold is judged with them, and fails closed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from judged import run_release, with_code
from models import mlp, toml
from parity.cli import main

SUITES = Path(__file__).resolve().parents[2] / "suites"
WEIGHTS = '\n[weights]\ncheckpoints = "runs/*/model_*.npz"\n'


def trained(path: Path, seed: int) -> Path:
    """Write what a training run with this seed saved."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def save(arrays: dict[str, Any]) -> None:
        np.savez(path, **arrays)

    mlp(path.with_suffix(".onnx"), seed=seed, edit=save).unlink()
    return path


@pytest.fixture
def release(tmp_path: Path) -> Path:
    mlp(tmp_path / "reference.onnx")
    mlp(tmp_path / "right.onnx", doc="exported again")
    trained(tmp_path / "runs/a/model_100.npz", seed=0)
    trained(tmp_path / "runs/a/model_200.npz", seed=1)
    toml(tmp_path, {"ort": "right.onnx"}, more=WEIGHTS)
    return tmp_path


def test_the_right_checkpoint_is_named_in_the_report(release: Path) -> None:
    code, report = run_release(release)
    assert (code, report["verdict"]) == (0, "PASS")
    assert "model_100.npz (step 100)" in with_code(report, "PROV001")[0]["title"]
    best = report["facts"]["ort"]["weights"]["best"]
    assert (best["relation"], best["matched"], best["total"], len(best["sha256"])) == ("MATCH", 4, 4, 64)
    assert run_release(release, "--from", str(release / "out" / "report.json"))[0] == 0


def test_a_candidate_of_no_given_checkpoint_fails_though_its_numbers_are_right(release: Path) -> None:
    (release / "runs/a/model_100.npz").unlink()
    code, report = run_release(release)
    assert (code, report["verdict"]) == (1, "FAIL")
    assert all(c["verdict"] == "PASS" for c in report["comparisons"])
    assert with_code(report, "PROV004")[0]["candidate"] == "ort"
    assert report["reasons"][0].startswith("No given checkpoint matches")
    saved = release / "saved.json"
    saved.write_text(json.dumps(report), encoding="utf-8")
    assert run_release(release, "--from", str(saved))[0] == 1


def test_it_can_be_waived_like_any_error(release: Path) -> None:
    (release / "runs/a/model_100.npz").unlink()
    waiver = '[[waiver]]\nfinding = "PROV004"\nreason = "lost"\nowner = "me"\nuntil = 2999-01-01\n'
    toml(release, {"ort": "right.onnx"}, more=WEIGHTS + waiver)
    assert run_release(release)[0] == 0


def test_raw_weights_in_place_of_averaged_are_an_error_here(release: Path) -> None:
    torch = pytest.importorskip("torch")
    with np.load(release / "runs/a/model_100.npz") as saved:
        model = {n: torch.from_numpy(saved[n]) for n in saved.files}
    states = {"model": model, "ema_model": {n: t + 0.01 for n, t in model.items()}}
    torch.save({"cfg": {"training": {"use_ema": True}}, "state_dicts": states}, release / "runs/a/latest.ckpt")
    toml(release, {"ort": "right.onnx"}, more='\n[weights]\ncheckpoints = ["runs/a/latest.ckpt"]\n')
    code, report = run_release(release)
    assert code == 1
    assert with_code(report, "PROV007")[0]["severity"] == "error"


def test_what_holds_no_weights_is_not_judged(release: Path) -> None:
    (release / "runs/a/model_100.npz").write_bytes(b"PK\x03\x04")
    (release / "runs/a/model_200.npz").write_bytes(b"PK\x03\x04")
    code, report = run_release(release)
    assert (code, report["verdict"]) == (3, "NOT_JUDGED")
    assert "cannot be opened" in with_code(report, "GATE014")[0]["title"]


def test_a_report_without_the_question_is_not_taken_for_an_answer(release: Path) -> None:
    toml(release, {"ort": "right.onnx"})
    assert run_release(release)[0] == 0
    saved = release / "saved.json"
    (release / "out" / "report.json").replace(saved)
    toml(release, {"ort": "right.onnx"}, more=WEIGHTS)
    code, report = run_release(release, "--from", str(saved))
    assert code == 3
    assert with_code(report, "GATE014")


def test_only_the_candidates_that_are_named(release: Path) -> None:
    mlp(release / "other.onnx", doc="another", seed=0)
    more = '\n[weights]\ncheckpoints = ["runs/a/model_200.npz"]\ncandidates = ["other"]\n'
    toml(release, {"ort": "right.onnx", "other": "other.onnx"}, more=more)
    code, report = run_release(release)
    assert code == 1
    assert {c["name"]: c["verdict"] for c in report["candidates"]} == {"ort": "PASS", "other": "FAIL"}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('[weights]\ncheckpoints = "runs/b/*.pt"\n', "no file is called 'runs/b/*.pt'"),
        ("[weights]\ncheckpoints = []\n", "weights.checkpoints"),
        ("[weights]\n", "'weights.checkpoints' is missing"),
        ('[weights]\ncheckpoint = "runs/a/*"\n', "did you mean 'checkpoints'"),
        ('[weights]\ncheckpoints = "runs/a/*"\ncandidates = ["otr"]\n', "did you mean 'ort'"),
    ],
)
def test_mistakes_are_named(release: Path, capsys: pytest.CaptureFixture[str], more: str, words: str) -> None:
    toml(release, {"ort": "right.onnx"}, more=f"\n{more}")
    assert main(["run", str(release / "parity.toml"), "--out", str(release / "out")]) == 2
    assert words in capsys.readouterr().err


def test_the_suite_asks_it_in_a_users_pytest(release: Path) -> None:
    def suites() -> tuple[int, str]:
        command = [sys.executable, "-m", "pytest", str(SUITES), "--parity", "parity.toml", "-q", "-p", "no:randomly"]
        done = subprocess.run(command, cwd=release, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    assert suites()[0] == 0
    (release / "runs/a/model_100.npz").unlink()
    code, text = suites()
    assert code == 1
    assert "test_weights[ort]" in text
    toml(release, {"ort": "right.onnx"})
    code, text = suites()
    assert code == 0, text
    assert "skipped" not in text
