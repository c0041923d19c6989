"""Static checks: sound statistics stay silent, and each fault alone gives its own finding, at its own severity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parity.contract.model import Contract, Normalization
from parity.finding import Finding
from parity.stats.check import check_stats, not_said
from parity.stats.model import Declared, FeatureStats, NormStats
from parity.tensor import TensorSpec

RNG = np.random.default_rng(7)


def feature(name: str, data: Any, mode: str | None = None, *, eps: float | None = 1e-8) -> FeatureStats:
    """Return the true statistics of ``data``, samples first."""
    x = np.asarray(data, np.float64)
    quantiles = {f"q{int(100 * p):02}": np.quantile(x, p, axis=0) for p in (0.01, 0.1, 0.5, 0.9, 0.99)}
    values = {"mean": x.mean(0), "std": x.std(0), "min": x.min(0), "max": x.max(0), **quantiles}
    return FeatureStats(name, values, dict.fromkeys(values, "stats.json"), len(x), mode, eps)


def with_value(of: FeatureStats, name: str, at: Any, value: float) -> FeatureStats:
    """Return the feature with one number of one statistic changed."""
    array = np.array(of.values[name])
    array[at] = value
    return replace(of, values={**of.values, name: array})


STATE = feature("observation.state", RNG.normal(0.2, 0.5, (5000, 3)), "MEAN_STD")
ACTION = feature("action", RNG.uniform(-2, 3, (5000, 2)), "MIN_MAX")
CAMERA = feature("observation.images.top", RNG.uniform(0, 1, (5000, 3, 1, 1)), "MEAN_STD")
DECLARED = (
    Declared("observation.state", "observation.state", (3,), "STATE", "MEAN_STD"),
    Declared("observation.images.top", "observation.images.top", (3, 96, 96), "VISUAL", "MEAN_STD"),
    Declared("action", "action", (2,), "ACTION", "MIN_MAX", output=True),
)


def policy(*features: FeatureStats, outputs: tuple[FeatureStats, ...] = (ACTION,), **more: Any) -> NormStats:
    """Return a LeRobot policy with these features in place of the sound ones of their names."""
    every: Mapping[str, FeatureStats] = {f.name: f for f in (STATE, CAMERA, ACTION, *features)}
    sides = {f.name: f for f in outputs}
    settings = {"era": "lerobot-0.4", "declared": DECLARED, "outputs": sides, **more}
    return NormStats(Path("policy"), "policy", "lerobot_processor", every, **settings)


def dataset(*features: FeatureStats) -> NormStats:
    """Return a dataset's statistics, which no mode reads."""
    return NormStats(Path("stats.json"), "stats.json", "lerobot_dataset", {f.name: f for f in features})


def codes(found: tuple[Finding, ...]) -> list[tuple[str, str]]:
    return [(f.code, f.severity) for f in found]


def test_sound_statistics_have_no_finding() -> None:
    assert check_stats(policy()) == ()
    assert check_stats(dataset(replace(STATE, mode=None), replace(ACTION, mode=None), replace(CAMERA, mode=None))) == ()


INF = float("inf")


@pytest.mark.parametrize(
    ("changed", "expected", "where"),
    [
        (with_value(STATE, "mean", 1, np.nan), ("STATS010", "error"), "observation.state[1]"),
        (with_value(STATE, "std", 2, INF), ("STATS010", "error"), "observation.state[2]"),
        (with_value(STATE, "q50", 2, INF), ("STATS010", "warning"), "observation.state[2]"),
        (with_value(STATE, "q10", 0, 9.0), ("STATS012", "warning"), "observation.state[0]"),
        (with_value(STATE, "mean", 0, 9.0), ("STATS013", "error"), "observation.state[0]"),
        (with_value(STATE, "q99", 0, 90.0), ("STATS014", "warning"), "observation.state[0]"),
        (with_value(STATE, "std", 0, -0.5), ("STATS015", "error"), "observation.state[0]"),
        (with_value(STATE, "std", 0, 50.0), ("STATS016", "error"), "observation.state[0]"),
        (with_value(STATE, "std", 0, 0.01), ("STATS017", "warning"), "observation.state[0]"),
        (with_value(STATE, "std", 0, 0.0), ("STATS020", "error"), "observation.state[0]"),
    ],
)
def test_one_wrong_number_is_found_where_it_is(changed: FeatureStats, expected: tuple[str, str], where: str) -> None:
    found = check_stats(policy(changed))
    assert (expected, where) in [((f.code, f.severity), f.where) for f in found]
    assert "policy" not in [f.where for f in found]


