"""Small LeRobot datasets as they lie on disk, for tests that damage them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Episode = Mapping[str, np.ndarray]  # feature: (T, D)


def episodes(lengths: Sequence[int], seed: int = 0, state: int = 3, action: int = 2) -> list[dict[str, np.ndarray]]:
    """Return random episodes of ``observation.state`` and ``action``, float32."""
    rng = np.random.default_rng(seed)
    sizes = {"observation.state": state, "action": action}
    return [{k: rng.normal(size=(n, d)).astype(np.float32) for k, d in sizes.items()} for n in lengths]


def info(data: Sequence[Episode], version: str, **changes: Any) -> dict[str, Any]:
    """Return what ``meta/info.json`` says of these episodes."""
    features: dict[str, Any] = {
        name: {"dtype": values.dtype.name, "shape": list(values.shape[1:]), "names": None}
        for name, values in data[0].items()
    }
    for name in ("frame_index", "episode_index", "index", "task_index"):
        features[name] = {"dtype": "int64", "shape": [1], "names": None}
    features["observation.images.top"] = {"dtype": "video", "shape": [8, 8, 3], "names": ["height", "width", "channel"]}
    paths = {
        "v2": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "v3": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
    }
    return {
        "codebase_version": version,
        "robot_type": "arm",
        "total_episodes": len(data),
        "total_frames": sum(length(e) for e in data),
        "chunks_size": 1000,
        "fps": 30,
        "data_path": paths[version[:2]],
        "features": features,
    } | changes


def length(episode: Episode) -> int:
    """Return how many frames an episode has."""
    return len(next(iter(episode.values())))


def table(data: Sequence[Episode], first: int = 0, fixed: bool = True, at: int = 0) -> Any:
    """Return episodes as one arrow table, as lerobot writes it; ``first`` is the number of the first."""
    import pyarrow as pa

    columns: dict[str, Any] = {}
    for name in data[0]:
        values = np.concatenate([e[name] for e in data])
        flat = pa.array(np.ascontiguousarray(values).reshape(-1))
        width = values[0].size
        offsets = pa.array(np.arange(len(values) + 1, dtype=np.int32) * width)
        lists = pa.FixedSizeListArray.from_arrays(flat, width) if fixed else pa.ListArray.from_arrays(offsets, flat)
        columns[name] = lists
    counts = [length(e) for e in data]
    columns["frame_index"] = np.concatenate([np.arange(n) for n in counts])
    columns["episode_index"] = np.repeat(np.arange(first, first + len(data)), counts)
    columns["index"] = np.arange(at, at + sum(counts))
    columns["task_index"] = np.zeros(sum(counts), np.int64)
    return pa.table(columns)


def write_v2(root: Path, data: Sequence[Episode], version: str = "v2.1", fixed: bool = True, **changes: Any) -> Path:
    """Write a dataset of v2.0 or v2.1 and return its folder; ``changes`` go into ``info.json``."""
    import pyarrow.parquet as pq

    (root / "meta").mkdir(parents=True)
    (root / "data" / "chunk-000").mkdir(parents=True)
    said = info(data, version, **changes)
    (root / "meta" / "info.json").write_text(json.dumps(said))
    lines = [{"episode_index": i, "tasks": ["push"], "length": length(e)} for i, e in enumerate(data)]
    (root / "meta" / "episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    at = 0
    for i, episode in enumerate(data):
        pq.write_table(table([episode], i, fixed, at), data_file(root, i))
        at += length(episode)
    return root


def add_episode(root: Path, number: int, episode: Episode) -> None:
    """Write one episode of a set of v2.1 that is too large to hold; `finish` when all are there."""
    import pyarrow.parquet as pq

    data_file(root, number).parent.mkdir(parents=True, exist_ok=True)
    (root / "meta").mkdir(exist_ok=True)
    pq.write_table(table([episode], number), data_file(root, number))
    with (root / "meta" / "episodes.jsonl").open("a") as f:
        f.write(json.dumps({"episode_index": number, "tasks": ["push"], "length": length(episode)}) + "\n")


def finish(root: Path, last: Episode, frames: int) -> None:
    """Write ``info.json`` of a set that was written episode by episode; ``last`` is one of them."""
    listed = len((root / "meta" / "episodes.jsonl").read_text().splitlines())
    said = info([last], "v2.1", total_episodes=listed, total_frames=frames)
    (root / "meta" / "info.json").write_text(json.dumps(said))


def data_file(root: Path, episode: int) -> Path:
    """Return the path of an episode's file in a dataset of v2."""
    return root / "data" / "chunk-000" / f"episode_{episode:06d}.parquet"


