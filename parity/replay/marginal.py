"""Are the actions of two sides distributed alike over all frames, though frames of an episode depend on each other?

Both sides act on the same frames, so a permutation swaps the two sides of whole episodes: exact where they are equal,
however frames hang together. What frames of one episode add to a statistic is summed up first, so swaps cost little.

Wasserstein-1 is the area between two distribution functions. Energy distance: Székely and Rizzo, 2013.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from parity.replay.permutation import adjusted, flips, holm
from parity.tensor import Array

RESAMPLED = 999  # for intervals
POINTS = 256  # at which distribution functions are compared, while permuting
LEAST_GROUPS = 12  # episodes, so that swaps can give a p-value below OF_DISTRIBUTION / 4: 2 / 2¹²


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over the frames of each group of whole episodes. ``(G,)`` and ``(G, D)``."""

    count: Array
    reference: Array
    candidate: Array
    reference_square: Array
    candidate_square: Array

    def variances(self) -> tuple[Array, Array]:
        """Return what each group adds to the sum of squares around the mean of both sides, ``(G, D)`` for each side."""
        middle = (self.reference + self.candidate).sum(axis=0) / (2 * self.count.sum())
        often = self.count[:, None] * middle**2
        sides = ((self.reference, self.reference_square), (self.candidate, self.candidate_square))
        one, other = (square - 2 * middle * plain + often for plain, square in sides)
        return one, other

    def deviation(self) -> Array:
        """Return the standard deviation of each side over all frames, ``(2, D)``."""
        total = self.count.sum()
        sides = ((self.reference, self.reference_square), (self.candidate, self.candidate_square))
        variance = [square.sum(axis=0) / total - (plain.sum(axis=0) / total) ** 2 for plain, square in sides]
        return np.asarray(np.sqrt(np.maximum(variance, 0)))


@dataclass(frozen=True, slots=True)
class Compared:
    """Statistics of one kind, in units. All are ``(F,)``; ``low`` and ``high`` are NaN where there are few episodes."""

    effect: Array
    low: Array
    high: Array
    p: Array


@dataclass(frozen=True, slots=True)
class Marginal:
    """How the actions of two sides are distributed: by dimension, and all jointly (``energy``, one statistic)."""

    mean: Compared
    ratio: Compared
    wasserstein: Compared
    energy: Compared
    energy_margin: float


def marginal(
    sums: Sums, pair: tuple[Array, Array], group: Array, spread: Array, allowed: Array, tolerance: Array, seed: int
) -> Marginal:
    """Compare two sides on the same frames.

    Args:
        sums: of all frames, for groups that have any.
        pair: a subsample of reference and candidate, ``(K, D)`` each.
        group: which of the groups of ``sums`` each frame of it is in, ``(K,)``.
        spread: what a difference in each dimension is divided by for the joint statistic, ``(D,)``; 0: left out.
        allowed: shift in units that is of no concern, ``(D,)``.
        tolerance: what rounding may do to an action, in units: it counts as spread on both sides, ``(D,)``.
        seed: of the permutations.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    groups = len(sums.count)
    swaps = flips(random, groups)
    drawn = random.multinomial(groups, np.full(groups, 1 / groups), RESAMPLED).astype(np.float64)
    scaled = [_scaled(side, spread) for side in pair]
    seen = [
        _mean(sums, swaps, drawn),
        _ratio(sums, tolerance, swaps, drawn),
        _wasserstein(pair, group, swaps, drawn),
        _energy(energy_by_group(scaled[0], scaled[1], group, groups), group, swaps, drawn),
    ]
    p = holm([adjusted(s.observed, s.permuted) for s in seen])
    moved = energy_by_group(scaled[0], _scaled(pair[0] + allowed, spread), group, groups)
    mean, ratio, area, energy = (s.compared(q, groups) for s, q in zip(seen, p, strict=True))
    return Marginal(mean, ratio, area, energy, float(moved.sum()) / len(group) ** 2)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A statistic, ``(F,)``, with groups resampled, and with sides permuted, ``(R, F)``."""

    effect: Array
    resampled: Array
    observed: Array
    permuted: Array

    def compared(self, p: Array, groups: int) -> Compared:
        if groups < LEAST_GROUPS:
            unknown = np.full(len(self.effect), np.nan)
            return Compared(self.effect, unknown, unknown, p)
        low, high = np.quantile(self.resampled, [0.005, 0.995], axis=0)
        return Compared(self.effect, low, high, p)


def _mean(sums: Sums, swaps: Array, drawn: Array) -> _Seen:
    gap = sums.candidate - sums.reference
    effect = gap.sum(axis=0) / sums.count.sum()
    return _Seen(effect, drawn @ gap / (drawn @ sums.count)[:, None], np.abs(gap.sum(axis=0)), np.abs(swaps @ gap))


def _ratio(sums: Sums, tolerance: Array, swaps: Array, drawn: Array) -> _Seen:
    floor = np.square(tolerance) * sums.count[:, None] + 1e-300  # a spread that both sides have
    one, other = (side + floor for side in sums.variances())
    more = other - one
    effect = other.sum(axis=0) / one.sum(axis=0)
    return _Seen(effect, (drawn @ other) / (drawn @ one), np.abs(more.sum(axis=0)), np.abs(swaps @ more))