def test_min_above_max_is_an_error_where_the_mode_reads_it() -> None:
    swapped = replace(ACTION, values={**ACTION.values, "min": ACTION.values["max"], "max": ACTION.values["min"]})
    assert codes(check_stats(policy(swapped, outputs=(swapped,)))) == [("STATS011", "error")]


def test_a_constant_dimension_is_a_warning_on_the_way_in_and_a_note_on_the_way_out() -> None:
    parked = feature("observation.state", np.hstack([RNG.normal(0, 1, (1000, 2)), np.full((1000, 1), 0.7)]), "MEAN_STD")
    assert codes(check_stats(policy(parked))) == [("STATS020", "warning")]
    fixed = feature("action", np.hstack([RNG.uniform(0, 1, (1000, 1)), np.full((1000, 1), 0.7)]), "MIN_MAX")
    assert codes(check_stats(policy(fixed, outputs=(fixed,)))) == [("STATS020", "info")]
    assert codes(check_stats(dataset(replace(parked, mode=None)))) == [("STATS020", "info")]


def test_without_eps_a_constant_dimension_is_nan() -> None:
    parked = feature(
        "observation.state", np.hstack([RNG.normal(0, 1, (1000, 2)), np.zeros((1000, 1)) + 3.0]), "QUANTILES", eps=0.0
    )
    found = check_stats(policy(parked, declared=()))
    assert codes(found) == [("STATS020", "error")]
    assert "NaN" in found[0].detail


def test_a_quantile_range_of_zero_of_a_dimension_that_moves_is_an_error() -> None:
    """A gripper that is closed in more than 99 of 100 frames: 0 in q01 and q99, 1 now and then."""
    gripper = (np.arange(5000)[:, None] % 250 == 0).astype(float)
    seldom = feature("observation.state", np.hstack([RNG.normal(0, 1, (5000, 2)), gripper]), "QUANTILES")
    found = check_stats(policy(seldom, declared=()))
    assert codes(found) == [("STATS020", "error")]
    assert "200000" in found[0].detail  # a movement of 0.001


def test_a_parked_joint_whose_std_lost_its_digits_is_a_warning() -> None:
    """E[x²] - E[x]² in float32 of values near 152 leaves a standard deviation of nothing but rounding."""
    x = (152.0 + RNG.normal(0, 0.002, (100_000, 3))).astype(np.float32)
    squares = np.sqrt(
        np.maximum(np.mean(x * x, axis=0, dtype=np.float32) - np.mean(x, axis=0, dtype=np.float32) ** 2, 0)
    )
    true = feature("observation.state", x, "MEAN_STD")
    wrong = replace(true, values={**true.values, "std": np.maximum(squares.astype(float), 0.125)})
    assert codes(check_stats(policy(wrong))) == [("STATS016", "warning")]
    assert check_stats(policy(true)) == ()


def test_a_range_of_a_few_steps_of_float32_is_a_warning() -> None:
    noise = feature("observation.state", (152.0 + RNG.normal(0, 0.00002, (5000, 3))).astype(np.float32), "MEAN_STD")
    assert codes(check_stats(policy(noise))) == [("STATS021", "warning")]


