"""A release's ONNX candidate: bundled, run by the script in another folder, captured, judged."""

from __future__ import annotations

import ast
import json
import zipfile
from pathlib import Path

import pytest

from bundles import release, run_script, unpacked
from parity.bundle.script import MODELS, script_for
from parity.cli.shell import run


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A release, its bundle, and the bundle unpacked in a folder of its own."""
    path = release(tmp_path / "rel")
    assert run(["bundle", str(path), "-o", str(tmp_path / "bundle.zip")]) == 0
    unpacked(tmp_path / "bundle.zip", tmp_path / "device")
    return tmp_path


def judged(there: Path, **kept: str) -> dict:
    """Judge the release with the captured trace as its candidate."""
    text = (there / "rel" / "parity.toml").read_text()
    lines = "".join(f'{k} = "{v}"\n' for k, v in kept.items())
    (there / "rel" / "board.toml").write_text(
        text.replace('path = "candidate.onnx"', f'runner = "recorded"\npath = "../board.h5"\n{lines}')
    )
    run(["run", str(there / "rel" / "board.toml"), "--out", str(there / "out")])
    return json.loads((there / "out" / "report.json").read_text())


def came_back(there: Path) -> Path:
    done = run_script(there / "device" / "run_on_device.py", "-o", str(there / "results.zip"))
    assert done.returncode == 0, done.stderr
    return there / "results.zip"


def captured(there: Path, results: Path) -> None:
    asked = ["--bundle", str(there / "bundle.zip"), "-o", str(there / "board.h5")]
    assert run(["capture", str(results), *asked]) == 0


def test_what_comes_back_passes_and_says_whence_it_comes(there: Path) -> None:
    results = came_back(there)
    captured(there, results)
    report = judged(there)
    assert report["verdict"] == "PASS", report["reasons"]
    origin = next(f for f in report["findings"] if f["code"] == "CAPT020")
    assert "onnxruntime" in origin["title"]
    assert "does not prove where it was computed" in origin["title"]
    for name in ("report.html", "summary.md"):
        assert "does not prove where it was computed" in (there / "out" / name).read_text(), name


def test_the_release_itself_knows_what_was_asked(there: Path) -> None:
    results = came_back(there)
    config = str(there / "rel" / "parity.toml")
    assert run(["capture", str(results), "--config", config, "-o", str(there / "board.h5")]) == 0
    assert run(["capture", str(results), "--bundle", str(there / "bundle.zip"), "-o", str(there / "other.h5")]) == 0
    assert (there / "other.h5").read_bytes() == (there / "board.h5").read_bytes()


def test_a_wrong_policy_on_the_device_fails(tmp_path: Path) -> None:
    path = release(tmp_path / "rel", gain=1.01)
    assert run(["bundle", str(path), "-o", str(tmp_path / "bundle.zip")]) == 0
    unpacked(tmp_path / "bundle.zip", tmp_path / "device")
    results = came_back(tmp_path)
    assert (
        run(["capture", str(results), "--bundle", str(tmp_path / "bundle.zip"), "-o", str(tmp_path / "board.h5")]) == 0
    )
    report = judged(tmp_path)
    assert report["verdict"] == "FAIL"
    assert any(f["code"] == "DIFF001" for f in report["findings"])


def test_the_declared_precision_is_what_a_recording_is_judged_at(tmp_path: Path) -> None:
    """A gain of 1.001 is far over float32's limit and inside that of float16."""
    path = release(tmp_path / "rel", gain=1.001)
    assert run(["bundle", str(path), "-o", str(tmp_path / "bundle.zip")]) == 0
    unpacked(tmp_path / "bundle.zip", tmp_path / "device")
    results = came_back(tmp_path)
    assert (
        run(["capture", str(results), "--bundle", str(tmp_path / "bundle.zip"), "-o", str(tmp_path / "board.h5")]) == 0
    )
    assert judged(tmp_path)["verdict"] == "FAIL"
    report = judged(tmp_path, precision="float16")
    assert report["verdict"] == "PASS", report["reasons"]
    assert report["candidates"][0]["precision"] == "float16"
    assert any(f["code"] == "PREC003" for f in report["findings"])


def test_the_same_release_gives_the_same_bytes(there: Path) -> None:
    first = (there / "bundle.zip").read_bytes()
    assert run(["bundle", str(there / "rel"), "-o", str(there / "bundle.zip")]) == 0
    assert (there / "bundle.zip").read_bytes() == first


def test_every_array_lies_where_other_tools_take_it(there: Path) -> None:
    with zipfile.ZipFile(there / "bundle.zip") as z:
        names = z.namelist()
    assert "inputs/obs/nominal-0000.npy" in names
    assert {"manifest.json", "run_on_device.py", "artifact/candidate.onnx"} <= set(names)


@pytest.mark.parametrize("kind", MODELS)
def test_the_script_is_python_3_7(kind: str) -> None:
    tree = ast.parse(script_for(kind), feature_version=(3, 7))
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imported |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert not any(name.split(".")[0] == "parity" for name in imported)
