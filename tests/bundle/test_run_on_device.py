"""The script of a bundle on a device that is none: what it checks, what it leaves behind, what it repeats."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import zipfile
from pathlib import Path
from textwrap import dedent

import pytest

from bare_python import command, numpy_alone, run_bare
from bundles import release, unpacked
from parity.cli.shell import run
from processes import heard

# An onnxruntime of a few lines, so that a test decides what the runtime does.
RUNTIME = """
    import os, time
    import numpy as np
    __version__ = "0.0 of a test"
    calls = []
    class SessionOptions: pass
    class Told:
        def __init__(self, name, shape):
            self.name, self.shape, self.type = name, shape, "tensor(float)"
    class InferenceSession:
        def __init__(self, path, options, providers): self.providers = providers
        def get_providers(self): return self.providers
        def get_inputs(self): return [Told("obs", [1, 6])]
        def get_outputs(self): return [Told("action", [1, 3])]
        def run(self, names, feeds):
            calls.append(1)
            {body}
            return [feeds["obs"][:, :3] * np.float32(1)]
"""


def runtime(folder: Path, body: str = "pass") -> Path:
    (folder / "runtime").mkdir(parents=True, exist_ok=True)
    (folder / "runtime" / "onnxruntime.py").write_text(dedent(RUNTIME).replace("{body}", body))
    return folder / "runtime"


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = release(tmp_path / "rel", more="\n[cases]\nnominal = 3\nedge = false\n")
    assert run(["bundle", str(path), "-o", str(tmp_path / "bundle.zip")]) == 0
    unpacked(tmp_path / "bundle.zip", tmp_path / "device")
    return tmp_path


def ran(device: Path, body: str = "pass", *more: str) -> subprocess.CompletedProcess[str]:
    path = [numpy_alone(device / "numpy"), runtime(device, body)]
    return run_bare(path, str(device / "device" / "run_on_device.py"), "-o", str(device / "results.zip"), *more)


def left(device: Path) -> list[str]:
    """What of results lies in the folder, complete or not."""
    return sorted(p.name for p in device.iterdir() if "results" in p.name)


def manifest(device: Path) -> dict:
    with zipfile.ZipFile(device / "results.zip") as z:
        return json.loads(z.read("manifest.json"))


def test_it_needs_numpy_and_the_runtime_and_nothing_else(device: Path) -> None:
    done = ran(device)
    assert done.returncode == 0, done.stderr
    told = manifest(device)
    assert [c["id"] for c in told["cases"]] == ["nominal-0000", "nominal-0001", "nominal-0002"]
    assert told["repeated"] == {"cases": ["nominal-0000", "nominal-0001"], "differs": {}}
    assert left(device) == ["results.zip"]


@pytest.mark.parametrize("name", ["inputs/obs/nominal-0002.npy", "artifact/candidate.onnx"])
def test_a_file_changed_on_the_way(device: Path, name: str) -> None:
    file = device / "device" / name
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    done = ran(device)
    assert done.returncode == 1
    assert "another SHA-256" in done.stderr
    assert left(device) == []


def test_a_file_that_is_missing(device: Path) -> None:
    (device / "device" / "inputs/obs/nominal-0001.npy").unlink()
    done = ran(device)
    assert (done.returncode, left(device)) == (1, [])
    assert "cannot be read" in done.stderr


def test_a_manifest_that_leads_out_of_the_folder(device: Path) -> None:
    file = device / "device" / "manifest.json"
    file.write_text(file.read_text().replace("inputs/obs/nominal-0000.npy", "../../rel/candidate.onnx"))
    done = ran(device)
    assert (done.returncode, left(device)) == (1, [])
    assert "a path out of the bundle" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('Told("obs", [1, 6])', 'Told("state", [1, 6])', "the runtime's inputs are state"),
        ('Told("action", [1, 3])', 'Told("actions", [1, 3])', "the runtime's outputs are actions"),
        ('"tensor(float)"', '"tensor(float16)"', "the runtime takes float16, the cases hold float32"),
        ("self.providers = providers", 'self.providers = ["Other"]', "but ONNX Runtime runs Other"),
        ('return [feeds["obs"][:, :3] * np.float32(1)]', "return [None]", "which is no number"),
        ('return [feeds["obs"][:, :3] * np.float32(1)]', 'raise RuntimeError("out of memory")', "out of memory"),
    ],
)
def test_a_runtime_that_is_not_what_was_told(device: Path, old: str, new: str, said: str) -> None:
    runtime(device)
    file = device / "runtime" / "onnxruntime.py"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    path = [numpy_alone(device / "numpy"), device / "runtime"]
    done = run_bare(path, str(device / "device" / "run_on_device.py"), "-o", str(device / "results.zip"))
    assert (done.returncode, left(device)) == (1, [])
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_to_end_it_leaves_no_half_zip(device: Path, number: signal.Signals) -> None:
    body = f"open({str(device / 'begun')!r}, 'w').close() if len(calls) > 4 else 0; time.sleep(60 * (len(calls) > 4))"
    path = [numpy_alone(device / "numpy"), runtime(device, body)]
    words = command(path, str(device / "device" / "run_on_device.py"), "-o", str(device / "results.zip"))
    with heard(number):
        script = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env={"PATH": ""})
    with script:
        while not (device / "begun").exists():
            assert script.poll() is None
            time.sleep(0.02)
        assert left(device) == [f".results.zip.{script.pid}.part"]
        script.send_signal(number)
        _, said = script.communicate(timeout=30)
    assert script.returncode == 130
    assert left(device) == []
    assert "nothing was written" in said


def test_an_earlier_zip_stays_where_a_run_fails(device: Path) -> None:
    (device / "results.zip").write_bytes(b"of an earlier run")
    assert ran(device, 'raise ValueError("no")').returncode == 1
    assert (device / "results.zip").read_bytes() == b"of an earlier run"


def test_a_runtime_that_says_another_thing_each_time_is_not_judged(device: Path) -> None:
    body = "return [feeds['obs'][:, :3] + np.float32(0.01) * len(calls)]"
    assert ran(device, body).returncode == 0
    assert manifest(device)["repeated"]["differs"]["action"] == pytest.approx(0.01, rel=1e-3)
    words = ["--bundle", str(device / "bundle.zip"), "-o", str(device / "board.h5")]
    assert run(["capture", str(device / "results.zip"), *words]) == 0
    text = (device / "rel" / "parity.toml").read_text()
    (device / "rel" / "board.toml").write_text(text.replace("candidate.onnx", "../board.h5"))
    run(["run", str(device / "rel" / "board.toml"), "--out", str(device / "out")])
    report = json.loads((device / "out" / "report.json").read_text())
    assert "GATE004" in {f["code"] for f in report["findings"]}
    assert report["verdict"] != "PASS"


def test_onnx_dumps_nothing(device: Path) -> None:
    done = ran(device, "pass", "--dump", "1")
    assert (done.returncode, left(device)) == (1, [])
    assert "--dump needs an OM" in done.stderr


def test_without_numpy_it_says_so(device: Path) -> None:
    done = run_bare([], str(device / "device" / "run_on_device.py"), "-o", str(device / "results.zip"))
    assert done.returncode == 1
    assert done.stderr.startswith("STOPPED: NumPy is not installed for ")
    assert "Traceback" not in done.stderr