def write_v3(
    root: Path,
    data: Sequence[Episode],
    per_file: int = 2,
    stats: Sequence[Mapping[str, Mapping[str, np.ndarray]]] | None = None,
    **changes: Any,
) -> Path:
    """Write a dataset of v3.0, ``per_file`` episodes in each data file, and return its folder.

    ``stats`` are statistics of each episode (feature: statistic: values), kept in the table of episodes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    (root / "meta" / "episodes" / "chunk-000").mkdir(parents=True)
    (root / "data" / "chunk-000").mkdir(parents=True)
    (root / "meta" / "info.json").write_text(json.dumps(info(data, "v3.0", **changes)))
    rows = []
    at = 0
    for i, episode in enumerate(data):
        row = {"episode_index": i, "tasks": ["push"], "length": length(episode), "data/chunk_index": 0}
        row |= {"data/file_index": i // per_file, "dataset_from_index": at, "dataset_to_index": at + length(episode)}
        for name, values in (stats[i] if stats else {}).items():
            row |= {f"stats/{name}/{k}": np.asarray(v).tolist() for k, v in values.items()}
        rows.append(row)
        at += length(episode)
    pq.write_table(pa.Table.from_pylist(rows), root / "meta" / "episodes" / "chunk-000" / "file-000.parquet")
    at = 0
    for number, first in enumerate(range(0, len(data), per_file)):
        part = data[first : first + per_file]
        pq.write_table(table(part, first, True, at), root / "data" / "chunk-000" / f"file-{number:03d}.parquet")
        at += sum(length(e) for e in part)
    return root


CAMERA = "observation.images.top"


def add_videos(root: Path, data: Sequence[Episode], per_file: int = 2) -> list[Path]:
    """Give a dataset of v2.1 or v3.0 its timestamps and its videos, whose frames are `videos.pictures` by row.

    Returns the videos: one for each episode in v2.1, one for ``per_file`` of them in v3.0.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from videos import pictures, write_video

    said = json.loads((root / "meta" / "info.json").read_text())
    said["features"]["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
    said["features"][CAMERA]["shape"] = [32, 48, 3]
    v3 = said["codebase_version"] == "v3.0"
    said["video_path"] = (
        "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
        if v3
        else "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
    )
    (root / "meta" / "info.json").write_text(json.dumps(said))
    for path in sorted((root / "data").rglob("*.parquet")):
        read = pq.read_table(path)
        stamps = pa.array((read["frame_index"].to_numpy() / said["fps"]).astype(np.float32))
        pq.write_table(read.append_column("timestamp", stamps), path)
    written, at = [], 0
    for number in range(0, len(data), per_file if v3 else 1):
        part = data[number : number + (per_file if v3 else 1)]
        count = sum(length(e) for e in part)
        name = (
            f"videos/{CAMERA}/chunk-000/file-{number // per_file:03d}.mp4"
            if v3
            else f"videos/chunk-000/{CAMERA}/episode_{number:06d}.mp4"
        )
        written.append(write_video(root / name, pictures(count, at), said["fps"]))
        at += count
    if v3:
        _place_videos(root, data, per_file, said["fps"])
    return written


def _place_videos(root: Path, data: Sequence[Episode], per_file: int, fps: int) -> None:
    """Write where each episode's frames lie into the table of episodes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = root / "meta" / "episodes" / "chunk-000" / "file-000.parquet"
    rows, at = pq.read_table(path).to_pylist(), 0
    for i, (row, episode) in enumerate(zip(rows, data, strict=True)):
        at = 0 if i % per_file == 0 else at
        row |= {f"videos/{CAMERA}/chunk_index": 0, f"videos/{CAMERA}/file_index": i // per_file}
        row |= {f"videos/{CAMERA}/from_timestamp": at / fps}
        at += length(episode)
        row |= {f"videos/{CAMERA}/to_timestamp": at / fps}
    pq.write_table(pa.Table.from_pylist(rows), path)
