"""The videos and images of a LeRobot dataset: where each frame lies, and whether the files are what is listed.

Source: lerobot/datasets/lerobot_dataset.py: up to v2.1 (0.3.3) a file for each episode and camera; in v3.0 (0.4.4) a
file holds several episodes, each from its ``from_timestamp`` on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from parity.dataset.faults import CORRUPT, EMPTY, LFS, MISSING, SHOWN, Fault
from parity.dataset.images import ImageFrames, Table, shape_of_first
from parity.dataset.model import Feature, Source
from parity.dataset.mp4 import Mp4, look_at_mp4
from parity.dataset.pictures import Pictures, picture_shape
from parity.dataset.video import INSTALL, Clip, VideoFrames, has_decoder
from parity.finding import Finding

if TYPE_CHECKING:
    from parity.tensor import Array

NOT_READ, UNSOUND, FRAMES, SHAPE = "DATA010", "DATA012", "DATA013", "DATA007"
_WORDS = {MISSING: "is missing", EMPTY: "is empty (0 bytes)", LFS: "is a Git LFS pointer", CORRUPT: "is damaged"}
STAMPS, FRAME = "timestamp", "frame_index"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the frames of an episode lie: a file by its path in the dataset, from when, and until when if told."""

    name: str
    offset: float = 0.0
    until: float | None = None


Locate = Callable[[str, int], Place | None]  # by feature and number of the episode


@dataclass(frozen=True, slots=True)
class Rows:
    """What the pictures go with: the dataset's folder, rate and rows, and its episodes, in order.

    ``listed`` are episodes with the frames that the index claims of each, ``held`` those whose frames are there.
    """

    root: Path
    fps: float | None
    source: Source
    features: Mapping[str, Feature]
    listed: Sequence[tuple[int, int]]
    held: Sequence[tuple[int, int]]

    def stamps(self) -> str | None:
        """Return the feature that tells when a frame was taken."""
        return next((n for n in (STAMPS, FRAME) if n in self.features and (n == STAMPS or self.fps)), None)


@dataclass(slots=True)
class Found:
    """The pictures that can be read, and what is to be said of these and of the others."""

    pictures: dict[str, Pictures] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def look_at_videos(rows: Rows, names: Sequence[str], locate: Locate | None) -> Found:
    """Return the frames of features that are kept as video; every file is looked at, none is decoded."""
    found = Found()
    absent: list[str] = []
    untold: list[str] = []
    for name in names:
        places = {} if locate is None else {i: p for i, _ in rows.listed if (p := locate(name, i)) is not None}
        if rows.stamps() is None or len(places) < len(rows.listed):
            untold.append(name)
            continue
        seen = {p.name: look_at_mp4(rows.root / p.name) for p in places.values()}
        faults = {n: s for n, s in seen.items() if isinstance(s, Fault)}
        sound = {n: s for n, s in seen.items() if isinstance(s, Mp4)}
        first = next(iter(sound.values()), None)
        shape = (first.height, first.width, 3) if first else picture_shape(rows.features[name].shape)
        if shape is not None:
            found.pictures[name] = _frames(rows, name, shape, places, faults)
        if not sound and all(f.code == MISSING for f in faults.values()):
            absent.append(name)
            continue
        found.findings += _unsound(name, faults, len(seen))
        found.findings += _counts(rows, name, places, sound)
        found.findings += _sizes(name, rows.features[name].shape, sound)
    found.findings += _not_read(absent, "their files are not here")
    found.findings += _not_read(untold, "the dataset does not say where they lie")
    here = [n for n in names if n not in (*absent, *untold)]
    if here and not has_decoder():
        found.findings += _not_read(here, "PyAV is not installed, which decodes it", INSTALL)
    return found


def look_at_images(
    names: Sequence[str], table: Table, features: Mapping[str, Feature], columns: Collection[str]
) -> Found:
    """Return the pictures of features that are kept as encoded images, those that are among a table's columns."""
    found = Found()
    for name in names:
        shape = (picture_shape(features[name].shape) or shape_of_first(name, table)) if name in columns else None
        if shape is not None:
            found.pictures[name] = ImageFrames(name, shape, table)
    unread = [n for n in names if n not in found.pictures]
    found.findings += _not_read(unread, "they are not embedded in the table")
    return found


def _not_read(names: Sequence[str], why: str, remedy: str = "") -> Iterator[Finding]:
    if names:
        title = f"{', '.join(names)}: kept as video or encoded pictures, which are listed and not judged: {why}"
        yield Finding(NOT_READ, "info", title, where=names[0], evidence={"features": list(names)}, remedy=remedy)


