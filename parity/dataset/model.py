"""A dataset as plain data: its features, its episodes, and how its frames are read.

Frames are rows, counted from 0 over all episodes that are there, in the order of the episodes. A format is a `Source`
that yields rows; everything else (episodes and frames by index, which rows are whose) follows from that here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, overload

import numpy as np

from parity.dataset.pictures import Pictures, with_pictures
from parity.errors import UsageError
from parity.finding import Finding

if TYPE_CHECKING:
    from parity.tensor import Array

Storage = Literal[
    "array",  # numbers, one array (shape) for each frame
    "video",  # frames of a video file, read where the dataset has `Pictures` of the feature
    "image",  # encoded pictures (PNG, JPEG), alike
    "text",
]
BLOCK = 8192  # frames in a block, at most
BLOCK_BYTES = 32 << 20  # bytes of one feature in a block, about; what a frame takes where that is more


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of every frame.

    Attributes:
        name: as the dataset spells it.
        shape: of one frame.
        dtype: NumPy's name of what is stored; for what is no array, the dataset's own word (``video``).
        names: of the elements, as many as the shape has, in C order; empty where they are not named.
        storage: how it is kept.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    names: tuple[str, ...] = ()
    storage: Storage = "array"


@dataclass(frozen=True, slots=True)
class Episode:
    """One episode: its number in the dataset, its first row, how many frames it has, what was to be done."""

    index: int
    start: int
    length: int
    tasks: tuple[str, ...] = ()


class Episodes(Sequence[Episode]):
    """All episodes, in order, in a few bytes each."""

    __slots__ = ("_indices", "_starts", "_tasks")

    def __init__(
        self, lengths: Sequence[int] | Array, indices: Sequence[int] | Array | None = None, tasks: Sequence[Any] = ()
    ) -> None:
        """Take how many frames each episode has, the episodes' numbers (default 0, 1, …), and their tasks, if known."""
        counts = np.asarray(lengths, np.int64).reshape(-1)
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        self._indices = np.arange(len(counts)) if indices is None else np.asarray(indices, np.int64).reshape(-1)
        self._tasks = tasks

    @property
    def frames(self) -> int:
        """How many frames all episodes have together."""
        return int(self._starts[-1])

    @property
    def lengths(self) -> Array:
        """How many frames each has, ``(E,)``."""
        lengths: Array = np.diff(self._starts)
        return lengths

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, position: int) -> Episode: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[Episode, ...]: ...
    def __getitem__(self, position: int | slice) -> Episode | tuple[Episode, ...]:
        if isinstance(position, slice):
            return tuple(self[i] for i in range(*position.indices(len(self))))
        i = range(len(self))[position]
        start = int(self._starts[i])
        tasks = tuple(self._tasks[i]) if self._tasks else ()
        return Episode(int(self._indices[i]), start, int(self._starts[i + 1]) - start, tasks)

    def numbered(self, index: int) -> Episode | None:
        """Return the episode of that number, None where there is none."""
        found = np.flatnonzero(self._indices == index)
        return self[int(found[0])] if found.size else None

    def spans(self, start: int, stop: int) -> tuple[Span, ...]:
        """Return which episodes rows ``start:stop`` belong to, in order."""
        if start >= stop:
            return ()
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        last = int(np.searchsorted(self._starts, stop, side="left"))
        found = []
        for i in range(first, last):
            low, high = max(start, int(self._starts[i])), min(stop, int(self._starts[i + 1]))
            if low < high:
                whole = high == int(self._starts[i + 1])
                found.append(Span(int(self._indices[i]), low - int(self._starts[i]), low - start, high - start, whole))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Span:
    """Rows ``start:stop`` of a block: frames of one episode from its ``frame`` on; ``last`` where it ends here."""

    episode: int
    frame: int
    start: int
    stop: int
    last: bool


@dataclass(frozen=True, slots=True)
class Block:
    """Some frames in a row: of each feature ``(N, *shape)``, where they lie in the dataset, and whose they are."""

    columns: Mapping[str, Array]
    start: int
    spans: tuple[Span, ...]

    def __len__(self) -> int:
        return self.spans[-1].stop if self.spans else 0


class Source(Protocol):
    """What a format adds: rows of its files."""

    def rows(self, names: Sequence[str], start: int, stop: int) -> Iterator[Mapping[str, Array]]:
        """Yield rows ``start:stop`` of the features called ``names``, a block after the other, each ``(N, *shape)``.

        Raises:
            ArtifactError: a file is not, or no longer, what was found when it was opened.
        """
        ...


