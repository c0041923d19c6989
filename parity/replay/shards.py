"""Which frames are replayed together: shards of whole episodes, long episodes in parts.

Shards depend on the dataset and on how the policies are asked alone, never on how many processes there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from parity.dataset.model import Dataset, Episode
from parity.errors import UsageError
from parity.replay.model import Frames
from parity.tensor import Array

FRAMES = 2048  # frames in a shard, about


@dataclass(frozen=True, slots=True)
class Part:
    """Frames ``start:stop`` of one episode, whose frame 0 is at ``row`` of the dataset."""

    episode: int
    length: int
    row: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Shard:
    """Parts of episodes that are replayed together."""

    index: int
    parts: tuple[Part, ...]


def chosen_episodes(dataset: Dataset, text: str | None) -> Sequence[Episode]:
    """Return the episodes that ``text`` chooses by position: ``"0:20"``, ``"5:"``, ``"3"``, ``"0:5,8"``; None is all.

    Raises:
        UsageError: it cannot be read, or chooses none.
    """
    if text is None:
        return dataset.episodes
    chosen: list[Episode] = []
    for piece in text.split(","):
        found = re.fullmatch(r"\s*(\d*)\s*(:?)\s*(\d*)\s*", piece)
        if found is None or not (found[1] or found[2]) or (not found[2] and found[3]):
            raise UsageError(f"episodes {text!r} cannot be read", expected='such as "0:20", "5:", "3" or "0:5,8"')
        first = int(found[1] or 0)
        last = int(found[3]) if found[3] else (len(dataset.episodes) if found[2] else first + 1)
        if max(first, last) > len(dataset.episodes):
            raise UsageError(
                f"episodes {text!r}: there are {len(dataset.episodes)} of them, 0 to {len(dataset.episodes) - 1}, in "
                f"{dataset.path}"
            )
        chosen += dataset.episodes[first:last]
    if not chosen:
        raise UsageError(f"episodes {text!r} choose none", expected=f"0 to {len(dataset.episodes) - 1}: {dataset.path}")
    numbers = [e.index for e in chosen]
    if len(set(numbers)) < len(numbers):
        raise UsageError(f"episodes {text!r} choose one twice")
    return sorted(chosen, key=lambda e: e.start)


def shards_of(
    episodes: Sequence[Episode], aligned: int, frames: int | None = None, *, whole: bool = False
) -> list[Shard]:
    """Return all frames of the episodes in shards of about ``frames``.

    Args:
        episodes: in order.
        aligned: parts of a long episode begin at multiples of this: where every side is asked anew.
        frames: how many frames a shard has, about (default `FRAMES`).
        whole: never cut an episode (policies that keep state).
    """
    frames = frames or FRAMES
    shards: list[Shard] = []
    held: list[Part] = []
    for part in _parts(episodes, max(frames // aligned, 1) * aligned, whole=whole):
        if held and sum(map(len, held)) + len(part) > frames:
            shards.append(Shard(len(shards), tuple(held)))
            held = []
        held.append(part)
    if held:
        shards.append(Shard(len(shards), tuple(held)))
    return shards


def _parts(episodes: Sequence[Episode], size: int, *, whole: bool) -> Iterator[Part]:
    for episode in episodes:
        step = max(episode.length, 1) if whole else size
        for start in range(0, episode.length, step):
            stop = min(start + step, episode.length)
            yield Part(episode.index, episode.length, episode.start, start, stop)


def frames_of(shard: Shard, every: int = 1, lead: int = 0) -> Frames:
    """Return the frames of a shard, every ``every``-th from the start of its episode, and ``lead`` frames before each
    part where its episode has them.
    """
    frames = [np.arange(_first(p.start - lead, every), p.stop, every) for p in shard.parts]
    counts = [len(f) for f in frames]

    def spread(values: list[int]) -> Array:
        return np.repeat(np.asarray(values, np.int64), counts)

    frame = np.concatenate(frames).astype(np.int64) if frames else np.zeros(0, np.int64)
    return Frames(
        spread([p.row for p in shard.parts]) + frame,
        spread([p.episode for p in shard.parts]),
        frame,
        spread([p.length for p in shard.parts]),
    )


def _first(start: int, every: int) -> int:
    return -(-max(start, 0) // every) * every