def _frames(
    rows: Rows, name: str, shape: tuple[int, int, int], places: Mapping[int, Place], faults: Mapping[str, Fault]
) -> VideoFrames:
    clips, at = [], 0
    for index, length in rows.held:
        place = places[index]
        clips.append(Clip(rows.root / place.name, at, length, place.offset))
        at += length
    return VideoFrames(
        name, shape, clips, _Stamps(rows).read, rows.fps, {rows.root / n: fault for n, fault in faults.items()}
    )


@dataclass(frozen=True, slots=True)
class _Stamps:
    rows: Rows

    def read(self, start: int, stop: int) -> Array:
        """Return the timestamps of rows, in seconds, ``(N,)``."""
        name = self.rows.stamps() or STAMPS
        parts = [b[name].reshape(-1) for b in self.rows.source.rows([name], start, stop)]
        values: Array = np.concatenate(parts).astype(np.float64)
        return values if name == STAMPS else values / (self.rows.fps or 1.0)


def _unsound(name: str, faults: Mapping[str, Fault], total: int) -> Iterator[Finding]:
    if faults:
        first, fault = next(iter(faults.items()))
        said = _WORDS[fault.code]
        yield Finding(
            UNSOUND,
            "error",
            f"{name}: {first} {said}"
            + (f": {fault.found}" if fault.found else "")
            + (f" ({len(faults):,} of {total:,} videos are not sound)" if len(faults) > 1 else "")
            + ": not judged",
            where=name,
            evidence={"files": {n: f.code for n, f in list(faults.items())[:SHOWN]}, "count": len(faults)},
            remedy="run `git lfs pull` in the dataset's repository, or download the dataset with `hf download`"
            if fault.code == LFS
            else "fetch the whole dataset again, its videos too",
        )


def _counts(rows: Rows, name: str, places: Mapping[int, Place], sound: Mapping[str, Mp4]) -> Iterator[Finding]:
    """Find videos that hold other numbers of frames than the index claims, or spans too short for their episodes."""
    claimed: dict[str, int] = {}
    short: dict[int, tuple[float, float]] = {}
    for index, length in rows.listed:
        place = places[index]
        claimed[place.name] = claimed.get(place.name, 0) + length
        if place.until is not None and rows.fps and length:
            needs, has = (length - 1.5) / rows.fps, place.until - place.offset
            if has < needs:
                short[index] = (has, length / rows.fps)
    wrong = {n: (claimed[n], s.frames) for n, s in sound.items() if s.frames not in (None, claimed[n])}
    if wrong:
        first, (said, held) = next(iter(wrong.items()))
        fewer = any(h is not None and h < c for c, h in wrong.values())
        yield Finding(
            FRAMES,
            "error" if fewer else "warning",
            f"{name}: {first} holds {held:,} frames, the index claims {said:,}"
            + (f" ({len(wrong)} videos are not as listed)" if len(wrong) > 1 else ""),
            where=name,
            evidence={
                "files": {n: {"claimed": c, "held": h} for n, (c, h) in list(wrong.items())[:SHOWN]},
                "count": len(wrong),
            },
            remedy="fetch videos and meta/ again, both of one version of the dataset",
        )
    if short:
        index, (has, needs) = next(iter(short.items()))
        yield Finding(
            FRAMES,
            "error",
            f"{name}: episode {index} is said to be {has:.3f} s of its video, its frames take {needs:.3f} s"
            + (f" (so of {len(short)} episodes)" if len(short) > 1 else ""),
            where=name,
            detail="Whoever reads by these times mixes frames of neighbouring episodes.",
            evidence={"episodes": {str(i): list(v) for i, v in list(short.items())[:SHOWN]}, "count": len(short)},
            remedy="write the dataset's metadata again, or fetch it again",
        )


def _sizes(name: str, declared: Sequence[int], sound: Mapping[str, Mp4]) -> Iterator[Finding]:
    shape = picture_shape(declared)
    first = next(((n, s) for n, s in sound.items() if shape is not None and (s.height, s.width) != shape[:2]), None)
    if first is not None:
        file, size = first
        yield Finding(
            SHAPE,
            "error",
            f"{name}: info.json declares shape {list(declared)}, but {file} holds frames of "
            f"{size.width} x {size.height}",
            where=name,
            evidence={"declared": list(declared), "first": file, "width": size.width, "height": size.height},
            remedy="find out which is right: the policy may have been trained on pictures of another size",
        )
