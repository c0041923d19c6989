"""A LeRobot dataset out of its index and its data files: every file is looked at, and what is there is what counts."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from parity.dataset.arrow_values import Column
from parity.dataset.faults import SHOWN, Fault, error_of, findings_of
from parity.dataset.lerobot_info import Info
from parity.dataset.lerobot_roots import INFO
from parity.dataset.lerobot_video import Found, Locate, Rows, look_at_images, look_at_videos
from parity.dataset.model import Dataset, Episodes, Feature
from parity.dataset.parquet import KEPT_FOOTERS, Footer, Footers, ParquetRows, stored
from parity.errors import ArtifactError
from parity.finding import Finding

ROWS = "DATA005"
TOTALS = "DATA006"
SHAPE = "DATA007"
NO_COLUMN = "DATA008"
UNLISTED = "DATA009"

Listed = tuple[int, int, tuple[str, ...]]  # episode, how many frames the index claims, tasks


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file by its path in the dataset, and the episodes in it as the index lists them, in order."""

    name: str
    episodes: tuple[Listed, ...]

    @property
    def claimed(self) -> int:
        """How many frames the index says that it holds."""
        return sum(length for _, length, _ in self.episodes)


@dataclass(slots=True)
class _Seen:
    """What looking at the files brings to light."""

    faults: dict[str, Fault] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    footers: dict[int, Footer] = field(default_factory=dict)
    episodes: list[Listed] = field(default_factory=list)
    wrong_rows: dict[str, tuple[int, int]] = field(default_factory=dict)  # file: claimed, held
    widths: dict[str, dict[str, int | None]] = field(default_factory=dict)  # feature: file: values a row
    first: Footer | None = None
    even: Mapping[str, Column] | None = None

    def take(self, file: DataFile, path: Path, footer: Footer) -> None:
        """Take in a file that can be read. One that holds a single episode holds it whole, whatever the index says."""
        if footer.rows != file.claimed:
            self.wrong_rows[file.name] = (file.claimed, footer.rows)
        left = footer.rows
        for index, length, tasks in file.episodes:
            length = left if len(file.episodes) == 1 else min(length, left)
            left -= length
            self.episodes.append((index, length, tasks))
        if len(self.files) < KEPT_FOOTERS:
            self.footers[len(self.files)] = footer
        self.files.append(path)
        self.rows.append(footer.rows - left)
        self.first = self.first or footer


def assemble(
    root: Path,
    info: Info,
    files: Sequence[DataFile],
    index: str,
    findings: list[Finding],
    locate: Locate | None = None,
) -> Dataset:
    """Return the dataset: the episodes whose files can be read, with as many frames as these hold.

    Args:
        root: its folder.
        info: what ``meta/info.json`` says.
        files: data files as the index lists them, in the order of their episodes.
        index: the index's path in the dataset, for messages.
        findings: what was found before.
        locate: where an episode's frames of a video lie, None where the dataset does not tell.

    Raises:
        ArtifactError: not one data file can be read.
    """
    seen, reader = _Seen(), Footers()
    for file in files:
        path = root / file.name
        footer = reader.read(path)
        if isinstance(footer, Fault):
            seen.faults[file.name] = footer
            continue
        seen.take(file, path, footer)
        _widths(seen, file.name, footer, info.features)
    if seen.first is None:
        name, fault = next(iter(seen.faults.items())) if seen.faults else (index, Fault("DATA002"))
        count = len(seen.faults)
        raise error_of(root / name, fault, f"as are all {count:,} data files" if count > 1 else "the only data file")
    features, more = _features(info, seen)
    source = ParquetRows(tuple(seen.files), tuple(seen.rows), features, seen.footers)
    shown = _pictures(root, info, files, seen, source, locate)
    indices, lengths, tasks = zip(*seen.episodes, strict=True)
    findings = [*findings, *_totals(info, files, index), *findings_of(seen.faults, len(files)), *_rows(seen, index)]
    return Dataset(
        path=root,
        kind=f"lerobot_{info.version}",
        features=features,
        episodes=Episodes(lengths, indices, tasks if any(tasks) else ()),
        source=source,
        fps=info.fps,
        findings=(*findings, *more, *shown.findings, *_unlisted(root, files)),
        facts={"robot": info.robot, "episodes": len(indices), "frames": sum(lengths), "files": len(seen.files)},
        pictures=shown.pictures,
    )


def _pictures(
    root: Path, info: Info, files: Sequence[DataFile], seen: _Seen, source: ParquetRows, locate: Locate | None
) -> Found:
    """Return the frames of what is kept as video or images."""
    listed = [(i, length) for file in files for i, length, _ in file.episodes]
    rows = Rows(root, info.fps, source, source.features, listed, [(i, length) for i, length, _ in seen.episodes])
    videos = look_at_videos(rows, [n for n, f in source.features.items() if f.storage == "video"], locate)
    kept = [n for n, f in source.features.items() if f.storage == "image"]
    images = look_at_images(kept, source, source.features, seen.first.columns if seen.first else {})
    return Found({**videos.pictures, **images.pictures}, [*videos.findings, *images.findings])


