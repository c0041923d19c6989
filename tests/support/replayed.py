"""Makes what a measure sees, `Played`, from actions per episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from parity.dataset.model import Episode
from parity.replay.execution import both_executed
from parity.replay.model import Context, Frames, Played, Timing
from parity.replay.shards import frames_of, shards_of
from parity.replay.windows import Rows, following
from parity.tensor import Array

ONCE = Timing()


def played(
    reference: Sequence[Array],
    candidate: Sequence[Array],
    recorded: Sequence[Array] | None = None,
    *,
    timing: Timing = ONCE,
    candidate_timing: Timing | None = None,
    every: int = 1,
    first_episode: int = 0,
    observations: Mapping[str, Sequence[Array]] | None = None,
    **extra: Any,
) -> Played:
    """Return one shard of whole episodes.

    Args:
        reference: chunks at every frame, ``(T, H, D)`` for each episode.
        candidate: likewise.
        recorded: actions, ``(T, D)`` for each episode.
        timing: of the reference, and of the candidate unless that is given.
        candidate_timing: of the candidate.
        every: the policies are asked at every such frame.
        first_episode: its number; its frames follow those of episodes before it of the same length.
        observations: by name, ``(T, ...)`` for each episode.
        extra: `Played.drawn`, `Played.probes`.
    """
    lengths = [len(r) for r in reference]
    before = first_episode * lengths[0]
    starts = before + np.concatenate([[0], np.cumsum(lengths)[:-1]])
    episodes = [Episode(first_episode + i, int(s), n) for i, (s, n) in enumerate(zip(starts, lengths, strict=True))]
    shards = shards_of(episodes, 1, frames=sum(lengths), whole=True)
    assert len(shards) == 1
    frames, asked = frames_of(shards[0]), frames_of(shards[0], every)
    at = asked.row - before
    trusted, tested = (np.concatenate(list(side)).astype(np.float64)[at] for side in (reference, candidate))
    known = actions = None
    if recorded is not None:
        actions = np.concatenate(list(recorded)).astype(np.float64)
        rows = Rows({"action": actions}, frames.row)
        known = following(rows, "action", asked, trusted.shape[1], timing.first)
    timings = (timing, candidate_timing or timing)
    seen = {name: np.concatenate(list(parts))[at] for name, parts in (observations or {}).items()}
    sent = both_executed(frames, asked, timings, trusted, tested, actions)
    return Played(asked, trusted, tested, known, seen, sent, **extra)


def context(played: Played, **given: Any) -> Context:
    """Return a context that fits: limits of float32 rounding, numbered dimensions, no units."""
    values = played.reference
    width = values.shape[-1]
    flat = values.reshape(-1, width)
    given.setdefault("limits", 32 * 8 * 2.0**-24 * np.abs(flat).max(axis=0))
    given.setdefault("scale", flat.max(axis=0) - flat.min(axis=0))
    given.setdefault("names", tuple(map(str, range(width))))
    given.setdefault("units", (None,) * width)
    return Context(**{"candidate": "ort", "output": "action", **given})


def frames(row: Array, episode: Array, frame: Array, length: Array) -> Frames:
    """Return frames from anything that can be an array of integers."""
    return Frames(*(np.asarray(a, np.int64) for a in (row, episode, frame, length)))
