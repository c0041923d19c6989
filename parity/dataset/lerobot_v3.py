"""LeRobot datasets v3.0: many episodes in a Parquet file, listed by the tables in `meta/episodes/`.

Source: lerobot/datasets/lerobot_dataset.py and utils.py (0.4.4), CODEBASE_VERSION v3.0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parity.artifact import Artifact
from parity.dataset.arrow_values import arrow, one_line
from parity.dataset.faults import CORRUPT, MISSING, Fault, empty_metadata, error_of, look
from parity.dataset.lerobot_files import DataFile, assemble
from parity.dataset.lerobot_info import Info, fill, is_below, read_info
from parity.dataset.lerobot_roots import is_dataset, root_of, version_of
from parity.dataset.lerobot_v2 import task_names
from parity.dataset.lerobot_video import Place
from parity.dataset.model import Dataset
from parity.errors import ArtifactError, UsageError
from parity.finding import Finding

EPISODES = "meta/episodes"
OTHER_METADATA = ("meta/stats.json", "meta/tasks.parquet")
GAPS = "DATA011"
INDEX = ("episode_index", "length", "data/chunk_index", "data/file_index", "dataset_from_index", "dataset_to_index")
VIDEO = ("chunk_index", "file_index", "from_timestamp", "to_timestamp")  # after videos/<feature>/, if there are videos
AT_ONCE = 4096  # rows of the index
_REMEDY = "fetch meta/ of this dataset again"


@dataclass(frozen=True, slots=True)
class _Reader:
    rank: int = 20

    def matches(self, artifact: Artifact) -> bool:
        return is_dataset(artifact) and version_of(root_of(artifact)) == "v3"

    def open(self, artifact: Artifact, columns: Mapping[str, str] | None = None) -> Dataset:
        if columns:
            raise UsageError(f"{artifact.path}: a LeRobot dataset names its features itself: give no columns")
        root = root_of(artifact)
        info = read_info(root)
        files: dict[tuple[int, int], list[tuple[int, int, tuple[str, ...]]]] = {}
        findings = empty_metadata(root, OTHER_METADATA)
        at, seen = 0, set()
        videos = [n for n, f in info.features.items() if f.storage == "video" and info.video_path]
        places: dict[tuple[str, int], Place] = {}
        names = (*INDEX, "tasks", *(f"videos/{n}/{part}" for n in videos for part in VIDEO))
        for row in sorted(_rows(index_files(root), names), key=lambda r: _number(r, "episode_index")):
            index, length = _number(row, "episode_index"), _number(row, "length")
            if index in seen:
                raise ArtifactError(f"{root / EPISODES}: episode {index} is listed twice", remedy=_REMEDY)
            seen.add(index)
            place = _number(row, "data/chunk_index"), _number(row, "data/file_index")
            files.setdefault(place, []).append((index, length, task_names(row.get("tasks"))))
            places |= {(n, index): p for n in videos if (p := _place(row, n, info)) is not None}
            first, last = _number(row, "dataset_from_index"), _number(row, "dataset_to_index")
            if (first, last) != (at, at + length) and not any(f.code == GAPS for f in findings):
                findings.append(_gap(index, (first, last), (at, at + length)))
            at += length
        if not files:
            raise ArtifactError(f"{root / EPISODES}: it lists no episodes", remedy=_REMEDY)
        listed = [
            DataFile(fill(info.data_path, chunk_index=chunk, file_index=file), tuple(found))
            for (chunk, file), found in files.items()
        ]
        return assemble(root, info, listed, EPISODES, findings, lambda n, i: places.get((n, i)))


def index_files(root: Path) -> list[Path]:
    """Return the tables of episodes, in order.

    Raises:
        ArtifactError: there is none, or one is empty, a pointer, or half-written.
    """
    paths = sorted((root / EPISODES).glob("chunk-*/file-*.parquet"))
    if not paths:
        raise error_of(root / EPISODES / "chunk-000" / "file-000.parquet", Fault(MISSING))
    for path in paths:
        fault = look(path)
        if fault is not None:
            raise error_of(path, fault)
    return paths


def _rows(paths: Sequence[Path], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of the tables, only the columns called ``names``; those of `INDEX` must be there."""
    pa = arrow()
    for path in paths:
        try:
            with pa.parquet.ParquetFile(path) as file:
                there = set(file.schema_arrow.names)
                missing = [n for n in INDEX if n not in there]
                if missing:
                    raise ArtifactError(
                        f"{path}: it has no column {missing[0]!r}",
                        expected=f"columns {', '.join(INDEX)}",
                        remedy=_REMEDY,
                    )
                for batch in file.iter_batches(AT_ONCE, columns=[n for n in names if n in there], use_threads=False):
                    yield from batch.to_pylist()
        except (pa.ArrowException, OSError, ValueError) as e:
            raise error_of(path, Fault(CORRUPT, one_line(e))) from None


def _number(row: Mapping[str, Any], name: str) -> int:
    value = row[name]
    if type(value) is not int or not 0 <= value < 1 << 40:
        raise ArtifactError(f"{EPISODES}: {name} is {str(value)[:40]!r}", expected="a whole number", remedy=_REMEDY)
    return value


def _place(row: Mapping[str, Any], feature: str, info: Info) -> Place | None:
    """Return where an episode's frames of a video lie, None where the table does not tell."""
    chunk, file, start, stop = (row.get(f"videos/{feature}/{part}") for part in VIDEO)
    if not (type(chunk) is int and type(file) is int and isinstance(start, int | float) and math.isfinite(start)):
        return None
    until = float(stop) if isinstance(stop, int | float) and math.isfinite(stop) else None
    name = fill(info.video_path or "", feature, chunk_index=chunk, file_index=file)
    return Place(name, float(start), until) if chunk >= 0 and file >= 0 and is_below(name) else None


def _gap(index: int, said: tuple[int, int], is_: tuple[int, int]) -> Finding:
    return Finding(
        GAPS,
        "error",
        f"{EPISODES}: episode {index} is said to be frames {said[0]} to {said[1]}, but by the lengths of the episodes "
        f"it is {is_[0]} to {is_[1]}",
        where=EPISODES,
        detail="Whoever reads by these numbers mixes frames of neighbouring episodes.",
        evidence={"episode": index, "said": list(said), "by_length": list(is_)},
        remedy="write the dataset's metadata again, or fetch it again",
    )


READER = _Reader()
