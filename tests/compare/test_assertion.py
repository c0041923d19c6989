from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import parity
from parity import assert_close
from parity.compare.budget import Budget
from parity.errors import UsageError

JOINTS = [f"joint_{i}" for i in range(6)] + ["gripper"]


@pytest.fixture
def chunk() -> np.ndarray:
    rng = np.random.default_rng(11)
    return (np.cumsum(rng.standard_normal((1, 50, 7)), axis=1) * 0.1).astype(np.float32)


def rounded(values: np.ndarray, by: float = 3e-7) -> np.ndarray:
    """Return the values with errors as a right float32 pair has them."""
    noise = np.random.default_rng(12).uniform(-by, by, values.shape)
    return (values + noise * np.abs(values).max()).astype(values.dtype)


def test_is_public() -> None:
    assert parity.assert_close is assert_close


def test_rounding_passes(chunk: np.ndarray) -> None:
    assert_close(rounded(chunk), chunk)
    assert_close(chunk, chunk)


@pytest.mark.parametrize("fault", ["sign", "bias", "swap", "shift", "constant", "half"])
def test_small_faults_fail(chunk: np.ndarray, fault: str) -> None:
    wrong = chunk.copy()
    if fault == "sign":
        wrong[..., 2] *= -1
    elif fault == "bias":
        wrong[..., 2] += 0.15
    elif fault == "swap":
        wrong[..., [2, 4]] = wrong[..., [4, 2]]
    elif fault == "shift":
        wrong = np.roll(wrong, 1, axis=1)
    elif fault == "constant":
        wrong[:] = wrong.mean(axis=1, keepdims=True)
    else:
        wrong = wrong.astype(np.float16).astype(np.float32)
    with pytest.raises(AssertionError, match="over their limit"):
        assert_close(wrong, chunk)


def test_the_message_names_the_worst_element(chunk: np.ndarray) -> None:
    wrong = chunk.copy()
    wrong[0, 3, 5] += 0.25
    with pytest.raises(AssertionError) as raised:
        assert_close({"action": wrong}, {"action": chunk}, names=JOINTS)
    text = str(raised.value)
    assert text.startswith("action: 1 of 350 elements are over their limit; the worst at time step 3, ")
    assert "action dimension 5 (joint_5)" in text
    assert "|Δ| 0.25" in text


def test_the_worst_is_measured_against_its_own_limit() -> None:
    expected = np.zeros((20, 2), np.float32)
    actual = expected.copy()
    actual[4, 0], actual[7, 1] = 0.5, 0.02
    with pytest.raises(AssertionError, match=r"row 7, action dimension 1.*limit 0.001"):
        assert_close(actual, expected, budget=[0.4, 0.001])


def test_budgets_of_every_kind(chunk: np.ndarray) -> None:
    wrong = chunk + np.float32(0.01)
    per_dimension = [0.02] * 7
    for budget in (0.02, per_dimension, np.full(7, 0.02), {"max_abs": 0.02}, {"max_abs": per_dimension}):
        assert_close(wrong, chunk, budget=budget)
    assert_close(wrong, chunk, budget=Budget(max_abs=0.02, cosine_min=-1.0))
    assert_close([wrong], [chunk], budget=0.02)
    assert_close({"a": wrong, "b": chunk}, {"a": chunk, "b": chunk}, budget={"a": 0.02})
    with pytest.raises(AssertionError, match="over their limit"):
        assert_close({"a": wrong, "b": wrong}, {"a": chunk, "b": chunk}, budget={"a": 0.02})
    with pytest.raises(AssertionError, match="rmse"):
        assert_close(wrong, chunk, budget={"rmse": 0.001})
    with pytest.raises(AssertionError, match="p99_abs"):
        assert_close(wrong, chunk, budget={"p99_abs": 0.001})


@pytest.mark.parametrize(
    "budget", [float("nan"), [], [[0.1]], {"rmse": "x"}, "tight", {}, {"action": 0.1}, [0.1, 0.2], {"max_abs": [0.1]}]
)
def test_budgets_that_fit_nothing_are_refused(chunk: np.ndarray, budget: Any) -> None:
    with pytest.raises(UsageError):
        assert_close(chunk + 1, chunk, budget=budget)


def test_a_negative_limit_passes_nothing(chunk: np.ndarray) -> None:
    with pytest.raises(AssertionError):
        assert_close(chunk, chunk, budget=-1.0)


def test_a_limit_that_is_not_a_number_passes_nothing(chunk: np.ndarray) -> None:
    with pytest.raises(AssertionError):
        assert_close(chunk, chunk, budget=Budget(max_abs=float("nan")))


def test_nan_is_a_mismatch_unless_allowed(chunk: np.ndarray) -> None:
    holed = chunk.copy()
    holed[0, 1, 2] = np.nan
    with pytest.raises(AssertionError, match=r"NaN.*time step 1, action dimension 2"):
        assert_close(holed, holed)
    assert_close(holed, holed, budget={"allow_nan": True})
    with pytest.raises(AssertionError, match="1 of 350"):
        assert_close(chunk, holed, budget={"allow_nan": True})
    with pytest.raises(AssertionError, match="over their limit"):
        assert_close(holed + 1, holed, budget={"allow_nan": True})


