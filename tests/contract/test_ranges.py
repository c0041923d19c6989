"""Statistics become ranges only where they fit; the mode's own statistics come first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parity.contract.ranges import (
    Statistics,
    diffusion_policy_statistics,
    from_config,
    from_names,
    needed_kind,
    with_range,
)
from parity.errors import ArtifactError
from parity.tensor import Range, Role, Shape, TensorSpec

ALL = {"mean": 1, "std": 2, "min": 3, "max": 4, "q01": 5, "q99": 6}


def stats(shape: tuple[int, ...] = (2,), **values: float) -> Statistics:
    return Statistics("x", {k: np.full(shape, float(v)) for k, v in (values or ALL).items()}, "file: x")


def spec(shape: Shape | None = (2,), role: Role | None = "state") -> TensorSpec:
    return TensorSpec("x", shape, role=role, batched=False)


@pytest.mark.parametrize(
    ("mode", "kind", "first"),
    [
        ("MEAN_STD", "mean_std", 1.0),
        ("mean_std", "mean_std", 1.0),
        ("MIN_MAX", "min_max", 3.0),
        ("QUANTILES", "quantiles", 5.0),
        ("IDENTITY", "quantiles", 5.0),
        (None, "quantiles", 5.0),
        ("QUANTILE10", "quantiles", 5.0),
    ],
)
def test_the_mode_decides_which_statistics(mode: str | None, kind: str, first: float) -> None:
    ranged, finding = with_range(spec(), stats(), mode)
    assert finding is None
    assert ranged.range is not None
    assert (ranged.range.kind, ranged.range.first, ranged.range.source) == (kind, (first, first), "file: x")


def test_what_is_there_serves_where_the_mode_says_nothing() -> None:
    ranged, _ = with_range(spec(), stats(mean=1, std=2), "MIN_MAX")
    assert ranged.range == Range("mean_std", (1.0, 1.0), (2.0, 2.0), (2,), "file: x")
    ranged, finding = with_range(spec(), stats(mean=1), "MEAN_STD")
    assert (ranged.range, finding) == (None, None)


@pytest.mark.parametrize(
    ("shape", "stored", "wanted"),
    [
        ((2,), (2,), (2,)),
        ((2,), (), ()),
        ((2,), (1,), (1,)),
        ((4, 2), (2,), (2,)),
        ((4, 2), (4, 2), (4, 2)),
        ((4, 2), (4, 1), (4, 1)),
        ((3, 8, 9), (3, 1, 1), (3, 1, 1)),
        ((3, 8, 9), (3,), (3, 1, 1)),
        ((8, 9, 3), (3,), (3,)),
        (("n",), (5,), (5,)),
        ((None, 2), (2,), (2,)),
        (None, (7,), (7,)),
        ((2,), (3,), None),
        ((2,), (2, 2), None),
        ((2,), (4, 2), None),
        ((3, 8, 9), (9,), None),
        ((3, 8, 9), (8, 9), (8, 9)),
        ((3, 8, 9), (4, 1, 1), None),
    ],
)
def test_shapes_fit_or_not(shape: Shape | None, stored: tuple[int, ...], wanted: tuple[int, ...] | None) -> None:
    role: Role = "image" if shape is not None and len(shape) == 3 else "state"
    ranged, finding = with_range(spec(shape, role), stats(stored), "MEAN_STD")
    if wanted is None:
        assert ranged.range is None
        assert finding is not None
        assert (finding.code, finding.severity) == ("CONTRACT006", "error")
        return
    assert finding is None
    assert ranged.range is not None
    assert ranged.range.shape == wanted
    assert len(ranged.range.first) == len(ranged.range.second) == int(np.prod(wanted))
    if shape is not None and all(isinstance(d, int) for d in shape):
        np.broadcast_shapes(tuple(int(d) for d in shape if isinstance(d, int)), wanted)


def test_two_shapes_for_one_feature_do_not_fit() -> None:
    both = Statistics("x", {"mean": np.zeros(2), "std": np.zeros(1)}, "file: x")
    _, finding = with_range(spec(), both, "MEAN_STD")
    assert finding is not None
    assert finding.evidence["statistics"] == [[2], [1]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(bad: float) -> None:
    ranged, finding = with_range(spec(), stats(mean=0, std=bad), "MEAN_STD")
    assert ranged.range is None
    assert finding is not None
    assert (finding.code, finding.evidence["not_finite"]) == ("CONTRACT007", 2)


def test_which_modes_need_statistics() -> None:
    assert [needed_kind(m) for m in ("MEAN_STD", "min_max", "QUANTILES", "IDENTITY", "other", None)] == [
        "mean_std",
        "min_max",
        "quantiles",
        None,
        None,
        None,
    ]


def test_names_that_are_no_statistics_are_left_alone() -> None:
    names = ["a.b.mean", "a.b.std", "weight", "mean", ".mean", "a.weight"]
    found = from_names(names, lambda name: np.zeros(1), "f")
    assert list(found) == ["a.b"]
    assert set(found["a.b"].values) == {"mean", "std"}
    assert found["a.b"].source == "f: a.b"


def test_statistics_in_a_configuration() -> None:
    found = from_config({"a": {"mean": [1, 2], "std": 3, "note": "x"}, "b": {"note": 1}, "c": 3}, "f")
    assert list(found) == ["a"]
    assert found["a"].values["mean"].tolist() == [1.0, 2.0]
    assert found["a"].values["std"].shape == ()
    assert from_config(None, "f") == from_config([1], "f") == {}


@pytest.mark.parametrize("value", [["x"], [[1], [1, 2]], {"a": 1}, "1", None, [10**400], [None, "a"]])
def test_statistics_that_are_no_numbers(value: Any) -> None:
    with pytest.raises(ArtifactError, match="not an array of numbers"):
        from_config({"a": {"mean": value}}, "f")


def test_the_normalizer_of_diffusion_policy() -> None:
    tensors = {
        "model.weight": np.zeros(3),
        "normalizer.params_dict.action.scale": np.ones(2),
        "normalizer.params_dict.action.offset": np.ones(2),
        "normalizer.params_dict.action.input_stats.min": np.array([-1, -2]),
        "normalizer.params_dict.action.input_stats.max": np.array([1, 2]),
        "normalizer.params_dict.obs.input_stats.mean": np.array([5.0]),
    }
    read: list[str] = []

    def get(name: str) -> Any:
        read.append(name)
        return tensors[name]

    found = diffusion_policy_statistics(tensors, get, "x.ckpt: ema_model")
    assert set(found) == {"action", "obs"}
    assert "model.weight" not in read
    ranged, finding = with_range(spec(), found["action"], None)
    assert finding is None
    assert ranged.range == Range(
        "min_max", (-1.0, -2.0), (1.0, 2.0), (2,), "x.ckpt: ema_model: normalizer.params_dict.action"
    )
