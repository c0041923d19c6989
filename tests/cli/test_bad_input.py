"""Bad input: one clear message with what to do, the right exit code, no traceback, never PASS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models import ACTION, OBS, mlp, toml
from parity.cli import main

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1001288\n"


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return mlp(tmp_path / "good.onnx")


def compare(capfd: pytest.CaptureFixture[str], *args: object) -> tuple[int, str]:
    code = main(["compare", *map(str, args)])
    out, err = capfd.readouterr()
    assert "Traceback" not in err + out
    assert out.startswith("PASS") == (code == 0)
    return code, out + err


def truncated(folder: Path, good: Path) -> Path:
    path = folder / "truncated.onnx"
    path.write_bytes(good.read_bytes()[:-200])
    return path


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("policy.onnx", b"", "empty (0 bytes)"),
        ("policy.onnx", LFS, "Git LFS pointer"),
        ("policy.pt", LFS, "git lfs pull"),
        ("policy.onnx", b"\x00" * 500, "policy.onnx"),
        ("policy.onnx", bytes((i * i * 7 + 3) % 251 for i in range(2000)), "policy.onnx"),
        ("policy.pt", b"PK\x03\x04" + b"\x00" * 100, "zip"),
        ("config.json", b'{"type": "act", ', "config.json"),
        ("config.yaml", b"a: [1, 2", "config.yaml"),
        ("config.yaml", b"!!python/object/apply:os.system ['touch pwned']", "config.yaml"),
        ("policy.pt", b"\x80\x02cos\nsystem\nq\x00X\x05\x00\x00\x00touchq\x01\x85q\x02Rq\x03.", "policy.pt"),
        ("golden.h5", b"\x89HDF\r\n\x1a\n" + b"\x00" * 100, "golden.h5"),
    ],
    ids=["empty", "lfs-onnx", "lfs-pt", "zeros", "noise", "zip", "json", "yaml", "tag", "pickle", "hdf5"],
)
def test_unreadable_candidates(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, good: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / "given" / name
    path.parent.mkdir()
    path.write_bytes(content)
    code, text = compare(capfd, good, path)
    assert code == 2, text
    assert words in text
    code, text = compare(capfd, path, good)
    assert code == 2, text


def test_a_path_that_is_not_there(capfd: pytest.CaptureFixture[str], good: Path) -> None:
    assert compare(capfd, good, "absent.onnx")[0] == 2
    assert compare(capfd, "absent.pt", good)[0] == 2


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_truncated_onnx_never_passes(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, good: Path, share: float
) -> None:
    data = good.read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[: int(len(data) * share)])
    code, text = compare(capfd, good, path)
    assert code == 2, text


def external(path: Path, location: str) -> Path:
    """Write a policy whose first weight lies in the file ``location``."""
    mlp(path)
    model = onnx.load(str(path))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(OBS * 16 * 4))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("location", ["missing.data", "../outside.data", "/etc/hostname"])
def test_external_data_missing_or_outside(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, good: Path, location: str
) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "outside.data").write_bytes(b"\0" * 4096)
    code, text = compare(capfd, good, external(inner / "policy.onnx", location))
    assert code == 2, text
    assert Path(location).name in text


def test_another_number_of_inputs(capfd: pytest.CaptureFixture[str], tmp_path: Path, good: Path) -> None:
    wide = tmp_path / "wide.onnx"
    nodes = [helper.make_node("Gemm", ["obs", "w", "b"], ["action"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("obs", TensorProto.FLOAT, [1, OBS + 2])],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, [1, ACTION])],
        [
            numpy_helper.from_array(np.ones((OBS + 2, ACTION), dtype=np.float32), "w"),
            numpy_helper.from_array(np.ones(ACTION, dtype=np.float32), "b"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(wide))
    code, text = compare(capfd, good, wide)
    assert code in (1, 2, 3), text
    assert str(OBS + 2) in text


def test_a_zero_size_output_is_not_judged(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name, doc in (("a.onnx", ""), ("b.onnx", "again")):
        nodes = [
            helper.make_node("Slice", ["obs", "from", "to", "axes"], ["action"]),
        ]
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("obs", TensorProto.FLOAT, [1, OBS])],
            [helper.make_tensor_value_info("action", TensorProto.FLOAT, [1, 0])],
            [numpy_helper.from_array(np.array([v]), n) for n, v in (("from", 0), ("to", 0), ("axes", 1))],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, doc_string=doc)
        onnx.save(model, str(tmp_path / name))
    code, text = compare(capfd, tmp_path / "a.onnx", tmp_path / "b.onnx")
    assert code == 3, text


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"obs": np.zeros((4, OBS + 1), dtype=np.float32)}, str(OBS)),
        ({"observation": np.zeros((4, OBS), dtype=np.float32), "x": np.zeros(3)}, "obs"),
        ({"obs": np.zeros((0, OBS), dtype=np.float32)}, "obs"),
        ({"obs": np.array([["a"] * OBS] * 4)}, "obs"),
        ({"obs": np.array([[None] * OBS] * 4, dtype=object)}, "obs"),
        ({}, "npz"),
    ],
)
def test_wrong_observations(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, good: Path, arrays: dict[str, Any], words: str
) -> None:
    other = mlp(tmp_path / "other.onnx", doc="again")
    path = tmp_path / "inputs.npz"
    np.savez(path, **arrays)
    code, text = compare(capfd, good, other, "--inputs", path)
    assert code == 2, text
    assert words in text


def test_the_same_observation_over_and_over_says_nothing(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, good: Path
) -> None:
    other = mlp(tmp_path / "other.onnx", doc="again")
    np.savez(tmp_path / "inputs.npz", obs=np.ones((5, OBS), dtype=np.float32))
    assert compare(capfd, good, other, "--inputs", tmp_path / "inputs.npz")[0] == 3


def test_real_observations_judge(capfd: pytest.CaptureFixture[str], tmp_path: Path, good: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "inputs.npz", obs=rng.normal(size=(20, OBS)).astype(np.float32))
    other = mlp(tmp_path / "other.onnx", doc="again")
    assert compare(capfd, good, other, "--inputs", tmp_path / "inputs.npz")[0] == 0
    wrong = mlp(tmp_path / "wrong.onnx", seed=3)
    assert compare(capfd, good, wrong, "--inputs", tmp_path / "inputs.npz")[0] == 1


def test_json_alone_on_stdout(capfd: pytest.CaptureFixture[str], tmp_path: Path, good: Path) -> None:
    other = mlp(tmp_path / "other.onnx", seed=3)
    assert main(["compare", str(good), str(other), "--json", "-"]) == 1
    out, _ = capfd.readouterr()
    document = json.loads(out)
    assert (document["schema"], document["verdict"]) == (1, "FAIL")


@pytest.mark.parametrize("args", [["compare"], ["compare", "a"], ["run", "absent.toml"], ["fly"], ["run", "--fly"]])
def test_usage(capfd: pytest.CaptureFixture[str], args: list[str]) -> None:
    assert main(args) == 2
    assert "Traceback" not in capfd.readouterr().err


def test_an_unknown_precision(capfd: pytest.CaptureFixture[str], tmp_path: Path, good: Path) -> None:
    other = mlp(tmp_path / "other.onnx", doc="again")
    code, text = compare(capfd, good, other, "--precision", "float12")
    assert code == 2
    assert "float12" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk(tmp_path: Path, good: Path) -> None:
    """A disk that is full says so, exits 3, and leaves no report."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], check=False).returncode
    if mounted:
        pytest.skip("no permission to mount a small disk")
    try:
        mlp(tmp_path / "other.onnx", doc="again")
        toml(tmp_path, {"ort": "other.onnx"}, reference="good.onnx")
        command = [sys.executable, "-m", "parity", "run", str(tmp_path / "parity.toml"), "--out", str(small / "out")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 3, done.stderr
        assert "space" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (small / "out" / "report.json").exists()
    finally:
        subprocess.run(["umount", str(small)], check=False)
