"""An OM there and back: the script in a bare Python with NumPy and the double of pyACL, which is no device."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from acl_runs import DOUBLE, logged
from bare_python import numpy_alone, run_bare
from bundles import unpacked
from dump_writer import write_dump
from judged import agrees_on_a_stand_in
from models import mlp
from om_writer import Node, Om, Port, write
from parity.cli.shell import run
from parity.trace import Trace

PLAYED = """
    import numpy as np
    W1, B1, W2, B2 = (np.array(a, np.float32) for a in {weights})
    def compute(inputs):
        return {{"action": {gain} * (np.tanh(inputs["obs"] @ W1 + B1) @ W2 + B2)}}
"""
# Added to a copy of the double: a dump for each execution, as acl.json asks for them.
DUMPING = """

import json as _json, os as _os
_init, _execute, _runs = init, mdl.execute, []

def init(config=None):
    if config:
        with open(config) as f:
            _runs.append(_json.load(f)["dump"])
        assert _runs[0]["dump_list"] == [{"model_name": "policy"}], _runs
        assert "ASCEND_WORK_PATH" not in _os.environ
    return _init(config)

def _dumping(model, inputs, outputs):
    status = _execute(model, inputs, outputs)
    if _runs:
        place = _os.path.join(_runs[0]["dump_path"], "20261130120000", "0", "policy", "1", str(len(_runs) - 1))
        _os.makedirs(place, exist_ok=True)
        with open(_os.path.join(place, "MatMulV2.out.4.2.1700000000000000"), "wb") as f:
            f.write(b"not looked at before it is asked for")
        _runs.append(1)
    return status

