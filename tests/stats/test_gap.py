"""Two sources' statistics of one feature: SAME, DRIFT or CONFLICT, by the statistics that the mode uses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parity.stats.gap import compare
from parity.stats.model import FeatureStats


def feature(**values: Any) -> FeatureStats:
    return FeatureStats("observation.state", {n: np.asarray(v, np.float64) for n, v in values.items()})


BASE: dict[str, Any] = {
    "mean": [0.5, -1.0, 20.0],
    "std": [0.2, 0.5, 4.0],
    "min": [0.0, -2.0, 10.0],
    "max": [1.0, 1.0, 30.0],
    "q01": [0.05, -1.9, 11.0],
    "q99": [0.95, 0.9, 29.0],
}


def changed(statistic: str, dim: int, by: float) -> FeatureStats:
    values = {n: np.array(v, np.float64) for n, v in BASE.items()}
    values[statistic][dim] += by
    return feature(**values)


def test_equal_bits_and_float32_are_told_apart() -> None:
    base = feature(**BASE)
    rounded = feature(**{n: np.asarray(v, np.float32) for n, v in BASE.items()})
    assert compare(base, base).equal == "bits"
    found = compare(base, rounded)
    assert (found.equal, found.verdict, found.max_gap) == ("float32", "SAME", 0.0)
    assert compare(base, changed("mean", 0, 1e-6)).equal == ""


@pytest.mark.parametrize(("by", "verdict"), [(1e-3, "SAME"), (0.2, "DRIFT"), (5.0, "CONFLICT")])
def test_gaps_are_in_units_of_the_range(by: float, verdict: str) -> None:
    found = compare(feature(**BASE), changed("max", 2, by))
    assert found.verdict == verdict
    assert found.worst is not None
    assert (found.worst.statistic, found.worst.index) == ("max", (2,))
    assert found.max_gap == pytest.approx(by / (20.0 + by))


def test_only_what_the_mode_uses_decides() -> None:
    other = changed("q99", 1, 2.0)
    assert compare(feature(**BASE), other).verdict == "CONFLICT"
    assert compare(feature(**BASE), other, ("QUANTILES", None)).verdict == "CONFLICT"
    found = compare(feature(**BASE), other, ("MEAN_STD", None))
    assert found.verdict == "SAME"
    assert found.unused is not None
    assert (found.unused.statistic, found.unused.gap > 0.3) == ("q99", True)


def test_features_that_are_not_normalized_are_not_judged() -> None:
    assert compare(feature(**BASE), changed("max", 0, 9.0), ("IDENTITY", None)).verdict is None


def test_min_max_in_place_of_quantiles_is_a_conflict_of_the_ranges() -> None:
    wide = {**BASE, "min": [-1.0, -9.0, 0.0], "max": [3.0, 9.0, 90.0]}
    assert compare(feature(**wide), feature(**wide), ("MIN_MAX", "QUANTILES")).verdict == "CONFLICT"
    narrow = {**BASE, "min": BASE["q01"], "max": BASE["q99"]}
    assert compare(feature(**narrow), feature(**narrow), ("MIN_MAX", "QUANTILES")).verdict == "SAME"


def test_a_std_that_is_eight_times_off_is_a_conflict_however_wide_the_outliers() -> None:
    one = feature(mean=[152.0], std=[0.008], min=[100.0], max=[200.0])
    two = feature(mean=[152.0], std=[0.001], min=[100.0], max=[200.0])
    found = compare(one, two)
    assert (found.verdict, found.worst.statistic if found.worst else "") == ("CONFLICT", "std")


def test_a_dimension_that_hardly_moves_does_not_cry_wolf() -> None:
    one = {"min": [0.0, -1e-9], "max": [1.0, 1e-9]}
    two = {"min": [0.0, 0.0], "max": [1.0, 0.0]}
    assert compare(feature(**one), feature(**two)).verdict == "SAME"


def test_a_constant_that_was_rounded_is_the_same() -> None:
    one = feature(mean=[152.3], std=[0.0], min=[152.3], max=[152.3])
    two = feature(mean=[np.float32(152.3)], std=[0.0], min=[np.float32(152.3)], max=[np.float32(152.3)])
    assert compare(one, two).max_gap == 0.0


def test_constant_in_one_and_moving_in_the_other_is_a_conflict() -> None:
    assert compare(feature(min=[0.0], max=[0.0]), feature(min=[0.0], max=[1.0])).verdict == "CONFLICT"


@pytest.mark.parametrize("std", [0.0, 1.0])
def test_padding_is_left_out(std: float) -> None:
    padded = {"mean": [0.5, 0.0, 0.0], "std": [0.2, std, std], "q01": [0.0, 0.0, 0.0], "q99": [1.0, 0.0, 0.0]}
    short = {"mean": [0.5], "std": [0.2], "q01": [0.0], "q99": [1.0]}
    assert compare(feature(**padded), feature(**short)).verdict == "SAME"
    assert compare(feature(**short), feature(**padded)).verdict == "SAME"
    padded["q99"][2] = 0.3
    found = compare(feature(**padded), feature(**short))
    assert (found.verdict, "shape" in found.reason) == ("CONFLICT", True)


def test_channels_have_one_shape_whoever_stored_them() -> None:
    image = np.array([0.4, 0.5, 0.6])
    assert compare(feature(mean=image.reshape(3, 1, 1)), feature(mean=image)).verdict == "SAME"


def test_statistics_per_chunk_step_are_not_compared_with_those_of_all() -> None:
    found = compare(feature(mean=np.zeros((4, 3)), std=np.ones((4, 3))), feature(mean=np.zeros(3), std=np.ones(3)))
    assert (found.verdict, "chunk step" in found.reason) == (None, True)


def test_what_is_not_finite_on_one_side_alone_is_a_conflict_without_a_number() -> None:
    found = compare(feature(mean=[np.nan, 0.0], std=[1.0, 1.0]), feature(mean=[0.0, 0.0], std=[1.0, 1.0]))
    assert (found.verdict, found.max_gap) == ("CONFLICT", None)
    same = feature(mean=[np.nan, 0.0], std=[1.0, 1.0])
    assert compare(same, same).verdict == "SAME"


def test_buffers_that_were_never_set_are_no_statistics() -> None:
    assert compare(feature(mean=[np.inf], std=[np.inf]), feature(mean=[0.0], std=[1.0])).verdict is None


def test_an_eps_that_was_added_to_the_std_for_good_is_no_gap() -> None:
    def normalizer(std: float, eps: float | None) -> FeatureStats:
        values = {"mean": np.array([0.5, 1.0]), "std": np.array([std, 2 * std])}
        return FeatureStats("obs", values if eps != 0.0 else {**values, "std": values["std"] + 0.01}, eps=eps)

    assert compare(normalizer(0.2, 0.01), normalizer(0.2, 0.0)).verdict == "SAME"
    assert compare(normalizer(0.2, 0.01), normalizer(0.2, 0.01)).equal == "bits"
    assert compare(normalizer(0.2, 0.01), normalizer(0.25, 0.0)).verdict == "CONFLICT"


def test_a_linear_normalizer_is_compared_by_what_it_maps_to_minus_one_and_one() -> None:
    one = feature(scale=[2.0], offset=[-1.0])  # 0 ... 1
    assert compare(one, feature(scale=[2.0], offset=[-1.0]), ("LINEAR", "LINEAR")).verdict == "SAME"
    found = compare(one, feature(min=[0.0], max=[3.0]), ("LINEAR", "MIN_MAX"))
    assert (found.verdict, found.max_gap) == ("CONFLICT", pytest.approx(2 / 3))


def test_statistics_whose_shapes_contradict_each_other_inside_a_source_do_not_crash() -> None:
    odd = feature(mean=[0.0, 1.0], std=[1.0], q01=[0.0, 0.0, 0.0], q99=[1.0])
    assert compare(odd, odd).verdict == "SAME"
    assert compare(odd, feature(mean=[0.0, 5.0], std=[1.0, 1.0])).verdict == "CONFLICT"
