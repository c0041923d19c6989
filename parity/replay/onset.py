"""Where an error begins that is not there at once: along the episode, or along the chunk. Each points to its cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from parity.finding import Finding
from parity.replay.telling import amount, dimension, plain

if TYPE_CHECKING:
    from parity.replay.model import Context, State
    from parity.replay.summary import Summary
    from parity.tensor import Array

STARTS = 3  # episodes' first frames that must be right


def onsets(state: State, context: Context, figures: Summary) -> list[Finding]:
    """Return findings of dimensions whose RMS is over their limit, and that keep it where an episode or chunk begins.

    A single frame that is off tells nothing of where an error begins.
    """
    limits = np.asarray(context.limits, np.float64)
    off = np.isfinite(limits) & (figures.rmse > limits)
    later = off & (state["start_highest"] <= limits) & (state["start_count"] >= STARTS)
    findings = [_along_the_episode(state, context, figures, later)] if later.any() else []
    steps = state["step_highest"]
    if len(steps) > 1 and not later.any():
        further = off & (steps[0] <= limits) & (state["step_count"][0] > 0)
        findings += [_along_the_chunk(state, context, further)] if further.any() else []
    return findings


def _along_the_episode(state: State, context: Context, figures: Summary, dims: Array) -> Finding:
    d = _worst(figures.rmse, context, dims)
    units, starts = context.units[d], int(state["start_count"][d])
    return Finding(
        "REPLAY004",
        "warning",
        f"{dimension(context, d)} agrees in the first frame of each episode (to "
        f"{amount(state['start_highest'][d], units)}) and not later: RMS {amount(figures.rmse[d], units)} over all",
        where=dimension(context, d),
        detail="What is kept from call to call differs: recurrent state, the history of observations, the last action.",
        evidence={
            "dimensions": [int(i) for i in np.flatnonzero(dims)],
            "first_frames": starts,
            "largest_in_first_frames": [plain(v) for v in state["start_highest"][dims]],
            "rmse": [plain(v) for v in figures.rmse[dims]],
        },
        remedy="Feed the state back after every call, and check the order and the length of the history.",
    )


def _along_the_chunk(state: State, context: Context, dims: Array) -> Finding:
    highest, limits = state["step_highest"], np.asarray(context.limits, np.float64)
    d = _worst(highest.max(axis=0), context, dims)
    units = context.units[d]
    begins = int(np.argmax(highest[:, d] > limits[d]))
    return Finding(
        "REPLAY005",
        "warning",
        f"{dimension(context, d)} agrees in the first step of its chunk (to {amount(highest[0, d], units)}) and not "
        f"from step {begins} on: up to {amount(highest[:, d].max(), units)}",
        where=dimension(context, d),
        detail="The steps of a chunk are put together otherwise: summed up, statistics of each step, another horizon.",
        evidence={
            "dimensions": [int(i) for i in np.flatnonzero(dims)],
            "step": begins,
            "largest_by_step": [plain(v) for v in highest[:, d]],
        },
        remedy="Check how the steps of a chunk become actions: relative to what, by which statistics, of which length.",
    )


def _worst(values: Array, context: Context, dims: Array) -> int:
    ratio = np.where(dims, values / np.maximum(np.asarray(context.limits, np.float64), 1e-300), -1.0)
    return int(np.argmax(ratio))
