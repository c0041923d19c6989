"""What normalizing does, compared: equal only where the same bits come out, different wherever another bit does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parity.stats.effect import Trail, feature_effect
from parity.stats.formula import FORMULAS, formula_of
from parity.stats.model import FeatureStats
from parity.stats.steps import Cast, Cut, Executed, Feature, Normalize, Pad, Rename, Window

MODES = [(era, mode) for era, formula in FORMULAS.items() for mode in sorted(formula.modes - {"IDENTITY"})]
RNG = np.random.default_rng(8)
MEAN, STD = RNG.normal(size=4) * 10, RNG.uniform(0.5, 3, 4)
VALUES = {"mean": MEAN, "std": STD, "min": MEAN - 4 * STD, "max": MEAN + 4 * STD, "q01": MEAN - 2 * STD}
VALUES |= {"q99": MEAN + 2 * STD, "q10": MEAN - STD, "q90": MEAN + STD, "scale": 1 / STD, "offset": -MEAN / STD}
STATS = FeatureStats("a", VALUES)
X = (MEAN + STD * RNG.normal(size=(64, 4)) * 2).astype(np.float32)
Y = RNG.normal(size=(64, 4)).astype(np.float32)


def gives(era: str, mode: str, stats: FeatureStats) -> list[Any]:
    """Return what comes out, both ways; SCALE has no way back."""
    formula = formula_of(era)
    back = [] if mode == "SCALE" else [formula.backward(Y, stats, mode)]
    return [formula.forward(X, stats, mode), *back]


def effect(era: str, mode: str, stats: FeatureStats) -> Any:
    return feature_effect(Feature("a", mode, stats), era)


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(MODES),
    st.sampled_from(sorted(VALUES)),
    st.integers(0, 3),
    st.sampled_from([0.0, 1e-12, 1e-9, 1e-7, 1e-3, 0.5]),
    st.sampled_from([None, 1e-8, 1e-6, 1e-2, 0.1]),
    st.sampled_from([None, (-1.0, 1.0)]),
)
def test_the_same_effect_is_the_same_bits(
    pair: tuple[str, str], name: str, at: int, by: float, eps: float | None, clip: tuple[float, float] | None
) -> None:
    era, mode = pair
    values = {k: v.copy() for k, v in VALUES.items()}
    values[name][at] *= 1 + by
    other = FeatureStats("another name", values, {name: "another file"}, count=7, mode=mode, eps=eps, clip=clip)
    same = all(np.array_equal(a, b) for a, b in zip(gives(era, mode, STATS), gives(era, mode, other), strict=True))
    if effect(era, mode, STATS) == effect(era, mode, other):
        assert same
    if by == 0.0 and eps is None and clip is None:
        assert effect(era, mode, STATS) == effect(era, mode, other)


@pytest.mark.parametrize(("era", "mode"), MODES)
def test_what_a_formula_does_not_read_is_no_difference_and_what_it_reads_is_one(era: str, mode: str) -> None:
    for name, value in VALUES.items():
        other = replace(STATS, values={**VALUES, name: value * 1.01})
        moved = any(
            not np.array_equal(a, b) for a, b in zip(gives(era, mode, STATS), gives(era, mode, other), strict=True)
        )
        assert (effect(era, mode, STATS) != effect(era, mode, other)) == moved, name
    stored = {k: v.astype(np.float32).astype(np.float64)[None] for k, v in VALUES.items()}
    rounded = replace(STATS, values=stored)
    exact = era in ("openpi", "rlinf", "gr00t-1.6") and mode != "BINARY"
    assert (effect(era, mode, STATS) == effect(era, mode, rounded)) == (not exact)


def test_two_modes_and_two_frameworks_do_not_do_the_same() -> None:
    effects = [effect(era, mode, STATS) for era, mode in MODES]
    apart = {(formula_of(era).upstream, mode) for era, mode in MODES}
    assert len(set(effects)) == len(apart)


def test_arrays_are_followed_through_renames_and_by_what_is_done_to_all() -> None:
    made = Feature("state", "MEAN_STD", STATS)
    steps = [
        Rename({"robot": "state", "state": "robot"}),  # swapped
        Normalize("openpi", "forward", (made, Feature("robot", "IDENTITY"))),
        Rename({"state": "obs"}),
        Cast("float16"),
        Pad({"obs": 8}),
        Window(2, {"obs": 1}),
    ]
    trail = Trail()
    trail.follow(steps)
    done = trail["obs"]
    assert [e[0] for e in done] == ["forward", "cast", "Pad", "window"]
    assert trail["robot"] == trail["never named"] == (("cast", "float16"),)
    for changed in (Cast("float32"), Pad({"obs": 9}), Cut({"obs": 8}), Window(3, {"obs": 1}), Executed("obs", 8, 1, 2)):
        other = Trail()
        other.follow([*steps[:3], changed])
        first = Trail()
        first.follow(steps[:4])
        assert other["obs"] not in (first["obs"], done)


def test_a_step_of_a_kind_that_is_not_known_is_told_by_what_it_says() -> None:
    class Other:
        def __init__(self, limit: int) -> None:
            self.limit = limit

        def apply(self, arrays: Any) -> Any:
            return arrays

        def as_json(self) -> dict[str, Any]:
            return {"step": "other", "limit": self.limit}

    def followed(limit: int) -> Any:
        trail = Trail()
        trail.follow([Other(limit)])
        return trail["a"]

    assert followed(1) == followed(1)
    assert followed(1) != followed(2)
