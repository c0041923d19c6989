"""`parity run A.toml B.toml`: every release is judged on its own, and the worst of them is the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models import mlp, toml
from parity.cli import main


def release(folder: Path, name: str, *, candidate: str = "right.onnx") -> Path:
    """Write NAME.toml about the models in ``folder``."""
    text = toml(folder, {"ort": candidate}).read_text().replace('name = "test"', f'name = "{name}"', 1)
    (folder / "parity.toml").unlink()
    path = folder / f"{name}.toml"
    path.write_text(text + "\n[cases]\nnominal = 3\nedge = false\n")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    mlp(tmp_path / "reference.onnx")
    mlp(tmp_path / "right.onnx", doc="exported again")
    mlp(tmp_path / "wrong.onnx", seed=1)
    return tmp_path


def verdicts(out: Path) -> dict[str, str]:
    return {p.parent.name: json.loads(p.read_text())["verdict"] for p in sorted(out.glob("*/report.json"))}


def test_both_pass_and_each_has_its_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(release(folder, n)) for n in ("step-250", "step-300")]
    assert main(["run", *paths, "--out", str(folder / "out")]) == 0
    assert verdicts(folder / "out") == {"step-250": "PASS", "step-300": "PASS"}
    assert capsys.readouterr().err.splitlines()[-1].split() == ["PASS", "step-300", f"({paths[1]})"]


def test_the_worst_counts_and_no_release_keeps_another(folder: Path) -> None:
    paths = [
        str(release(folder, "gone", candidate="gone.onnx")),
        str(release(folder, "wrong", candidate="wrong.onnx")),
        str(release(folder, "right")),
    ]
    assert main(["run", *paths, "--out", str(folder / "out")]) == 1
    assert verdicts(folder / "out") == {"gone": "NOT_JUDGED", "right": "PASS", "wrong": "FAIL"}
    assert main(["run", paths[0], paths[2], "--out", str(folder / "out")]) == 3
    (folder / "reference.onnx").write_bytes(b"")
    assert main(["run", *paths, "--out", str(folder / "out")]) == 2


@pytest.mark.parametrize("option", [["--record", "a.h5"], ["--from", "a.json"], ["--baseline", "a.json"]])
def test_what_is_about_one_release_is_refused(folder: Path, option: list[str]) -> None:
    paths = [str(release(folder, n)) for n in ("a", "b")]
    assert main(["run", *paths, *option, "--out", str(folder / "out")]) == 2
    assert not (folder / "out").exists()


def test_two_releases_of_one_name_or_an_unreadable_one_stop_before_anything_runs(folder: Path) -> None:
    one = str(release(folder, "one"))
    for other in (one, str(folder / "nothing.toml")):
        assert main(["run", one, other, "--out", str(folder / "out")]) == 2
        assert not (folder / "out").exists()
