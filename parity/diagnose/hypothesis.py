"""A hypothesis: one rearrangement of the reference (order, shift, statistics, or none), and a fault per dimension."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.diagnose.faults import affine, constant, gain, offset, sign, units
from parity.diagnose.faults.elementwise import Elementwise, Moments, moments

if TYPE_CHECKING:
    from parity.diagnose.pair import Pair
    from parity.tensor import Array

ENOUGH = 0.01  # a named cause leaves at most this share of the difference unexplained
CLEARLY = 10.0  # a share this many times larger than another is clearly larger
STILL = 1e-6  # a constant moves by at most 1/1000 of what the reference moves; less is merely a small output
CHANCE = 12.0  # (cases - fitted parameters) · log10(1 / share left): below this the fit may be luck

FAMILIES: tuple[Elementwise, ...] = (
    sign.FAULT,
    units.DEGREES,
    units.RADIANS,
    offset.FAULT,
    offset.FLIPPED,
    constant.FAULT,
    gain.FAULT,
    affine.FAULT,
)
AS_IS, NONE = -1, -2  # no fault in this dimension; none that explains it
_GAIN, _CONSTANT, _AFFINE = (FAMILIES.index(f) for f in (gain.FAULT, constant.FAULT, affine.FAULT))
CONTAINED_IN: Mapping[int, frozenset[int]] = {
    0: frozenset({4, _GAIN, _AFFINE}),
    1: frozenset({_GAIN, _AFFINE}),
    2: frozenset({_GAIN, _AFFINE}),
    3: frozenset({_AFFINE}),
    4: frozenset({_AFFINE}),
    _CONSTANT: frozenset({_AFFINE}),
    _GAIN: frozenset({_AFFINE}),
    _AFFINE: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Base:
    """A rearranged reference. Arrays are rows ``(M, D)``: the reference rearranged, as it is, and the candidate."""

    kind: str
    rearranged: Array
    reference: Array
    candidate: Array
    freedom: int = 0
    parameters: Any = None


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A base with the family chosen for each dimension (index into `FAMILIES`, or `AS_IS`, `NONE`).

    ``left`` is the share of the difference that stays unexplained, ``motion_left`` the same against how much both sides
    move (see `_worth`); ``lower`` is the share that rounding alone may be;
    ``rival`` is the best share left by a family other than the chosen ones that is no generalization of them.
    """

    base: Base
    family: Array
    gain: Array
    offset: Array
    left: float
    motion_left: float
    lower: float
    freedom: int
    rival: tuple[str, float]


def test_base(pair: Pair, base: Base) -> Hypothesis:
    """Return the simplest faults per dimension that, on top of the base, make the reference the candidate."""
    count = len(base.candidate)
    whole = ((base.reference - base.candidate) ** 2).sum(axis=0)
    noise = pair.noise**2 * count
    as_is = ((base.rearranged - base.candidate) ** 2).sum(axis=0)
    m = moments(base.rearranged, base.candidate)
    fits = [family.fit(m) for family in FAMILIES]
    rest = np.stack([((a * base.rearranged + b - base.candidate) ** 2).sum(axis=0) for a, b in fits])
    chosen = _choose(pair, base, m, as_is, rest, whole, noise)
    index = np.arange(len(chosen))
    faulty = chosen >= 0
    gains = np.where(faulty, np.stack([a for a, _ in fits])[chosen, index], 1.0)
    offsets = np.where(faulty, np.stack([b for _, b in fits])[chosen, index], 0.0)
    remaining = np.where(faulty, rest[chosen, index], as_is)
    weight = 1.0 / pair.unit**2
    total = float((whole * weight).sum())
    freedom = base.freedom + sum(FAMILIES[f].freedom for f in chosen if f >= 0)
    left = float((remaining * weight).sum()) / total if total > 0 else 1.0
    lower = float((noise * weight)[pair.differs].sum()) / total if total > 0 else 0.0
    moved = float(
        (np.where(chosen == _CONSTANT, _worth(base, m, whole, still=True), _worth(base, m, whole)) * weight).sum()
    )
    motion_left = float((remaining * weight).sum()) / moved if moved > 0 else 1.0
    rival = _rival(chosen, rest, remaining, weight, total, base.kind)
    return Hypothesis(base, chosen, gains, offsets, left, motion_left, lower, freedom, rival)


