"""A Python that has the standard library, NumPy and what a test puts beside it, and nothing else: as on a device."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

# What the interpreter is started with: the path is set before anything is imported from it.
_START = """
import json, runpy, sys
sys.path[:] = [p for p in sys.path if "site-packages" not in p and p != ""] + json.loads(sys.argv[1])
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def numpy_alone(folder: Path) -> Path:
    """Return a folder in which NumPy lies and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    home = Path(np.__file__).parent
    for name in ("numpy", "numpy.libs"):
        if (home.parent / name).exists() and not (folder / name).exists():
            (folder / name).symlink_to(home.parent / name)
    return folder


def command(path: Sequence[Path], *arguments: str) -> list[str]:
    """Return the command that runs a script with just ``path`` beside the standard library."""
    return [sys.executable, "-S", "-E", "-c", _START, json.dumps([str(p) for p in path]), *arguments]


def run_bare(path: Sequence[Path], *arguments: str, env: Mapping[str, str] | None = None) -> Any:
    """Run a script so and return the finished process."""
    return subprocess.run(
        command(path, *arguments), capture_output=True, text=True, timeout=120, env=dict(env or {"PATH": ""})
    )
