"""Success rates of two evaluations compared: exact tests, intervals of the difference, and what a sample can tell.

All differences are candidate − reference, as shares: −0.05 is five points fewer.

Sources: L. D. Brown, T. T. Cai and A. DasGupta, "Interval estimation for a binomial proportion", Statist. Sci. 16
(2001) 101–133 (Wilson). R. G. Newcombe, "Interval estimation for the difference between independent proportions",
Statist. Med. 17 (1998) 873–890, method 10. T. Tango, "Equivalence test and confidence interval for the difference in
proportions for the paired-sample design", Statist. Med. 17 (1998) 891–908. G. Y. Zou, W. Huang and X. Zhang, "A note on
confidence interval estimation for a linear function of binomial proportions", Comput. Statist. Data Anal. 53 (2009)
1080–1085. R. J. Connor, "Sample size for testing differences in proportions for the paired-sample design", Biometrics
43 (1987) 207–211.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Counts:
    """Successes and episodes of one task on both sides, independent of each other."""

    reference: int
    of_reference: int
    candidate: int
    of_candidate: int


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of episodes from the same starts: only the reference succeeded, only the candidate, how many in all."""

    lost: int
    gained: int
    n: int

    @property
    def difference(self) -> float:
        return (self.gained - self.lost) / self.n


def quantile(alpha: float) -> float:
    """Return the two-sided normal quantile, 1.96 for ``alpha`` 0.05."""
    from scipy.stats import norm

    return float(norm.ppf(1 - alpha / 2))


def wilson(successes: int, n: int, alpha: float) -> Interval:
    """Return Wilson's score interval of one share."""
    from scipy.stats import binomtest

    found = binomtest(successes, n).proportion_ci(1 - alpha, method="wilson")
    return float(found.low), float(found.high)


def mcnemar(pairs: Pairs) -> float:
    """Return the two-sided p-value of McNemar's exact test: are losses as likely as gains?

    A discordant pair is either with probability ½ whatever its task, so that those of all tasks may be added up.
    """
    from scipy.stats import binomtest

    discordant = pairs.lost + pairs.gained
    return float(binomtest(pairs.lost, discordant).pvalue) if discordant else 1.0


def tango(pairs: Pairs, alpha: float) -> Interval:
    """Return Tango's score interval of the difference of two paired shares."""
    z, seen = quantile(alpha), pairs.difference
    return (
        _edge(lambda d: _tango_score(pairs, d) - z, seen, -1.0),
        _edge(lambda d: -_tango_score(pairs, d) - z, seen, 1.0),
    )


def _edge(beyond: Callable[[float], float], inside: float, end: float) -> float:
    """Return where ``beyond`` becomes positive on the way from ``inside``, which is not, to ``end``."""
    from scipy.optimize import brentq

    nearly = end * (1 - 1e-9)
    if abs(inside) >= 1 - 1e-9 and inside * end > 0:
        return end
    return float(brentq(beyond, inside, nearly, xtol=1e-12)) if beyond(nearly) > 0 else end


def _tango_score(pairs: Pairs, delta: float) -> float:
    """Return the score statistic of a true difference ``delta``, the nuisance at its restricted maximum likelihood."""
    n, b, c = pairs.n, pairs.gained, pairs.lost
    first, second = 2 * n, -b - c + (2 * n - b + c) * delta
    third = -c * delta * (1 - delta)
    lost = (math.sqrt(max(0.0, second * second - 4 * first * third)) - second) / (2 * first)
    variance = n * (2 * lost + delta * (1 - delta))
    away = b - c - n * delta
    if variance <= 0:
        return 0.0 if away == 0 else math.copysign(math.inf, away)
    return away / math.sqrt(variance)


def exact(strata: Sequence[Counts]) -> float:
    """Return the two-sided exact p-value: is the candidate's success as likely as the reference's in every task?

    Given each task's totals the candidate's successes are hypergeometric, and their sum over the tasks is what is
    judged: the exact permutation test within tasks, twice its smaller tail (so that either side is wrong with at most
    half the level). For one task it is Fisher's exact test.
    """
    from scipy.stats import hypergeom

    mass, seen = np.ones(1), 0
    for s in strata:
        total, good = s.of_reference + s.of_candidate, s.reference + s.candidate
        least, most = max(0, good - s.of_reference), min(good, s.of_candidate)
        mass = np.convolve(mass, hypergeom.pmf(np.arange(least, most + 1), total, good, s.of_candidate))
        seen += s.candidate - least
    return float(min(1.0, 2 * min(mass[: seen + 1].sum(), mass[seen:].sum())))


