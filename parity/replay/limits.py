"""How far a candidate's actions may be off in replay: what the user allows, or what rounding of its class can do.

Derived limits are the gate's (`parity/compare/budget.py`), told of what replay knows: actions are physical, so that a
dimension may move little far from zero. With ``u`` the class's unit roundoff and, over all replayed frames, ``peak``
the largest magnitude of the reference and ``span`` its max - min:

- float32: 32 × floor; the floor is the largest measured one, and never below 8 · 2⁻²⁴ · peak;
- float16, bfloat16: 32 u and 16 u of span / 2, which is ``peak`` where a dimension moves about zero; at least 8 u of
  ``peak``. Right conversions were measured up to 3.5 u of ``peak`` (`docs/budgets.md`). Where a dimension hardly moves,
  what its floor in float32 tells: as many roundings, each larger by the ratio of the classes' roundoffs;
- int8: infinite. It is judged by its RMS in place of single actions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from parity.compare.budget import FLOORS_ALLOWED, INFORMATIVE, SHARE_OF_SCALE, Budget, derived_limit
from parity.compare.floors import ROUNDING, TINY
from parity.errors import UsageError

if TYPE_CHECKING:
    from parity.tensor import Array

ROUNDOFF = {"float64": 2.0**-24, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}  # as float32 at best
OFFSET = 8.0  # u of the peak: what a large offset costs when it is added in the class
FLOORS_SCALED = 4.0  # measured floors, scaled to the class: weights are rounded too, which a floor does not show
IN_UNITS = ("rmse", "mean_abs", "p99_abs")  # limits of a budget that replay judges besides `max_abs`
LASTING = {"float64": 1 / 32, "float32": 1 / 32, "float16": 1 / 4, "bfloat16": 1 / 4}  # of the limit; see `bias_limits`
FADING = {"float64": 1 / 4, "float32": 1 / 4}


def limits(precision: str, peak: Array, span: Array, floors: Array | None, budget: Budget | None) -> Array:
    """Return how far a single action may be off, ``(D,)``, in the actions' units; infinite where it is not judged so.

    Args:
        precision: the candidate's class.
        peak: largest magnitude of the reference in each dimension, over all frames, ``(D,)``.
        span: its max - min, ``(D,)``.
        floors: measured ones of some frames, ``(M, H, D)``, all ≥ 0; None where they cannot be had. What is not finite
            tells nothing and is left out.
        budget: the user's for this output. Its `max_abs` replaces what is derived. One that only limits means and
            percentiles leaves single actions without a limit.

    Raises:
        UsageError: the budget has another number of dimensions, the arrays disagree, or there is no such class.
    """
    peak, span = np.abs(np.asarray(peak, np.float64)), np.asarray(span, np.float64)
    if peak.ndim != 1 or peak.shape != span.shape or (floors is not None and floors.shape[-1:] != peak.shape):
        shapes = [a.shape for a in (peak, span, floors) if a is not None]
        raise UsageError(f"peak, span and floors have the shapes {shapes}", expected="(D,), (D,) and (M, H, D)")
    if budget is not None:
        allowed = budget.limit(len(peak))
        if allowed is not None:
            return np.asarray(allowed / budget.gain(len(peak)))
        if any(getattr(budget, name) is not None for name in IN_UNITS):
            return np.full(len(peak), np.inf)
    measured = _largest(floors, len(peak))
    floor = np.maximum(np.maximum(ROUNDING * peak, measured), TINY)
    coarse = SHARE_OF_SCALE.get(precision)
    if coarse is None:
        fine = derived_limit(precision, floor, peak)
        return np.full(len(peak), np.inf) if fine is None else fine
    unit = ROUNDOFF[precision]
    moved = np.maximum(coarse * np.minimum(span / 2, peak), OFFSET * unit * peak)
    scaled = FLOORS_SCALED * unit / ROUNDOFF["float32"] * measured
    return np.asarray(np.max([moved, scaled, FLOORS_ALLOWED * floor], axis=0))


def _largest(floors: Array | None, dimensions: int) -> Array:
    """Return the largest finite floor of each dimension, ``(D,)``; zeros where there is none."""
    if floors is None:
        return np.zeros(dimensions)
    flat = np.asarray(floors, np.float64).reshape(-1, dimensions)
    return np.asarray(np.where(np.isfinite(flat), flat, 0.0).max(axis=0, initial=0.0))


def covered(allowed: Array, span: Array) -> Array:
    """Return which dimensions tell something, ``(D,)`` bool: the reference moves by more than 4 times what is allowed.

    Where nothing is limited (``allowed`` infinite, as for int8) it has to move at all.
    """
    least = np.where(np.isposinf(allowed), 0.0, INFORMATIVE * np.asarray(allowed))
    return np.asarray(np.asarray(span) > least)


def bias_limits(allowed: Array, precision: str, episodes: int, *, derived: bool = True) -> Array:
    """Return how far Δ may be from 0 on the average of all frames, ``(D,)``: a share of ``allowed``.

    The share is ``lasting + fading / √episodes``. What is rounded anew in every frame fades, as the errors of different
    episodes are independent of each other. A single episode's mean is no larger than its largest error, of which right
    pairs in float32 were measured to have 8.3 of the 32 floors allowed, so ``fading`` is 1/4. What is the same in every
    frame lasts: approximations of functions in float32 (one floor is allowed, 1/32; right pairs have up to 0.2 of it),
    and weights and offsets that were rounded once to a lower class (1/4; up to 1/8 was measured, and no right pair has
    a single error of 1/4). `docs/replay.md` has the figures.

    Args:
        allowed: `limits`, ``(D,)``.
        precision: the candidate's class.
        episodes: how many independent ones were replayed.
        derived: whether ``allowed`` follows from rounding. A user who allows more means it, of a bias too.

    Infinite where single actions are not limited, or nothing is known of the class.
    """
    if not derived or episodes < 1:
        return np.asarray(allowed, np.float64)
    share = LASTING.get(precision, 1.0) + FADING.get(precision, 0.0) / np.sqrt(episodes)
    return np.asarray(np.asarray(allowed, np.float64) * min(1.0, share))
