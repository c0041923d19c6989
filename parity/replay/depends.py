"""Whether a candidate depends on what the reference depends on: which dimensions move with a feature, on which side.

What a right candidate can do bounds every threshold: outputs off by at most L (`tolerance`) move by at most 2 L more or
less than the reference's. So where the reference moves by more than 4 L such a candidate moves by more than
2 L, and the other way round; neither rounding nor a lower precision class can make a connected feature look cut off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from parity.replay.model import Context
from parity.replay.reaction import Reaction
from parity.tensor import Array

LEAST = 1e-3  # of a dimension's scale: less than that is no dependence worth telling
UNLIMITED = {"float16": 1.6e-2, "bfloat16": 6.2e-2, "int8": 0.1}  # of the scale, where single actions have no limit
APART = 4.0  # times as far as before a change: what sides are never apart after it by rounding alone
CLEAR, STILL = 4.0, 2.0  # limits that a side moves by at least, or at most
GAINS, COSINE = (0.8, 1.25), 0.9  # movements of about the same size and direction
CHANCE = 1e-4  # that noise alone makes one of all features look as if it moved a sampled output
FEWEST = 4  # frames that tell how far samples of one observation are apart
DOUBT = 0.05  # a movement that is no larger than noise, or may not be
CROSSED = 0.25  # how much better two swapped features must explain movements


Moments = tuple[Array, Array, Array]  # mean, variance, number


@dataclass(frozen=True, slots=True)
class Dependence:
    """What one feature moves: flags per action dimension, ``(D,)``.

    Attributes:
        reference: it clearly moves the reference.
        ignored: it moves the reference, and the candidate stays where it is.
        extra: it moves the candidate, and the reference stays where it is.
        gain: the candidate's movement over the reference's, root mean square, NaN where that is not moved.
        cosine: of both movements, likewise.
        different: both move, but clearly not alike.
    """

    reference: Array
    ignored: Array
    extra: Array
    gain: Array
    cosine: Array
    different: Array

    @property
    def unlike(self) -> float:
        """How unlike both sides' movements are, over the dimensions that move: 0 where they are the same."""
        at = np.flatnonzero(self.reference & np.isfinite(self.gain) & np.isfinite(self.cosine) & (self.gain > 0))
        return float(np.mean(np.abs(np.log(self.gain[at])) + 1 - self.cosine[at])) if at.size else 0.0


def tolerance(reaction: Reaction, context: Context) -> Array:
    """Return by how much outputs may move by themselves, ``(D,)`` in units: the limit at most, 0.1 % of the scale at
    least, and between them 4 times as far as the sides are apart before anything is changed.

    The last is what rounding really does to this candidate: limits, the user's above all, can be so wide that no
    feature would seem to matter. A dimension without a finite limit has that of its precision class.
    """
    least: Array = np.maximum(np.minimum(_limits(context), APART * reaction.gap.max(axis=0)), LEAST * context.scale)
    return least


def unmoved(context: Context) -> Array:
    """Return by how much outputs for one and the same observation may be apart, ``(D,)`` in units: 2 limits."""
    return 2 * _limits(context)


def _limits(context: Context) -> Array:
    share = UNLIMITED.get(context.precision, LEAST)
    limits: Array = np.where(np.isfinite(context.limits), context.limits, share * context.scale)
    return limits


def informative(context: Context) -> Array:
    """Return which dimensions the reference moves in at all, ``(D,)``: by more than 4 limits, as everywhere."""
    limits = np.where(np.isfinite(context.limits), context.limits, 0.0)
    moving: Array = (context.scale > 4 * limits) & (context.scale > 0)
    return moving


def dependence(reaction: Reaction, context: Context) -> Dependence:
    """Return what a feature moves, for policies whose noise is injected or that have none."""
    least, usable = tolerance(reaction, context), informative(context)
    trusted, tested = reaction.largest
    known = usable & (trusted >= 0)
    moved = known & (trusted > CLEAR * least)
    ignored = moved & (tested <= STILL * least)
    if known.any() and not tested[known].any():  # not by the last bit, at any frame
        ignored = known & (trusted > STILL * least)
    extra = known & (tested > CLEAR * least) & (trusted <= STILL * least)
    return _compared(reaction, moved | ignored, ignored, extra, least)


