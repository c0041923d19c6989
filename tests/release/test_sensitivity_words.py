"""What a sensitivity says in words: true of the figures, short whatever the names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parity.compare.sensitivity import Limits, as_json, sensitivity
from parity.release.sensitivity_words import MOST, above, sentences


@given(st.floats(1e-300, 1e300))
def test_a_figure_is_told_with_two_digits_and_never_too_small(x: float) -> None:
    assert x * (1 - 1e-8) <= float(above(x)) <= x * 1.11


@pytest.mark.parametrize(
    ("x", "told"), [(0.0, "0"), (0.0031, "0.0031"), (0.00311, "0.0032"), (9.95, "10"), (0.5, "0.5")]
)
def test_rounding_up(x: float, told: str) -> None:
    assert above(x) == told


def words(reference: Any, limit: float, names: tuple[str, ...] | None = None, aside: tuple[str, ...] = ()) -> list[str]:
    n, _, d = reference.shape
    caught = sensitivity(Limits(reference, reference, np.full((n, d), limit)))
    plain = as_json(caught, names, np.ptp(reference, axis=(0, 1)) > 4 * limit, float)
    return sentences(plain, caught, "rad", "joint", aside)


def test_faults_that_limits_cannot_see_are_named() -> None:
    steps = np.linspace(-1, 1, 16)
    reference = np.stack([steps, steps + 1e-3, -steps, np.full(16, 0.5)], axis=1)[None]
    told = words(reference, 0.2, ("hip", "knee", "elbow", "</script>" + "x" * 500))
    assert told[0].startswith("a bias above 0.2 rad on any one joint would have failed")
    assert told[1] == "any one sign flipped would have failed"
    assert told[2] == "every swap of two joints would have failed, except 0 with 1"
    assert told[3] == "a chunk shifted by 2 steps would have failed, by 1 not"
    assert "joint 3 (</script>" in told[5]
    assert "moved by less than 4 limits" in told[5]
    assert max(map(len, told)) < 250
    assert len(words(reference, 0.2, aside=("from some cases",))) == MOST
    assert words(reference, 0.2, aside=("from some cases",))[-1] == "from some cases"


def test_limits_that_see_nothing_say_so() -> None:
    told = words(np.random.default_rng(0).normal(0, 1, (2, 4, 3)), 1e3)
    assert told[1:4] == [
        "no flipped sign would have failed",
        "no swap of two joints would have failed",
        "a chunk shifted by 2 steps would not have failed",
    ]
    single = words(np.zeros((1, 1, 1)), np.inf)
    assert single[:2] == ["a bias would not have failed, however large", "a flipped sign would not have failed"]
