"""A dataset's statistics, computed again from its frames: one pass, in memory that does not grow with their number.

What is summed up does not depend on the order in which frames come, so parts of a dataset can be joined in any order to
the same bytes. Mean and std are exact (rounded once), so are min and max; a quantile comes with how far it may be off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.dataset.ahead import ahead
from parity.dataset.model import Block, Dataset, Feature
from parity.errors import UsageError
from parity.stats.chunks import Chunks
from parity.stats.model import FeatureStats, NormStats
from parity.stats.numbers import Numbers
from parity.stats.summary import Pixels, Summary, channel_axis

if TYPE_CHECKING:
    from parity.tensor import Array

INDICES = ("timestamp", "frame_index", "episode_index", "index", "task_index")  # what LeRobot adds to every frame
PICTURES = 4096  # frames of which pictures are looked at, about


@dataclass(frozen=True, slots=True)
class Record:
    """How a feature's statistics came about.

    Attributes:
        frames: how many frames there are.
        used: how many of them were looked at; fewer for pictures.
        nan: values that are NaN, and were left out.
        inf: values that are infinite, and were left out.
        bound: how far a quantile may be off at most, in units of the range of its dimension; 0 where all are exact.
        short: of chunks: episodes that are shorter than a chunk and have none.
    """

    frames: int
    used: int
    nan: int
    inf: int
    bound: float
    short: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Recomputed:
    """A dataset's statistics as its frames give them.

    Attributes:
        stats: per frame, by feature; of kind ``recomputed``. ``facts`` holds the records.
        chunks: per chunk position, ``(K, *shape)`` under the action's name; None where no chunk was asked for.
        records: how each came about, by feature.
        summaries: what the statistics were read from, for shares of values outside of a range.
    """

    stats: NormStats
    chunks: NormStats | None
    records: Mapping[str, Record]
    summaries: Mapping[str, Summary] = field(repr=False)
    chunk_summaries: Mapping[str, Summary] = field(default_factory=dict, repr=False)


class Recomputation:
    """What is summed up over the frames of a dataset, or over a part of it that another may be joined to."""

    def __init__(self, features: Sequence[Feature], frames: int, chunks: Sequence[Chunks] = ()) -> None:
        """Take the features to sum up, how many frames the whole dataset has, and chunks."""
        self._features = {f.name: f for f in features}
        self.summaries: dict[str, Summary] = {f.name: summary_of(f) for f in features}
        self.chunks = tuple(chunks)
        self.frames = 0
        self.every = max(1, frames // PICTURES)
        self.used = dict.fromkeys(self._features, 0)

    def add(self, block: Block) -> None:
        """Take in a block of frames."""
        self.frames += len(block)
        chosen: Array | None = None
        for name, summary in self.summaries.items():
            values = block.columns[name]
            if isinstance(summary, Pixels):
                chosen = chosen_frames(block, self.every) if chosen is None else chosen
                values = values[chosen]
            summary.add(values)
            self.used[name] += len(values)
        for chunk in self.chunks:
            chunk.add(block)

    def merge(self, other: Recomputation) -> None:
        """Take in what another has summed up over other episodes of the dataset."""
        if self.every != other.every or self._features != other._features or len(self.chunks) != len(other.chunks):
            raise UsageError("only parts of one dataset, of the same features, can be joined")
        self.frames += other.frames
        for name, summary in self.summaries.items():
            summary.merge(other.summaries[name])
            self.used[name] += other.used[name]
        for mine, theirs in zip(self.chunks, other.chunks, strict=True):
            mine.merge(theirs)

    def result(self, dataset: Dataset) -> Recomputed:
        """Return the statistics of all that was taken in."""
        records = {n: _record(s, self.frames, self.used[n]) for n, s in self.summaries.items()}
        features = {n: _feature(n, s, dataset, records[n]) for n, s in self.summaries.items()}
        stats = NormStats(
            path=dataset.path,
            label=f"{dataset.path} (recomputed)",
            kind="recomputed",
            features=features,
            facts={"records": {n: r.as_json() for n, r in records.items()}, "dataset": dataset.kind},
        )
        by_name = {c.names[0]: c for c in self.chunks}
        return Recomputed(
            stats, self._chunked(dataset, by_name), records, self.summaries, {n: c.numbers for n, c in by_name.items()}
        )

    def _chunked(self, dataset: Dataset, chunks: Mapping[str, Chunks]) -> NormStats | None:
        if not chunks:
            return None
        first = next(iter(chunks.values()))
        records = {
            n: _record(c.numbers, self.frames, int(c.numbers.count.max(initial=0)), c.short) for n, c in chunks.items()
        }
        return NormStats(
            path=dataset.path,
            label=f"{dataset.path} (recomputed, per chunk position)",
            kind="recomputed",
            features={n: _feature(n, c.numbers, dataset, records[n]) for n, c in chunks.items()},
            chunk=first.length,
            facts={
                "records": {n: r.as_json() for n, r in records.items()},
                "relative_to": first.names[1] if len(first.names) > 1 else None,
                "dataset": dataset.kind,
            },
        )


def recompute(
    dataset: Dataset,
    features: Sequence[str] | None = None,
    *,
    chunk: int | None = None,
    action: str = "action",
    relative_to: str | None = None,
) -> Recomputed:
    """Return the statistics of a dataset's frames, read once from the first to the last.

    Args:
        dataset: its index was checked when it was opened; frames that are not there are not counted.
        features: default all that are kept as arrays, but for LeRobot's indices and time stamps.
        chunk: also per position of chunks of that many frames of ``action``; see `parity.stats.chunks`.
        action: the feature that is taken in chunks.
        relative_to: the state that chunks are taken relative to; None for the actions as they are.

    Raises:
        UsageError: a feature is not there or cannot be read, or ``relative_to`` does not fit the action.
        ArtifactError: a file cannot be read.
    """
    names = [n for n in dataset.arrays if n not in INDICES] if features is None else list(features)
    part = recomputation(dataset, names, chunk=chunk, action=action, relative_to=relative_to)
    wanted = list(dict.fromkeys([*names, *(n for c in part.chunks for n in c.names)]))
    for block in ahead(dataset.blocks(wanted)):
        part.add(block)
    return part.result(dataset)


def recomputation(
    dataset: Dataset,
    names: Sequence[str],
    *,
    chunk: int | None = None,
    action: str = "action",
    relative_to: str | None = None,
) -> Recomputation:
    """Return empty sums for a dataset, to be filled with blocks and joined; see `recompute`.

    Raises:
        UsageError: see `recompute`.
    """
    chunks = []
    dataset.check([*names, *([action] if chunk else []), *([relative_to] if relative_to else [])])
    if chunk is not None:
        if chunk < 1:
            raise UsageError(f"a chunk of {chunk} frames", expected="at least 1")
        state = dataset.features[relative_to] if relative_to else None
        chunks.append(Chunks(dataset.features[action], chunk, state))
    return Recomputation([dataset.as_read(n) for n in names], dataset.episodes.frames, chunks)


def summary_of(feature: Feature) -> Summary:
    """Return an empty summary that suits a feature: per channel for pictures, per element for all else."""
    if feature.dtype == "uint8" and len(feature.shape) == 3 and feature.shape[channel_axis(feature.shape)] <= 4:
        return Pixels(feature.shape)
    return Numbers(feature.shape, feature.dtype)


def chosen_frames(block: Block, every: int) -> Array:
    """Return which frames of a block are looked at where one in ``every`` is, ``(N,)`` bool.

    It depends on the numbers of episode and frame alone, so any part of a dataset chooses the same.
    """
    chosen = np.ones(len(block), bool)
    if every > 1:
        for span in block.spans:
            frames = np.arange(span.frame, span.frame + span.stop - span.start, dtype=np.uint64)
            chosen[span.start : span.stop] = _mixed(frames + (np.uint64(span.episode) << np.uint64(32))) % every == 0
    return chosen


def _mixed(numbers: Array) -> Array:
    """Return well-mixed 64-bit integers: SplitMix64's finalizer (Steele, Lea and Flood, 2014)."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    kept: Array = mixed ^ (mixed >> np.uint64(31))
    return kept


def _record(summary: Summary, frames: int, used: int, short: int = 0) -> Record:
    values = summary.values()
    span = values["max"] - values["min"]
    bound = max((np.max(b / np.where(span > 0, span, 1), initial=0.0) for b in summary.bounds().values()), default=0.0)
    nothing = not summary.count.any()
    return Record(frames, used, int(summary.nan.sum()), int(summary.inf.sum()), 0.0 if nothing else float(bound), short)


def _feature(name: str, summary: Summary, dataset: Dataset, record: Record) -> FeatureStats:
    values = summary.values()
    return FeatureStats(name, values, dict.fromkeys(values, f"{dataset.path}: {record.used:,} frames"), record.used)
