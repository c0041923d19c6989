"""Configurations that lie beside an artifact: what the training run or the robot's deployment says about it.

Bounded: a few files in known places, none large, none reached through a link that leaves the folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from parity.artifact import Artifact, recognize
from parity.contract.disagreement import SIBLING_UNREADABLE
from parity.contract.model import Contract
from parity.contract.registry import readers
from parity.errors import ArtifactError
from parity.finding import Finding

MAX_FILES = 16
MAX_BYTES = 4 << 20
MAX_ENTRIES = 2000  # of a folder that are looked at, so that a folder of a million files costs nothing

NAMED = (
    "config.json",
    "config.yaml",
    "train_config.json",
    "params/env.yaml",
    "params/agent.yaml",
    "env.yaml",
    "agent.yaml",
)
EXPORT_FOLDERS = {"exported", "export"}  # rsl_rl writes exported/policy.pt beside params/env.yaml


def siblings(path: Path) -> list[Path]:
    """Return the configuration files beside an artifact, the most specific first, at most 16 of at most 4 MiB each.

    ``config.json``, ``config.yaml``, ``train_config.json``, ``params/*.yaml``, ``env.yaml``, ``agent.yaml``, then any
    other YAML of the same folder; for an artifact in ``exported/``, the ``params`` of the run it was exported from.
    A folder has none: what lies inside it is part of it.
    """
    if not path.is_file():
        return []
    folder = path.parent
    found: list[Path] = []
    for base in (folder, folder.parent) if folder.resolve().name in EXPORT_FOLDERS else (folder,):
        places = [base / name for name in NAMED if base == folder or name.startswith("params/")]
        places += _yaml_files(base / "params")
        places += _yaml_files(base) if base == folder else []
        for place in places:
            if place not in found and place != path and _allowed(place, base):
                found.append(place)
    return found[:MAX_FILES]


def _yaml_files(folder: Path) -> list[Path]:
    try:
        entries = [p for p, _ in zip(folder.iterdir(), range(MAX_ENTRIES), strict=False)]
    except OSError:
        return []
    return sorted(p for p in entries if p.suffix.lower() in (".yaml", ".yml"))


def _allowed(path: Path, base: Path) -> bool:
    """Whether ``path`` is a file of bearable size that lies inside ``base``, links followed."""
    try:
        inside = path.resolve().is_relative_to(base.resolve())
        return inside and path.is_file() and 0 < path.stat().st_size <= MAX_BYTES
    except (OSError, RuntimeError):  # a loop of links
        return False


def read_siblings(path: Path) -> tuple[list[Contract], list[Finding]]:
    """Return the contracts of the configurations beside an artifact, and a finding for each that cannot be read.

    A file that no reader knows is none of ours and is passed over.
    """
    contracts: list[Contract] = []
    findings: list[Finding] = []
    for sibling in siblings(path):
        try:
            contracts.extend(_read(recognize(sibling)))
        except ArtifactError as e:
            findings.append(
                Finding(
                    code=SIBLING_UNREADABLE,
                    severity="warning",
                    title=f"{sibling.name}, beside {path.name}, cannot be read: {e.message.splitlines()[0]}",
                    where=str(sibling),
                    remedy=e.remedy or "mend or remove it",
                )
            )
    return contracts, findings


def _read(artifact: Artifact) -> Iterator[Contract]:
    for reader in readers():
        if reader.matches(artifact):
            yield replace(reader.read(artifact), findings=())  # the findings of `inspect` are about what was asked for
            return