def test_infinities() -> None:
    inf = np.asarray([np.inf, 1.0], np.float32)
    assert_close(inf, inf)
    with pytest.raises(AssertionError, match="infinite"):
        assert_close(-inf, inf)


@pytest.mark.parametrize("pair", [(np.zeros((1, 3)), np.zeros(3)), (np.zeros(3), np.zeros((2, 3)))])
def test_shapes_never_broadcast(pair: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(AssertionError, match="never broadcast"):
        assert_close(*pair)


def test_dtypes_must_agree_but_python_numbers_adapt() -> None:
    half = np.ones(3, np.float16)
    with pytest.raises(AssertionError, match="dtype float16, expected float32"):
        assert_close(half, half.astype(np.float32))
    assert_close(half, [1.0, 1.0, 1.0])
    assert_close([1, 1, 1], half)
    assert_close(1, 1.0)
    assert_close(half.astype(">f2"), half)
    with pytest.raises(AssertionError, match="dtype"):
        assert_close(np.ones(1, np.int32), [1.5])
    with pytest.raises(AssertionError, match="dtype"):
        assert_close(np.asarray([44], np.int8), [300])


def test_integers_are_exact() -> None:
    tokens = np.asarray([2**62, 5], np.int64)
    assert_close(tokens, tokens)
    with pytest.raises(AssertionError, match=r"\|Δ\| 1,"):
        assert_close(tokens + np.asarray([1, 0]), tokens)
    assert_close(np.asarray([True]), np.asarray([True]))
    with pytest.raises(AssertionError):
        assert_close(np.asarray([True]), np.asarray([False]))


def test_lower_classes_have_their_own_limits(chunk: np.ndarray) -> None:
    for dtype, passes, fails in ((np.float16, 4e-3, 0.1), (ml_dtypes.bfloat16, 2e-2, 0.3)):
        expected = np.ones((20, 3)).astype(dtype)
        assert_close((np.ones((20, 3)) + passes).astype(dtype), expected)
        with pytest.raises(AssertionError):
            assert_close((np.ones((20, 3)) + fails).astype(dtype), expected)


def test_a_small_dimension_is_judged_by_its_own_scale() -> None:
    expected = np.ones((64, 2), np.float32) * np.asarray([14_000.0, 1.0], np.float32)
    actual = expected.copy()
    actual[0, 1] += 0.1
    with pytest.raises(AssertionError, match="action dimension 1"):
        assert_close(actual, expected)


def test_missing_and_surplus_tensors_are_named(chunk: np.ndarray) -> None:
    with pytest.raises(AssertionError, match=r"(?s)outputs\.b: expected, but missing.*c: in actual, but not expected"):
        assert_close({"outputs": {"a": chunk}, "c": chunk}, {"outputs": {"a": chunk, "b": chunk}})
    with pytest.raises(AssertionError, match=r"\[1\]"):
        assert_close([chunk], [chunk, chunk])


@pytest.mark.parametrize("nothing", [{}, np.zeros((0, 7), np.float32)])
def test_a_comparison_of_nothing_fails(nothing: Any) -> None:
    with pytest.raises(AssertionError, match="nothing"):
        assert_close(nothing, nothing)


def test_what_is_no_tensor_is_refused(chunk: np.ndarray) -> None:
    for value in (object(), None, "text"):
        with pytest.raises(parity_errors()):
            assert_close(value, value)
    with pytest.raises(UsageError, match="masked"):
        assert_close(np.ma.masked_array([1.0], [True]), np.asarray([1.0]))
    with pytest.raises(UsageError, match="names"):
        assert_close(chunk, chunk, names=["too", "few"])


def parity_errors() -> type[Exception]:
    from parity.errors import ParityError

    return ParityError


def test_torch_tensors() -> None:
    torch = pytest.importorskip("torch")
    expected = torch.linspace(0, 1, 21, requires_grad=True).reshape(3, 7)
    assert_close(expected, expected)
    assert_close({"action": expected}, {"action": expected.detach().numpy()})
    brain = expected.detach().to(torch.bfloat16)
    assert_close(brain, brain)
    with pytest.raises(AssertionError, match="action dimension 6"):
        assert_close(expected + torch.eye(3, 7)[[0, 0, 0]].flip(1), expected)
    with pytest.raises(UsageError, match="dense"):
        assert_close(expected.detach().to_sparse(), expected)


def test_an_axis_too_long_for_dimensions_is_judged_as_a_whole() -> None:
    long = np.ones(70_000, np.float32)
    assert_close(long, long)
    with pytest.raises(AssertionError, match="action dimension 69999"):
        assert_close(long + np.eye(1, 70_000, 69_999, dtype=np.float32)[0], long)
