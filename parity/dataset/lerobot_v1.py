"""LeRobot datasets v1.x: a table of Hugging Face `datasets`, and beside it ``meta_data`` and ``videos``.

``meta_data/episode_data_index.safetensors`` says from which row to which each episode goes, ``meta_data/info.json`` the
rate. A cell of a video holds the path of its file and the time of its frame.
Source: lerobot/common/datasets/{lerobot_dataset,utils,video_utils}.py as of CODEBASE_VERSION v1.6.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.artifact import Artifact
from parity.checkpoint.safetensors import open_safetensors
from parity.contract.text import load_json
from parity.dataset.faults import MISSING, Fault, error_of, findings_of
from parity.dataset.lerobot_info import is_below
from parity.dataset.lerobot_roots import OLD_INFO, is_dataset, root_of, version_of
from parity.dataset.lerobot_v1_table import Table, open_table
from parity.dataset.lerobot_video import STAMPS, Place, Rows, look_at_images, look_at_videos
from parity.dataset.model import BLOCK, Dataset, Episodes, Feature
from parity.errors import ArtifactError, UsageError
from parity.finding import Finding

if TYPE_CHECKING:
    from parity.tensor import Array

INDEX = Path("meta_data", "episode_data_index.safetensors")
ROWS = "DATA005"
_REMEDY = "fetch meta_data/ of this dataset again, or convert the dataset with the scripts that come with lerobot"


@dataclass(frozen=True, slots=True)
class _Reader:
    rank: int = 20

    def matches(self, artifact: Artifact) -> bool:
        return is_dataset(artifact) and version_of(root_of(artifact)) == "v1"

    def open(self, artifact: Artifact, columns: Mapping[str, str] | None = None) -> Dataset:
        if columns:
            raise UsageError(f"{artifact.path}: a LeRobot dataset names its features itself: give no columns")
        root = root_of(artifact)
        info = load_json(root / OLD_INFO)
        if not isinstance(info, dict):
            raise ArtifactError(f"{root / OLD_INFO}: holds no JSON object", expected="an object", remedy=_REMEDY)
        fps, version = info.get("fps"), info.get("codebase_version")
        claimed = episode_lengths(root / INDEX)
        table = open_table(root)
        begins = np.cumsum(claimed) - claimed
        there = np.clip(table.held - begins, 0, claimed)
        kept = np.flatnonzero(there)
        rows = Rows(
            root,
            float(fps) if isinstance(fps, int | float) and math.isfinite(fps) and fps > 0 else None,
            table.rows,
            table.rows.features,
            [(int(i), int(claimed[i])) for i in kept],
            [(int(i), int(there[i])) for i in kept],
        )
        pictures, found = _pictures(rows, table, begins[kept])
        shapes = {n: p.shape for n, p in pictures.items()}
        return Dataset(
            path=root,
            kind=f"lerobot_{version}" if isinstance(version, str) and len(version) < 16 else "lerobot_v1",
            features={n: replace(f, shape=shapes.get(n, f.shape)) for n, f in table.rows.features.items()},
            episodes=Episodes(there[kept], kept),
            source=table.rows,
            fps=rows.fps,
            findings=(*findings_of(table.faults, table.files), *_rows(claimed, table), *found),
            facts={"episodes": len(kept), "frames": int(there.sum()), "files": table.files - len(table.faults)},
            pictures=pictures,
        )


def episode_lengths(path: Path) -> Array:
    """Return how many rows each episode has, ``(E,)``, from where each begins and ends.

    Raises:
        ArtifactError: the index is missing, corrupt, or does not go from each episode to the next.
    """
    if not path.exists():
        raise error_of(path, Fault(MISSING, expected="where each episode begins and ends"))
    file = open_safetensors(path)
    for name in ("from", "to"):
        dtype, shape = file.spec(name)
        if not dtype.startswith("int") or len(shape) != 1 or not shape[0]:
            raise ArtifactError(f"{path}: {name} is {dtype} of shape {list(shape)}", expected="a row number for each")
    begins, ends = (np.asarray(file.read(name)).astype(np.int64) for name in ("from", "to"))
    if len(begins) != len(ends) or begins[0] != 0 or (begins[1:] != ends[:-1]).any() or (ends <= begins).any():
        raise ArtifactError(
            f"{path}: it does not tell episodes: they overlap, leave rows out, or have none",
            expected="each episode from where the one before ends",
            remedy=_REMEDY,
        )
    lengths: Array = ends - begins
    return lengths


def _pictures(rows: Rows, table: Table, begins: Array) -> tuple[dict[str, Any], list[Finding]]:
    """Return the frames of videos and of embedded images."""
    videos = [n for n, f in rows.features.items() if f.storage == "video"]
    images = [n for n, f in rows.features.items() if f.storage == "image"]
    numbers = [i for i, _ in rows.listed]
    places = _places(table, videos, rows.features, begins.tolist(), numbers)
    shown = look_at_videos(rows, videos, lambda name, episode: places.get((name, episode)))
    embedded = look_at_images(images, table.rows, rows.features, rows.features)
    return {**shown.pictures, **embedded.pictures}, [*shown.findings, *embedded.findings]


def _places(
    table: Table, videos: Sequence[str], features: Mapping[str, Feature], begins: Sequence[int], numbers: Sequence[int]
) -> dict[tuple[str, int], Place]:
    """Return where the frames of each episode lie: what the cells of its first row say."""
    found: dict[tuple[str, int], Place] = {}
    if not videos or not begins:
        return found
    stamps = STAMPS in features
    at, wanted = 0, list(zip(begins, numbers, strict=True))
    for path, batch in table.rows.batches([*videos, *([STAMPS] if stamps else [])], 0, begins[-1] + 1, BLOCK):
        while wanted and wanted[0][0] < at + batch.num_rows:
            row, number = wanted.pop(0)
            first = {n: batch.column(n)[row - at].as_py() for n in videos}
            stamp = batch.column(STAMPS)[row - at].as_py() if stamps else 0.0
            found |= {(n, number): _place(path, n, cell, stamp) for n, cell in first.items() if cell is not None}
        at += batch.num_rows
    return found


def _place(path: Path, feature: str, cell: Mapping[str, Any], stamp: Any) -> Place:
    name, time = cell.get("path"), cell.get("timestamp")
    if not isinstance(name, str) or not is_below(name):
        raise ArtifactError(
            f"{path}: {feature} lies in {str(name)[:120]!r}", expected="a path below the dataset", remedy=_REMEDY
        )
    both = isinstance(time, int | float) and isinstance(stamp, int | float)
    return Place(name, float(time) - float(stamp) if both and time is not None else 0.0)


def _rows(claimed: Array, table: Table) -> list[Finding]:
    total = int(claimed.sum())
    if total == table.held:
        return []
    more = "The rest belongs to no episode." if total < table.held else f"{total - table.held:,} frames do not exist."
    return [
        Finding(
            ROWS,
            "error",
            f"{table.folder} holds {table.held:,} frames, {INDEX.as_posix()} claims {total:,}",
            where=table.folder,
            detail=more,
            evidence={"claimed": total, "held": table.held, "frames_lost": max(0, total - table.held)},
            remedy="fetch the data files and meta_data/ again, both of one version of the dataset",
        )
    ]


READER = _Reader()
