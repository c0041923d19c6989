"""Permutation tests of several statistics at once: exact at any number of samples, whatever their distribution.

Within a family of statistics the largest one counts (Westfall and Young, "Resampling-based multiple testing", 1993:
single-step maxT), which takes account of how they depend on each other. Over families Holm's procedure (1979) is used.
The measures of a candidate that samples share ``ALPHA``, so that no more than that of right candidates fail in any.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from parity.tensor import Array

ALPHA = 0.01  # chance of any false alarm for one candidate, over all measures, statistics and dimensions together
OF_SAMPLES, OF_DISTRIBUTION = 0.6 * ALPHA, 0.4 * ALPHA
ROUNDS = 3999  # permutations; the smallest p is 1 / (ROUNDS + 1)


def labels(random: np.random.Generator, samples: int, rounds: int = ROUNDS) -> Array:
    """Return which side each of ``2 * samples`` samples is put on, ``(rounds, 2 * samples)``, −1 or +1, balanced."""
    sides = np.repeat([-1.0, 1.0], samples)
    return random.permuted(np.tile(sides, (rounds, 1)), axis=1)


def flips(random: np.random.Generator, groups: int, rounds: int = ROUNDS) -> Array:
    """Return which groups have their two sides swapped, ``(rounds, groups)``: −1 where they are, else +1."""
    return random.integers(0, 2, (rounds, groups)) * 2.0 - 1.0


def adjusted(observed: Array, permuted: Array) -> Array:
    """Return the p-value of each statistic, corrected for there being several, ``(F,)``.

    Args:
        observed: ``(F,)``; the larger the further from what is expected, so absolute where both directions count.
        permuted: the same statistics with sides permuted, ``(R, F)``.
    """
    if not observed.size:
        return np.ones(0)
    every = np.vstack([observed, permuted])
    spread = every.std(axis=0)
    scores = (every - every.mean(axis=0)) / np.where(spread > 0, spread, 1)
    largest = scores.max(axis=1)
    return np.asarray((largest[:, None] >= scores[0] - 1e-9).mean(axis=0))  # the observed one counts among them


def holm(families: Sequence[Array]) -> list[Array]:
    """Return the p-values of each family, corrected for there being several families."""
    smallest = [float(p.min(initial=1.0)) for p in families]
    out = [np.ones_like(p) for p in families]
    floor = 0.0
    for rank, at in enumerate(np.argsort(smallest, kind="stable")):
        corrected = families[at] * (len(families) - rank)
        out[at] = np.clip(corrected, floor, 1.0)
        floor = max(floor, float(out[at].min(initial=1.0)))
    return out