mdl.execute = _dumping
"""


def played(folder: Path, name: str, *, gain: float = 1.0, **told: Any) -> None:
    """Write what the double plays beside an OM: the reference's network, its outputs rounded to float16."""
    graph = onnx.load(str(folder / "reference.onnx")).graph
    weights = {t.name: numpy_helper.to_array(t).tolist() for t in graph.initializer}
    code = PLAYED.format(weights=[weights[n] for n in ("w1", "b1", "w2", "b2")], gain=gain)
    (folder / f"{name}.py").write_text(dedent(code))
    ports = {"inputs": [("obs", [1, 6])], "outputs": [("out:0:action", [1, 3])]}
    contract = {k: [{"name": n, "shape": s, "dtype": "float32"} for n, s in v] for k, v in ports.items()}
    (folder / f"{name}.json").write_text(json.dumps({**contract, "arithmetic": "float16", **told}))


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A release of an OM, bundled and unpacked as on a device."""
    mlp(tmp_path / "reference.onnx")
    om = Om(
        inputs=(Port("obs", (1, 6)),),
        outputs=(Port("out:0:action", (1, 3), source="out:0"),),
        nodes=(Node("out", "MatMulV2", ("obs:0",), ("float16",), (1, 3)),),
        attributes={"soc_version": "Ascend310P3"},
    )
    write(tmp_path / "policy.om", om)
    head = '[release]\nname = "t"\n[reference]\npath = "reference.onnx"\n[cases]\nnominal = 8\n'
    own = '[[candidate]]\nname = "board"\npath = "policy.om"\nprecision = "float16"\n'
    (tmp_path / "parity.toml").write_text(head + own)
    (tmp_path / "board.toml").write_text(head + own.replace("policy.om", "board.h5"))
    assert run(["bundle", str(tmp_path), "-o", str(tmp_path / "bundle.zip")]) == 0
    unpacked(tmp_path / "bundle.zip", tmp_path / "device")
    played(tmp_path, "device/artifact/policy.om")
    return tmp_path


def ran(there: Path, *more: str, double: Path = DOUBLE, **env: str) -> subprocess.CompletedProcess[str]:
    path = [numpy_alone(there / "numpy"), double]
    words = [str(there / "device" / "run_on_device.py"), "-o", str(there / "results.zip"), *more]
    return run_bare(path, *words, env={"PATH": "", "ACL_DOUBLE_LOG": str(there / "log"), **env})


def judged(there: Path) -> dict[str, Any]:
    words = ["--bundle", str(there / "bundle.zip"), "-o", str(there / "board.h5")]
    assert run(["capture", str(there / "results.zip"), *words]) == 0
    run(["run", str(there / "board.toml"), "--out", str(there / "out")])
    return json.loads((there / "out" / "report.json").read_text())


def test_what_comes_back_is_judged_at_its_class_and_is_no_evidence_of_a_device(there: Path) -> None:
    done = ran(there)
    assert done.returncode == 0, done.stderr
    assert logged(there / "log", "violation") == []
    report = judged(there)
    assert agrees_on_a_stand_in(report), report["reasons"]
    assert report["candidates"][0]["precision"] == "float16"
    told = {f["code"]: f for f in report["findings"]}
    assert "not by a device" in told["GATE020"]["title"]
    assert "no hardware" in told["CAPT020"]["title"]
    assert "that proves nothing" in (there / "out" / "report.html").read_text()
    text = (there / "board.toml").read_text().replace('precision = "float16"\n', "")
    (there / "board.toml").write_text(text)
    assert judged(there)["verdict"] == "FAIL"


def test_a_wrong_policy_comes_back_and_fails(there: Path) -> None:
    played(there, "device/artifact/policy.om", gain=1.1)
    assert ran(there).returncode == 0
    report = judged(there)
    assert report["verdict"] == "FAIL"
    assert "DIFF001" in {f["code"] for f in report["findings"]}


def test_the_artifact_behind_the_recording_must_be_the_one_that_answered(there: Path) -> None:
    assert ran(there).returncode == 0
    text = (there / "board.toml").read_text().replace('"board.h5"', '"board.h5"\nartifact = "policy.om"')
    (there / "board.toml").write_text(text)
    report = judged(there)
    assert agrees_on_a_stand_in(report), report["reasons"]
    with (there / "policy.om").open("r+b") as f:
        f.seek(84)
        f.write(b"other")
    report = judged(there)
    assert report["verdict"] == "FAIL"
    assert any("made by another file" in r for r in report["reasons"]), report["reasons"]


def test_another_chip_is_refused(there: Path) -> None:
    done = ran(there, ACL_DOUBLE_SOC="Ascend910B3")
    assert done.returncode == 1
    assert "compiled for Ascend310P3" in done.stderr
    assert not (there / "results.zip").exists()
    assert ran(there, "--any-soc", ACL_DOUBLE_SOC="Ascend910B3").returncode == 0


@pytest.mark.parametrize("call", ["mdl.load_from_file", "mdl.execute:5", "rt.memcpy:9", "init"])
def test_a_call_that_fails_leaves_nothing(there: Path, call: str) -> None:
    done = ran(there, ACL_DOUBLE_FAIL=call if ":" in call else f"{call}:1")
    assert done.returncode == 1
    assert done.stderr.startswith("STOPPED: ")
    assert "Traceback" not in done.stderr
    assert not list(there.glob("*results*"))
    assert logged(there / "log", "violation") == []


def test_a_model_of_another_size_than_the_cases(there: Path) -> None:
    """The runtime itself would take an observation that is 12 bytes short."""
    played(there, "device/artifact/policy.om", inputs=[{"name": "obs", "shape": [1, 9], "dtype": "float32"}])
    done = ran(there)
    assert done.returncode == 1
    assert "36 bytes" in done.stderr or "takes exactly 36" in done.stderr, done.stderr


def test_dumps_are_taken_along_and_held_against_their_hashes(there: Path) -> None:
    double = there / "dumping"
    shutil.copytree(DOUBLE, double)
    with (double / "acl" / "__init__.py").open("a") as f:
        f.write(DUMPING)
    words = ["-o", str(there / "results.zip"), "--dump", "2"]
    env = {"PATH": "", "ASCEND_WORK_PATH": "/nowhere", "PYTHONPATH": f"{double}:{numpy_alone(there / 'numpy')}"}
    script = there / "device" / "run_on_device.py"
    command = [sys.executable, "-S", str(script), *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=99)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(there / "results.zip") as z:
        dumps = [n for n in z.namelist() if n.startswith("dumps/")]
        told = json.loads(z.read("manifest.json"))["dumps"]
    assert len(dumps) == 2
    assert sorted(d["path"] for d in told) == sorted(dumps)
    assert agrees_on_a_stand_in(judged(there))


def test_dumps_give_the_outputs_by_the_nodes_that_the_om_names(there: Path) -> None:
    answers = {}
    for k in range(2):
        answers[f"nominal-{k:04d}"] = np.full((1, 3), 0.25 + k, np.float32)
        place = there / "dump" / "2026" / "0" / "policy" / "1" / str(k)
        write_dump(place / "MatMulV2.out.4.2.1700000000000000", [], [answers[f"nominal-{k:04d}"]], "out")
    words = ["--bundle", str(there / "bundle.zip"), "-o", str(there / "board.h5")]
    words += [w for i in answers for w in ("--case", i)]
    assert run(["capture", str(there / "dump"), *words]) == 0
    with Trace.open(there / "board.h5") as trace:
        for i, array in answers.items():
            assert np.array_equal(trace.mapped(i, "action"), array)