def _wasserstein(pair: tuple[Array, Array], group: Array, swaps: Array, drawn: Array) -> _Seen:
    groups = swaps.shape[1]
    lines = [_Between(one, other, group, groups) for one, other in zip(pair[0].T, pair[1].T, strict=True)]
    often = np.maximum(drawn @ np.bincount(group, minlength=groups), 1)[:, None]
    observed, resampled, permuted = (
        np.stack([line.areas(weights) for line in lines], axis=1) for weights in (np.ones((1, groups)), drawn, swaps)
    )
    return _Seen(wasserstein(*pair), resampled / often, observed[0], permuted)


def _energy(terms: Array, group: Array, swaps: Array, drawn: Array) -> _Seen:
    often = np.maximum(drawn @ np.bincount(group, minlength=len(terms)), 1)
    resampled = np.einsum("rg,rg->r", drawn @ terms, drawn) / often**2
    permuted = np.einsum("rg,rg->r", swaps @ terms, swaps)
    total = np.array([terms.sum()])
    return _Seen(total / len(group) ** 2, resampled[:, None], total, permuted[:, None])


def wasserstein(one: Array, other: Array) -> Array:
    """Return the Wasserstein-1 distance of as many values on each side, by dimension, ``(D,)``, in units.

    Args:
        one: ``(K, D)``.
        other: ``(K, D)``.
    """
    return np.asarray(np.abs(np.sort(one, axis=0) - np.sort(other, axis=0)).mean(axis=0))


def energy_by_group(one: Array, other: Array, group: Array, groups: int) -> Array:
    """Return what each pair of groups adds to the energy distance times K², ``(G, G)``.

    Where the sides of group g are swapped, all terms of g with others change sign: the energy distance is εᵀAε / K².

    Args:
        one: ``(K, D)``, paired with ``other``.
        other: ``(K, D)``.
        group: of each pair, ``(K,)``.
        groups: how many there are, G.
    """
    from scipy.spatial.distance import cdist

    across = cdist(one, other)
    terms = across + across.T - cdist(one, one) - cdist(other, other)
    return _by_group(_by_group(terms, group, groups).T, group, groups)


def swapped(terms: Array, count: int, seed: int) -> tuple[float, float]:
    """Return the energy distance of which groups add ``terms``, ``(G, G)``, over ``count`` pairs, and its p-value."""
    swaps = flips(np.random.Generator(np.random.PCG64(seed)), len(terms))
    total = np.array([terms.sum()])
    p = adjusted(total, np.einsum("rg,rg->r", swaps @ terms, swaps)[:, None])
    return float(total[0]) / count**2, float(p[0])


def further(pair: tuple[Array, Array], recorded: Array, group: Array, groups: int, seed: int) -> tuple[float, float]:
    """Return how much further from the recorded actions the candidate is, in energy distance, and its p-value.

    One-sided, by swapping reference and candidate of whole episodes. What an episode adds is linear in its swap.

    Args:
        pair: reference and candidate, ``(K, D)``, scaled.
        recorded: ``(K, D)``, scaled.
        group: of each frame, ``(K,)``.
        groups: how many there are.
        seed: of the permutations.
    """
    from scipy.spatial.distance import cdist

    reference, candidate = pair
    k = len(group)
    across = cdist(candidate, reference)
    own = cdist(candidate, candidate) - cdist(reference, reference)
    apart = 2 * (cdist(candidate, recorded) - cdist(reference, recorded)).sum(axis=1)
    terms = (apart - own.sum(axis=1) - across.sum(axis=1) + across.sum(axis=0)) / k**2
    by_group = np.bincount(group, terms, groups)
    swaps = flips(np.random.Generator(np.random.PCG64(seed)), groups)
    effect = float(by_group.sum())
    return effect, float(adjusted(by_group.sum(keepdims=True), (swaps @ by_group)[:, None])[0])


def _by_group(values: Array, group: Array, groups: int) -> Array:
    """Return the sums over rows of each group, ``(G, K)``."""
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    out = np.zeros((groups, values.shape[1]))
    out[group[order][starts]] = np.add.reduceat(values[order], starts, axis=0)
    return out


def _scaled(values: Array, spread: Array) -> Array:
    return np.asarray(values[:, spread > 0] / spread[spread > 0])


class _Between:
    """The area between two distribution functions of one dimension, with groups swapped or resampled.

    Of the distribution functions `POINTS` values are looked at, chosen from those of both sides together.
    """

    def __init__(self, one: Array, other: Array, group: Array, groups: int) -> None:
        values = np.concatenate([one, other])
        order = np.argsort(values, kind="stable")
        last = np.unique(np.linspace(0, len(values) - 1, POINTS + 1).astype(np.int64))
        place = np.searchsorted(last, np.arange(len(values)))  # the first point at or after each value
        counts = np.zeros((groups, len(last)))
        np.add.at(counts, (np.tile(group, 2)[order], place), np.repeat([-1.0, 1.0], len(one))[order])
        self.heights = counts.cumsum(axis=1)[:, :-1]  # of each group, (G, P)
        self.gaps = np.diff(values[order][last])

    def areas(self, weights: Array) -> Array:
        """Return the area times the number of pairs, each group counted so often, or swapped: ``(R, G)``, ``(R,)``."""
        return np.asarray(np.abs(weights @ self.heights) @ self.gaps)
