"""What is kept of Δ = candidate - reference, shard by shard: sums, counts, a histogram and the worst frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from parity.replay import bins, worst
from parity.replay.measure import BLOCKS, added, block_of

if TYPE_CHECKING:
    from parity.replay.model import Frames, Played, State
    from parity.tensor import Array

PHASES = 10  # of the length of an episode
STRETCH = 1 << 15  # elements that are worked on at once, so that they stay in the processor's cache
COUNTED = ("nan", "nan_reference", "inf", "inf_both")  # elements that are not finite on both sides
NOWHERE = np.full(5, -1, np.int64)


@dataclass(slots=True)
class _Sums:
    """What is summed up while the stretches of a shard go by, all of it zero at first."""

    frames: int
    steps: int
    width: int
    count: Array = field(init=False)  # finite on both sides, (N, D)
    total: Array = field(init=False)  # of Δ, (N, D)
    square: Array = field(init=False)  # of Δ, (N, D)
    highest: Array = field(init=False)  # |Δ|, (N, D)
    kept: dict[str, Array] = field(init=False)
    scratch: tuple[Array, Array] = field(init=False)  # of a stretch: new memory for each costs more than the sums
    hole: Array = field(init=False)  # row, episode, frame, step, dimension of the first mismatch; -1

    @property
    def rows(self) -> int:
        """How many frames a stretch has."""
        return min(max(1, self.frames), max(1, STRETCH // max(1, self.steps * self.width)))

    def __post_init__(self) -> None:
        by_frame, by_step, by_dimension = (self.frames, self.width), (self.steps, self.width), (self.width,)
        self.count = np.full(by_frame, self.steps, np.int64)
        self.total, self.square, self.highest = np.zeros(by_frame), np.zeros(by_frame), np.zeros(by_frame)
        self.hole = NOWHERE
        stretch = (self.rows, self.steps, self.width)
        self.scratch = (np.empty(stretch), np.empty(stretch))
        whole = {name: np.zeros(by_dimension, np.int64) for name in COUNTED}
        self.kept = {
            "absolute": np.zeros(by_dimension),
            "square_reference": np.zeros(by_dimension),
            "step_count": np.zeros(by_step, np.int64),
            "step_square": np.zeros(by_step),
            "histogram": np.zeros((self.width, bins.BINS), np.int64),
            **whole,
        }


def gaps_of(played: Played) -> State:
    """Return what is kept of a shard.

    By name, with D dimensions, H steps, B blocks of episodes: ``frames`` (); ``count``, ``total``, ``square`` (B, D),
    of Δ where both sides are finite; ``absolute``, ``square_reference`` (D,); ``step_count``, ``step_square`` (H, D);
    ``phase_count``, ``phase_square`` (10, D); ``histogram`` (D, BINS) of |Δ|; ``nan`` (on either side),
    ``nan_reference``, ``inf``, ``inf_both`` (of one sign) (D,); ``hole`` (5,), where the first of them is; and the
    worst frames, see `parity.replay.worst`.
    """
    frames, steps, width = played.reference.shape
    sums = _Sums(frames, steps, width)
    with np.errstate(all="ignore"):  # NaN, infinity and overflow are what is being measured
        for start in range(0, frames, sums.rows):
            _stretch(sums, played, slice(start, min(frames, start + sums.rows)))
    held = {**worst.worst_of(played, sums.highest), "hole": sums.hole}
    return {"frames": np.asarray(frames, np.int64), **_grouped(sums, played.at), **sums.kept, **held}


def joined(earlier: State, later: State) -> State:
    """Return what is kept of both."""
    apart = {**worst.joined(earlier, later), "hole": _first(earlier["hole"], later["hole"])}
    rest = [{name: array for name, array in state.items() if name not in apart} for state in (earlier, later)]
    return {**added(*rest), **apart}


def _stretch(sums: _Sums, played: Played, span: slice) -> None:
    reference, candidate = played.reference[span], played.candidate[span]
    gap, size = (s[: len(reference)] for s in sums.scratch)
    np.subtract(candidate, reference, out=gap)
    holes: Array | None = None
    if not np.isfinite(gap.sum()):
        good = np.isfinite(gap)
        if not good.all():
            holes = ~good
            gap[holes], reference = 0.0, np.where(good, reference, 0.0)
            _holes(sums, played, span, holes)
    kept = sums.kept
    np.abs(gap, out=size)
    sums.total[span] = _folded(np.add, gap)
    sums.square[span] = np.einsum("nhd,nhd->nd", gap, gap)
    sums.highest[span] = _folded(np.maximum, size)
    kept["absolute"] += size.sum(axis=0).sum(axis=0)
    kept["square_reference"] += np.einsum("nhd,nhd->hd", reference, reference).sum(axis=0)
    kept["step_square"] += np.einsum("nhd,nhd->hd", gap, gap)
    kept["step_count"] += len(gap) if holes is None else (~holes).sum(axis=0)
    kept["histogram"] += bins.counted(size, holes)


def _folded(join: np.ufunc, values: Array) -> Array:
    """Return ``(N, H, D)`` joined over H, ``(N, D)``: half onto half, so that NumPy works on long rows."""
    while (steps := values.shape[1]) > 1:
        half = steps // 2
        joined = join(values[:, :half], values[:, half : 2 * half])
        values = np.concatenate([joined, values[:, 2 * half :]], axis=1) if steps % 2 else joined
    return values[:, 0] if values.shape[1] else np.zeros(values.shape[::2])


def _holes(sums: _Sums, played: Played, span: slice, holes: Array) -> None:
    """Count what is not finite on both sides. NaN is a mismatch whatever the other side holds."""
    reference, candidate = played.reference[span], played.candidate[span]
    nans = np.isnan(reference), np.isnan(candidate)
    nan = nans[0] | nans[1]
    alike = holes & ~nan & (reference == candidate)  # infinities of one sign
    for name, mask in (("nan", nan), ("nan_reference", nans[0]), ("inf", holes & ~nan & ~alike)):
        sums.kept[name] += mask.sum(axis=(0, 1))
    sums.kept["inf_both"] += alike.sum(axis=(0, 1))
    sums.count[span] -= holes.sum(axis=1)
    at = played.at
    found = np.flatnonzero(holes.any(axis=(1, 2)))
    place = int(found[np.argmin(at.row[span][found])])
    step, dimension = np.argwhere(holes[place])[0]
    here = place + span.start
    sums.hole = _first(sums.hole, np.asarray([at.row[here], at.episode[here], at.frame[here], step, dimension]))


def _first(one: Array, other: Array) -> Array:
    if one[0] < 0 or other[0] < 0:
        return other if one[0] < 0 else one
    return one if tuple(one) <= tuple(other) else other


def phase_of(at: Frames) -> Array:
    """Return which tenth of its episode each frame is in, ``(N,)``, from 0."""
    length = np.maximum(1, np.asarray(at.length, np.int64))
    return np.asarray(np.clip(PHASES * np.asarray(at.frame, np.int64) // length, 0, PHASES - 1))


def grouped(values: Array, group: Array, groups: int) -> Array:
    """Return the sums of ``(N, D)`` over the frames of each group, ``(groups, D)``; fast where these lie together."""
    sums = np.zeros((groups, values.shape[1]), values.dtype)
    if len(values):
        starts = np.concatenate([[0], np.flatnonzero(group[1:] != group[:-1]) + 1])
        np.add.at(sums, group[starts], np.add.reduceat(values, starts, axis=0))
    return sums


def _grouped(sums: _Sums, at: Frames) -> dict[str, Array]:
    block, phase = block_of(at.episode), phase_of(at)
    parts = {"count": sums.count, "total": sums.total, "square": sums.square}
    return {
        **{name: grouped(values, block, BLOCKS) for name, values in parts.items()},
        "phase_count": grouped(sums.count, phase, PHASES),
        "phase_square": grouped(sums.square, phase, PHASES),
    }
