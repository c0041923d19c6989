"""A dataset out of plain arrays, as `.npz` and HDF5 files hold them: which is which feature, which rows which episode.

All arrays have one first axis, which counts frames. Episodes are told by one of the arrays `episode_ends` (where each
ends, as diffusion_policy's replay buffers have it), `episode_lengths`, or `episode_index` (of every frame), with or
without `meta/` before the name; without one, all frames are one episode.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.dataset.model import BLOCK, Dataset, Episodes, Feature, block_rows
from parity.errors import ArtifactError, UsageError
from parity.finding import Finding

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from parity.tensor import Array

ROWS = "DATA005"
ENDS, LENGTHS, INDEX = "episode_ends", "episode_lengths", "episode_index"
MAX_EPISODES = 1 << 24
Read = Callable[[str, int, int], "Array"]


@dataclass(frozen=True, slots=True)
class Stored:
    """An array in a file."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class PlainRows:
    """A `Source` over arrays: ``arrays`` by feature, read by what ``opened`` gives while it is open."""

    opened: Callable[[], AbstractContextManager[Read]]
    arrays: Mapping[str, str]
    features: Mapping[str, Feature]

    def rows(self, names: Sequence[str], start: int, stop: int) -> Iterator[Mapping[str, Array]]:
        """Yield rows ``start:stop`` of the features; see `Source.rows`."""
        step = block_rows([self.features[n] for n in names])
        with self.opened() as read:
            for at in range(start, stop, step):
                end = min(at + step, stop)
                yield {n: read(self.arrays[n], at, end).reshape(end - at, *self.features[n].shape) for n in names}


def assemble(
    path: Path,
    kind: str,
    arrays: Mapping[str, Stored],
    opened: Callable[[], AbstractContextManager[Read]],
    columns: Mapping[str, str] | None,
) -> Dataset:
    """Return the dataset that the arrays of a file make up.

    Raises:
        ArtifactError: arrays have different numbers of frames, or what tells the episodes cannot be.
        UsageError: ``columns`` name an array that is not there.
    """
    if columns:
        for feature, name in columns.items():
            if name not in arrays:
                near = difflib.get_close_matches(name, arrays, 1)
                raise UsageError(
                    f"{path}: there is no array {name!r} for {feature!r}"
                    + (f" (did you mean {near[0]!r}?)" if near else ""),
                    expected=f"one of {_listed(arrays)}",
                )
    told = _telling(arrays, columns or {})
    chosen = dict(columns) if columns else {name: name for name in arrays}
    chosen = {f: n for f, n in chosen.items() if told is None or n != told[1] or told[0] == INDEX}
    frames = _frames(path, {f: arrays[n] for f, n in chosen.items()}, explicit=bool(columns))
    features = {f: Feature(f, arrays[n].shape[1:] or (1,), arrays[n].dtype.name) for f, n in chosen.items()}
    lengths: list[int] = [frames]
    findings: list[Finding] = []
    if told is not None:
        with opened() as read:
            lengths, findings = _episodes(path, *told, arrays[told[1]], read, frames)
    return Dataset(
        path=path,
        kind=kind,
        features=features,
        episodes=Episodes(lengths),
        source=PlainRows(opened, chosen, features),
        findings=tuple(findings),
        facts={"episodes": len(lengths), "frames": sum(lengths), "episodes_told_by": told[1] if told else None},
    )


def _telling(arrays: Mapping[str, Stored], columns: Mapping[str, str]) -> tuple[str, str] | None:
    """Return how episodes are told, and by which array."""
    for way in (ENDS, LENGTHS, INDEX):
        for name in (columns.get(way), way, f"meta/{way}"):
            if name is not None and name in arrays and arrays[name].dtype.kind in "iu" and len(arrays[name].shape) <= 2:
                return way, name
    return None


def _frames(path: Path, arrays: Mapping[str, Stored], *, explicit: bool) -> int:
    if not arrays:
        raise ArtifactError(f"{path}: it holds no arrays of frames", expected="arrays whose first axis counts frames")
    lengths = {name: a.shape[0] if a.shape else None for name, a in arrays.items()}
    if len(set(lengths.values())) > 1 or None in lengths.values():
        usual = Counter(lengths.values()).most_common(1)[0][0]
        odd = {n: v for n, v in lengths.items() if v != usual}
        said = ", ".join(f"{n}: {'a single number' if v is None else f'{v:,}'}" for n, v in list(odd.items())[:8])
        raise ArtifactError(
            f"{path}: {len(lengths) - len(odd)} arrays have {usual or 0:,} frames, others have not: {said}",
            expected="one number of frames in all arrays",
            remedy="record them again"
            if explicit
            else 'say which arrays are meant: columns = {action = "name of its array"}',
        )
    frames = int(next(iter(lengths.values())) or 0)
    if not frames:
        raise ArtifactError(f"{path}: it holds no frames", expected="at least one")
    return frames


def _episodes(
    path: Path, way: str, name: str, stored: Stored, read: Read, frames: int
) -> tuple[list[int], list[Finding]]:
    """Return the lengths of the episodes that are there, and a finding where these are not all frames."""
    size = stored.shape[0] if stored.shape else 0
    if way == INDEX:
        lengths = list(_runs(path, name, read, size))
    elif size > MAX_EPISODES:
        raise ArtifactError(f"{path}: {name} lists {size:,} episodes", expected=f"at most {MAX_EPISODES:,}")
    else:
        values = read(name, 0, size).reshape(-1).astype(np.int64)
        lengths = (np.diff(values, prepend=0) if way == ENDS else values).tolist()
    if any(n < 0 for n in lengths) or not lengths:
        raise ArtifactError(
            f"{path}: {name} does not tell episodes: {'it is empty' if not lengths else 'its numbers do not rise'}",
            expected="where each episode ends, in order" if way == ENDS else "how many frames each episode has",
            remedy="write it again",
        )
    claimed = sum(lengths)
    if claimed == frames:
        return lengths, []
    there, left = [], frames
    for length in lengths:
        there.append(min(length, left))
        left -= there[-1]
    finding = Finding(
        ROWS,
        "error",
        f"{path.name} holds {frames:,} frames, its {name} claims {claimed:,}",
        where=name,
        detail=f"{claimed - frames:,} frames do not exist." if claimed > frames else "The rest belongs to no episode.",
        evidence={"claimed": claimed, "held": frames, "frames_lost": max(0, claimed - frames)},
        remedy="write the file again, or fetch it again: it was cut short, or is of another recording",
    )
    return there, [finding]


def _runs(path: Path, name: str, read: Read, frames: int) -> Iterator[int]:
    """Yield how long each run of equal numbers is."""
    last, length, seen = None, 0, set()
    for start in range(0, frames, BLOCK):
        values = read(name, start, min(start + BLOCK, frames)).reshape(-1)
        cuts = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
        for begin, end in pairwise(cuts):
            value = int(values[begin])
            if value != last:
                if last is not None:
                    yield length
                if value in seen:
                    raise ArtifactError(
                        f"{path}: {name}: frames of episode {value} lie in two places",
                        expected="all frames of an episode in a row",
                        remedy="sort the frames by episode and frame",
                    )
                seen.add(value)
                last, length = value, 0
            length += end - begin
    yield length


def _listed(names: Mapping[str, object]) -> str:
    shown = sorted(names)[:16]
    return ", ".join(shown) + (", …" if len(names) > len(shown) else "")
