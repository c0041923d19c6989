"""`parity init`: the file is written once, never over another, and only whole."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from parity.cli import main
from parity.contract import Contract
from parity.tensor import TensorSpec


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.onnx").write_bytes(b"\x08\x08")
    (tmp_path / "other.onnx").write_bytes(b"\x08\x08")

    def read(artifact: object) -> Contract:
        return Contract(
            Path(str(artifact)), "onnx", inputs=(TensorSpec("x", (1, 2)),), outputs=(TensorSpec("y", (1, 2)),)
        )

    monkeypatch.setattr("parity.release.init.read_contract", read)


def test_a_file_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "policy.onnx", "other.onnx"]) == 0
    table = tomllib.loads(Path("parity.toml").read_text(encoding="utf-8"))
    assert table["reference"]["path"] == "policy.onnx"
    assert [c["path"] for c in table["candidate"]] == ["other.onnx"]
    shown = capsys.readouterr()
    assert "wrote parity.toml" in shown.err
    assert not shown.out


def test_an_existing_file_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    Path("parity.toml").write_text("mine", encoding="utf-8")
    assert main(["init", "policy.onnx", "other.onnx"]) == 2
    assert "--force" in capsys.readouterr().err
    assert Path("parity.toml").read_text(encoding="utf-8") == "mine"
    assert main(["init", "policy.onnx", "other.onnx", "--force"]) == 0
    assert "[release]" in Path("parity.toml").read_text(encoding="utf-8")


def test_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "policy.onnx", "other.onnx", "-o", "-"]) == 0
    assert "candidate" in tomllib.loads(capsys.readouterr().out)
    assert not Path("parity.toml").exists()


def test_paths_are_relative_to_where_the_file_lies() -> None:
    Path("sub/deeper").mkdir(parents=True)
    assert main(["init", "policy.onnx", "other.onnx", "-o", "sub/deeper"]) == 0
    table = tomllib.loads(Path("sub/deeper/parity.toml").read_text(encoding="utf-8"))
    assert table["reference"]["path"] == "../../policy.onnx"


def test_nothing_is_written_where_an_artifact_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "policy.onnx", "gone.onnx"]) == 2
    assert "gone.onnx" in capsys.readouterr().err
    assert not Path("parity.toml").exists()
