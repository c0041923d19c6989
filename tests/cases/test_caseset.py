"""Cases joined into one of a larger batch: row i is case i."""

from __future__ import annotations

import numpy as np
import pytest

from parity.cases import batch_case, fingerprint, make_cases
from parity.errors import UsageError
from parity.tensor import Case, TensorSpec

SPECS = [
    TensorSpec("obs", ("batch", 5), "float32", "state"),
    TensorSpec("h", (2, "batch", 8), "float32", "hidden_state"),
]


def test_rows_are_the_cases_in_order() -> None:
    cases = make_cases(SPECS, seed=1, nominal=6, edge=False).cases
    joined = batch_case(cases, 4, SPECS)
    assert joined.id == "nominal-b0000"
    assert joined.profile == "nominal"
    assert joined.inputs["obs"].shape == (4, 5)
    assert joined.inputs["h"].shape == (2, 4, 8)
    for i in range(4):
        assert np.array_equal(joined.inputs["obs"][i : i + 1], cases[i].inputs["obs"])
        assert np.array_equal(joined.inputs["h"][:, i : i + 1], cases[i].inputs["h"])
    assert "nominal-0000, nominal-0001, nominal-0002, nominal-0003" in joined.note


def test_without_specs_the_first_axis_counts() -> None:
    cases = make_cases(SPECS[:1], seed=1, nominal=3, edge=False).cases
    assert batch_case(cases, 3, index=2).id == "nominal-b0002"


def test_cases_of_several_rows_are_joined_whole() -> None:
    cases = make_cases(SPECS, seed=1, nominal=3, edge=False, batch=2).cases
    assert batch_case(cases, 4, SPECS).inputs["obs"].shape == (4, 5)
    with pytest.raises(UsageError, match="batch of 3"):
        batch_case(cases, 3, SPECS)


@pytest.mark.parametrize("size", [0, -1, 4])
def test_too_few_rows_are_refused(size: int) -> None:
    with pytest.raises(UsageError, match="cannot be put together"):
        batch_case(make_cases(SPECS, seed=1, nominal=3, edge=False).cases, size, SPECS)
    with pytest.raises(UsageError):
        batch_case([], 1)


def test_an_input_that_all_rows_share_must_be_equal() -> None:
    specs = [*SPECS, TensorSpec("t", (), "int64", "timestep")]
    cases = make_cases(specs, seed=1, nominal=4, edge=False).cases
    with pytest.raises(UsageError, match="'t' has no batch axis"):
        batch_case(cases, 4, specs)
    same = [Case(c.id, c.profile, c.seed, {**c.inputs, "t": np.int64(3) * np.ones((), np.int64)}) for c in cases]
    assert batch_case(same, 4, specs).inputs["t"] == 3


def test_an_axis_that_is_fixed_is_no_batch_axis() -> None:
    specs = [SPECS[0], TensorSpec("t", (1,), "int64", "timestep")]
    cases = make_cases(specs, seed=1, nominal=4, edge=False).cases
    with pytest.raises(UsageError, match="'t' has no batch axis"):
        batch_case(cases, 4, specs)
    fixed = [TensorSpec("obs", (1, 5), "float32")]
    with pytest.raises(UsageError, match="fixes its batch"):
        batch_case(make_cases(fixed, seed=1, nominal=4, edge=False).cases, 4, fixed)


def test_fingerprints_tell_bits_names_shapes_and_dtypes() -> None:
    def case(name: str, array: object) -> Case:
        return Case("x", "nominal", 0, {name: np.asarray(array)})

    one = np.zeros((1, 4), np.float32)
    others = [case("b", one), case("a", one.reshape(4)), case("a", one.astype(np.int32)), case("a", -one)]
    assert len({fingerprint(c) for c in (case("a", one), *others)}) == 5
    assert fingerprint(case("a", one)) == fingerprint(case("a", one.copy()))
