"""Right conversions of small policies pass, whatever the policy; `tests/benchmarks/run.py replay_rates` has figures."""

from __future__ import annotations

import numpy as np
import pytest

from replay_policies import conversions, judged_conversion

PLANTED = 0.02  # of the joint's range: ten times what is found in 95 % of trials


def _right_pass_and_biased_fail(seed: int) -> None:
    for made in conversions(seed):
        rows, span = judged_conversion(made)
        bad = {place: row for place, row in rows.items() if row.verdict != "PASS"}
        assert not bad, (seed, made.kind, bad)
        if made.precision not in ("float32", "float16"):
            continue
        for d in {d for name, d in rows if name == "bias" and rows[name, d].limit < PLANTED / 2 * span[d]}:
            found, _ = judged_conversion(made, np.where(np.arange(len(span)) == d, PLANTED * span, 0.0))
            assert found["bias", d].verdict == "FAIL", (seed, made.kind, d)


@pytest.mark.parametrize("seed", range(8))
def test_right_conversions_pass_and_a_biased_joint_fails(seed: int) -> None:
    _right_pass_and_biased_fail(seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(8, 200))
def test_right_conversions_of_many_policies_pass(seed: int) -> None:
    _right_pass_and_biased_fail(seed)
