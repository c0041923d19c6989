"""Do two sets of samples for the same observations come from the same distribution? Means, spreads and energy distance.

Sides are permuted sample by sample, with all observations at once: exact where a side's samples are independent of
each other, whatever the observations are and even where one sample's noise is shared by all observations. All
statistics are sums over observations, so a permutation costs nothing but a product with what is summed up.

Energy distance: Székely and Rizzo, "Energy statistics: a class of statistics based on distances", 2013.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from parity.replay.permutation import adjusted, holm, labels
from parity.tensor import Array

BLOCK = 1 << 17  # distances that are held at once, of each kind


@dataclass(frozen=True, slots=True)
class Family:
    """Statistics of one kind. All arrays are ``(F,)``; ``p`` is corrected for all statistics of all families."""

    effect: Array
    low: Array
    high: Array
    p: Array


@dataclass(frozen=True, slots=True)
class TwoSample:
    """How the samples of two sides differ. ``D`` dimensions, ``H`` steps.

    Attributes:
        mean: candidate − reference, in units: of the mean over the chunk, ``D``, then step by step, ``H * D`` where
            the chunk has more than one.
        spread: ratio of variances, candidate to reference: ``D``, then of all dimensions that count together.
        energy: energy distance in spreads of the observation: ``D``, then of all dimensions and steps jointly.
        energy_margin: what a shift that is of no concern does to each of ``energy``.
        deviation: standard deviation of a side's samples, in units, reference and candidate, ``(2, D)``.
        shift: of each observation, mean over the chunk, in units, ``(M, D)``.
        variance: of each observation, mean over the chunk, reference and candidate, in units squared, ``(2, M, D)``.
        uncovered: share of the reference's samples that are far from all of the candidate's, and the other way round.
        rounds: how many permutations.
    """

    mean: Family
    spread: Family
    energy: Family
    energy_margin: Array
    deviation: Array
    shift: Array
    variance: Array
    uncovered: tuple[float, float]
    rounds: int


def two_sample(
    reference: Array, candidate: Array, allowed: Array, tolerance: Array, counts: Array, random: np.random.Generator
) -> TwoSample:
    """Compare the samples of two sides, observation by observation.

    Args:
        reference: ``(M, S, H, D)``, finite, S at least 2.
        candidate: ``(M, S, H, D)``, finite.
        allowed: shift in units that is of no concern, ``(D,)``.
        tolerance: what rounding may do to an action, in units, ``(D,)``: it counts as spread on both sides.
        counts: which dimensions are judged jointly, ``(D,)`` bool.
        random: where permutations come from.
    """
    samples = reference.shape[1]
    x = np.concatenate([reference, candidate], axis=1, dtype=np.float64)
    x -= x.mean(axis=1, keepdims=True)
    noise = np.mean(x**2, axis=1, keepdims=True) + np.square(tolerance)  # (M, 1, H, D)
    sides = labels(random, samples)
    means = _means(x, sides)
    spreads = _spreads(x, noise, np.square(tolerance), counts, sides)
    energy = _Energy(x, noise, counts, allowed)
    distances = energy.family(sides)
    corrected = holm([means.p, spreads.p, distances.p])
    variance = np.stack([half.var(axis=1, ddof=1).mean(axis=1) for half in np.split(x, 2, axis=1)])
    return TwoSample(
        replace(means, p=corrected[0]),
        replace(spreads, p=corrected[1]),
        replace(distances, p=corrected[2]),
        energy.margin,
        np.sqrt(variance.mean(axis=1)),
        np.subtract(*(half.mean(axis=(1, 2)) for half in np.split(x, 2, axis=1)[::-1])),
        variance,
        energy.uncovered,
        len(sides),
    )


def repeated(samples: Array) -> float:
    """Return how alike the noise of different observations is, 0 where it was drawn anew, 1 where it is the same.

    The mean correlation of two observations over their samples, in the order in which they were drawn; below what
    chance does (eight standard deviations), 0.

    Args:
        samples: of one side, ``(M, S, H, D)``, M and S at least 2.
    """
    z = samples.mean(axis=2, dtype=np.float64)
    z = z - z.mean(axis=1, keepdims=True)
    deviation = z.std(axis=1, ddof=1, keepdims=True)
    z = np.divide(z, deviation, out=np.zeros_like(z), where=deviation > 0)
    moving = (deviation > 0).sum(axis=0)[0]  # observations, (D,)
    together = np.square(z.sum(axis=0)).sum(axis=0) / (samples.shape[1] - 1)
    usable = moving >= 2
    if not usable.any():
        return 0.0
    count = moving[usable]
    alike = float(np.max((together[usable] / count - 1) / (count - 1)))
    chance = 8 * np.sqrt(2 / (samples.shape[1] - 1)) / (float(count.min()) - 1)
    return min(alike, 1.0) if alike > max(0.1, chance) else 0.0


def _interval(values: Array, side: Array) -> tuple[Array, Array]:
    """Return the mean of each side, ``(2, F)``, and its variance, from independent samples ``(2S, F)``."""
    halves = [values[side == s] for s in (-1, 1)]
    return np.stack([h.mean(axis=0) for h in halves]), np.stack([h.var(axis=0, ddof=1) / len(h) for h in halves])


def _student(freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.995))


def _sides(samples: int) -> Array:
    return np.repeat([-1.0, 1.0], samples)


def _means(x: Array, sides: Array) -> Family:
    step = x.mean(axis=0)  # (2S, H, D): over observations
    values = step.mean(axis=1)
    if step.shape[1] > 1:
        values = np.hstack([values, step.reshape(len(step), -1)])
    samples = len(values) // 2
    mean, error = _interval(values, _sides(samples))
    effect, half = mean[1] - mean[0], _student(2 * samples - 2) * np.sqrt(error.sum(axis=0))
    p = adjusted(np.abs(effect), np.abs(sides @ values) / samples)
    return Family(effect, effect - half, effect + half, p)


def _spreads(x: Array, noise: Array, rounding: Array, counts: Array, sides: Array) -> Family:
    """Return the ratios of variances: every observation and step counts alike, however noisy it is.

    What is allowed as ``rounding``, a variance, is in ``noise``, and so counts as a spread that both sides have.
    """
    samples = x.shape[1] // 2
    inverse = np.divide(1.0, noise, out=np.zeros_like(noise), where=noise > 0)
    common = _jointly(_summed(x, inverse), counts)  # around the mean of both sides, as a permutation leaves it
    halves = [half - half.mean(axis=1, keepdims=True) for half in np.split(x, 2, axis=1)]
    own = [_jointly(_summed(half, inverse) * samples / (samples - 1), counts) for half in halves]
    floor = _jointly((inverse * rounding).mean(axis=(0, 2)), counts)[0]
    mean, error = _interval(np.vstack(own), _sides(samples))
    level = np.maximum(mean + floor, 1e-12)
    ratio = level[1] / level[0]
    half = _student(2 * samples - 2) * np.sqrt((error / level**2).sum(axis=0))
    observed = np.abs(_sides(samples) @ common)
    p = adjusted(observed, np.abs(sides @ common))
    with np.errstate(over="ignore"):
        return Family(ratio, ratio * np.exp(-half), ratio * np.exp(half), p)


def _summed(x: Array, inverse: Array) -> Array:
    """Return the mean of x² / noise over observations and steps, ``(S, D)``."""
    return np.asarray(np.einsum("mshd,mshd,mhd->sd", x, x, inverse[:, 0], optimize=True) / (len(x) * x.shape[2]))


def _jointly(values: Array, counts: Array) -> Array:
    """Return ``values`` by dimension, ``(S, D)``, and after them the mean of those that count, ``(S, D + 1)``."""
    joint = values[:, counts].mean(axis=1, keepdims=True) if counts.any() else np.zeros((len(values), 1))
    return np.hstack([values, joint])


class _Energy:
    """Energy distances within each observation, summed up: of each dimension over its steps, and of all jointly."""

    def __init__(self, x: Array, noise: Array, counts: Array, allowed: Array) -> None:
        observations, both, steps, width = x.shape
        scale = np.sqrt(noise.mean(axis=2, keepdims=True) * steps)
        y = np.divide(x, scale, out=np.zeros_like(x), where=scale > 0)
        shift = np.divide(np.broadcast_to(allowed, scale.shape), scale, out=np.zeros_like(scale), where=scale > 0)
        kinds = [np.arange(width) == d for d in range(width)] + [counts]
        self.sum = np.zeros((len(kinds), both, both))
        self.each = np.zeros((observations, len(kinds)))  # energy distance of each observation
        self.margin = np.zeros(len(kinds))
        far = np.zeros((observations, 2))
        many = max(1, BLOCK // both**2)
        for part in (slice(m, m + many) for m in range(0, observations, many)):
            for k, kind in enumerate(kinds):
                size = steps * int(kind.sum())
                points = y[part][..., kind].reshape(len(y[part]), both, size)
                step = np.repeat(shift[part][..., kind], steps, axis=2).reshape(len(points), 1, size)
                distance = _distances(points, points)
                self.sum[k] += distance.sum(axis=0)
                self.each[part, k] = _energy(distance)
                self.margin[k] += _shifted(points[:, : both // 2], step, distance).sum() / observations
            far[part] = _far(distance)
        self.uncovered = (float(far[:, 0].mean()), float(far[:, 1].mean()))

    def family(self, sides: Array) -> Family:
        """Return the mean over observations, with an interval over observations."""
        count, samples = len(self.each), self.sum.shape[1] // 2
        effect = self.each.mean(axis=0)
        half = _student(max(count - 1, 1)) * self.each.std(axis=0, ddof=1) / np.sqrt(count)
        own = _sides(samples)
        permuted = np.stack([-np.einsum("ri,ri->r", sides @ total, sides) for total in self.sum], axis=1)
        observed = np.array([-(own @ total @ own) for total in self.sum])
        return Family(effect, effect - half, effect + half, adjusted(observed, permuted))


def _distances(one: Array, other: Array) -> Array:
    """Return distances within each observation, ``(M, P, Q)``, of points ``(M, P, F)`` and ``(M, Q, F)``."""
    if one.shape[2] == 1:
        return np.asarray(np.abs(one - other.transpose(0, 2, 1)))
    squares = [np.einsum("mpf,mpf->mp", side, side) for side in (one, other)]
    gram = np.matmul(one, other.transpose(0, 2, 1))
    gram *= -2
    gram += squares[0][:, :, None]
    gram += squares[1][:, None, :]
    if one is other:
        gram[:, np.arange(one.shape[1]), np.arange(one.shape[1])] = 0.0
    return np.asarray(np.sqrt(np.maximum(gram, 0.0, out=gram), out=gram))


def _energy(distance: Array) -> Array:
    """Return the energy distances without bias, ``(M,)``, of the first half of the points to the second."""
    s = distance.shape[1] // 2
    across = distance[:, :s, s:].sum(axis=(1, 2))
    within = distance.sum(axis=(1, 2)) - 2 * across
    return np.asarray(2 * across / s**2 - within / (s * (s - 1)))


def _shifted(points: Array, step: Array, distance: Array) -> Array:
    """Return the energy distances, ``(M,)``, of points to the same ones moved by ``step``: pairs of different ones."""
    s = points.shape[1]
    across = _distances(points, points + step)
    different = across.sum(axis=(1, 2)) - np.trace(across, axis1=1, axis2=2)
    return np.asarray(2 * (different - distance[:, :s, :s].sum(axis=(1, 2))) / (s * (s - 1)))


def _far(distance: Array) -> Array:
    """Return the share of each side's points that are far from all of the other side's, ``(M, 2)``.

    Far is twice as far as any point of its own side is from the nearest other one.
    """
    s = distance.shape[1] // 2
    own = distance + np.where(np.eye(2 * s, dtype=bool), np.inf, 0.0)
    nearest = [own[:, half, half].min(axis=2).max(axis=1) for half in (slice(0, s), slice(s, None))]
    across = distance[:, :s, s:]
    gaps = across.min(axis=2), across.min(axis=1)
    return np.stack([(gap > 2 * n[:, None]).mean(axis=1) for gap, n in zip(gaps, nearest, strict=True)], axis=1)
