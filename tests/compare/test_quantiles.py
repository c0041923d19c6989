"""Percentiles are those of a sort, by whichever way they were found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from parity.compare import quantiles, radix

FRACTIONS = (0.0, 0.5, 0.99, 1.0)
VALUES = hnp.arrays(np.float64, st.integers(1, 400), elements=st.floats(0, 1e308) | st.sampled_from([0.0, 5e-324, 1.0]))


def scan_of(values: np.ndarray, piece: int = 37) -> Callable[[Callable[[np.ndarray], Any]], Iterator[Any]]:
    def scan(visit: Callable[[np.ndarray], Any]) -> Iterator[Any]:
        for start in range(0, len(values), piece):
            yield visit(values[start : start + piece])

    return scan


def expected(values: np.ndarray) -> list[float]:
    with np.errstate(all="ignore"):
        return [float(v) for v in np.percentile(values, [100 * f for f in FRACTIONS])]


@given(values=VALUES, data=st.data())
@settings(max_examples=200, deadline=None)
def test_any_sample_gives_the_percentiles_of_a_sort(values: np.ndarray, data: st.DataObject) -> None:
    sample = data.draw(hnp.arrays(np.float64, st.integers(1, 20), elements=st.sampled_from(values.tolist())))
    found = quantiles.of_stream(len(values), sample, FRACTIONS, scan_of(values))
    assert found == pytest.approx(expected(values), rel=1e-12, abs=5e-324)  # NumPy rounds its last denormal otherwise
    assert quantiles.of_values(values.copy(), FRACTIONS) == pytest.approx(found, rel=0, abs=0)


@given(values=VALUES, gather=st.integers(0, 50))
@settings(max_examples=200, deadline=None)
def test_order_statistics_by_digits_are_exact(values: np.ndarray, gather: int) -> None:
    ranks = sorted({0, len(values) // 3, len(values) - 1})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(radix, "GATHER", gather)
        found = radix.order_statistics(ranks, scan_of(values))
    ordered = np.sort(values)
    assert found == {r: ordered[r] for r in ranks}


def test_too_many_values_between_two_bounds_are_not_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).exponential(size=20_000)
    right = quantiles.of_values(values.copy(), FRACTIONS)
    monkeypatch.setattr(quantiles, "GATHER", 100)
    assert quantiles.of_stream(len(values), values[::7], FRACTIONS, scan_of(values, 1000)) == right


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 1.0])
def test_many_equal_values(share: float) -> None:
    values = np.random.default_rng(1).exponential(size=50_000)
    values[: int(share * len(values))] = 0.0
    found = quantiles.of_stream(len(values), values[::11], FRACTIONS, scan_of(values, 5000))
    assert found == pytest.approx(expected(values), rel=1e-12, abs=0)


def test_infinite_gaps_do_not_become_nan() -> None:
    values = np.asarray([1.0, np.inf, np.inf])
    assert quantiles.of_values(values.copy(), (0.99,)) == [np.inf]
    assert quantiles.of_stream(3, values, (0.99,), scan_of(values)) == [np.inf]


@pytest.mark.parametrize("width", [1, 7, 12, 32, 1024])
def test_the_sample_meets_every_column(width: int) -> None:
    step = quantiles.sample_step(1 << 24, width)
    assert {(i * step) % width for i in range(width)} == set(range(width))
    assert step < 2 * (1 << 24) // quantiles.SAMPLE