def _widths(seen: _Seen, name: str, footer: Footer, features: Mapping[str, Feature]) -> None:
    """Note where a file's rows have another number of values than a feature's shape says."""
    if (
        footer.columns is seen.even and footer.rows
    ):  # of one schema with the file before, whose lists are all of one size
        return
    for feature in features.values():
        column = footer.columns.get(feature.name)
        if feature.storage == "array" and column is not None and column.storage == "array" and footer.rows:
            width = footer.width(feature.name)
            if width != math.prod(feature.shape):
                seen.widths.setdefault(feature.name, {})[name] = width
    if not seen.widths and all(None not in column.sizes for column in footer.columns.values()):
        seen.even = footer.columns


def _totals(info: Info, files: Sequence[DataFile], index: str) -> list[Finding]:
    listed = {"episodes": sum(len(f.episodes) for f in files), "frames": sum(f.claimed for f in files)}
    claimed = {"episodes": info.episodes, "frames": info.frames}
    if all(claimed[k] in (None, listed[k]) for k in listed):
        return []
    title = (
        f"{INFO.as_posix()} claims {claimed['frames']} frames in {claimed['episodes']} episodes, "
        f"{index} lists {listed['frames']} in {listed['episodes']}"
    )
    return [
        Finding(
            TOTALS,
            "error",
            title,
            where=INFO.as_posix(),
            evidence={"info.json": claimed, "index": listed},
            remedy="fetch the whole dataset again; if it is so where it was recorded, write its metadata again",
        )
    ]


def _rows(seen: _Seen, index: str) -> list[Finding]:
    if not seen.wrong_rows:
        return []
    name, (claimed, held) = next(iter(seen.wrong_rows.items()))
    lost = sum(max(0, c - h) for c, h in seen.wrong_rows.values())
    many = f" ({len(seen.wrong_rows)} files are not as listed)" if len(seen.wrong_rows) > 1 else ""
    return [
        Finding(
            ROWS,
            "error",
            f"{name} holds {held:,} frames, {index} claims {claimed:,}{many}",
            where=name,
            detail=f"{lost:,} frames that the index claims do not exist." if lost else "",
            evidence={
                "files": {n: {"claimed": c, "held": h} for n, (c, h) in list(seen.wrong_rows.items())[:SHOWN]},
                "count": len(seen.wrong_rows),
                "frames_lost": lost,
            },
            remedy="fetch the data files and meta/ again, both of one version of the dataset",
        )
    ]


def _features(info: Info, seen: _Seen) -> tuple[dict[str, Feature], list[Finding]]:
    """Return the features as the files keep them, and where that is not what ``info.json`` says."""
    footer = seen.first
    if footer is None:
        raise ArtifactError(f"{info.path}: no data file can be read")
    found: dict[str, Feature] = {}
    findings: list[Finding] = []
    for name, feature in info.features.items():
        if feature.storage == "video" or (feature.storage == "image" and name not in footer.columns):
            found[name] = feature
        elif name not in footer.columns:
            findings.append(_absent(name, feature, footer))
        else:
            found[name] = stored(feature, footer)
            findings += _differs(feature, found[name], seen.widths.get(name, {}))
    return found, findings


def _absent(name: str, feature: Feature, footer: Footer) -> Finding:
    return Finding(
        NO_COLUMN,
        "error",
        f"{name}: declared in info.json with shape {list(feature.shape)}, but the data files have no such column",
        where=name,
        evidence={"columns": sorted(footer.columns)[:64]},
        remedy="fetch the data files and meta/ again, both of one version of the dataset",
    )


def _differs(said: Feature, is_: Feature, widths: Mapping[str, int | None]) -> list[Finding]:
    if widths:
        file, width = next(iter(widths.items()))
        held = "rows of different numbers of values" if width is None else f"{width} values a frame"
        title = f"{said.name}: info.json declares shape {list(said.shape)}, but {file} holds {held}"
        evidence = {"declared": list(said.shape), "files": len(widths), "first": file, "values": width}
        remedy = "find out which is right: names and statistics of this feature may belong to another robot"
        return [Finding(SHAPE, "error", title, where=said.name, evidence=evidence, remedy=remedy)]
    if is_.storage == "array" and said.dtype != is_.dtype:
        title = f"{said.name}: info.json declares {said.dtype}, but the data files hold {is_.dtype}"
        evidence = {"declared": said.dtype, "held": is_.dtype}
        remedy = "nothing, if whoever reads the dataset casts; it is read as it is kept"
        return [Finding(SHAPE, "warning", title, where=said.name, evidence=evidence, remedy=remedy)]
    return []


def _unlisted(root: Path, files: Sequence[DataFile]) -> list[Finding]:
    """Find Parquet files that lie among the listed ones and are not listed."""
    listed = {f.name for f in files}
    extra: list[str] = []
    for folder in sorted({name.rpartition("/")[0] for name in listed}):
        if (root / folder).is_dir():
            with os.scandir(root / folder) as there:
                names = [f"{folder}/{entry.name}" if folder else entry.name for entry in there]
            extra += sorted(name for name in names if name.endswith(".parquet") and name not in listed)
    if not extra:
        return []
    title = f"{len(extra)} data files are in no index, {extra[0]} first: they are not read"
    remedy = "fetch meta/ again if the dataset grew; lerobot itself may load them and count its frames wrongly"
    evidence = {"files": extra[:SHOWN], "count": len(extra)}
    return [Finding(UNLISTED, "warning", title, where=extra[0], evidence=evidence, remedy=remedy)]
