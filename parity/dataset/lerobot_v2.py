"""LeRobot datasets v2.0 and v2.1: one Parquet file for each episode, `meta/episodes.jsonl` lists them.

Source: lerobot/datasets/lerobot_dataset.py (0.3.3), CODEBASE_VERSION v2.1. v2.1 differs from v2.0 in its statistics.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parity.artifact import Artifact, recognize
from parity.contract.text import parse_json
from parity.dataset.faults import MISSING, Fault, empty_metadata, error_of
from parity.dataset.lerobot_files import DataFile, assemble
from parity.dataset.lerobot_info import Info, fill, is_below, read_info
from parity.dataset.lerobot_roots import is_dataset, root_of, version_of
from parity.dataset.lerobot_video import Locate, Place
from parity.dataset.model import Dataset
from parity.errors import ArtifactError, UsageError

EPISODES = "meta/episodes.jsonl"
OTHER_METADATA = ("meta/tasks.jsonl", "meta/stats.json", "meta/episodes_stats.jsonl")
MAX_LINE = 1 << 20
_REMEDY = "fetch meta/ of this dataset again"


@dataclass(frozen=True, slots=True)
class _Reader:
    rank: int = 20

    def matches(self, artifact: Artifact) -> bool:
        if not is_dataset(artifact):
            return False
        return version_of(root_of(artifact)) == "v2"

    def open(self, artifact: Artifact, columns: Mapping[str, str] | None = None) -> Dataset:
        if columns:
            raise UsageError(f"{artifact.path}: a LeRobot dataset names its features itself: give no columns")
        root = root_of(artifact)
        info = read_info(root)
        listed = list(read_episodes(root / EPISODES))
        files = [
            DataFile(
                fill(info.data_path, episode_chunk=index // info.chunks_size, episode_index=index),
                ((index, length, tasks),),
            )
            for index, length, tasks in sorted(listed)
        ]
        return assemble(root, info, files, EPISODES, empty_metadata(root, OTHER_METADATA), _located(info))


def _located(info: Info) -> Locate | None:
    """Return where an episode's frames lie: in a file of its own."""
    template = info.video_path
    if template is None:
        return None

    def locate(feature: str, episode: int) -> Place | None:
        chunk = episode // info.chunks_size
        name = fill(template, feature, episode_chunk=chunk, episode_index=episode)
        return Place(name) if is_below(name) else None

    return locate


def read_episodes(path: Path) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Yield number, length and tasks of each episode that ``meta/episodes.jsonl`` lists.

    Raises:
        ArtifactError: it is missing, empty, corrupt, or lists an episode twice.
    """
    if not path.exists():
        raise error_of(path, Fault(MISSING, expected="the index of the dataset's episodes"))
    recognize(path)  # raises where it is of 0 bytes, or a Git LFS pointer
    seen: set[int] = set()
    with path.open("rb") as f:
        for number, raw in enumerate(iter(lambda: f.readline(MAX_LINE), b""), 1):
            where = f"{path}: line {number}"
            if not raw.strip():
                continue
            try:
                said = parse_json(raw.decode("utf-8"), where)
            except UnicodeDecodeError:
                raise ArtifactError(f"{where}: not UTF-8 text", remedy=_REMEDY) from None
            index, length = (said.get("episode_index"), said.get("length")) if isinstance(said, dict) else (None, None)
            if not (type(index) is int and type(length) is int and 0 <= index < 1 << 31 and 0 <= length < 1 << 40):
                raise ArtifactError(
                    f"{where}: episode_index is {str(index)[:40]}, length is {str(length)[:40]}",
                    expected="whole numbers",
                    remedy=_REMEDY,
                )
            if index in seen:
                raise ArtifactError(f"{where}: episode {index} is listed twice", remedy=_REMEDY)
            seen.add(index)
            yield index, length, task_names(said.get("tasks"))
    if not seen:
        raise ArtifactError(f"{path}: it lists no episodes", expected="a line for each episode", remedy=_REMEDY)


def task_names(said: Any) -> tuple[str, ...]:
    """Return the tasks of an episode as text."""
    items = said if isinstance(said, list) else [said] if isinstance(said, str) else []
    return tuple(str(item)[:4096] for item in items)


READER = _Reader()

__all__ = ["READER", "Info", "read_episodes", "task_names"]
