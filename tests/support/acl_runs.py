"""OM files for the double of pyACL (acl_double), and ways to run on it. The double is not hardware."""

from __future__ import annotations

import importlib
import json
import shutil
import struct
import sys
import types
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from om_writer import Node, Om, Port, write
from parity.runner.om import device_source

DOUBLE = Path(__file__).parent / "acl_double"
AIS_DOUBLE = Path(__file__).parent / "ais_double"
MLP = """
    import numpy as np
    W = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
    def compute(inputs):
        return {"action": np.tanh(inputs["obs"] @ W)}
"""
OBS = {"name": "obs", "shape": [2, 4], "dtype": "float32"}
ACTION = {"name": "action", "shape": [2, 3], "dtype": "float32"}


def om_file(folder: Path, compute: str = MLP, **told: Any) -> Path:
    """Write an OM of nothing but a header, and beside it what the double plays."""
    path = folder / "policy.om"
    path.write_bytes(header(64) + b"\0" * 64)
    contract = {"inputs": [OBS], "outputs": [ACTION], "soc": "Ascend310P3", **told}
    Path(f"{path}.json").write_text(json.dumps(contract), encoding="utf-8")
    Path(f"{path}.py").write_text(dedent(compute), encoding="utf-8")
    return path


def real_om(folder: Path, compute: str = MLP, **told: Any) -> Path:
    """The same, but an OM that parity reads too: inputs, outputs, gears, the chip, and one node in float16."""
    path = om_file(folder, compute, **told)
    write_om(path)
    return path


def write_om(path: Path, dtype: str = "float16") -> Path:
    """Write an OM whose contract is what the double is told beside it; ``dtype`` is what its node computes in."""
    told = json.loads(Path(f"{path}.json").read_text(encoding="utf-8"))
    gears = told.get("gears")
    hidden = (Port("ascend_mbatch_shape_data", (1,), "int64"),) if gears else ()
    outputs = tuple(
        Port(t["name"], tuple(t["shape"]), t["dtype"], source=f"out:{i}") for i, t in enumerate(told["outputs"])
    )
    om = Om(
        inputs=tuple(Port(t["name"], tuple(t["shape"]), t["dtype"]) for t in told["inputs"]) + hidden,
        outputs=outputs,
        nodes=(Node("out", "MatMulV2", (f"{told['inputs'][0]['name']}:0",), (dtype,) * len(outputs)),),
        attributes={"soc_version": told["soc"]},
        gears=(gears["kind"], tuple(map(tuple, gears["values"]))) if gears else None,
        output_shapes=tuple(told.get("output_shapes", ())),
    )
    return write(path, om)


def compiled(source: Path, path: Path, dtype: str = "float16", **told: Any) -> Path:
    """Write what `models.mlp` at ``source`` would be as an OM: the double runs the ONNX file, rounded to ``dtype``."""
    shutil.copy(source, f"{path}.onnx")
    contract = {
        "inputs": [{"name": "obs", "shape": [1, 6], "dtype": "float32"}],
        "outputs": [{"name": "Gemm_1:0:action", "shape": [1, 3], "dtype": "float32"}],
        "soc": "Ascend310P3",
        "arithmetic": dtype,
        **told,
    }
    Path(f"{path}.json").write_text(json.dumps(contract), encoding="utf-8")
    return write_om(path, dtype)


def header(length: int) -> bytes:
    head = bytearray(256)
    head[:4] = b"IMOD"
    struct.pack_into("<I", head, 4, 256)
    struct.pack_into("<I", head, 8, 0x10000000)
    struct.pack_into("<I", head, 76, length)
    return bytes(head)


def load_double(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Any:
    """Import a fresh double as ``acl`` into this process, as another test has not left it."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for name in [n for n in sys.modules if n == "acl" or n.startswith("acl.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(DOUBLE))
    acl = importlib.import_module("acl")
    for name in [n for n in sys.modules if n == "acl" or n.startswith("acl.")]:
        monkeypatch.setitem(sys.modules, name, sys.modules[name])
    return acl


def device_code() -> Any:
    """The module that a bundle carries to a board: `AclModel` and all that it needs, from its joined source."""
    module = types.ModuleType("device_code")
    exec(compile(device_source(), "device_code.py", "exec"), module.__dict__)
    return module


def logged(path: Path, kind: str) -> list[str]:
    """What the double of a worker wrote into its log: ``call``, ``violation`` or ``warning``."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    return [line[kind] for line in lines if kind in line]
