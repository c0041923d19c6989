"""The stand-in for Ascend's gates lets through what those were measured to let through; parity does not."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

sys.path.insert(0, str(Path(__file__).parent))
import bench_ascend_limits
import mindstudio
from ascend_gates import GATES, flagged
from bench_ascend import chunk, close
from planted import ON_OUTPUTS


def test_what_the_gates_let_through() -> None:
    golden = chunk()
    assert not flagged(golden, golden)
    assert not flagged(np.full_like(golden, np.nan), golden)
    assert not flagged(np.ones(12), np.zeros(12))
    assert flagged(-golden, golden)
    assert not close(np.full_like(golden, np.nan), golden)


@pytest.mark.parametrize("fault", ON_OUTPUTS)
def test_no_small_fault_on_a_chunk_is_close(fault: str) -> None:
    golden = chunk()
    assert close(golden, golden)
    for wrong in ON_OUTPUTS[fault](golden):
        assert not close(wrong, golden)


def theirs() -> dict[str, mindstudio.Metric]:
    """Ascend's own metrics, where they are installed."""
    if mindstudio.folder() is None:
        pytest.skip(mindstudio.ABSENT)
    return dict(mindstudio.metrics())


def same(ours: float, other: float) -> bool:
    """Whether two metrics are one, as text with six decimals tells them: NaN, infinity, or nearly the same number."""
    if np.isnan(ours) or np.isnan(other):
        return bool(np.isnan(ours) and np.isnan(other))
    return ours == other or abs(ours - other) <= 1e-6 + 2e-5 * abs(other)


NUMBERS = st.floats(-1e4, 1e4, width=32, allow_subnormal=False)
SPECIAL = {
    "both zero": (np.zeros(6), np.zeros(6)),
    "golden zero": (np.ones(6), np.zeros(6)),
    "device zero": (np.zeros(6), np.ones(6)),
    "all NaN": (np.full(6, np.nan), np.ones(6)),
    "one NaN": (np.asarray([1.0, np.nan, 2.0]), np.asarray([1.0, 2.0, 3.0])),
    "infinite": (np.asarray([1.0, np.inf, 2.0]), np.asarray([1.0, 2.0, 3.0])),
    "scalar": (np.asarray([3.0]), np.asarray([-4.0])),
    "constant": (np.full(6, 2.0), np.linspace(1, 3, 6)),
    "tiny golden": (np.full(6, 1e-8), np.full(6, 1e-9)),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_special_tensors_as_mindstudio_has_them(name: str) -> None:
    device, golden = (a.astype(np.float32) for a in SPECIAL[name])
    for metric, other in theirs().items():
        with np.errstate(all="ignore"):
            ours = GATES[metric][0](device, golden)
        assert same(ours, other(device, golden)), (metric, ours, other(device, golden))


@given(st.data())
def test_our_metrics_are_those_of_mindstudio(data: st.DataObject) -> None:
    metrics = theirs()
    size = data.draw(st.integers(1, 24))
    device, golden = (data.draw(arrays(np.float32, size, elements=NUMBERS)) for _ in range(2))
    for metric, other in metrics.items():
        with np.errstate(all="ignore"):
            ours = GATES[metric][0](device, golden)
        assert same(ours, other(device, golden)), (metric, ours, other(device, golden))


@pytest.mark.parametrize("fault", ON_OUTPUTS)
def test_the_gates_flag_what_mindstudio_flags(fault: str) -> None:
    metrics, golden = theirs(), chunk()
    for wrong in ON_OUTPUTS[fault](golden):
        a, b = wrong.ravel(), golden.ravel()
        assert flagged(wrong, golden) == [n for n, (_, fails) in GATES.items() if fails(metrics[n](a, b))]


@pytest.mark.corpus
def test_the_table_of_what_passes_is_true(corpus: Path) -> None:
    rows = {(r["policy"].split(" (")[0], r["fault"].split(" (")[0]): r for r in bench_ascend_limits.measure()}
    sides = {policy for policy, _ in rows}
    assert len(sides) == 4
    for policy in sides:
        assert rows[policy, "none"]["parity"] == "PASS"
        assert rows[policy, "none"]["five gates pass"] == "64 of 64"
        assert rows[policy, bench_ascend_limits.NAN]["five gates pass"] == "64 of 64"
    assert {r["parity"] for (_, fault), r in rows.items() if fault != "none"} == {"FAIL"}
    assert int(rows["recorded actions of a humanoid", "chunk shifted by 8 steps"]["five gates pass"].split()[0]) > 32
