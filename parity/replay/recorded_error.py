"""What is kept of the error against the recorded actions (open-loop error): of the reference, and of the candidate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from parity.replay.gaps import STRETCH, grouped
from parity.replay.measure import BLOCKS, block_of

if TYPE_CHECKING:
    from parity.replay.model import Played, State
    from parity.tensor import Array

SQUARES = ("reference", "candidate", "between")  # reference - recorded, candidate - recorded, candidate - reference


def recorded_error_of(played: Played) -> State:
    """Return sums over what is finite on both sides and recorded.

    By name, with D dimensions, H steps, B blocks of episodes: ``count``, ``reference``, ``candidate``, ``between``
    (B, D), sums of squared differences; ``recorded``, ``recorded_square`` (B, D), sums of the recorded actions and of
    their squares; ``step_count``, ``step_reference``, ``step_candidate`` (H, D).
    """
    frames, steps, width = played.reference.shape
    per_frame = {name: np.zeros((frames, width)) for name in (*SQUARES, "recorded", "recorded_square")}
    count = np.zeros((frames, width), np.int64)
    kept: dict[str, Array] = {
        "step_count": np.zeros((steps, width), np.int64),
        "step_reference": np.zeros((steps, width)),
        "step_candidate": np.zeros((steps, width)),
    }
    rows = min(max(1, frames), max(1, STRETCH // max(1, steps * width)))
    scratch = np.empty((4, rows, steps, width))  # new memory for each stretch would cost more than the sums
    if played.recorded is not None:
        with np.errstate(all="ignore"):  # NaN behind the end of an episode, and whatever the candidate gives
            for start in range(0, frames, rows):
                span = slice(start, min(frames, start + rows))
                _stretch(played, played.recorded, span, scratch[:, : span.stop - start], (per_frame, count, kept))
    block = block_of(played.at.episode)
    sums = {name: grouped(values, block, BLOCKS) for name, values in per_frame.items()}
    return {"count": grouped(count, block, BLOCKS), **sums, **kept}


def _stretch(
    played: Played, actions: Array, span: slice, scratch: Array, sums: tuple[dict[str, Array], Array, dict[str, Array]]
) -> None:
    recorded, trusted, tested, between = scratch
    per_frame, count, kept = sums
    recorded[:] = actions[span]
    np.subtract(played.reference[span], recorded, out=trusted)
    np.subtract(played.candidate[span], recorded, out=tested)
    np.add(trusted, tested, out=between)
    if np.isfinite(between.sum()):
        count[span] = recorded.shape[1]
        kept["step_count"] += len(recorded)
    else:
        bad = ~np.isfinite(between)
        count[span] = recorded.shape[1] - bad.sum(axis=1)
        kept["step_count"] += len(recorded) - bad.sum(axis=0)
        for array in (recorded, trusted, tested):
            array[bad] = 0.0
    np.subtract(tested, trusted, out=between)
    for name, array in (("reference", trusted), ("candidate", tested), ("between", between)):
        per_frame[name][span] = np.einsum("nhd,nhd->nd", array, array)
    per_frame["recorded"][span] = np.einsum("nhd->nd", recorded)
    per_frame["recorded_square"][span] = np.einsum("nhd,nhd->nd", recorded, recorded)
    kept["step_reference"] += np.einsum("nhd,nhd->hd", trusted, trusted)
    kept["step_candidate"] += np.einsum("nhd,nhd->hd", tested, tested)
