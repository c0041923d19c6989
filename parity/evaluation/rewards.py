"""Returns and rewards of two evaluations compared: permutation tests and intervals of the mean difference.

Sources: sign flips of paired differences, R. A. Fisher, The Design of Experiments (1935) §21; B. Phipson and
G. K. Smyth, "Permutation p-values should never be zero", Stat. Appl. Genet. Mol. Biol. 9 (2010) 39, for the +1; BCa
intervals, B. Efron, "Better bootstrap confidence intervals", J. Amer. Statist. Assoc. 82 (1987) 171–185, as scipy.stats
has them. `bounded_pairs` and `bounded_samples` add pseudo-observations, so that a few equal scores are not certainty:
D. G. Bonett and R. M. Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on
paired data", J. Educ. Behav. Stat. 37 (2012) 479–488; A. Agresti and B. Caffo, "Simple and effective confidence
intervals for proportions and differences of proportions", Amer. Statist. 54 (2000) 280–288. On scores of 0 and 1 they
are these, but for the quantile, which is of Student's t.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from parity.evaluation.proportions import Interval

Array = np.ndarray[Any, np.dtype[Any]]
EXACT_PAIRS = 20  # sign flips of up to so many differences, 2^20, are all looked at
DRAWS = 100_000  # fewer where a draw has very many numbers, see `_draws`
RESAMPLES = 9_999
BCA_UP_TO = 2_000  # episodes: its jackknife costs their square, and of more the plain percentiles say the same
_BLOCK = 1 << 22  # numbers held at once while drawing
_NUMBERS = 1 << 26  # drawn at most: a second or two, however many episodes there are


def _draws(numbers: int) -> int:
    """Return how many draws of so many numbers are made: 100,000 up to 671 episodes, at least 999."""
    return max(999, min(DRAWS, _NUMBERS // numbers))


def sign_flips(differences: Array, seed: int) -> tuple[float, bool]:
    """Return the two-sided p-value of a mean of zero, and whether it is exact.

    Under the same policy each pair's difference is as likely to have the other sign. Up to 20 that are not zero all
    2ⁿ sums are looked at, else 100,000 drawn with ``seed``.
    """
    moved = differences[differences != 0]
    if not moved.size:
        return 1.0, True
    seen, room = abs(moved.sum()), 1e-12 * float(np.abs(moved).sum())
    if moved.size <= EXACT_PAIRS:
        sums = np.zeros(1)
        for d in moved:
            sums = np.concatenate([sums + d, sums - d])
        return float(np.mean(np.abs(sums) >= seen - room)), True
    rng, hits, block, draws = np.random.default_rng(seed), 0, max(1, _BLOCK // moved.size), _draws(moved.size)
    for first in range(0, draws, block):
        signs = rng.integers(0, 2, (min(block, draws - first), moved.size), dtype=np.int8) * 2 - 1
        hits += int(np.count_nonzero(np.abs(signs @ moved) >= seen - room))
    return (1 + hits) / (1 + draws), False


def shuffles(strata: Sequence[tuple[Array, Array]], seed: int) -> float:
    """Return the two-sided p-value of equal means: labels shuffled within each task, 100,000 times with ``seed``.

    What is judged is the mean difference over tasks, each weighted as Mantel and Haenszel did; twice the smaller tail.
    """
    rng, above, below = np.random.default_rng(seed), 0, 0
    parts = [(np.concatenate([r, c]), r.size, c.size) for r, c in strata]
    weights = np.array([n * m / (n + m) for _, n, m in parts])
    weights = weights / weights.sum()
    seen = float(sum(w * (c.mean() - r.mean()) for w, (r, c) in zip(weights, strata, strict=True)))
    room = 1e-12 * max(float(np.abs(v).max()) for v, _, _ in parts)
    size = sum(v.size for v, _, _ in parts)
    block, draws = max(1, _BLOCK // size), _draws(size)
    for first in range(0, draws, block):
        drawn = np.zeros(min(block, draws - first))
        for w, (values, n, m) in zip(weights, parts, strict=True):
            mixed = rng.permuted(np.broadcast_to(values, (drawn.size, values.size)), axis=1)
            drawn += w * (mixed[:, n:].sum(1) / m - mixed[:, :n].sum(1) / n)
        above += int(np.count_nonzero(drawn >= seen - room))
        below += int(np.count_nonzero(drawn <= seen + room))
    return min(1.0, 2 * (1 + min(above, below)) / (1 + draws))


def bca(samples: Sequence[Array], alpha: float, seed: int) -> Interval | None:
    """Return the BCa interval of a mean, or of a difference of two means (second − first); None where it has none."""
    from scipy.stats import bootstrap

    if any(s.size < 2 for s in samples) or all(float(np.ptp(s)) == 0 for s in samples):
        return None

    def figure(*args: Array, axis: int = -1) -> Array:
        means: list[Array] = [np.asarray(a.mean(axis=axis)) for a in args]
        return means[0] if len(means) == 1 else np.asarray(means[1] - means[0])

    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of data that barely vary; the interval is then not finite
        found = bootstrap(
            tuple(samples),
            figure,
            n_resamples=RESAMPLES,
            batch=max(1, _BLOCK // max(s.size for s in samples)),
            confidence_level=1 - alpha,
            method="BCa" if max(s.size for s in samples) <= BCA_UP_TO else "percentile",
            random_state=np.random.default_rng(seed),
        ).confidence_interval
    low, high = float(found.low), float(found.high)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def bounded_pairs(differences: Array, alpha: float) -> Interval:
    """Return an interval of the mean of paired differences of scores in [0, 1], with a −1 and a +1 added."""
    from scipy.stats import t

    padded = np.concatenate([differences, [-1.0, 1.0]])
    half = float(t.ppf(1 - alpha / 2, padded.size - 1)) * float(padded.std()) / math.sqrt(padded.size)
    return max(-1.0, float(padded.mean()) - half), min(1.0, float(padded.mean()) + half)


def bounded_samples(strata: Sequence[tuple[Array, Array]], alpha: float) -> tuple[float, Interval]:
    """Return the weighted mean difference of independent scores in [0, 1] and an interval, a 0 and a 1 added to each.

    Tasks are weighted as Mantel and Haenszel did; each adds the degrees of freedom of its smaller side.
    """
    from scipy.stats import t

    weights = np.array([r.size * c.size / (r.size + c.size) for r, c in strata])
    weights = weights / weights.sum()
    seen = middle = variance = 0.0
    for w, (r, c) in zip(weights, strata, strict=True):
        one, two = (np.concatenate([s, [0.0, 1.0]]) for s in (r, c))
        seen += w * float(c.mean() - r.mean())
        middle += w * float(two.mean() - one.mean())
        variance += w * w * (float(one.var()) / one.size + float(two.var()) / two.size)
    freedom = sum(min(r.size, c.size) + 1 for r, c in strata)
    half = float(t.ppf(1 - alpha / 2, freedom)) * math.sqrt(variance)
    return seen, (max(-1.0, middle - half), min(1.0, middle + half))
