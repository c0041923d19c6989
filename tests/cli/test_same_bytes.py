"""The same release and seed twice: the same bytes of `report.json` and `report.html`, but for when and where it ran."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from models import mlp, toml


def release(folder: Path) -> Path:
    """Write a release of two candidates, one right and one of other weights, with a search, and return its folder.

    Its artifacts lie beside it.
    """
    folder.mkdir(parents=True)
    artifacts = folder.parent / "artifacts"
    artifacts.mkdir()
    mlp(artifacts / "reference.onnx")
    mlp(artifacts / "right.onnx", doc="exported again")
    mlp(artifacts / "wrong.onnx", seed=1)
    paths = {name: f"../artifacts/{name}.onnx" for name in ("right", "wrong")}
    toml(folder, paths, reference="../artifacts/reference.onnx", more="[cases]\nnominal = 4\nworst = 20\n")
    return folder


def run(folder: Path, *args: str, hashing: str) -> tuple[bytes, bytes]:
    """Run the release in a process of its own and return the bytes of `report.json` and `report.html`.

    ``hashing`` seeds Python's hashes, on which the order of a set rests.
    """
    command = [sys.executable, "-m", "parity", "run", "parity.toml", "--out", "out", *args]
    environment = {**os.environ, "PYTHONHASHSEED": hashing}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    return (folder / "out" / "report.json").read_bytes(), (folder / "out" / "report.html").read_bytes()


def without(data: bytes, *parts: str) -> bytes:
    """Return ``data`` without ``parts``, each of which must be there, lest nothing is normalized."""
    for part in parts:
        assert part.encode() in data, part
        data = data.replace(part.encode(), b"")
    return data


def as_written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def normalized(report: bytes, page: bytes) -> tuple[bytes, bytes]:
    """Return both files without ``created`` and ``environment``; in the page these stand as people read them."""
    told = json.loads(report)["release"]
    created = str(told["created"])
    in_page = created.replace("T", " ").replace("+00:00", " UTC")
    return without(report, as_written(created), as_written(told["environment"])), without(page, in_page)


def test_the_same_release_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    """Wherever it lies, and with any number of workers."""
    first = run(release(tmp_path / "here" / "release"), hashing="1")
    second = run(release(tmp_path / "and" / "elsewhere" / "release"), "-n", "2", hashing="2")
    assert normalized(*first) == normalized(*second)
    assert str(tmp_path).encode() not in first[0] + first[1]
    assert b"<svg" in first[1]
    assert len(json.loads(first[0])["comparisons"]) > 20