def newcombe(counts: Counts, alpha: float) -> Interval:
    """Return Newcombe's hybrid score interval of the difference of two independent shares."""
    return mover([counts], [1.0], alpha)


def stratified(strata: Sequence[Counts], alpha: float) -> tuple[float, Interval]:
    """Return the difference over all tasks and its interval.

    Where both sides ran every task in the same proportion, successes are added up and Newcombe's interval is taken
    (tasks that differ among themselves only make it conservative). Where not, adding up would mistake a hard task
    run more often for a worse policy: tasks are weighted as Mantel and Haenszel did, nᵣ n꜀ / (nᵣ + n꜀), with the
    interval of Zou, Huang and Zhang.
    """
    shares = {s.of_candidate / s.of_reference for s in strata}
    if max(shares) - min(shares) < 1e-9:
        whole = Counts(*(sum(getattr(s, k) for s in strata) for k in Counts.__slots__))
        return rate(whole.candidate, whole.of_candidate) - rate(whole.reference, whole.of_reference), newcombe(
            whole, alpha
        )
    weights = np.array([s.of_reference * s.of_candidate / (s.of_reference + s.of_candidate) for s in strata])
    weights = weights / weights.sum()
    return weighted(strata, weights), mover(strata, [float(w) for w in weights], alpha)


def weighted(strata: Sequence[Counts], weights: Sequence[float] | np.ndarray) -> float:
    """Return the weighted difference over the tasks."""
    apart = (rate(s.candidate, s.of_candidate) - rate(s.reference, s.of_reference) for s in strata)
    return float(sum(w * d for w, d in zip(weights, apart, strict=True)))


def rate(successes: int, n: int) -> float:
    """Return a share."""
    return successes / n


def mover(strata: Sequence[Counts], weights: Sequence[float], alpha: float) -> Interval:
    """Return the interval of a weighted difference from the Wilson intervals of its shares (square and add)."""
    down = up = 0.0
    for s, w in zip(strata, weights, strict=True):
        p, q = rate(s.reference, s.of_reference), rate(s.candidate, s.of_candidate)
        (low_p, high_p), (low_q, high_q) = (
            wilson(s.reference, s.of_reference, alpha),
            wilson(s.candidate, s.of_candidate, alpha),
        )
        down += w * w * ((q - low_q) ** 2 + (high_p - p) ** 2)
        up += w * w * ((high_q - q) ** 2 + (p - low_p) ** 2)
    d = weighted(strata, weights)
    return max(-1.0, d - math.sqrt(down)), min(1.0, d + math.sqrt(up))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for how many were looked at. Source: S. Holm, Scand. J. Statist. 6 (1979) 65–70."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


@dataclass(frozen=True, slots=True)
class Power:
    """What a sample can tell, were both policies in fact alike.

    Attributes:
        n: pairs, or episodes on each side.
        power: the probability to show that the candidate is not worse by the margin.
        detectable: the drop that fails with probability 0.8, about: the margin and what an interval takes beyond it.
        needed: pairs, or episodes on each side, for a power of 0.8.
    """

    n: int
    power: float
    detectable: float
    needed: int


def power(n: int, variance: float, margin: float, alpha: float) -> Power:
    """Return what ``n`` can tell about a margin (normal approximation; Connor for pairs).

    Args:
        n: pairs, or episodes on each side.
        variance: of one pair's difference (the share of discordant pairs), or 2 p (1 − p) for independent episodes.
        margin: the drop that is allowed.
        alpha: of the two-sided interval.
    """
    from scipy.stats import norm

    z, wanted = quantile(alpha), quantile(alpha) + float(norm.ppf(0.8))
    error = math.sqrt(variance / n)
    reached = float(norm.cdf(margin / error - z)) if error else 1.0
    needed = math.ceil(variance * (wanted / margin) ** 2) if margin > 0 else 0
    return Power(n, reached, min(1.0, margin + wanted * error), needed)
