"""`parity inspect`: contracts shown, disagreements found, exit codes, JSON by its schema, hostile names."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import parity.contract
from parity.cli import main
from parity.cli.inspecting import print_inspection
from parity.contract import Contract, Normalization, Sampler, Window
from parity.contract.disagree import disagreements, only_one_says
from parity.errors import ArtifactError
from parity.finding import Finding
from parity.report.schema import validate
from parity.tensor import Range, TensorSpec

RICH = Contract(
    Path("run"),
    "lerobot",
    policy="diffusion",
    inputs=(
        TensorSpec("observation.images.top", (3, 96, 96), role="image", batched=False),
        TensorSpec(
            "observation.state",
            (2,),
            role="state",
            batched=False,
            range=Range("min_max", (0.0,), (1.0,), (), "stats.safetensors"),
        ),
    ),
    outputs=(TensorSpec("action", (2,), role="action", batched=False),),
    window=Window(2, 16, None, 8, 10.0),
    normalization=Normalization({"STATE": "MIN_MAX"}),
    sampler=Sampler(scheduler="DDIM", inference_steps=10),
    precision="float32",
    metadata={"joint_names": ["a", "b", "c", "d", "e"], "action_scale": [float("nan"), 0.25]},
)
GRAPH = Contract(
    Path("policy.onnx"),
    "onnx",
    inputs=(
        TensorSpec("observation.images.top", ("batch", 2, 3, 96, 96), "float32", "image"),
        TensorSpec("observation.state", ("batch", 2, 2), "float32", "state"),
    ),
    outputs=(TensorSpec("action", ("batch", 16, 2), "float32", "action"),),
)
SCRIPT = Contract(Path("policy.pt"), "torchscript", complete=False)
KNOWN: dict[str, Contract] = {"run": RICH, "policy.onnx": GRAPH, "policy.pt": SCRIPT}


@pytest.fixture(autouse=True)
def _readers(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: str) -> Contract:
        if path not in KNOWN:
            raise ArtifactError(f"{path}: no such file or folder", remedy="check the path")
        return KNOWN[path]

    monkeypatch.setattr(parity.contract, "read_contract", read)


def run_json(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, Any]:
    code = main(["inspect", *args, "--json", "-"])
    document = json.loads(capsys.readouterr().out)
    validate(document, "inspect")
    return code, document


def test_one_artifact(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "run"]) == 0
    shown = capsys.readouterr()
    for words in (
        "run (lerobot, diffusion)",
        "in  observation.images.top  (3, 96, 96)  ?  image",
        "out action  (2,)  ?  action",
        "n_obs_steps 2, horizon 16, n_action_steps 8, control_hz 10.0",
        "normalization: STATE MIN_MAX",
        "scheduler DDIM",
        "range of observation.state: min_max, from stats.safetensors",
        "precision: float32",
        "joint names: a, b, c, d, … (5)",
        "control rate: 10",
    ):
        assert words in shown.out
    assert "disagreement" not in shown.out
    assert not shown.err


def test_disagreements_are_findings_and_fail_under_strict(capsys: pytest.CaptureFixture[str]) -> None:
    code, document = run_json(capsys, "run", "policy.onnx")
    assert (code, document["verdict"], document["reasons"]) == (0, "PASS", [])
    (d,) = document["disagreements"]
    assert (d["kind"], d["values"], d["artifacts"]) == ("chunk", [8, 16], ["run", "policy.onnx"])
    assert {f["code"] for f in document["findings"]} == {d["code"], "INSP020"}
    assert document["findings"][0]["severity"] == "error"
    code, document = run_json(capsys, "run", "policy.onnx", "--strict")
    assert (code, document["verdict"], document["reasons"]) == (1, "FAIL", [d["sentence"]])


def test_the_order_and_form_of_the_json(capsys: pytest.CaptureFixture[str]) -> None:
    _, document = run_json(capsys, "run", "policy.onnx")
    assert document["schema"] == 1
    assert [a["path"] for a in document["artifacts"]] == ["run", "policy.onnx"]
    assert document["artifacts"][1]["inputs"][1] == {
        "name": "observation.state",
        "shape": ["batch", 2, 2],
        "dtype": "float32",
        "role": "state",
    }
    assert document["artifacts"][0]["metadata"]["action_scale"] == ["NaN", 0.25]
    assert document["artifacts"][0]["metadata"]["window"]["n_action_steps"] == 8
    assert document["joined"]["inputs"][1]["shape"] == ["batch", 2, 2]
    assert document["joined"]["metadata"]["told_by"]["inputs.observation.state.dtype"] == "policy.onnx"


def test_people_read_stderr_when_json_takes_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "run", "policy.onnx", "--json", "-"]) == 0
    shown = capsys.readouterr()
    json.loads(shown.out)
    assert "1 disagreement with run" in shown.err


def test_same_artifacts_do_not_disagree(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "policy.onnx", "policy.onnx", "--strict"]) == 0
    assert "no disagreement with policy.onnx" in capsys.readouterr().out


def test_an_artifact_that_cannot_be_read_is_2_and_no_earlier_result_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "r.json"
    assert main(["inspect", "run", "--json", str(target)]) == 0
    assert json.loads(target.read_text(encoding="utf-8"))["verdict"] == "PASS"
    capsys.readouterr()
    assert main(["inspect", "run", "gone.onnx", "--json", str(target)]) == 2
    shown = capsys.readouterr()
    assert shown.err == "error: gone.onnx: no such file or folder\n  what to do: check the path\n"
    assert not shown.out
    assert not target.exists()


def test_an_error_finding_fails_under_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = replace(RICH, findings=(Finding("STATS001", "error", "statistics miss a feature"),))
    monkeypatch.setitem(KNOWN, "bad", bad)
    assert main(["inspect", "bad"]) == 0
    assert main(["inspect", "bad", "--strict"]) == 1


def test_what_torchscript_cannot_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "policy.pt", "policy.onnx", "--strict"]) == 0
    shown = capsys.readouterr().out
    assert "cannot be told from this file alone" in shown
    assert "together, with what lies beside policy.pt\n  in  observation.images.top  (batch, 2, 3, 96, 96)" in shown
    assert "INSP020 info: only policy.onnx says: input shapes, output shapes" in shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_sixty_columns_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    found = disagreements(RICH, GRAPH)
    stream = Terminal()
    print_inspection([RICH, GRAPH], RICH, found, only_one_says(RICH, GRAPH), stream)
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 60
    text = stream.getvalue()
    for words in ("observation.images.top", "(batch, 2,", "float32", "image", "1 disagreement with run"):
        assert words in text


@pytest.mark.parametrize("tty", [False, True])
def test_hostile_names_are_shown_and_not_obeyed(tty: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    evil = "obs\x1b[2J\x1b]0;x\x07\r\nno disagreement [red]x[/red] ::error::x \u202e" + "y" * 100_000
    contract = replace(
        GRAPH,
        path=Path("::error::[bold]p"),
        policy=evil,
        inputs=(TensorSpec(evil, (evil, 3), evil),),
        metadata={"joint_names": [evil]},
        findings=(Finding("INSP001", "error", evil),),
    )
    stream = Terminal() if tty else io.StringIO()
    print_inspection([contract, GRAPH], contract, disagreements(contract, GRAPH), [], stream)
    text = stream.getvalue()
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(text)
    assert not [line for line in text.splitlines() if line.startswith(("no disagreement", "::"))] or tty
    assert "[red]" in text or tty
    assert len(text) < 20_000
