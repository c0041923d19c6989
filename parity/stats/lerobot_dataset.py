"""Statistics of a LeRobot dataset: what its ``meta`` folder stores, in every version of the format.

v1: ``meta_data/stats.safetensors`` or ``stats.pth``. v2.0: ``meta/stats.json``. v2.1: ``meta/episodes_stats.jsonl``,
one line for each episode. v3.0: ``meta/stats.json`` and, for each episode, columns ``stats/<feature>/<statistic>`` of
``meta/episodes/**/*.parquet``. Where a folder holds both whole and per-episode statistics each is a set of its own.
``relative_stats*.json`` (GR00T and its descendants) describe actions relative to the state, by chunk step or not.
Source: lerobot/datasets/{utils,lerobot_dataset,compute_stats}.py (0.3.3, 0.4.4).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from parity.artifact import Artifact
from parity.errors import ArtifactError
from parity.stats.feature import features_of
from parity.stats.gr00t import MODALITY, by_modality
from parity.stats.json_features import is_features, statistics_in
from parity.stats.json_file import read_json
from parity.stats.lerobot_episodes import is_episodes_stats, pooled_lines, pooled_tables
from parity.stats.model import NormStats
from parity.stats.parquet_episodes import can_read
from parity.stats.tensors import tensor_statistics

KIND, RELATIVE = "lerobot_dataset", "relative_actions"
STATS, EPISODES, TABLES, INFO = "stats.json", "episodes_stats.jsonl", "episodes", "info.json"
_V1 = ("stats.safetensors", "stats.pth")
_TOLD = ("codebase_version", "robot_type", "fps", "total_episodes", "total_frames")


class _Reader:
    """Reads dataset folders (or their ``meta`` folder), and each statistics file on its own."""

    rank = 20

    def matches(self, artifact: Artifact) -> bool:
        path = artifact.path
        if artifact.kind == "folder":
            return _meta(path) is not None
        if artifact.kind == "json":
            return is_episodes_stats(path) or _is_stats(path)
        return artifact.kind in ("safetensors", "checkpoint") and path.name.endswith(_V1)

    def read(self, artifact: Artifact) -> tuple[NormStats, ...]:
        path = artifact.path
        if artifact.kind == "folder":
            meta = _meta(path)
            return () if meta is None else tuple(_of_meta(path, meta))
        if artifact.kind == "json":
            return (_episodes(path, path) if is_episodes_stats(path) else _json(path, path),)
        found = _tensors(path, path)
        return (found,) if found.features else ()


def _meta(folder: Path) -> Path | None:
    """Return the folder that holds a dataset's statistics, None where there is none."""
    for meta in (folder / "meta", folder / "meta_data", folder):
        if any((meta / name).is_file() for name in (STATS, EPISODES, *_V1)):
            return meta
        if (meta / INFO).is_file() and ((meta / TABLES).is_dir() or next(meta.glob("relative_*stats*.json"), None)):
            return meta
    return None


def _is_stats(path: Path) -> bool:
    try:
        return is_features(read_json(path))
    except ArtifactError:
        return False


def _of_meta(folder: Path, meta: Path) -> Iterator[NormStats]:
    facts = _info(meta / INFO)
    found: list[NormStats] = []
    if (meta / STATS).is_file():
        found.append(_json(meta / STATS, folder))
    found += [_tensors(meta / name, folder) for name in _V1 if (meta / name).is_file()]
    if (meta / EPISODES).is_file():
        found.append(_episodes(meta / EPISODES, folder))
    if (meta / TABLES).is_dir():
        if found and not can_read():
            facts["not_read"] = f"{TABLES}: pyarrow is not installed"
        elif (tables := _tables(meta / TABLES, folder)) is not None:
            found.append(tables)
    found += [_json(path, folder) for path in sorted(meta.glob("relative_*stats*.json"))]
    if found and found[0].kind == KIND and (meta / MODALITY).is_file():
        found.append(by_modality(found[0], meta / MODALITY))
    for i, one in enumerate(found):
        name = one.facts.get("cut_by", one.facts["file"])
        label = str(folder) if i == 0 and one.kind == KIND else f"{folder} [{name}]"
        yield replace(one, label=label, facts={**facts, **one.facts})


def _json(path: Path, artifact: Path) -> NormStats:
    data = read_json(path)
    if not is_features(data):
        raise ArtifactError(
            f"{path}: no statistics of a dataset", expected='{"<feature>": {"mean": [...], "std": [...], ...}, ...}'
        )
    relative = path.name.startswith("relative_")
    features = features_of(statistics_in(data, path.name))
    return NormStats(artifact, str(path), RELATIVE if relative else KIND, features, facts={"file": path.name})


def _tensors(path: Path, artifact: Path) -> NormStats:
    features = features_of(tensor_statistics(path, path.name))
    return NormStats(artifact, str(path), KIND, features, facts={"file": path.name})


def _episodes(path: Path, artifact: Path) -> NormStats:
    found, facts = pooled_lines(path)
    return NormStats(artifact, str(path), KIND, features_of(found), facts={"file": path.name, **facts})


def _tables(folder: Path, artifact: Path) -> NormStats | None:
    found, facts = pooled_tables(folder)
    if not found:
        return None
    return NormStats(artifact, str(folder), KIND, features_of(found), facts={"file": TABLES, **facts})


def _info(path: Path) -> dict[str, Any]:
    """Return what ``info.json`` tells about the dataset's size and rate; nothing where it is not there."""
    data = read_json(path) if path.is_file() else None
    return {k: data[k] for k in _TOLD if isinstance(data.get(k), str | int | float)} if isinstance(data, dict) else {}


READER = _Reader()
