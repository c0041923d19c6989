"""Releases whose candidate goes off to a device, the script run there, and results changed on the way back."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models import mlp, toml

Change = Callable[[dict[str, bytes], dict[str, Any]], None]


def release(folder: Path, more: str = "\n[cases]\nnominal = 4\n", **candidate: Any) -> Path:
    """Write a release of an MLP against an export of it that is other bytes; return its parity.toml."""
    folder.mkdir(parents=True, exist_ok=True)
    mlp(folder / "reference.onnx")
    mlp(folder / "candidate.onnx", doc="exported for the board", **candidate)
    return toml(folder, {"board": "candidate.onnx"}, more=more)


def unpacked(bundle: Path, folder: Path) -> Path:
    """Unpack a bundle as on a device and return its script."""
    with zipfile.ZipFile(bundle) as z:
        z.extractall(folder)
    return folder / "run_on_device.py"


def run_script(script: Path, *arguments: str, python: list[str] | None = None, **env: str) -> Any:
    """Run the script as a user does and return the finished process."""
    command = [*(python or [sys.executable]), str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=env or None)


def changed(results: Path, target: Path, change: Change) -> Path:
    """Write a copy of a zip whose entries and manifest went through ``change``; the manifest is written again."""
    with zipfile.ZipFile(results) as z:
        entries = {n: z.read(n) for n in z.namelist()}
    manifest = json.loads(entries.pop("manifest.json"))
    change(entries, manifest)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as z:
        for name, data in entries.items():
            z.writestr(name, data)
        z.writestr("manifest.json", json.dumps(manifest))
    return target