@dataclass(frozen=True, slots=True)
class Dataset:
    """An opened dataset.

    Attributes:
        path: its folder or file.
        kind: its format, such as ``lerobot_v2.1``.
        features: by name, those that cannot be read here too.
        episodes: those whose frames are there; what the index claims beyond that is a finding.
        source: reads its rows.
        pictures: reads the frames of features that are kept as video or images, those of which that can be read.
        fps: frames per second, None where the dataset does not tell.
        findings: where index and files disagree.
        facts: what else it says of itself, as JSON.
    """

    path: Path
    kind: str
    features: Mapping[str, Feature]
    episodes: Episodes
    source: Source
    fps: float | None = None
    findings: tuple[Finding, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, Pictures] = field(default_factory=dict)

    @property
    def arrays(self) -> tuple[str, ...]:
        """The features that are kept as arrays."""
        return tuple(f.name for f in self.features.values() if f.storage == "array")

    def as_read(self, name: str) -> Feature:
        """Return a feature as `blocks` gives it: pictures as ``(H, W, 3)``, uint8, however they are kept."""
        feature = self.features[name]
        if feature.storage == "array" or name not in self.pictures:
            return feature
        return Feature(name, self.pictures[name].shape, "uint8")

    def blocks(self, names: Sequence[str] | None = None, start: int = 0, stop: int | None = None) -> Iterator[Block]:
        """Yield rows ``start:stop`` (default all) of some features (default all arrays) in memory that stays the same.

        Pictures come as ``(N, H, W, 3)``, uint8, red first, however they are kept.

        Raises:
            UsageError: there is no such feature, it is neither an array nor pictures, or their decoder is missing.
            ArtifactError: a file is missing or cannot be read, or changed since it was opened.
        """
        wanted = self._wanted(names)
        stop = self.episodes.frames if stop is None else min(stop, self.episodes.frames)
        at = start
        for columns in self._rows(wanted, start, stop):
            count = len(next(iter(columns.values()))) if columns else 0
            yield Block(columns, at, self.episodes.spans(at, at + count))
            at += count

    def episode(self, index: int, names: Sequence[str] | None = None) -> dict[str, Array]:
        """Return all frames of the episode that the dataset numbers ``index``, by feature, each ``(N, *shape)``.

        Raises:
            UsageError: there is no such episode or feature.
            ArtifactError: a file cannot be read.
        """
        episode = self._numbered(index)
        return self._between(names, episode.start, episode.start + episode.length)

    def frame(self, index: int, frame: int, names: Sequence[str] | None = None) -> dict[str, Array]:
        """Return frame ``frame`` of the episode that the dataset numbers ``index``, by feature, each ``shape``.

        Raises:
            UsageError: there is no such frame, episode or feature.
            ArtifactError: a file cannot be read.
        """
        episode = self._numbered(index)
        if not 0 <= frame < episode.length:
            raise UsageError(
                f"{self.path}: episode {index} has no frame {frame}", expected=f"0 to {episode.length - 1}"
            )
        at = episode.start + frame
        return {name: values[0] for name, values in self._between(names, at, at + 1).items()}

    def _rows(self, names: Sequence[str], start: int, stop: int) -> Iterator[Mapping[str, Array]]:
        shown = {n: self.pictures[n] for n in names if self.features[n].storage != "array"}
        if not shown:
            return self.source.rows(names, start, stop)
        arrays = [n for n in names if n not in shown]
        at_once = block_rows([self.as_read(n) for n in names])
        return with_pictures(self.source, arrays, shown, start, stop, at_once)

    def _between(self, names: Sequence[str] | None, start: int, stop: int) -> dict[str, Array]:
        blocks = list(self._rows(self._wanted(names), start, stop))
        return {name: np.concatenate([b[name] for b in blocks]) for name in (blocks[0] if blocks else ())}

    def _numbered(self, index: int) -> Episode:
        episode = self.episodes.numbered(index)
        if episode is None:
            there = f"{len(self.episodes)} episodes, {self.episodes[0].index} to {self.episodes[-1].index}"
            raise UsageError(
                f"{self.path}: episode {index} is not there", expected=f"one of {there}", remedy="see the findings"
            )
        return episode

    def _wanted(self, names: Sequence[str] | None) -> tuple[str, ...]:
        wanted = self.arrays if names is None else tuple(names)
        self.check(wanted)
        if not wanted:
            raise UsageError(f"{self.path}: no feature is kept as an array, so there is nothing to read")
        return wanted

    def check(self, names: Sequence[str]) -> None:
        """Make sure that features can be read.

        Raises:
            UsageError: there is no such feature, it is neither an array nor pictures, or their decoder is missing.
        """
        for name in names:
            feature = self.features.get(name)
            if feature is None:
                near = difflib.get_close_matches(name, self.features, 1)
                raise UsageError(
                    f"{self.path}: there is no feature {name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""),
                    expected=f"one of {', '.join(self.arrays)}",
                )
            if feature.storage != "array":
                if name not in self.pictures:
                    raise UsageError(f"{self.path}: {name!r} is kept as {feature.storage}, which is not read here")
                self.pictures[name].check()


def block_rows(features: Sequence[Feature]) -> int:
    """Return how many frames of these features make up a block: `BLOCK`, or fewer where frames are large."""
    widest = max((int(np.prod(f.shape, dtype=np.int64)) * np.dtype(f.dtype).itemsize for f in features), default=1)
    return max(1, min(BLOCK, BLOCK_BYTES // max(1, widest)))