def sampled(reaction: Reaction, noise: Reaction, tests: int, context: Context) -> Dependence:
    """Return what a feature moves, for policies that sample: more than giving the same observation again does.

    The logarithms of movements, one for each frame (steps of a chunk depend on each other), are compared by Welch's t
    test, as those of a heavy-tailed sample have light tails. A side that stands still must differ from the other by as
    much as the other moves. ``tests`` are asked in all (features, kinds, dimensions), so each is asked at
    ``CHANCE / tests``.
    """
    usable = informative(context)
    level = CHANCE / max(tests, 1)
    r, c, r0, c0 = reaction.log_size("r"), reaction.log_size("c"), noise.log_size("r"), noise.log_size("c")
    trusted, tested = _sure([r], [r0], level), _sure([c], [c0], level)
    ignored = trusted & ~_sure([c], [c0], DOUBT) & _sure([r, c0], [r0, c], level)
    extra = tested & ~_sure([r], [r0], DOUBT) & _sure([c, r0], [c0, r], level)
    moved = usable & trusted.any(axis=0)
    alone = usable & extra.any(axis=0) & ~trusted.any(axis=0)
    left = usable & ignored.any(axis=0) & ~tested.any(axis=0)
    return _compared(reaction, moved, left, alone, np.full(usable.shape, np.inf))


def _sure(larger: list[Moments], smaller: list[Moments], level: float) -> Array:
    """Return where a sum of means is above another beyond chance, ``(K, D)``: Welch's t test, one-sided.

    Source: B. L. Welch, "The generalization of 'Student's' problem when several different population variances are
    involved", Biometrika 34 (1947).
    """
    from scipy.special import stdtr

    gap = sum(m[0] for m in larger) - sum(m[0] for m in smaller)
    parts = [m[1] / m[2] for m in (*larger, *smaller)]
    total = sum(parts)
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = total**2 / sum(p * p / (m[2] - 1) for p, m in zip(parts, (*larger, *smaller), strict=True))
        chance = stdtr(np.where(np.isfinite(freedom), freedom, 1.0), -gap / np.sqrt(total))
    certain: Array = np.where(total == 0, gap > 0, chance < level)
    return certain


def _compared(reaction: Reaction, moved: Array, ignored: Array, extra: Array, least: Array) -> Dependence:
    rr, cc, rc = (np.asarray(v).sum(axis=0) for v in (reaction.rr, reaction.cc, reaction.rc))
    count = reaction.count.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        gain, cosine = np.sqrt(cc / rr), rc / np.sqrt(rr * cc)
        size, gap = np.sqrt(rr / count), np.sqrt(np.maximum(rr - 2 * rc + cc, 0.0) / count)
    unlike = (gain < GAINS[0]) | (gain > GAINS[1]) | (cosine < COSINE)
    different = moved & ~ignored & unlike & (size > CLEAR * least) & (gap > CLEAR * least)
    clean = np.where(moved, gain, np.nan), np.where(moved, cosine, np.nan)
    return Dependence(moved, ignored, extra, *clean, different)


def crossed(reactions: dict[str, Reaction], context: Context) -> list[tuple[str, str]]:
    """Return pairs of features that look swapped: the candidate moves with one as the reference does with the other.

    Compared are how far swapping each moves each dimension (root mean square, in tolerances): one wrong connection
    moves other outputs at other frames, so movements themselves cannot be compared.
    """
    dims = np.flatnonzero(informative(context))
    if len(reactions) < 2 or not dims.size:
        return []
    least = np.max([tolerance(r, context) for r in reactions.values()], axis=0)[dims]
    sizes = {}
    for name, reaction in reactions.items():
        if "swap" in reaction.kinds:
            kind = reaction.kinds.index("swap")
            both = (reaction.rms(s)[kind, dims] / least for s in (reaction.rr, reaction.cc))
            sizes[name] = tuple(both)
    found = []
    for one, (r1, c1) in sizes.items():
        for other, (r2, c2) in sizes.items():
            if one < other:
                own = float(np.sqrt(np.mean((c1 - r1) ** 2 + (c2 - r2) ** 2)))
                swapped = float(np.sqrt(np.mean((c1 - r2) ** 2 + (c2 - r1) ** 2)))
                if own > CLEAR and swapped < CROSSED * own:
                    found.append((one, other))
    return found
