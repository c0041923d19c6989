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
    their squares; ``reference_square`` (D,); ``step_count``, ``step_reference``, ``step_candidate`` (H, D).
    """
    frames, steps, width = played.reference.shape
    per_frame = {name: np.zeros((frames, width)) for name in (*SQUARES, "recorded", "recorded_square")}
    count = np.zeros((frames, width), np.int64)
    kept: dict[str, Array] = {
        "reference_square": np.zeros(width),
        "step_count": np.zeros((steps, width), np.int64),
        "step_reference": np.zeros((steps, width)),
        "step_candidate": np.zeros((steps, width)),
    }
    rows = max(1, STRETCH // max(1, steps * width))
    if played.recorded is not None:
        with np.errstate(all="ignore"):  # NaN behind the end of an episode, and whatever the candidate gives
            for start in range(0, frames, rows):
                _stretch(played, played.recorded, slice(start, start + rows), per_frame, count, kept)
    block = block_of(played.at.episode)
    sums = {name: grouped(values, block, BLOCKS) for name, values in per_frame.items()}
    return {"count": grouped(count, block, BLOCKS), **sums, **kept}


def _stretch(
    played: Played, actions: Array, span: slice, per_frame: dict[str, Array], count: Array, kept: dict[str, Array]
) -> None:
    recorded, reference = np.asarray(actions[span], np.float64), played.reference[span]
    trusted, tested = reference - recorded, played.candidate[span] - recorded
    if np.isfinite(trusted.sum() + tested.sum()):
        count[span] = recorded.shape[1]
        kept["step_count"] += len(recorded)
    else:
        good = np.isfinite(trusted) & np.isfinite(tested)
        count[span] = good.sum(axis=1)
        kept["step_count"] += good.sum(axis=0)
        trusted, tested = np.where(good, trusted, 0.0), np.where(good, tested, 0.0)
        recorded, reference = np.where(good, recorded, 0.0), np.where(good, reference, 0.0)
    between = tested - trusted
    per_frame["reference"][span] = np.einsum("nhd,nhd->nd", trusted, trusted)
    per_frame["candidate"][span] = np.einsum("nhd,nhd->nd", tested, tested)
    per_frame["between"][span] = np.einsum("nhd,nhd->nd", between, between)
    per_frame["recorded"][span] = np.einsum("nhd->nd", recorded)
    per_frame["recorded_square"][span] = np.einsum("nhd,nhd->nd", recorded, recorded)
    kept["reference_square"] += np.einsum("nhd,nhd->hd", reference, reference).sum(axis=0)
    kept["step_reference"] += np.einsum("nhd,nhd->hd", trusted, trusted)
    kept["step_candidate"] += np.einsum("nhd,nhd->hd", tested, tested)
