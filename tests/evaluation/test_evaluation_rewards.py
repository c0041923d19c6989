"""Permutation tests and intervals of rewards: against enumeration, scipy, and their own calibration."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import permutation_test, ttest_rel

from parity.evaluation.proportions import Pairs
from parity.evaluation.rewards import bca, bounded_pairs, bounded_samples, shuffles, sign_flips

ALPHA = 0.05


def test_sign_flips_are_all_of_them() -> None:
    apart = np.array([0.5, -1.25, 2.0, 0.0, 0.75, 1.5])
    sums = [abs(np.dot(s, apart)) for s in product((-1, 1), repeat=apart.size)]
    assert sign_flips(apart, 0) == (pytest.approx(np.mean(np.array(sums) >= abs(apart.sum()) - 1e-12)), True)


def test_sign_flips_drawn_are_near_what_scipy_draws() -> None:
    rng = np.random.default_rng(3)
    apart = rng.normal(0.25, 1.0, 60)
    p, exact = sign_flips(apart, 1)
    drawn = permutation_test(
        (apart, np.zeros(60)),
        lambda a, b, axis=-1: (a - b).mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
        random_state=rng,
    ).pvalue
    assert not exact
    assert p == pytest.approx(drawn, abs=0.012)
    assert p == pytest.approx(ttest_rel(apart, np.zeros(60)).pvalue, abs=0.02)
    assert sign_flips(apart, 1) == (p, False)  # the same seed, the same draws


def test_nothing_moved_is_no_evidence() -> None:
    assert sign_flips(np.zeros(50), 0) == (1.0, True)
    assert sign_flips(np.array([1.0]), 0)[0] == 1.0


def test_shuffles_stay_within_their_task() -> None:
    """The candidate ran the task with the high returns more often: within each task nothing differs."""
    rng = np.random.default_rng(0)
    easy = rng.normal(100, 1, 80)
    hard = rng.normal(0, 1, 80)
    strata = [(easy[:20], easy[20:]), (hard[:60], hard[60:])]
    assert shuffles(strata, 1) > 0.05
    assert shuffles([(np.concatenate([s[0] for s in strata]), np.concatenate([s[1] for s in strata]))], 1) < 1e-4
    assert shuffles([(easy[:20], easy[20:] - 3), (hard[:60], hard[60:] - 3)], 1) < 1e-4


def test_bca_is_near_t_for_ordinary_data_and_none_where_nothing_varies() -> None:
    apart = np.random.default_rng(5).normal(1.0, 2.0, 80)
    low, high = bca([apart], ALPHA, 0)  # type: ignore[misc]
    t = ttest_rel(apart, np.zeros(80)).confidence_interval(0.95)
    assert (low, high) == pytest.approx((t.low, t.high), abs=0.06)
    assert bca([np.ones(20)], ALPHA, 0) is None
    assert bca([np.ones(1)], ALPHA, 0) is None


def test_scores_of_zero_and_one_give_bonett_and_prices_interval() -> None:
    """The paper's formula, with Student's quantile in place of the normal one."""
    from scipy.stats import t

    pairs = Pairs(lost=7, gained=2, n=40)
    apart = np.array([-1.0] * 7 + [1.0] * 2 + [0.0] * 31)
    p12, p21 = (7 + 1) / 42, (2 + 1) / 42
    half = t.ppf(0.975, 41) * np.sqrt((p12 + p21 - (p21 - p12) ** 2) / 42)
    assert bounded_pairs(apart, ALPHA) == pytest.approx((p21 - p12 - half, p21 - p12 + half))
    assert apart.mean() == pairs.difference


def test_a_few_equal_scores_are_not_certainty() -> None:
    low, high = bounded_pairs(np.zeros(10), ALPHA)
    assert low < -0.2
    assert high > 0.2
    _, (low, high) = bounded_samples([(np.ones(5), np.ones(5))], ALPHA)
    assert low < -0.2
    assert high > 0.2
    assert bounded_pairs(np.zeros(500), ALPHA)[0] > -0.02


@pytest.mark.parametrize("paired", [True, False])
def test_bounded_intervals_cover(paired: bool) -> None:
    """Scores mostly at 0 and 1, as PushT gives: 2,000 samples of 25; at most 6.5 % of the intervals may miss."""
    rng, missed = np.random.default_rng(11), 0
    for _ in range(2000):
        mine, theirs = (np.clip(rng.normal(m, 0.4, 25), 0, 1) for m in (0.8, 0.8))
        low, high = bounded_pairs(theirs - mine, ALPHA) if paired else bounded_samples([(mine, theirs)], ALPHA)[1]
        missed += not low <= 0 <= high
    assert missed <= 130
