"""`parity export`: what is written is what was there, or nothing lies at the target."""

from __future__ import annotations

import json
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from typing import Any

import onnx
import pytest

from parity.cli import main

pytestmark = pytest.mark.skipif(find_spec("torch") is None, reason="torch exports")

POLICIES = """
    import torch

    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Mish(), torch.nn.Dropout(0.5))
            self.heads = torch.nn.ModuleList([torch.nn.Linear(8, 2), torch.nn.Linear(8, 3)])

        def forward(self, obs):
            hidden = self.net(obs)
            return {"action": self.heads[0](hidden), "value": self.heads[1](hidden)}

    class Branch(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b = torch.nn.Linear(4, 2), torch.nn.Linear(4, 2)

        def forward(self, obs):
            return self.a(obs) if float(obs.sum()) > 0 else self.b(obs)

    class Noisy(Branch):
        def forward(self, obs):
            return self.a(obs) + torch.randn(1, 2)

    class Turncoat(Branch):
        '''A policy whose weights are changed while it is exported.'''
        def forward(self, obs):
            if torch.onnx.is_in_onnx_export() or torch.jit.is_tracing():
                self.a.weight.data *= 2
            return self.a(obs)

    def plain(): return Plain()
    def branch(): return Branch().eval()
    def noisy(): return Noisy().eval()
    def turncoat(): return Turncoat().eval()
"""
CONTRACT = """
    [release]
    name = "export"
    [reference]
    path = "policies:{build}"
    [[candidate]]
    name = "ort"
    path = "policy.onnx"
    [contract.inputs.obs]
    shape = ["batch", 4]
    low = -2.0
    high = 2.0
    [contract.outputs.action]
    shape = ["batch", 2]
    {more}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "policies.py").write_text(dedent(POLICIES))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def export(folder: Path, build: str, *args: str) -> tuple[int, dict[str, Any]]:
    """Export what ``policies:build`` gives to ``policy.onnx`` and return exit code and JSON (empty where none came)."""
    more = '[contract.outputs.value]\n    shape = ["batch", 3]' if build == "plain" else ""
    (folder / "parity.toml").write_text(dedent(CONTRACT.format(build=build, more=more)))
    result = folder / "result.json"
    result.unlink(missing_ok=True)
    code = main(["export", "parity.toml", "-o", "policy.onnx", "--cases", "4", "--json", str(result), *args])
    return code, json.loads(result.read_text()) if result.is_file() else {}


def codes(report: dict[str, Any]) -> set[str]:
    return {f["code"] for f in report["findings"]}


def test_a_policy_in_train_mode_is_exported_in_eval_mode_and_compared(folder: Path) -> None:
    code, report = export(folder, "plain")
    assert code == 0
    assert report["verdict"] == "PASS"
    assert report["export"]["opset"] == 17
    model = onnx.load(folder / "policy.onnx")
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    assert [v.name for v in model.graph.input] == ["obs"]
    assert [v.name for v in model.graph.output] == ["action", "value"]
    assert "Dropout" not in {n.op_type for n in model.graph.node}
    assert {p.key for p in model.metadata_props} == {"parity.export", "parity.source", "parity.source_sha256"}
    assert sorted(p.name for p in folder.iterdir() if p.name.startswith(("policy.", "."))) == [
        "policy.onnx",
        "policy.scopes.json",
    ]


def test_each_value_is_told_with_its_module(folder: Path) -> None:
    export(folder, "plain")
    scopes = json.loads((folder / "policy.scopes.json").read_text())["scopes"]
    assert scopes["action"] == "heads.0"
    assert scopes["value"] == "heads.1"
    assert "net.0" in scopes.values()
    assert set(scopes) <= {o for n in onnx.load(folder / "policy.onnx").graph.node for o in n.output}


def test_the_other_exporter_and_a_free_batch(folder: Path) -> None:
    pytest.importorskip("onnxscript")
    code, report = export(folder, "plain", "--exporter", "dynamo", "--dynamic-batch")
    assert code == 0
    assert report["export"]["opset"] == 18
    assert any("-b0" in c["case"] for c in report["comparisons"])  # a free batch is judged as one
    data = (folder / "policy.onnx").read_bytes()
    assert str(folder).encode() not in data
    assert not re.search(rb"stack_trace|site-packages", data)
    assert not (folder / "policy.onnx.data").exists()
    scopes = json.loads((folder / "policy.scopes.json").read_text())["scopes"]
    assert scopes["action"] == "heads.0"


def test_another_opset_than_asked_for_is_not_stored(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxscript")
    code, _ = export(folder, "plain", "--exporter", "dynamo", "--opset", "14")
    assert code == 3
    assert "asked for opset 14, the exporter wrote opset 18" in capsys.readouterr().err
    assert not list(folder.glob("policy*.onnx*"))


@pytest.mark.parametrize(("build", "code", "verdict"), [("branch", 1, "FAIL"), ("noisy", 3, "NOT_JUDGED")])
def test_an_export_that_is_not_the_policy_does_not_lie_at_the_target(
    folder: Path, build: str, code: int, verdict: str
) -> None:
    assert export(folder, "plain")[0] == 0
    got, report = export(folder, build)
    assert (got, report["verdict"]) == (code, verdict)
    assert "EXPT002" in codes(report)
    assert ("EXPT001" in codes(report)) == (build == "branch")  # the frozen decision is named
    assert not (folder / "policy.onnx").exists()  # the earlier, right one either: it is another policy's
    assert not (folder / "policy.scopes.json").exists()
    assert (folder / "policy.rejected.onnx").is_file()


def test_a_policy_that_changes_while_it_is_exported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = export(folder, "turncoat")
    assert code == 3
    assert "changed the policy while exporting it: a.weight" in capsys.readouterr().err
    assert not list(folder.glob("policy*.onnx"))


def test_what_is_no_export_is_never_replaced(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "policy.onnx").write_text("my only checkpoint")
    code, _ = export(folder, "plain")
    assert code == 2
    assert "did not write" in capsys.readouterr().err
    assert (folder / "policy.onnx").read_text() == "my only checkpoint"


def test_a_source_that_torch_cannot_export(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export(folder, "plain")
    code = main(["export", "policy.onnx", "-o", "again.onnx"])
    assert code == 2
    assert "nothing that torch can export" in capsys.readouterr().err


def test_a_shape_that_the_source_does_not_tell(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch")
    torch.jit.script(torch.nn.Linear(4, 2)).save("linear.pt")
    assert main(["export", "linear.pt", "-o", "policy.onnx"]) == 2
    assert "--shape input=1,48" in capsys.readouterr().err
    for wrong in ("input", "=1,4", "input=1,0", "input="):
        assert main(["export", "linear.pt", "-o", "policy.onnx", "--shape", wrong]) == 2
        assert "NAME=DIMS" in capsys.readouterr().err
    assert main(["export", "linear.pt", "-o", "policy.onnx", "--shape", "input=1,4", "--cases", "4"]) == 0
    assert onnx.load("policy.onnx").graph.input[0].type.tensor_type.shape.dim[1].dim_value == 4


@pytest.fixture
def atc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for `atc` that notes how it was called and leaves a file."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "atc"
    program.write_text(
        f"#!{sys.executable}\n"
        "import os, sys\n"
        f"open({str(tmp_path / 'called')!r}, 'w').write('\\n'.join(sys.argv[1:]))\n"
        "out = next(a[9:] for a in sys.argv if a.startswith('--output='))\n"
        "if os.environ.get('ATC_FAILS'):\n"
        "    sys.exit('E10001: value is invalid')\n"
        "open(out + '.om', 'w').write('om')\n"
        "print('ATC run success')\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "called"


def test_the_line_for_atc_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, report = export(folder, "plain", "--soc", "Ascend310P1", "--om-precision", "origin", "--dynamic-batch")
    assert code == 0
    assert report["export"]["atc"] == [
        "atc",
        "--model=policy.onnx",
        "--framework=5",
        "--output=policy",
        "--soc_version=Ascend310P1",
        "--input_shape=obs:1,4",
        "--precision_mode_v2=origin",
    ]
    captured = capsys.readouterr()
    assert "atc --model=policy.onnx --framework=5" in captured.out
    assert "atc is not installed here" in captured.err
    assert "om" not in report["export"]


def test_what_float16_is_predicted_to_do_is_said_with_the_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, report = export(folder, "plain", "--soc", "Ascend310P1")
    assert code == 0
    told = report["predicted"][0]
    assert (told["candidate"], told["source"], told["survives"]) == ("export", "policy.onnx", True)
    assert told["outputs"][0]["max_abs"] > 0
    assert "PREDICTED, not measured: the outputs survive float16" in capsys.readouterr().out
    code, report = export(folder, "plain", "--soc", "Ascend310P1", "--om-precision", "origin")
    assert code == 0
    assert "predicted" not in report


def test_atc_runs_where_it_is(folder: Path, atc: Path) -> None:
    code, report = export(folder, "plain", "--soc", "Ascend310P1")
    assert code == 0
    assert report["export"]["om"] == "policy.om"
    assert atc.read_text().splitlines()[0] == "--model=policy.onnx"


def test_atc_that_fails(
    folder: Path, atc: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ATC_FAILS", "1")
    code, _ = export(folder, "plain", "--soc", "Ascend310P1")
    assert code == 3
    assert "E10001" in capsys.readouterr().err


@pytest.mark.parametrize("soc", ["310P1", "Ascend 310", "Ascend310P1;rm"])
def test_a_chip_that_is_none(folder: Path, soc: str) -> None:
    assert export(folder, "plain", "--soc", soc)[0] == 2
    assert not (folder / "policy.onnx").exists()


@pytest.mark.corpus
def test_an_actor_from_its_checkpoint_is_the_export_of_its_trainer(
    folder: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = corpus / "made" / "rsl-rl"
    source = folder / "model.pt"
    source.write_bytes((made / "model_rsl551.pt").read_bytes())
    assert main(["export", "model.pt", "-o", "policy.onnx", "--cases", "4"]) == 2  # a guess would agree with itself
    assert "do not say activation" in capsys.readouterr().err
    (folder / "parity.toml").write_text(
        '[release]\nname = "x"\n[reference]\npath = "model.pt"\nkwargs = {activation = "elu"}\n'
        '[[candidate]]\nname = "ort"\npath = "policy.onnx"\n'
    )
    assert main(["export", "parity.toml", "-o", "policy.onnx", "--cases", "4"]) == 0
    assert main(["compare", str(made / "policy_rsl551.onnx"), "policy.onnx", "--cases", "4"]) == 0
