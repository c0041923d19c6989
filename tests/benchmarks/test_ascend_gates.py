"""The stand-in for Ascend's gates lets through what those were measured to let through; parity does not."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from ascend_gates import flagged
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
