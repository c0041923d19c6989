"""How far matched values lie apart, in constant memory: group by group, case by case."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from parity.compare.floors import ROUNDING, TINY
from parity.errors import RunnerError
from parity.localize.align import Match

if TYPE_CHECKING:
    from parity.localize.sides import Run, Side
    from parity.tensor import Array

    Arrays = Mapping[str, Array]

GROUP_BYTES = 256 << 20  # values of one case and one side that are looked at together
UNKNOWN_BYTES = 1 << 20


@dataclass(slots=True)
class Gap:
    """What has been seen of one pair of values over all cases.

    ``scale`` is max |reference|, ``spread`` the largest change of the reference when its graph optimizations are off
    (0 where that could not be had), ``max_abs`` and ``squares`` belong to the difference, ``power`` to the reference.
    ``broken`` says why values cannot be compared: other shapes, or NaN and Inf in different places.
    """

    scale: float = 0.0
    spread: float = 0.0
    max_abs: float = 0.0
    squares: float = 0.0
    power: float = 0.0
    exact: bool = False
    broken: str = ""

    @property
    def rel(self) -> float:
        """Root mean square of the difference over that of the reference."""
        if self.squares == 0:
            return 0.0
        return math.sqrt(self.squares / self.power) if self.power > 0 else math.inf

    @property
    def floor(self) -> float:
        """What rounding alone does: as `parity.compare.floors`, for the tensor as a whole."""
        return max(ROUNDING * self.scale, self.spread, TINY)

    def add(self, reference: Array, candidate: Array) -> None:
        """Take in one case."""
        if reference.shape != candidate.shape:
            self.broken = f"shapes differ: {list(reference.shape)} and {list(candidate.shape)}"
            return
        self.exact = reference.dtype.kind in "biu"
        a, b = reference.astype(np.float64), candidate.astype(np.float64)
        finite = np.isfinite(a) & np.isfinite(b)
        alike = (
            finite | ((a == b) & np.isinf(a)) | (np.isnan(a) & np.isnan(b))
        )  # where both are NaN they have not parted
        if not alike.all():
            self.broken = f"{int((~alike).sum())} elements are NaN or infinite on one side"
        a, d = a[finite], (b - a)[finite] if finite.all() else b[finite] - a[finite]
        self.scale = max(self.scale, float(np.abs(a).max(initial=0.0)))
        self.max_abs = max(self.max_abs, float(np.abs(d).max(initial=0.0)))
        self.squares += float(d @ d) if d.ndim == 1 else float((d * d).sum())
        self.power += float(a @ a) if a.ndim == 1 else float((a * a).sum())

    def add_spread(self, base: Array, other: Array) -> None:
        """Take in another legitimate way in which the reference computes the same case."""
        if base.shape == other.shape and base.dtype.kind == "f":
            with np.errstate(invalid="ignore", over="ignore"):
                gap = np.abs(base.astype(np.float64) - other.astype(np.float64))
            self.spread = max(self.spread, float(gap[np.isfinite(gap)].max(initial=0.0)))


def measure(
    reference: Side,
    candidate: Side,
    matches: Sequence[Match],
    cases: Sequence[Arrays],
    rename: Callable[[Arrays], Arrays],
) -> list[Gap]:
    """Return the gap of every match over all cases.

    Args:
        rename: turns the reference's inputs into the candidate's.

    Raises:
        RunnerError: a side cannot be run.
    """
    gaps = [Gap() for _ in matches]
    for group in groups(matches):
        chosen = [matches[i] for i in group]
        names_r = list(dict.fromkeys(m.reference.name for m in chosen))
        names_c = list(dict.fromkeys(m.candidate.name for m in chosen))
        with reference.open(names_r) as run_r, candidate.open(names_c) as run_c:
            for case in cases:
                mine, varied, other = run_r(case, "base"), _variant(run_r, case), run_c(rename(case), "base")
                for i, m in zip(group, chosen, strict=True):
                    a, b = mine.get(m.reference.name), other.get(m.candidate.name)
                    if a is None or b is None:
                        gaps[i].broken = "missing on one side"
                        continue
                    gaps[i].add(a, b)
                    if m.reference.name in varied:
                        gaps[i].add_spread(a, varied[m.reference.name])
    return gaps


def _variant(run: Run, case: Arrays) -> Arrays:
    """Return the values without graph optimizations; none where the runner has no such variant."""
    try:
        return run(case, "no_optimization")
    except RunnerError:
        return {}


def groups(matches: Sequence[Match]) -> list[list[int]]:
    """Return the matches in groups whose values are held in memory together."""
    result: list[list[int]] = [[]]
    held = 0
    for i, m in enumerate(matches):
        shape = m.reference.shape or m.candidate.shape
        size = 4 * math.prod(d or 1 for d in shape) if shape and all(shape) else UNKNOWN_BYTES
        if result[-1] and held + size > GROUP_BYTES:
            result.append([])
            held = 0
        result[-1].append(i)
        held += size
    return result
