"""OM files for the double of pyACL (acl_double), and ways to run on it. The double is not hardware."""

from __future__ import annotations

import importlib
import json
import struct
import sys
import types
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

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
