"""The part of a drafted `parity.toml` on normalization statistics: those that lie beside the artifacts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from parity.artifact import Artifact
from parity.contract.toml_text import toml_string
from parity.errors import ParityError
from parity.stats.registry import read_stats

BESIDE = ("norm_stats.json", "stats.json", "dataset_stats.json", "dataset_statistics.json")
MAX_SOURCES = 16


def stats_part(artifacts: Sequence[Artifact], folder: Path) -> str:
    """Return the table ``[stats]``, its paths relative to ``folder``; as comments where there are fewer than two.

    One source has nothing to agree with, so asking is left to the user.
    """
    sources = [_relative(p, folder) for p in list(_sources(artifacts))[:MAX_SOURCES]]
    listed = ", ".join(map(toml_string, sources or ["data/my_dataset"]))
    lines = ["[stats]", f"sources = [{listed}]", '# dataset = "data/my_dataset"  # its frames, to compute them again']
    if len(sources) < 2:
        lines = [line if line.startswith("#") else f"# {line}" for line in lines]
    return "\n".join(["# Normalization statistics that must agree with each other:", *lines, ""])


def _sources(artifacts: Sequence[Artifact]) -> Iterator[Path]:
    """Yield folders that hold statistics, and files of them beside the artifacts, each once."""
    seen: set[Path] = set()
    for artifact in artifacts:
        if artifact.kind == "factory":
            continue
        whole = artifact.kind == "folder"
        base = artifact.path if whole else artifact.path.parent
        for path in [base] if whole else [base / name for name in BESIDE]:
            if path.resolve() not in seen and path.exists() and _holds_statistics(path):
                seen.add(path.resolve())
                yield path


def _holds_statistics(path: Path) -> bool:
    try:
        return any(s.features for s in read_stats(path))
    except ParityError:
        return False


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.absolute(), folder.absolute())).as_posix()
