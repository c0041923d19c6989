"""What all LeRobot datasets from v2.0 on have in common: `meta/info.json` and its path templates.

Source: lerobot/datasets/utils.py (0.3 for v2.0 and v2.1, 0.4 for v3.0).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from parity.contract.text import load_json
from parity.dataset.lerobot_roots import INFO
from parity.dataset.model import Feature, Storage
from parity.errors import ArtifactError

_FIELD = re.compile(r"\{(\w+)(?::0?(\d{1,2})d)?\}")
_REMEDY = "fetch meta/ of this dataset again"


@dataclass(frozen=True, slots=True)
class Info:
    """`meta/info.json`, checked. ``data_path`` is a template of paths below the dataset's folder.

    So is ``video_path``, None where there is none.
    """

    path: Path
    version: str
    features: Mapping[str, Feature]
    episodes: int | None
    frames: int | None
    fps: float | None
    data_path: str
    video_path: str | None
    chunks_size: int
    robot: str | None


def read_info(root: Path) -> Info:
    """Return what ``meta/info.json`` says.

    Raises:
        ArtifactError: it is empty, corrupt, of another version, or says something that cannot be.
    """
    path = root / INFO
    data = load_json(path)
    if not isinstance(data, dict):
        raise ArtifactError(f"{path}: holds no JSON object", expected="an object with features", remedy=_REMEDY)
    version = data.get("codebase_version")
    if version not in ("v2.0", "v2.1", "v3.0"):
        raise ArtifactError(
            f"{path}: codebase_version is {str(version)[:40]!r}",
            expected="v2.0, v2.1 or v3.0",
            remedy="convert the dataset with the scripts that come with lerobot",
        )
    features = data.get("features")
    if not isinstance(features, dict) or not features:
        raise ArtifactError(f"{path}: it declares no features", expected="an object of features", remedy=_REMEDY)
    fps, robot, video = data.get("fps"), data.get("robot_type"), data.get("video_path")
    return Info(
        path=path,
        version=version,
        features={name: _feature(name, said, path) for name, said in features.items()},
        episodes=_count(data, "total_episodes", path),
        frames=_count(data, "total_frames", path),
        fps=float(fps) if isinstance(fps, int | float) and math.isfinite(fps) and fps > 0 else None,
        data_path=_template(data.get("data_path"), path, "data_path"),
        video_path=None if video is None else _template(video, path, "video_path"),
        chunks_size=_count(data, "chunks_size", path) or 1000,
        robot=robot if isinstance(robot, str) else None,
    )


def _count(data: Mapping[str, Any], name: str, path: Path) -> int | None:
    value = data.get(name)
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < 1 << 48:
        raise ArtifactError(f"{path}: {name} is {str(value)[:40]}", expected="a whole number", remedy=_REMEDY)
    return value


def _feature(name: str, said: Any, path: Path) -> Feature:
    shape, dtype = (said.get("shape"), said.get("dtype")) if isinstance(said, dict) else (None, None)
    fits = isinstance(shape, list) and len(shape) <= 8 and all(type(d) is int and 0 < d < 1 << 31 for d in shape)
    if not isinstance(shape, list) or not fits or not isinstance(dtype, str):
        raise ArtifactError(
            f"{path}: feature {name[:80]!r} has shape {str(shape)[:80]} and dtype {str(dtype)[:40]}",
            expected="a list of sizes, and a word such as float32",
            remedy=_REMEDY,
        )
    storage: Storage = "video" if dtype == "video" else "image" if dtype == "image" else "array"
    if dtype in ("string", "str", "large_string"):
        storage = "text"
    return Feature(name, tuple(shape), dtype, _names(said.get("names"), math.prod(shape)), storage)


def _names(said: Any, size: int) -> tuple[str, ...]:
    """Return element names out of a list, a list in a list, or lists by group; none where their number differs."""
    flat: list[str] = []
    level = list(said.values()) if isinstance(said, dict) else [said]
    for _ in range(3):
        if all(isinstance(item, str) for item in level):
            flat = level
            break
        level = [i for item in level if isinstance(item, list) for i in item]
    return tuple(flat) if len(flat) == size else ()


def _template(said: Any, path: Path, key: str) -> str:
    """Return a path template that holds nothing but plain numbered fields and leads nowhere but down."""
    rest = _FIELD.sub("0", said) if isinstance(said, str) else "/"
    known = {"episode_chunk", "episode_index", "chunk_index", "file_index"}
    known |= {"video_key"} if key == "video_path" else set()
    fields = {m[1] for m in _FIELD.finditer(said)} if isinstance(said, str) else set()
    pure = PurePosixPath(rest)
    leads_out = not pure.parts or pure.is_absolute() or ".." in pure.parts
    if leads_out or set("\\{}\0:") & set(rest) or not fields <= known:
        raise ArtifactError(
            f"{path}: {key} is {str(said)[:120]!r}",
            expected="a path below the dataset with plain fields, such as data/episode_{episode_index:06d}.parquet",
            remedy=_REMEDY,
        )
    return str(said)


def fill(template: str, video_key: str = "0", **numbers: int) -> str:
    """Return a path from a template that `read_info` has checked; a field without a number becomes 0."""

    def filled(match: re.Match[str]) -> str:
        if match[1] == "video_key":
            return video_key
        return f"{numbers.get(match[1], 0):0{int(match[2] or 1)}d}"

    return _FIELD.sub(filled, template)


def is_below(name: str) -> bool:
    """Whether a path is one below the folder that it is joined to, and nowhere else."""
    pure = PurePosixPath(name)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts and not set("\\\0") & set(name)
