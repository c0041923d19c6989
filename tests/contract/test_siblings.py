"""Configurations beside an artifact: found in known places, bounded, never through a way out of the folder."""

from __future__ import annotations

from pathlib import Path

import pytest

import parity.contract.siblings as sib
from parity.artifact import Artifact
from parity.contract import Contract
from parity.contract.siblings import MAX_BYTES, MAX_FILES, read_siblings, siblings
from parity.errors import ArtifactError


def write(path: Path, text: str = "a: 1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_the_most_specific_first(tmp_path: Path) -> None:
    policy = write(tmp_path / "policy.pt", "x")
    for name in (
        "zeta.yaml",
        "base.yml",
        "config.yaml",
        "config.json",
        "params/agent.yaml",
        "params/more.yaml",
        "a.txt",
    ):
        write(tmp_path / name)
    found = [p.relative_to(tmp_path).as_posix() for p in siblings(policy)]
    assert found == ["config.json", "config.yaml", "params/agent.yaml", "params/more.yaml", "base.yml", "zeta.yaml"]


def test_the_run_that_a_policy_was_exported_from(tmp_path: Path) -> None:
    policy = write(tmp_path / "run" / "exported" / "policy.onnx", "x")
    env = write(tmp_path / "run" / "params" / "env.yaml")
    write(tmp_path / "run" / "other.yaml")
    assert siblings(policy) == [env]
    elsewhere = write(tmp_path / "run" / "models" / "policy.onnx", "x")
    assert siblings(elsewhere) == []


def test_a_folder_and_a_missing_file_have_none(tmp_path: Path) -> None:
    write(tmp_path / "config.json", "{}")
    assert siblings(tmp_path) == []
    assert siblings(tmp_path / "missing.pt") == []


def test_an_artifact_is_not_its_own_sibling(tmp_path: Path) -> None:
    own = write(tmp_path / "config.yaml")
    other = write(tmp_path / "deploy.yaml")
    assert siblings(own) == [other]


def test_bounded_in_number_and_size(tmp_path: Path) -> None:
    policy = write(tmp_path / "policy.pt", "x")
    for i in range(MAX_FILES + 9):
        write(tmp_path / f"{i:03}.yaml")
    write(tmp_path / "config.yaml", "#" * (MAX_BYTES + 1))
    write(tmp_path / "config.json", "")
    found = siblings(policy)
    assert len(found) == MAX_FILES
    assert {p.name for p in found}.isdisjoint({"config.yaml", "config.json"})


def test_no_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.yaml")
    policy = write(tmp_path / "run" / "policy.pt", "x")
    (tmp_path / "run" / "config.yaml").symlink_to(secret)
    (tmp_path / "run" / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "run" / "params").symlink_to(tmp_path, target_is_directory=True)
    assert siblings(policy) == []
    inside = write(tmp_path / "run" / "real.yaml")
    (tmp_path / "run" / "env.yaml").symlink_to("real.yaml")
    assert siblings(policy) == [tmp_path / "run" / "env.yaml", inside]


class Reader:
    """Knows files whose first word is ``mine``; is upset by those that go on with ``broken``."""

    rank = 0

    def matches(self, artifact: Artifact) -> bool:
        return artifact.path.read_text().startswith("mine")

    def read(self, artifact: Artifact) -> Contract:
        if "broken" in artifact.path.read_text():
            raise ArtifactError("cut short\nand more", remedy="fetch it again")
        return Contract(artifact.path, "mine")


def test_what_no_reader_knows_is_passed_over_and_what_is_broken_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sib, "readers", lambda: (Reader(),))
    policy = write(tmp_path / "policy.pt", "x")
    good = write(tmp_path / "config.yaml", "mine: 1\n")
    write(tmp_path / "other.yaml", "yours: 1\n")
    write(tmp_path / "params.yaml", "mine: broken\n")
    write(tmp_path / "pointer.yaml", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    contracts, findings = read_siblings(policy)
    assert [c.path for c in contracts] == [good]
    assert [(f.code, f.severity) for f in findings] == [("INSP021", "warning")] * 2
    assert "cut short" in findings[0].title
    assert "\n" not in findings[0].title
