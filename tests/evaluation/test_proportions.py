"""Intervals and tests of shares against published values, other computations of the same, and their own coverage."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binom, binomtest, fisher_exact, multinomial

from parity.evaluation.proportions import (
    Counts,
    Pairs,
    exact,
    holm,
    mcnemar,
    mover,
    newcombe,
    power,
    stratified,
    tango,
    wilson,
)

ALPHA = 0.05


@pytest.mark.parametrize(
    ("a", "m", "b", "n", "low", "high"),
    [  # R. G. Newcombe (1998), table II, method 10: a/m − b/n
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (6, 7, 2, 7, 0.0582, 0.8062),
        (5, 56, 0, 29, -0.0381, 0.1926),
        (10, 10, 0, 10, 0.6075, 1.0),
    ],
)
def test_newcombes_own_examples(a: int, m: int, b: int, n: int, low: float, high: float) -> None:
    assert newcombe(Counts(b, n, a, m), ALPHA) == pytest.approx((low, high), abs=6e-5)


def test_wilson_is_scipys() -> None:
    assert wilson(81, 263, ALPHA) == pytest.approx((0.2553, 0.3662), abs=6e-5)  # Newcombe (1998), table I


@given(n=st.integers(1, 60), data=st.data())
def test_tangos_limits_solve_the_score_equation(n: int, data: st.DataObject) -> None:
    """At a limit the score, with the nuisance found by maximizing the likelihood, is just at its critical value."""
    lost = data.draw(st.integers(0, n))
    gained = data.draw(st.integers(0, n - lost))
    pairs = Pairs(lost, gained, n)
    low, high = tango(pairs, ALPHA)
    assert -1 <= low <= pairs.difference <= high <= 1
    for limit, sign in ((low, 1), (high, -1)):
        if -1 < limit < 1:
            assert sign * score(pairs, limit) == pytest.approx(1.959964, abs=2e-3)


def score(pairs: Pairs, delta: float) -> float:
    """Return the score statistic, with P(lost) found numerically where P(gained) = P(lost) + delta."""
    b, c, n = pairs.gained, pairs.lost, pairs.n

    def minus_log_likelihood(lost: float) -> float:
        gained, rest = lost + delta, 1 - 2 * lost - delta
        terms = [(b, gained), (c, lost), (n - b - c, rest)]
        return -sum(k * math.log(max(p, 1e-300)) for k, p in terms if k)

    least, most = max(0.0, -delta), (1 - delta) / 2
    lost = minimize_scalar(minus_log_likelihood, bounds=(least, most), method="bounded", options={"xatol": 1e-12}).x
    for edge in (least, most):
        lost = edge if minus_log_likelihood(edge) <= minus_log_likelihood(lost) else lost
    return (b - c - n * delta) / math.sqrt(n * (2 * lost + delta - delta * delta))


def test_no_discordant_pair_is_not_certainty() -> None:
    for n in (1, 10, 50, 100):
        z2 = 1.959964**2
        assert tango(Pairs(0, 0, n), ALPHA) == pytest.approx((-z2 / (n + z2), z2 / (n + z2)), abs=1e-6)


@cache
def intervals(n: int) -> dict[tuple[int, int], tuple[float, float]]:
    return {(b, c): tango(Pairs(b, c, n), ALPHA) for b in range(n + 1) for c in range(n + 1 - b)}


@pytest.mark.parametrize(("lost", "gained"), [(0.02, 0.02), (0.1, 0.05), (0.3, 0.1), (0.05, 0.0), (0.25, 0.25)])
def test_tangos_interval_covers(lost: float, gained: float) -> None:
    """Exact coverage over all outcomes of 30 pairs; an approximate interval may be a little below 95 %."""
    n, truth = 30, gained - lost
    chance = multinomial(n, [lost, gained, 1 - lost - gained])
    missed = sum(
        float(chance.pmf([b, c, n - b - c])) for (b, c), (low, high) in intervals(n).items() if not low <= truth <= high
    )
    assert missed <= 0.062


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_a_sign_test(lost: int, gained: int) -> None:
    p = mcnemar(Pairs(lost, gained, 100))
    tail = sum(math.comb(lost + gained, k) for k in range(min(lost, gained) + 1)) / 2 ** (lost + gained)
    assert p == pytest.approx(min(1.0, 2 * tail))


@given(m=st.integers(1, 25), n=st.integers(1, 25), data=st.data())
def test_one_task_is_fishers_test(m: int, n: int, data: st.DataObject) -> None:
    a, b = data.draw(st.integers(0, m)), data.draw(st.integers(0, n))
    tails = [fisher_exact([[a, m - a], [b, n - b]], alternative=side).pvalue for side in ("less", "greater")]
    assert exact([Counts(a, m, b, n)]) == pytest.approx(min(1.0, 2 * min(tails)))


def test_several_tasks_are_all_relabelings_within_them() -> None:
    """Two small tasks, every relabeling counted by hand."""
    tasks = [([1, 1, 0], [0, 0]), ([1, 1], [1, 0, 0])]
    strata = [Counts(sum(r), len(r), sum(c), len(c)) for r, c in tasks]
    from itertools import combinations, product

    sums = []
    for chosen in product(*(combinations(range(len(r) + len(c)), len(c)) for r, c in tasks)):
        sums.append(sum(([*r, *c])[i] for (r, c), picked in zip(tasks, chosen, strict=True) for i in picked))
    seen = sum(sum(c) for _, c in tasks)
    tails = [np.mean([s <= seen for s in sums]), np.mean([s >= seen for s in sums])]
    assert exact(strata) == pytest.approx(min(1.0, 2 * min(tails)))


def test_adding_up_unequal_tasks_would_mistake_a_hard_task_for_a_worse_policy() -> None:
    strata = [Counts(90, 100, 9, 10), Counts(1, 10, 10, 100)]  # 90 % and 10 % on both sides
    value, (low, high) = stratified(strata, ALPHA)
    assert value == pytest.approx(0.0)
    assert low < 0 < high
    assert high - low < 0.5
    assert (9 + 10) / 110 - (90 + 1) / 110 < -0.6  # what adding up would say


def test_equal_weights_of_one_task_are_newcombes() -> None:
    one = Counts(12, 20, 9, 20)
    assert stratified([one], ALPHA)[1] == newcombe(one, ALPHA) == mover([one], [1.0], ALPHA)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]


def test_power_is_that_of_the_decision() -> None:
    """The normal approximation against the exact probability that the interval of 300 pairs stays above −5 points."""
    n, rate = 300, 0.04
    told = power(n, rate, 0.05, ALPHA)
    passes = sum(
        float(multinomial(n, [rate / 2, rate / 2, 1 - rate]).pmf([b, c, n - b - c]))
        for b in range(30)
        for c in range(30)
        if tango(Pairs(b, c, n), ALPHA)[0] > -0.05
    )
    assert told.power == pytest.approx(passes, abs=0.06)
    assert power(told.needed, rate, 0.05, ALPHA).power == pytest.approx(0.8, abs=0.01)


def test_wilsons_interval_never_is_a_point() -> None:
    for k, n in ((0, 1), (1, 1), (0, 50), (50, 50)):
        low, high = wilson(k, n, ALPHA)
        assert high - low > 0.05
        assert binomtest(k, n).statistic == pytest.approx(k / n)
        assert binom.cdf(k, n, min(high, 1 - 1e-9)) < 1 or k == n
    assert np.isfinite(wilson(1, 2, ALPHA)).all()
