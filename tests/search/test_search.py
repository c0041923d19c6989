"""The search finds a divergence planted in 1 % of the box, within its bound, the same way every time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parity.cases import make_cases
from parity.errors import UsageError
from parity.search import search
from parity.tensor import Case, Range, TensorSpec

Inputs = Mapping[str, np.ndarray[Any, Any]]
LOW, HIGH = -2.0, 3.0


def box(dims: int) -> tuple[list[TensorSpec], dict[str, Range]]:
    spec = TensorSpec("obs", ("batch", dims), "float32", "state")
    return [spec], {"obs": Range("min_max", (LOW,) * dims, (HIGH,) * dims, (dims,), "test")}


def each(function: Callable[[np.ndarray[Any, Any]], float]) -> Callable[[Sequence[Inputs]], list[float]]:
    return lambda many: [function((inputs["obs"][0].astype(np.float64) - LOW) / (HIGH - LOW)) for inputs in many]


def planted(inside: Callable[[np.ndarray[Any, Any]], bool], noise: float = 0.0) -> Any:
    return each(lambda u: 1.0 if inside(u) else noise * (1.0 + float(u.mean())))


@settings(max_examples=60, deadline=None)
@given(
    dims=st.integers(1, 200),
    at=st.integers(0, 199),
    centre=st.floats(0.0, 1.0),
    seed=st.integers(0, 2**32),
    noise=st.sampled_from([0.0, 1e-7]),
    evaluations=st.sampled_from([101, 200, 1000]),
)
def test_a_slab_of_one_percent_is_surely_found(
    dims: int, at: int, centre: float, seed: int, noise: float, evaluations: int
) -> None:
    specs, ranges = box(dims)
    k = at % dims
    evaluate = planted(lambda u: abs(u[k] - centre) < 0.005, noise)
    result = search(evaluate, specs, ranges, seed=seed, evaluations=evaluations)
    assert result.divergences[0] == 1.0
    assert result.evaluations <= evaluations
    assert result.sure


@pytest.mark.parametrize("dims", [6, 45, 154])
def test_what_sixteen_nominal_cases_miss_is_found(dims: int) -> None:
    specs, ranges = box(dims)
    for seed in range(10):
        nominal = make_cases(specs, seed=seed, ranges=ranges, edge=False).cases
        for k in range(0, dims, max(1, dims // 5)):
            seen = np.sort([(c.inputs["obs"][0, k] - LOW) / (HIGH - LOW) for c in nominal])
            gap = int(np.diff(seen).argmax())
            centre = float(seen[gap : gap + 2].mean())
            evaluate = planted(lambda u, k=k, c=centre: abs(u[k] - c) < 0.005, 1e-7)  # type: ignore[misc]
            assert max(evaluate([c.inputs for c in nominal])) < 1e-6
            assert search(evaluate, specs, ranges, seed=seed, evaluations=200).divergences[0] == 1.0


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_corner_of_one_percent_is_surely_found_in_few_dimensions(dims: int) -> None:
    specs, ranges = box(dims)
    side = 0.01 ** (1 / dims)
    for corner in np.ndindex(*(2,) * dims):
        evaluate = planted(lambda u, c=corner: all(abs(u - np.array(c)) <= side), 1e-7)  # type: ignore[misc]
        assert search(evaluate, specs, ranges, seed=3, evaluations=200).divergences[0] == 1.0


@pytest.mark.parametrize(
    ("dims", "evaluations", "rate"), [(2, 200, 0.93), (10, 200, 0.7), (2, 1000, 1.0), (10, 1000, 0.97)]
)
def test_a_small_box_anywhere_is_found_as_often_as_documented(dims: int, evaluations: int, rate: float) -> None:
    specs, ranges = box(dims)
    side = 0.01 ** (1 / dims)
    found = 0
    rng = np.random.default_rng(5)
    for seed in range(30):
        low = rng.random(dims) * (1 - side)
        evaluate = planted(lambda u, low=low: bool(((u >= low) & (u <= low + side)).all()))  # type: ignore[misc]
        found += search(evaluate, specs, ranges, seed=seed, evaluations=evaluations).divergences[0] == 1.0
    assert found / 30 >= rate


def test_a_small_box_with_a_slope_around_it_is_climbed() -> None:
    specs, ranges = box(20)
    target = np.linspace(0.2, 0.8, 20)
    distance = each(lambda u: 1.0 / (0.01 + float(np.abs(u - target).mean())))
    first = search(distance, specs, ranges, seed=1, evaluations=101).divergences[0]
    assert search(distance, specs, ranges, seed=1, evaluations=1000).divergences[0] > 1.3 * first


def test_the_end_of_the_box_is_reached() -> None:
    specs, ranges = box(4)
    result = search(each(lambda u: float(u.sum())), specs, ranges, seed=1, evaluations=320)
    assert result.divergences[0] == pytest.approx(4.0)
    assert np.array_equal(result.cases[0].inputs["obs"], np.full((1, 4), HIGH, np.float32))


def test_it_is_deterministic_and_the_seed_matters() -> None:
    specs, ranges = box(7)
    evaluate = each(lambda u: float((u * np.arange(7)).sum()))
    one, two, other = (search(evaluate, specs, ranges, seed=s, evaluations=150) for s in (1, 1, 2))
    assert one.divergences == two.divergences
    for a, b in zip(one.cases, two.cases, strict=True):
        assert a.inputs["obs"].tobytes() == b.inputs["obs"].tobytes()
    assert one.cases[0].inputs["obs"].tobytes() != other.cases[0].inputs["obs"].tobytes()


@given(st.integers(1, 60), st.integers(0, 6))
@settings(max_examples=30, deadline=None)
def test_the_bound_is_kept_and_cases_are_ordered_and_distinct(evaluations: int, keep: int) -> None:
    specs, ranges = box(3)
    asked: list[int] = []

    def evaluate(many: Sequence[Inputs]) -> list[float]:
        asked.append(len(many))
        return [float(i["obs"].sum()) + 10 for i in many]

    result = search(evaluate, specs, ranges, seed=1, evaluations=evaluations, keep=keep)
    assert sum(asked) == result.evaluations == evaluations
    assert len(result.cases) == min(keep, evaluations)
    assert [c.id for c in result.cases] == [f"worst-{i:04d}" for i in range(len(result.cases))]
    assert list(result.divergences) == sorted(result.divergences, reverse=True)
    assert len({c.inputs["obs"].tobytes() for c in result.cases}) == len(result.cases)


def test_every_case_stays_inside_the_box() -> None:
    specs, ranges = box(5)
    seen: list[np.ndarray[Any, Any]] = []

    def evaluate(many: Sequence[Inputs]) -> list[float]:
        seen.extend(i["obs"] for i in many)
        return [float(i["obs"].max()) + 5 for i in many]

    search(evaluate, specs, ranges, seed=1, evaluations=400)
    stacked = np.stack(seen)
    assert stacked.min() >= LOW
    assert stacked.max() <= HIGH


def test_nan_is_the_largest_divergence() -> None:
    specs, ranges = box(3)
    result = search(each(lambda u: float("nan") if u[1] > 0.99 else 1.0), specs, ranges, seed=1, evaluations=200)
    assert result.divergences[0] == float("inf")
    assert result.cases[0].inputs["obs"][0, 1] > LOW + 0.985 * (HIGH - LOW)


def test_a_search_that_finds_nothing_still_fills_its_cases() -> None:
    specs, ranges = box(3)
    result = search(each(lambda u: 0.0), specs, ranges, seed=1, evaluations=120)
    assert len(result.cases) == 4
    assert result.divergences == (0.0,) * 4


def test_a_divergence_is_that_of_the_case_it_stands_by() -> None:
    specs, ranges = box(6)
    evaluate = each(lambda u: float(u @ np.arange(6)))
    result = search(evaluate, specs, ranges, seed=4, evaluations=200)
    assert evaluate([c.inputs for c in result.cases]) == list(result.divergences)


def test_images_noise_and_time_steps_move_and_tokens_stay() -> None:
    specs = [
        TensorSpec("cam", (1, 3, 32, 48), "float32", "image"),
        TensorSpec("noise", (1, 4, 2), "float32", "noise"),
        TensorSpec("t", (1,), "int64", "timestep", range=Range("min_max", (0.0,), (49.0,), (), "test")),
        TensorSpec("ids", (1, 5), "int64", "tokens", range=Range("min_max", (0.0,), (99.0,), (), "test")),
        TensorSpec("h", (1, 1, 8), "float32", "hidden_state"),
    ]
    seen: dict[str, set[bytes]] = {s.name: set() for s in specs}
    shapes = {s.name: s.shape for s in specs}

    def evaluate(many: Sequence[Inputs]) -> list[float]:
        for inputs in many:
            assert {n: a.shape for n, a in inputs.items()} == shapes
            for name, array in inputs.items():
                seen[name].add(array.tobytes())
        return [float(i["t"][0] == 31) for i in many]

    result = search(evaluate, specs, seed=1, evaluations=200)
    assert result.divergences[0] == 1.0
    assert {n: len(v) == 1 for n, v in seen.items()} == {
        "cam": False, "noise": False, "t": False, "ids": True, "h": True}  # fmt: skip
    assert len(seen["t"]) == 50


def test_it_begins_from_the_cases_given_and_takes_shapes_from_them() -> None:
    specs = [TensorSpec("obs", None, None, "state")]
    peak = np.array([[0.31, 0.77, 0.11]], np.float32)
    start = [Case("nominal-0000", "nominal", 0, {"obs": peak})]
    evaluate = lambda many: [float(np.abs(i["obs"] - peak).max() < 1e-6) for i in many]  # noqa: E731
    assert search(evaluate, specs, seed=1, evaluations=200, start=start).divergences[0] == 1.0
    with pytest.raises(UsageError, match="shape is not known"):
        search(evaluate, specs, seed=1, evaluations=200)


def test_nothing_to_search_in_is_said() -> None:
    specs = [TensorSpec("ids", (1, 5), "int64", "tokens")]
    result = search(lambda many: [0.0] * len(many), specs, seed=1, evaluations=200)
    assert result.cases == ()
    assert [f.code for f in result.findings] == ["CASE020"]


def test_too_few_evaluations_to_be_sure_are_reported() -> None:
    specs, ranges = box(3)
    result = search(each(lambda u: 0.0), specs, ranges, seed=1, evaluations=100)
    assert not result.sure
    assert [f.code for f in result.findings] == ["CASE021"]


def test_wrong_number_of_divergences_is_refused() -> None:
    specs, ranges = box(3)
    with pytest.raises(UsageError, match="was given 1"):
        search(lambda many: [0.0], specs, ranges, seed=1, evaluations=10)


def test_rows_of_a_larger_batch_other_than_the_first_stay_nominal() -> None:
    specs, ranges = box(3)
    rows: set[bytes] = set()

    def evaluate(many: Sequence[Inputs]) -> list[float]:
        rows.update(i["obs"][1:].tobytes() for i in many)
        return [float(i["obs"][0, 0]) + 5 for i in many]

    search(evaluate, specs, ranges, seed=1, evaluations=50, batch=3)
    assert len(rows) == 1