def _worth(base: Base, m: Moments, whole: Array, *, still: bool = False) -> Array:
    """Return the sum of squares per dimension that an explanation is measured against, ``(D,)``.

    The motion must be explained, not only the gap: of two that barely move, far apart, an offset or another order
    closes the gap; and what moves much less than the reference is near some line of it, whichever. ``still``: the
    candidate is said not to move, so that only the reference's motion counts.
    """
    motion = m.var_r if still else np.minimum(m.var_r, m.var_c)
    worth: Array = np.minimum(whole, len(base.candidate) * motion)
    return worth


def _choose(pair: Pair, base: Base, m: Moments, as_is: Array, rest: Array, whole: Array, noise: Array) -> Array:
    """Return the simplest good family per dimension; `NONE` where two equally simple ones are as good as each other."""
    count = len(base.candidate)
    worth = np.tile(_worth(base, m, whole), (len(FAMILIES), 1))
    plain_share = _ratio(as_is, worth[0])
    worth[_CONSTANT] = _worth(base, m, whole, still=True)
    share, lower = _ratio(rest, worth), np.maximum(_ratio(noise, worth), 1e-16)
    freedom = np.array([f.freedom for f in FAMILIES])[:, None]
    corrected = share * (count / np.maximum(count - freedom, 1))
    best = np.maximum(np.minimum(corrected.min(axis=0), plain_share), lower.min(axis=0))
    dof = np.maximum(pair.evidence - freedom, 0)
    luck = dof * np.log10(1.0 / np.clip(np.maximum(share, lower), 1e-16, 1.0)) >= CHANCE
    good = (share <= ENOUGH) & (share <= CLEARLY * best) & luck & ~pair.still
    good[_CONSTANT] &= share[_CONSTANT] <= STILL
    good[_GAIN] &= ~good[_CONSTANT]  # a gain of zero is a constant
    good[[0, 1, 2]] &= m.var_r > 0
    if base.kind == "unnormalization":
        good[:] = False  # with a free gain on top any statistics would fit
    untouched = as_is <= noise
    if base.kind:
        untouched |= (plain_share <= ENOUGH) & (plain_share <= CLEARLY * best)
    chosen = np.where(untouched, AS_IS, NONE)
    for d in np.flatnonzero(~untouched):
        options = np.flatnonzero(good[:, d])
        if len(options):
            least = min(FAMILIES[f].freedom for f in options)
            simplest = [f for f in options if FAMILIES[f].freedom == least]
            chosen[d] = simplest[0] if len(simplest) == 1 else NONE
    return chosen


def _ratio(part: Array, whole: Array) -> Array:
    """Return part / whole, no more than 1e6, where whole may be zero."""
    result: Array = np.full(np.broadcast_shapes(part.shape, whole.shape), 1e6)
    np.divide(part, whole, out=result, where=whole > 1e-6 * part)
    return result


def _rival(chosen: Array, rest: Array, remaining: Array, weight: Array, total: float, kind: str) -> tuple[str, float]:
    """Return the other family that does best in place of the chosen ones, and the share that it leaves."""
    if total <= 0:
        return "none", 1.0
    used = {int(f) for f in chosen if f >= 0}
    excluded = used | {g for f in used for g in CONTAINED_IN[f]} | ({_AFFINE} if not used else set())
    outcomes = [("none", 1.0)] if kind else []
    for f, family in enumerate(FAMILIES):
        if f not in excluded:
            swapped = np.where(chosen >= 0, rest[f], remaining) if used else rest[f]
            outcomes.append((family.kind, float((swapped * weight).sum()) / total))
    return min(outcomes, key=lambda o: o[1], default=("none", 1.0))


def select(hypotheses: Sequence[Hypothesis]) -> Hypothesis | None:
    """Return the hypothesis that explains enough with the fewest parameters; None where none does or two tie.

    One that leaves `CLEARLY` more than the best does is out, whatever its simplicity; of the rest the one with the
    fewest fitted parameters is taken. Two with equally many that say different things leave the cause open.
    """
    fine = [h for h in hypotheses if max(h.left, h.motion_left) <= ENOUGH and (h.base.kind or (h.family >= 0).any())]
    if not fine:
        return None
    best = min(h.left for h in fine)
    fine = [h for h in fine if h.left <= CLEARLY * max(best, h.lower, 1e-16)]
    least = min(h.freedom for h in fine)
    simplest = [h for h in fine if h.freedom == least]
    return simplest[0] if len(simplest) == 1 else None


def lucky(pair: Pair, h: Hypothesis) -> bool:
    """Whether so few cases could have agreed with the hypothesis by chance."""
    per_dimension = h.freedom / max(int(pair.differs.sum()), 1)
    return (pair.evidence - per_dimension) * -math.log10(min(max(h.left, h.lower, 1e-16), 1.0)) < CHANCE
