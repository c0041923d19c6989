"""What a policy is shown at a frame: the last observations, and what was recorded from there on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from parity.dataset.model import Dataset
from parity.replay.model import Frames
from parity.replay.shards import Shard
from parity.tensor import Array

Padding = Literal[
    "first",  # the first observation again (LeRobot's queues, diffusion_policy's wrapper, Isaac Lab's history)
    "zeros",  # zeros
]


class Rows:
    """Some rows of a dataset in memory, found by their number."""

    def __init__(self, columns: Mapping[str, Array], rows: Array) -> None:
        self._columns, self._rows = columns, rows

    def at(self, name: str, rows: Array) -> Array:
        """Return feature ``name`` at ``rows`` (any shape), ``(*rows.shape, *shape)``."""
        found: Array = self._columns[name][np.searchsorted(self._rows, rows)]
        return found


def read_rows(dataset: Dataset, shard: Shard, names: Sequence[str], before: int, after: int) -> Rows:
    """Return the shard's rows of the features, with ``before`` and ``after`` more of each episode where it has them.

    Raises:
        ArtifactError: a file cannot be read, or ends early.
    """
    spans: list[list[int]] = []
    for part in shard.parts:
        low = part.row + max(part.start - before, 0)
        high = part.row + min(part.stop + after, part.length)
        if spans and low <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], high)
        else:
            spans.append([low, high])
    blocks = [b.columns for low, high in spans for b in dataset.blocks(list(names), low, high)]
    columns = {n: np.concatenate([b[n] for b in blocks]) for n in names}
    rows = np.concatenate([np.arange(low, high) for low, high in spans]) if spans else np.zeros(0, np.int64)
    return Rows(columns, rows)


def windows(rows: Rows, name: str, asked: Frames, steps: int, padding: Padding = "first") -> Array:
    """Return the last ``steps`` observations of each asked frame, oldest first, ``(N, steps, *shape)``.

    Before the start of the episode there is the first observation again, or zeros.
    """
    back = np.arange(steps - 1, -1, -1)
    frame = asked.frame[:, None] - back
    start = asked.row - asked.frame
    found = rows.at(name, start[:, None] + np.maximum(frame, 0))
    if padding == "zeros":
        found = np.where((frame < 0).reshape(*frame.shape, *(1,) * (found.ndim - 2)), np.zeros((), found.dtype), found)
    return found


def following(rows: Rows, name: str, asked: Frames, steps: int, first: int = 0) -> Array:
    """Return what was recorded, step ``first`` at each asked frame, ``(N, steps, D)``; NaN outside of the episode."""
    frame = asked.frame[:, None] + np.arange(steps) - first
    outside = (frame < 0) | (frame >= asked.length[:, None])
    start = (asked.row - asked.frame)[:, None]
    found = rows.at(name, start + np.clip(frame, 0, asked.length[:, None] - 1))
    found = found.reshape(*frame.shape, -1).astype(np.float64)
    found[outside] = np.nan
    return found
