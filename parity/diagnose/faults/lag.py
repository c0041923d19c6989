"""The chunk begins at another step: ``candidate[:, t] = reference[:, t + k]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from parity.compare.floors import ROUNDING

if TYPE_CHECKING:
    from parity.tensor import Array

MIN_STEPS = 3


def shifts(steps: int) -> list[int]:
    """Return the shifts that are tried for a chunk of that many steps: at least half of the steps must overlap."""
    if steps < MIN_STEPS:
        return []
    return [k for s in range(1, steps // 2 + 1) for k in (s, -s)]


def overlap(r: Array, c: Array, k: int) -> tuple[Array, Array, Array]:
    """Return (reference shifted, reference as it is, candidate), ``(N, T-|k|, D)`` each, where both exist."""
    steps = r.shape[1]
    if k > 0:
        return r[:, k:], r[:, : steps - k], c[:, : steps - k]
    return r[:, :k], r[:, -k:], c[:, -k:]


def describe(k: int) -> tuple[str, dict[str, Any]]:
    """Return the sentence and parameters of a shift by k steps."""
    count = f"{abs(k)} step{'s' if abs(k) != 1 else ''}"
    return f"the chunk is shifted by {count} (candidate's step t is the reference's step t{k:+d})", {"steps": k}


def slice_of(reference: Array, candidate: Array) -> tuple[int, str] | None:
    """Return which steps of the longer chunk the shorter one is: its first step, and a sentence; None where it is not.

    Args:
        reference, candidate: ``(N, T, D)`` with different T.

    Only an unambiguous, exact (to rounding) slice counts: it answers why two shapes differ, not how well they agree.
    """
    longer, shorter = (reference, candidate) if reference.shape[1] > candidate.shape[1] else (candidate, reference)
    if longer.shape[0] != shorter.shape[0] or longer.shape[2] != shorter.shape[2] or shorter.shape[1] == 0:
        return None
    limit = 32 * ROUNDING * np.abs(longer).max(axis=(0, 1), initial=0.0)
    length = shorter.shape[1]
    starts = range(longer.shape[1] - length + 1)
    fits = [s for s in starts if (np.abs(longer[:, s : s + length] - shorter).max(axis=(0, 1)) <= limit).all()]
    if len(fits) != 1:
        return None
    first, last = fits[0], fits[0] + length - 1
    small, big = ("candidate", "reference") if longer is reference else ("reference", "candidate")
    return first, f"the {small} holds steps {first} to {last} of the {big}'s {longer.shape[1]} steps"
