"""The networks of the corpus's LeRobot folders as ONNX, exported by the interpreter that has lerobot."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lerobot_python import ROOT

VANILLA = ("act_envstate", "dp_pusht_keypoints_ddim10")  # the others need LeRobot's networks patched to load


def export_networks(corpus: Path, python: str, out: Path) -> dict[str, Path]:
    """Write the networks of the folders that plain lerobot loads below ``out`` and return them by folder name."""
    script = ROOT / "tests" / "lerobot_env" / "export_network.py"
    for name in VANILLA:
        command = [python, str(script), str(corpus / "made" / "lerobot-0.4.4" / name), str(out / f"{name}.onnx")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    return {name: out / f"{name}.onnx" for name in VANILLA}
