"""Numbers by counter: the same everywhere, and each depends on its own coordinates alone."""

from __future__ import annotations

import hashlib
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity.cases import hashing, make_normal_table

SHAPES = st.lists(st.integers(1, 6), min_size=0, max_size=4).map(tuple)


def sample(count: int, shape: tuple[int, ...] = (1000,)) -> hashing.Bits:
    return hashing.bits([hashing.key(3, "nominal", i, 0, "x") for i in range(count)], shape)


def test_golden_bits() -> None:
    raw = sample(4, (5, 7)).astype("<u8").tobytes()
    assert hashlib.sha256(raw).hexdigest() == "13823e601dab230faea7cae2dc8a6e097448218b30ca557731e3e17be216b8c4"


def test_golden_normals() -> None:
    raw = hashing.normal(sample(4, (5, 7))).astype("<f8").tobytes()
    assert hashlib.sha256(raw).hexdigest() == "2bd2149c92f16bf6a4768a7522e826dc890ca79a43693f96ecb2962c53241f8c"


def test_mixing_is_splitmix64() -> None:
    # The published generator adds the golden ratio and finalizes; from state 1234567 its first numbers are known.
    state = [1234567 + (i + 1) * 0x9E3779B97F4A7C15 for i in range(3)]
    assert [hashing.mixed(s) for s in state] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_arrays_and_integers_mix_alike() -> None:
    keys = [hashing.key(0, "edge", i, 0, "x") for i in range(50)]
    assert hashing.bits(keys, ()).tolist() == [hashing.mixed(k) for k in keys]


@given(SHAPES, st.integers(0, 3), st.integers(1, 3))
def test_a_longer_axis_changes_nothing_that_was_there(shape: tuple[int, ...], axis: int, more: int) -> None:
    if not shape:
        return
    axis %= len(shape)
    longer = tuple(n + more * (i == axis) for i, n in enumerate(shape))
    window = (slice(None), *(slice(n) for n in shape))
    assert np.array_equal(sample(2, longer)[window], sample(2, shape))


@given(SHAPES)
def test_one_more_leading_axis_keeps_the_first_slice(shape: tuple[int, ...]) -> None:
    assert np.array_equal(sample(2, (3, *shape))[:, 0], sample(2, shape))


def test_no_two_coordinates_share_a_number() -> None:
    keys = [hashing.key(s, p, c, r, n) for s in (0, 1, 10) for p in ("nominal", "edge") for c in (0, 1, 11)
            for r in (0, 1) for n in ("a", "b", "1|a")]  # fmt: skip
    drawn = hashing.bits(keys, (40, 40))
    assert len(np.unique(drawn)) == drawn.size


def test_no_warning_about_wraparound() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hashing.uniform(sample(2, ()))
        hashing.normal(sample(2, (3, 3)))


def test_uniform_is_exact_and_flat() -> None:
    random = sample(200)
    u = hashing.uniform(random)
    assert u.min() >= 0.0
    assert u.max() < 1.0
    assert np.array_equal((u * 2.0**53).astype(np.uint64), random >> np.uint64(11))
    counts = np.bincount((u * 64).astype(int).ravel(), minlength=64)
    assert ((counts - u.size / 64) ** 2 / (u.size / 64)).sum() < 120  # chi-square, 63 degrees: 99.99 %


def test_normal_has_the_moments_of_a_normal() -> None:
    z = hashing.normal(sample(500))
    assert abs(z.mean()) < 0.006
    assert z.std() == pytest.approx(1.0, abs=0.004)
    assert (z**4).mean() == pytest.approx(3.0, abs=0.04)
    assert abs((z**3).mean()) < 0.02
    assert np.abs(z).max() <= make_normal_table.LIMIT


def test_normal_follows_its_distribution() -> None:
    from scipy.stats import kstest

    assert kstest(hashing.normal(sample(200)).ravel(), "norm").pvalue > 0.001


def test_neighbours_are_uncorrelated() -> None:
    z = hashing.normal(sample(300, (40, 40)))
    for a, b in ((z[:, 1:], z[:, :-1]), (z[:, :, 1:], z[:, :, :-1]), (z[1:], z[:-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.01


def test_the_shipped_table_is_what_its_script_makes() -> None:
    shipped = np.load(make_normal_table.PATH, allow_pickle=False)
    made = np.array(make_normal_table.quantiles())
    assert shipped.dtype == np.dtype("<f8")
    assert shipped.shape == (make_normal_table.CELLS + 1,)
    assert np.abs(shipped - made).max() <= 2.0**-32
    assert (np.diff(shipped) > 0).all()
