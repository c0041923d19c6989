"""From chunks to what is sent to the robot: the action queue, re-planning, temporal ensembling, resets.

Sources: lerobot `select_action` (a queue of ``n_action_steps``, emptied by `reset`), diffusion_policy
`MultiStepWrapper` (the executed slice of the horizon), ACT's temporal ensembling (Zhao et al., "Learning Fine-Grained
Bimanual Manipulation with Low-Cost Hardware", 2023: weights ``exp(-m * i)``, ``i`` = 0 the oldest prediction).
"""

from __future__ import annotations

import numpy as np

from parity.replay.model import Executed, Frames, Timing
from parity.tensor import Array


def executed(frames: Frames, asked: Frames, timing: Timing, chunks: Array) -> tuple[Array, Array]:
    """Return what is sent at each of ``frames``, ``(F, D)``, NaN where nothing is, and which step of a chunk it is.

    Args:
        frames: consecutive within an episode.
        asked: where the policy was asked, ascending rows.
        timing: how it is driven.
        chunks: what it gave there, ``(N, H, D)``.
    """
    if timing.ensemble is not None:
        return _ensembled(frames, asked, timing, chunks), np.zeros(len(frames), np.int64)
    step = frames.frame % timing.n_action_steps
    at, there = _asked_at(asked, frames.row - step)
    index = timing.first + step
    there &= index < chunks.shape[1]
    sent = np.full((len(frames), chunks.shape[2]), np.nan)
    sent[there] = chunks[at[there], index[there]]
    return sent, step


def _asked_at(asked: Frames, rows: Array) -> tuple[Array, Array]:
    """Return the positions in ``asked`` of these rows, and whether they are there."""
    at = np.searchsorted(asked.row, rows)
    at = np.minimum(at, max(len(asked) - 1, 0))
    there: Array = asked.row[at] == rows if len(asked) else np.zeros(len(rows), bool)
    return at, there


def _ensembled(frames: Frames, asked: Frames, timing: Timing, chunks: Array) -> Array:
    assert timing.ensemble is not None
    ages = chunks.shape[1] - timing.first
    count = np.minimum(frames.frame + 1, ages)  # predictions there are for a frame
    total = np.zeros((len(frames), chunks.shape[2]))
    weights = np.zeros(len(frames))
    complete = np.ones(len(frames), bool)
    for age in range(ages):
        used = age < count
        at, there = _asked_at(asked, frames.row - age)
        complete &= there | ~used
        used &= there
        weight = np.exp(-timing.ensemble * (count[used] - 1 - age))
        total[used] += weight[:, None] * chunks[at[used], timing.first + age]
        weights[used] += weight
    sent = np.full_like(total, np.nan)
    sent[complete] = total[complete] / weights[complete, None]
    return sent


def both_executed(
    frames: Frames,
    asked: Frames,
    timings: tuple[Timing, Timing],
    reference: Array,
    candidate: Array,
    recorded: Array | None,
) -> Executed:
    """Return what both sides send, at the frames at which both send something; ``recorded`` is ``(F, D)``."""
    trusted, step = executed(frames, asked, timings[0], reference)
    tested, own_step = executed(frames, asked, timings[1], candidate)
    sent = _covered(frames, asked, timings[0], reference.shape[1])
    sent &= _covered(frames, asked, timings[1], candidate.shape[1])
    first = np.ones(len(frames), bool)
    if len(frames):
        first[1:] = (np.diff(frames.row) != 1) | (np.diff(frames.episode) != 0) | ~sent[:-1]
    kept = Frames(frames.row[sent], frames.episode[sent], frames.frame[sent], frames.length[sent])
    seam = np.minimum(step, own_step)
    known = None if recorded is None else recorded[sent]
    return Executed(kept, first[sent], seam[sent], trusted[sent], tested[sent], known)


def _covered(frames: Frames, asked: Frames, timing: Timing, steps: int) -> Array:
    """Return where a side sends something, whatever the values are (NaN is a value)."""
    covered: Array = ~np.isnan(executed(frames, asked, timing, np.zeros((len(asked), steps, 1)))[0][:, 0])
    return covered
