"""`parity replay`: its exit codes, its JSON by the schema, its files and its words, of a release that really runs."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from parity.cli import main
from parity.report.schema import validate
from replay_release import ACTIONS, Weights, write_release


def shifted(given: Weights) -> Weights:
    """Add 0.05 to the first action dimension, at every step of the chunk."""
    given["b1"][::ACTIONS] += 0.05
    return given


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    write_release(folder, {"good": None, "bad": shifted}, lengths=(40,) * 12)
    return folder


def said(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = main(["replay", *args])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_a_fault_is_told_in_every_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    code, out, err = said(capsys, "--out", "out", "--json", "r.json", "--episodes", "0:11")
    assert code == 1, err
    report: dict[str, Any] = json.loads(Path("r.json").read_text(encoding="utf-8"))
    validate(report)
    assert report == json.loads(Path("out/report.json").read_text(encoding="utf-8"))
    assert {c["name"]: c["verdict"] for c in report["candidates"]} == {"good": "PASS", "bad": "FAIL"}
    replay = report["replay"]
    assert replay["dataset"]["path"] == "data.npz"  # as the user gave it: no word of where the release lay
    assert str(folder) not in json.dumps(report)
    assert (replay["frames"], replay["planned"], len(replay["episodes"])) == (440, 440, 11)
    assert report["reproduce"][0] == "parity replay parity.toml --episodes 0:11"
    overlay = replay["candidates"]["bad"]["action"]["overlay"]["overlay"]["worst"]["dimensions"][0]
    assert overlay["dimension"] == 0
    assert [c - r for r, c in zip(overlay["reference"], overlay["candidate"], strict=True)] == pytest.approx(
        [0.05] * 40, abs=1e-3
    )
    total, failed = len(report["measures"]), sum(m["verdict"] == "FAIL" for m in report["measures"])
    assert f"replayed: 440 frames of 11 episodes, asked every 4 frames; {total} measures, {failed} fail" in out
    assert "nothing compared" not in out
    assert "Recorded data" in Path("out/report.html").read_text(encoding="utf-8")
    assert "action[0]" in Path("out/summary.md").read_text(encoding="utf-8")
    cases = {c.attrib["name"]: [k.tag for k in c] for c in ET.parse("out/junit.xml").iter("testcase")}
    for m in report["measures"]:
        assert (cases[m["id"]] == ["failure"]) is (m["verdict"] == "FAIL")


def test_the_same_replay_gives_the_same_report(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    documents = []
    for lanes in ("1", "2"):
        said(capsys, "--out", f"again-{lanes}", "--json", "again.json", "--episodes", "0:3", "-n", lanes)
        document = json.loads(Path("again.json").read_text(encoding="utf-8"))
        documents.append({k: document[k] for k in ("measures", "findings", "replay", "verdict")})
    assert documents[0] == documents[1]


def test_json_alone_on_standard_output(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    code, out, err = said(capsys, "--out", "piped", "--json", "-", "--episodes", "0")
    assert code == 1
    validate(json.loads(out))
    assert "replayed: 40 frames of 1 episode, asked every 4 frames;" in err
