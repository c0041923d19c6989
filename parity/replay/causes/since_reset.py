"""Errors of the start of an episode, and errors that grow with the time since then or along the chunk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from parity.finding import Finding
from parity.replay.model import Context, State
from parity.replay.said import SMALLEST, amount, called, look_at
from parity.tensor import Array

START = 256  # an error of the start is over by then
CLEARLY = 10.0  # an error grows where it grows this many times more than the reference's motion and level do
ALIKE = 0.3  # motion or level of two times are alike where one is at least this share of the other
MOSTLY = 0.5  # the share of later frames that are over a limit where an error is of the state, not of some poses
AHEAD = (1, -2, -8)  # frames to which the motion of the reference is kept
EXPLAINED = 0.9  # the share of an error that follows pose and velocity, from which on it is no error of the state


@dataclass(frozen=True, slots=True)
class Ages:
    """Errors by age: first age and sums of each bin, some rows (age, R, motion, C - R), starts of episodes."""

    edges: Array
    sums: State
    rows: Array
    starts: State

    @property
    def bins(self) -> Array:
        """The bins that hold frames."""
        return np.flatnonzero(self.sums["n"] > 0)

    def rms(self, name: str) -> Array:
        """Return the root mean square of a sum in each bin that holds frames, ``(B, D)``."""
        n = self.sums["n"][self.bins][:, None]
        return np.asarray(np.sqrt(self.sums[name][self.bins] / n))

    def over(self, dims: Sequence[int], context: Context) -> Array:
        """Return which of the bins hold an error over a limit, ``(B,)``."""
        limits = context.limits[list(dims)]
        return np.asarray((self.sums["peak"][self.bins][:, list(dims)] > limits).any(axis=1))

    def between(self, name: str, first: int, last: int) -> Array:
        """Return the root mean square over bins ``first:last`` of those that hold frames, ``(D,)``."""
        bins = self.bins[first:last]
        return np.asarray(np.sqrt(self.sums[name][bins].sum(axis=0) / max(self.sums["n"][bins].sum(), 1)))

    def slope(self, dims: Sequence[int]) -> float:
        """Return how many times the error grows while the age doubles, of all dimensions, by least squares of logs."""
        if not dims or len(self.bins) < 3:
            return 0.0
        rms = self.rms("error")[:, list(dims)]
        scale = np.maximum(rms.max(axis=0), SMALLEST)
        size = np.sqrt(((rms / scale) ** 2).mean(axis=1))
        there = size > 0
        if there.sum() < 3:
            return 0.0
        age = np.log2(self.edges[self.bins][there] + 1.0)
        return float(np.polyfit(age, np.log2(size[there]), 1)[0])

    def shown(self, context: Context) -> dict[str, Any]:
        """Return the errors by age, for the report."""
        return {
            "frames since reset": self.edges[self.bins].tolist(),
            "rms": self.rms("error").tolist(),
            "dimension": list(context.names),
        }


def not_reset(ages: Ages, over: Sequence[int], context: Context, place: State) -> list[Finding]:
    """Return a finding where only the first frames of episodes are over a limit."""
    if not over or ages.sums["n"][0] < 2:
        return []
    wrong = ages.over(over, context)
    last = int(np.flatnonzero(wrong)[-1]) if wrong.any() else -1
    if not wrong[0] or last + 1 >= len(wrong):
        return []
    until = int(ages.edges[ages.bins[last + 1]])
    n = ages.sums["n"][ages.bins]
    if until > START or n[last + 1 :].sum() < n[: last + 1].sum():
        return []
    starts, cause = (
        ages.starts,
        "what the policy kept of the episode before (queue, hidden state, last action) is not reset",
    )
    follows = starts["n"][0] > 0 and starts["before"][0] < 0.25 * starts["away"][0]
    detail = f"All frames that are over a limit are there; {look_at(context, place, over)}."
    if follows:
        detail += " Its first action follows its last one of the episode before."
    return [
        Finding(
            "REPLAY039",
            "error",
            f"wrong in the first {until} frames of an episode and right afterwards: {cause}",
            where=context.output,
            detail=detail,
            evidence={"frames": until, "dimensions": list(over), "follows_last_episode": bool(follows)},
            remedy="empty the action queue and reset recurrent state and last action where an episode begins",
        )
    ]


def growing(ages: Ages, over: Sequence[int], context: Context, place: State) -> list[Finding]:
    """Return a finding where the error grows with the time since the reset, and not with how the robot moves."""
    dims = [d for d in over if not _follows_pose(ages.rows, d, len(context.names))]
    if not dims or len(ages.bins) < 4:
        return []
    wrong = ages.over(dims, context)
    first = int(wrong.argmax())
    if wrong[0]:
        first = max(1, len(wrong) // 4)  # grows from the beginning on: the first quarter against the rest
        if not _steadily(ages, dims):
            return []
    grown = [d for d in dims if _clearly(ages, d, first, wrong[0])]
    if not grown or _share_over(ages, grown, context, int(ages.edges[ages.bins[first]])) < MOSTLY:
        return []
    d = max(grown, key=lambda d: float(ages.rms("error")[-1, d]) / max(float(context.limits[d]), SMALLEST))
    rms = ages.rms("error")[:, d]
    told = [(int(ages.edges[ages.bins[i]]), float(rms[i])) for i in (0, first, len(rms) - 1)]
    numbers = ", ".join(f"{amount(context, d, value)} at frame {age}" for age, value in dict(told).items())
    since = "grows with the time since an episode began"
    if not wrong[0]:
        since = f"sets in {told[1][0]} frame{'s' * (told[1][0] != 1)} after an episode began"
    return [
        Finding(
            "REPLAY040",
            "error",
            f"the error {since}: {numbers} in {called(context, d)}",
            where=called(context, d) if len(grown) == 1 else context.output,
            detail=f"It does not grow so because the robot moves; {look_at(context, place, grown)}.",
            evidence={"dimensions": grown, "ages": [a for a, _ in told], "rms": [v for _, v in told]},
            remedy="compare what is fed back: the hidden state, and the last action with its scale",
        )
    ]


def _clearly(ages: Ages, d: int, first: int, from_start: bool) -> bool:
    """Whether the error sets in, or grows, and neither the motion nor the level of the robot does so.

    Where it grows from the start: clearly more than motion and level. Where it sets in: of motion
    and level each was before as it is after, or is out of proportion to the error that just set in.
    """
    end = len(ages.bins)

    def ratio(name: str, first: tuple[int, int], last: tuple[int, int]) -> float:
        late = float(ages.between(name, *last)[d])
        return float(ages.between(name, *first)[d]) / late if late > 0 else 1.0

    early, late = (0, first), (first, end)
    if from_start:
        return ratio("error", early, late) * CLEARLY / 2 <= min(
            *(ratio(k, early, late) for k in ("motion", "square")), 1.0
        )
    if ratio("error", early, late) * CLEARLY > 1:
        return False
    onset, later = (first, min(first + 3, end - 1)), (min(first + 3, end - 1), end)
    sets_in = ratio("error", onset, later)
    return all(
        ratio(k, early, late) >= ALIKE or sets_in * ALIKE >= ratio(k, onset, later) for k in ("motion", "square")
    )


def _steadily(ages: Ages, dims: Sequence[int]) -> bool:
    from scipy.stats import spearmanr

    rms = ages.rms("error")[:, list(dims)]
    if len(rms) < 8:
        return False
    size = (rms / np.maximum(rms.max(axis=0), SMALLEST)).mean(axis=1)
    return float(spearmanr(np.arange(len(size)), size).statistic) >= 0.9 if np.ptp(size) > 0 else False


def _follows_pose(rows: Array, d: int, dims: int) -> bool:
    """Whether the error depends on pose and motion alone, as with a gain, an offset, a lag, a clip.

    It does if a line of them explains it, or if rows of nearly the same pose have nearly the same error (the ratio of
    von Neumann 1941, over rows sorted by the pose).
    """
    parts = [rows[:, 1 + k * dims + d].astype(np.float64) for k in range(2 + len(AHEAD))]
    good = np.isfinite(np.stack(parts)).all(axis=0)
    if good.sum() < 16:
        return True
    *features, error = (p[good] for p in parts)
    lines = np.stack([*features, np.ones(len(error))], axis=1)
    unit = np.maximum(np.abs(lines).max(axis=0), SMALLEST)
    left = error - lines / unit @ np.linalg.lstsq(lines / unit, error, rcond=None)[0]
    whole, spread = float((error**2).sum()), float(((error - error.mean()) ** 2).sum())
    if whole <= 0 or float((left**2).sum()) <= (1 - EXPLAINED) * whole:
        return True
    jumps = np.diff(error[np.argsort(features[0], kind="stable")])
    return float((jumps**2).sum()) <= 2 * (1 - EXPLAINED) * spread


def _share_over(ages: Ages, dims: Sequence[int], context: Context, age: int) -> float:
    """Return the share of the chosen rows from an age on that are over a limit."""
    width = len(context.names)
    late = ages.rows[ages.rows[:, 0] >= age]
    if not len(late):
        return 0.0
    off = np.abs(late[:, -width:])[:, list(dims)]
    return float(np.mean(~(off <= context.limits[list(dims)]).all(axis=1)))


def along_chunk(steps: Array, over: Sequence[int], context: Context, place: State) -> list[Finding]:
    """Return a sign: chunks right at their first step and off at later ones. ``steps`` are peaks, ``(H, D)``."""
    if not over or len(steps) < 3:
        return []
    size = np.nan_to_num(steps[:, list(over)], nan=np.inf, posinf=np.inf) / np.maximum(
        context.limits[list(over)], SMALLEST
    )
    wrong: Array = np.asarray((size > 1).any(axis=1))
    first = int(wrong.argmax())
    if first == 0 or not wrong[first:].all():
        return []
    return [
        Finding(
            "REPLAY041",
            "warning",
            f"chunks are right up to step {first - 1} and off from step {first} on, of {len(steps)}",
            where=context.output,
            detail=f"Fewer steps are affected where the policy is asked more often; {look_at(context, place, over)}.",
            evidence={"first": first, "steps": len(steps), "dimensions": list(over)},
            remedy="look at what differs along the chunk: the control rate, what actions are relative to, the horizon",
        )
    ]