def test_extremes_in_place_of_quantiles_are_found_where_the_mode_reads_them() -> None:
    tails = np.concatenate([RNG.normal(0, 0.01, (100_000, 2)), [[-1.0, -1.0], [1.0, 1.0]]])
    true = feature("action", tails, "QUANTILES")
    only = {k: v for k, v in true.values.items() if k in ("mean", "std")}
    wrong = replace(true, values={**only, "q01": true.values["min"], "q99": true.values["max"]})
    found = check_stats(replace(policy(), features={"action": wrong}, outputs={}, declared=()))
    assert set(codes(found)) == {("STATS018", "error")}
    assert set(codes(check_stats(dataset(replace(wrong, mode=None))))) == {("STATS018", "warning")}
    good = replace(true, values={k: v for k, v in true.values.items() if k in ("mean", "std", "q01", "q99")})
    assert check_stats(dataset(replace(good, mode=None))) == ()


def test_imagenet_statistics_say_nothing_about_a_dark_camera() -> None:
    dark = feature("observation.images.top", RNG.uniform(0, 0.3, (1000, 3, 1, 1)), "MEAN_STD")
    mean, std = (np.reshape(v, (3, 1, 1)) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    assert check_stats(policy(replace(dark, values={**dark.values, "mean": mean, "std": std}))) == ()


@pytest.mark.parametrize(
    "stored",
    ["observation/state", "observation_state", "Observation.State", "so100.buffer.observation.state", "state"],
)
def test_a_key_of_another_spelling_is_offered_as_the_mend(stored: str) -> None:
    features = {k: v for k, v in policy().features.items() if k != "observation.state"}
    found = check_stats(replace(policy(), features={**features, stored: replace(STATE, name=stored)}))
    assert codes(found) == [("STATS002", "error")]
    assert repr(stored) in found[0].title
    assert repr(stored) in found[0].remedy


def test_a_feature_without_statistics_is_silently_the_identity() -> None:
    features = {k: v for k, v in policy().features.items() if k != "observation.state"}
    found = check_stats(replace(policy(), features=features))
    assert codes(found) == [("STATS001", "error")]
    assert "silently the identity" in found[0].title


def test_what_nobody_normalizes_needs_no_statistics() -> None:
    features = {k: v for k, v in policy().features.items() if k != "observation.images.top"}
    declared = tuple(replace(d, mode="IDENTITY") if d.type == "VISUAL" else d for d in DECLARED)
    assert check_stats(replace(policy(), features=features, declared=declared)) == ()


def test_statistics_that_lack_what_the_mode_reads_are_named() -> None:
    short = replace(ACTION, values={k: v for k, v in ACTION.values.items() if k != "max"})
    found = check_stats(policy(short, outputs=(short,)))
    assert codes(found) == [("STATS003", "error")]


def test_orphans_are_a_note_and_metadata_columns_are_none() -> None:
    other, counter = (
        feature("observation.effort", RNG.normal(0, 1, (500, 3))),
        feature("episode_index", np.arange(500.0)),
    )
    assert codes(check_stats(policy(other, counter))) == [("STATS004", "info")]


def test_metadata_columns_among_features_are_found() -> None:
    counter = feature("frame_index", np.arange(500.0)[:, None], "MEAN_STD")
    declared = (*DECLARED, Declared("frame_index", "frame_index", (1,), "STATE", "MEAN_STD"))
    assert codes(check_stats(policy(counter, declared=declared))) == [("STATS005", "error")]
    openpi = replace(dataset(replace(STATE, name="state", mode=None), counter), era="openpi")
    assert codes(check_stats(openpi)) == [("STATS005", "warning")]
    assert check_stats(dataset(counter)) == ()


def test_shapes_are_held_against_features_and_against_each_other() -> None:
    other = feature("observation.state", RNG.normal(0, 1, (500, 7)), "MEAN_STD")
    assert codes(check_stats(policy(other))) == [("STATS006", "error")]
    ragged = replace(STATE, values={**STATE.values, "std": STATE.values["std"][:2]})
    assert ("STATS008", "error") in codes(check_stats(policy(ragged)))
    unread = replace(STATE, values={**STATE.values, "q50": STATE.values["q50"][:2]})
    assert codes(check_stats(policy(unread))) == [("STATS008", "warning")]


def chunked(steps: int, *, flat: bool = False) -> FeatureStats:
    data = RNG.uniform(-2, 3, (500, steps, 2))
    return feature("action", data.reshape(500, -1) if flat else data, "MIN_MAX")


@pytest.mark.parametrize(
    ("stats", "expected"),
    [
        (chunked(16), []),
        (chunked(8), [("STATS007", "error")]),
        (chunked(32), [("STATS007", "warning")]),
        (chunked(16, flat=True), [("STATS007", "error")]),
    ],
)
def test_rows_of_a_chunk_are_held_against_its_length(stats: FeatureStats, expected: list[tuple[str, str]]) -> None:
    assert codes(check_stats(policy(stats, outputs=(stats,), chunk=16))) == expected


def test_rows_thrown_together_are_found_against_the_data() -> None:
    data = dataset(replace(chunked(16), mode=None))
    assert codes(check_stats(policy(), data=data)) == [("STATS033", "error")]
    assert check_stats(policy(), data=dataset(replace(ACTION, mode=None))) == ()
    rows = chunked(16)
    assert check_stats(policy(rows, outputs=(rows,), chunk=16), data=data) == ()


def test_padding_is_a_note_and_is_not_divided_by() -> None:
    wide = feature("actions", np.hstack([RNG.uniform(-1, 1, (500, 7)), np.zeros((500, 25))]), "QUANTILES")
    found = check_stats(NormStats(Path("n.json"), "n.json", "openpi", {"actions": wide}, era="openpi"))
    assert codes(found) == [("STATS009", "info")]
    assert "25 of 32" in found[0].title
    assert found[0].where == "actions[7:]"


def test_openpi_cuts_statistics_to_the_data() -> None:
    wide = feature("state", RNG.uniform(-1, 1, (500, 8)), "QUANTILES")
    short = (Declared("state", "state", (6,), None, "QUANTILES"),)
    found = check_stats(NormStats(Path("n.json"), "n.json", "openpi", {"state": wide}, era="openpi", declared=short))
    assert codes(found) == [("STATS006", "warning")]


def test_modes_are_held_against_what_is_declared() -> None:
    other = replace(STATE, mode="QUANTILES")
    assert codes(check_stats(policy(other))) == [("STATS022", "error")]
    assert ("STATS023", "error") in codes(check_stats(policy(replace(STATE, mode="MEANSTD"))))


def test_a_mode_that_the_era_does_not_have_is_an_error() -> None:
    old = policy(replace(STATE, mode="QUANTILES"), era="lerobot-0.3", declared=())
    found = check_stats(old, formulas={"lerobot-0.3": Pair()})
    assert codes(found) == [("STATS023", "error")]
    assert "lerobot-0.3" in found[0].title
    assert check_stats(old) == ()


def test_a_normalizer_that_learned_nothing_is_named() -> None:
    fresh = FeatureStats("observation.state", {"mean": np.zeros(3), "std": np.ones(3)}, count=0, mode="MEAN_STD")
    assert codes(check_stats(policy(fresh))) == [("STATS026", "warning")]
    few = feature("observation.state", RNG.normal(0, 1, (12, 3)), "MEAN_STD")
    assert codes(check_stats(policy(few))) == [("STATS025", "warning")]


def test_cameras_on_bytes_are_found() -> None:
    raw = feature("observation.images.top", RNG.uniform(0, 255, (1000, 3, 1, 1)), "MEAN_STD")
    assert codes(check_stats(policy(raw))) == [("STATS027", "error")]
    assert codes(check_stats(dataset(replace(raw, mode=None)))) == [("STATS027", "warning")]


def test_the_way_in_and_the_way_out_must_be_one() -> None:
    other = with_value(ACTION, "max", 0, 4.0)
    assert codes(check_stats(policy(outputs=(other,)))) == [("STATS030", "error")]
    unread = with_value(ACTION, "std", 0, 1.2)
    assert codes(check_stats(policy(outputs=(unread,)))) == [("STATS030", "warning")]
    mode = replace(ACTION, mode="MEAN_STD")
    assert ("STATS030", "error") in codes(check_stats(policy(outputs=(mode,))))


class Pair:
    """A pair of formulas of LeRobot 0.4, or what a test makes of it."""

    def __init__(self, backward: Callable[..., Any] | None = None, *, own_range: bool = False) -> None:
        self._backward, self._own = backward, own_range
        self.modes = frozenset({"MEAN_STD", "MIN_MAX", "IDENTITY"})

    def forward(self, x: Any, stats: FeatureStats, mode: str) -> Any:
        low, high = self._bounds(x, stats) if mode == "MIN_MAX" else (stats.values["mean"], 0)
        if mode == "MIN_MAX":
            return np.float32(2 * (x - low) / (high - low) - 1)
        return np.float32((x - low) / (stats.values["std"] + 1e-8))

    def backward(self, y: Any, stats: FeatureStats, mode: str) -> Any:
        if self._backward is not None:
            return self._backward(y, stats, mode)
        low, high = stats.values["min"], stats.values["max"]
        return np.float32((y + 1) / 2 * (high - low) + low)

    def loss(self, stats: FeatureStats, mode: str) -> Any:
        return np.zeros(()) if mode == "MIN_MAX" else 1e-8 / (stats.values["std"] + 1e-8)

    def _bounds(self, x: Any, stats: FeatureStats) -> tuple[Any, Any]:
        return (x.min(0), x.max(0)) if self._own else (stats.values["min"], stats.values["max"])


def test_the_round_trip_comes_back_or_is_named() -> None:
    assert check_stats(policy(), formulas={"lerobot-0.4": Pair()}) == ()
    off = Pair(lambda y, s, mode: np.float32((y + 1) / 2 * (s.values["q99"] - s.values["q01"]) + s.values["q01"]))
    assert codes(check_stats(policy(), formulas={"lerobot-0.4": off})) == [("STATS031", "error")]


def test_a_chunk_that_is_normalized_by_its_own_range_does_not_come_back() -> None:
    found = check_stats(policy(), formulas={"lerobot-0.4": Pair(own_range=True)})
    assert codes(found) == [("STATS031", "error")]


def test_a_contract_s_features_meet_keys_of_any_spelling() -> None:
    """A contract does not say under which key its framework looks; a reader that knows declares the features itself."""
    contract = Contract(
        Path("policy.onnx"),
        "onnx",
        inputs=(TensorSpec("observation.state", (1, 3), role="state"),),
        outputs=(TensorSpec("action", (1, 2), role="action"),),
        normalization=Normalization({"STATE": "mean_std", "ACTION": "min_max"}),
    )
    used = {"state": replace(STATE, name="state", mode=None), "actions": replace(ACTION, name="actions", mode=None)}
    stats = NormStats(Path("norm_stats.json"), "norm_stats.json", "openpi", used, era="openpi")
    assert check_stats(stats, contract=contract) == ()
    wrong = replace(contract, inputs=(TensorSpec("observation.state", (1, 4), role="state"),))
    assert codes(check_stats(stats, contract=wrong)) == [("STATS006", "error")]
    alone = replace(stats, features={"actions": used["actions"]})
    assert codes(check_stats(alone, contract=contract)) == [("STATS001", "error")]


def test_what_a_contract_s_reader_said_is_not_said_again() -> None:
    said = Finding("CONTRACT005", "error", "observation.state ...", where="observation.state")
    other = Finding("CONTRACT010", "warning", "two datasets", where="action")
    features = {k: v for k, v in policy().features.items() if k != "observation.state"}
    found = check_stats(replace(policy(), features=features, findings=(said, other)))
    assert codes(found) == [("STATS001", "error"), ("CONTRACT010", "warning")]
    assert not_said([said], []) == [said]
