"""Paths in a report are as the user gave them; what is only read to name a cause is among the artifacts too."""

from __future__ import annotations

import json
import shlex
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from models import mlp, toml
from parity.cli import main

FEW = "[cases]\nnominal = 3\nedge = false\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, made the working directory, with a release in `release/` and its files in `files/`."""
    (tmp_path / "release").mkdir()
    (tmp_path / "files").mkdir()
    mlp(tmp_path / "files" / "reference.onnx")
    mlp(tmp_path / "files" / "right.onnx", doc="exported again")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args: str) -> tuple[int, dict[str, Any]]:
    code = main(["run", "release/parity.toml", "--out", "out", *args])
    return code, json.loads(Path("out/report.json").read_text())


def paths(report: dict[str, Any]) -> list[str]:
    return [a["path"] for a in report["artifacts"]]


def test_paths_are_as_given_and_the_inspect_line_works_where_the_run_was_started(folder: Path) -> None:
    (folder / "release" / "own.onnx").write_bytes((folder / "files" / "right.onnx").read_bytes())
    absolute = str(folder / "files" / "right.onnx")
    candidates = {"far": "../files/right.onnx", "own": "own.onnx", "absolute": absolute}
    toml(folder / "release", candidates, reference="../files/reference.onnx", more=FEW)
    code, report = run()
    assert code == 0, report["reasons"]
    assert paths(report) == ["../files/reference.onnx", "../files/right.onnx", "own.onnx", absolute]
    again, inspect = map(shlex.split, report["reproduce"])
    assert again == ["parity", "run", "release/parity.toml"]
    assert inspect[2:] == ["files/reference.onnx", "files/right.onnx", "release/own.onnx", absolute]
    assert main(inspect[1:]) == 0


def test_an_inspect_line_follows_a_linked_folder(folder: Path) -> None:
    """Beside a folder that is a link, `..` leads to where the folder really is."""
    toml(folder / "release", {"ort": "../files/right.onnx"}, reference="../files/reference.onnx", more=FEW)
    (folder / "links").mkdir()
    (folder / "links" / "linked").symlink_to(folder / "release")
    main(["run", "links/linked/parity.toml", "--out", "out"])
    report = json.loads(Path("out/report.json").read_text())
    assert paths(report) == ["../files/reference.onnx", "../files/right.onnx"]
    assert main(shlex.split(report["reproduce"][1])[1:]) == 0


def test_what_cannot_be_read_is_told_by_the_path_that_was_given(folder: Path) -> None:
    (folder / "files" / "cut.onnx").write_bytes((folder / "files" / "right.onnx").read_bytes()[:200])
    candidates = {"cut": "../files/cut.onnx", "gone": "gone.onnx"}
    toml(folder / "release", candidates, reference="../files/reference.onnx", more=FEW)
    code, report = run()
    assert code == 3
    text = json.dumps({k: v for k, v in report.items() if k != "release"})
    assert str(folder) not in text
    assert "../files/cut.onnx: not a readable ONNX model" in text
    inspect = shlex.split(report["reproduce"][1])
    assert inspect[2:] == ["files/reference.onnx"]


def test_a_waiver_names_the_path_that_the_report_shows(folder: Path) -> None:
    waiver = '[[waiver]]\nfinding = "PREC002"\nwhere = "../files/right.onnx"\nreason = "r"\nowner = "o"\n'
    waiver += "until = 2999-01-01\n"
    more = f'precision = "float16"\n{FEW}{waiver}'
    toml(folder / "release", {"ort": "../files/right.onnx"}, reference="../files/reference.onnx", more=more)
    code, report = run()
    assert [f["waived"] for f in report["findings"] if f["code"] == "PREC002"] == ["r (o, until 2999-01-01)"]
    assert code == 0, report["reasons"]


def test_judging_again_and_a_baseline_know_the_artifacts_of_a_run(folder: Path) -> None:
    toml(folder / "release", {"ort": "../files/right.onnx"}, reference="../files/reference.onnx", more=FEW)
    _, first = run()
    saved = folder / "saved.json"
    Path("out/report.json").replace(saved)
    code, again = run("--from", str(saved), "--baseline", str(saved))
    assert code == 0
    assert again["artifacts"] == first["artifacts"]
    assert again["reproduce"] == first["reproduce"]
    assert again["baseline"]["same_bytes"]


def test_compare_shows_paths_as_given(folder: Path) -> None:
    assert main(["compare", "files/reference.onnx", "release/../files/right.onnx", "--json", "out.json"]) == 0
    assert paths(json.loads(Path("out.json").read_text())) == ["files/reference.onnx", "release/../files/right.onnx"]


def test_the_checkpoint_that_names_a_cause_is_among_the_artifacts(folder: Path) -> None:
    checkpoint = mlp(folder / "files" / "trained.onnx", doc="what was trained")
    toml(folder / "release", {"ort": "../files/right.onnx"}, reference="../files/reference.onnx", more=FEW)
    settings = folder / "release" / "parity.toml"
    told = '[reference]\ncheckpoint = "../files/trained.onnx"\n'
    settings.write_text(settings.read_text().replace("[reference]\n", told))
    _, report = run()
    data = checkpoint.read_bytes()
    found = {a["side"]: a for a in report["artifacts"]}
    assert found["reference checkpoint"] == {
        "path": "../files/trained.onnx",
        "kind": "onnx",
        "sha256": sha256(data).hexdigest(),
        "bytes": len(data),
        "side": "reference checkpoint",
    }
    assert found["reference"]["path"] == "../files/reference.onnx"
    page = Path("out/report.html").read_text()
    assert sha256(data).hexdigest() in page
    saved = folder / "saved.json"
    Path("out/report.json").replace(saved)
    mlp(checkpoint, seed=3)
    _, moved = run("--baseline", str(saved))
    assert not moved["baseline"]["same_bytes"]
