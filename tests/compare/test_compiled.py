"""The compiled loops find what the NumPy operations find, and step aside where they cannot."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from parity.compare import compiled, kernel, shards
from parity.compare.metrics import Diff, diff

needs_numba = pytest.mark.skipif(not compiled.installed(), reason="numba is not installed")
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD", 1 << 10)
    monkeypatch.setattr(shards, "BLOCK", 1 << 12)


def both(a: np.ndarray, b: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> tuple[Diff, Diff]:
    monkeypatch.setattr(compiled, "FROM", 1 << 62)
    plain = diff(a, b)
    monkeypatch.setattr(compiled, "FROM", 1)
    return diff(a, b), plain


def check(fast: Diff, plain: Diff) -> None:
    for name, value in fast.as_json().items():
        right: Any = getattr(plain, name)
        if isinstance(right, float):
            slack = 1e-12 if name.startswith("cosine") else 0
            assert getattr(fast, name) == pytest.approx(right, rel=1e-12, abs=slack), name
        else:
            assert value == plain.as_json()[name], name
    for name in ("dim_max_abs", "dim_ref_min", "dim_ref_max", "dim_count"):
        np.testing.assert_array_equal(getattr(fast, name), getattr(plain, name))
    for name in ("dim_sum_sq_diff", "dim_sum_sq_ref"):
        np.testing.assert_allclose(getattr(fast, name), getattr(plain, name), rtol=1e-12)


@needs_numba
@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=12))
@settings(max_examples=100, deadline=None)
def test_any_finite_pair(data: st.DataObject, shape: tuple[int, ...]) -> None:
    a = data.draw(hnp.arrays(np.float32, shape, elements=FLOATS))
    b = data.draw(hnp.arrays(np.float32, shape, elements=FLOATS | st.sampled_from([0.0, -0.0, 1.0])))
    with pytest.MonkeyPatch.context() as patch:
        check(*both(a, b, patch))


@needs_numba
@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("shape", [(5000, 7), (900, 32), (40_000,), (30_000, 1), (3, 11_000)])
def test_many_shards_with_holes_and_zeros(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    b = rng.standard_normal(shape).astype(np.float32)
    a = (b + 1e-4 * rng.standard_normal(shape)).astype(np.float32)
    b.reshape(-1)[:50] = 0
    check(*both(a, b, monkeypatch))
    a.reshape(-1)[[7, 9000]] = np.nan, np.inf
    fast, plain = both(a, b, monkeypatch)
    check(fast, plain)
    assert (fast.nan_mismatches, fast.inf_mismatches) == (1, 1)


@needs_numba
def test_read_only_and_unaligned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    b = np.random.default_rng(5).standard_normal((100, 12)).astype(np.float32)
    raw = b"x" + b.tobytes()
    unaligned = np.frombuffer(raw, np.float32, offset=1).reshape(b.shape)
    check(*both(unaligned, b, monkeypatch))
    locked = (b + np.float32(1)).astype(np.float32)
    locked.flags.writeable = False
    check(*both(locked, b, monkeypatch))


def test_only_large_float32_tensors_are_compiled() -> None:
    single, double = np.dtype(np.float32), np.dtype(np.float64)
    assert not compiled.suits(compiled.FROM - 1, single, single)
    assert not compiled.suits(compiled.FROM, single, double)
    assert not compiled.suits(compiled.FROM, double, double)


def test_a_small_tensor_loads_no_compiler() -> None:
    code = (
        "import sys, numpy as np; from parity.compare.metrics import diff; "
        "diff(np.ones((50, 7), 'f4'), np.ones((50, 7), 'f4')); print('numba' in sys.modules, 'scipy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_without_numba_large_tensors_are_measured_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "FROM", 1)
    monkeypatch.setattr(compiled, "installed", lambda: False)
    monkeypatch.setattr(compiled, "compiled", None)
    ones = np.ones((40, 7), np.float32)
    assert diff(ones + 1, ones).max_abs == 1.0
    assert kernel.WIDE.itemsize >= 8
