"""How often samples of right and wrong candidates fail: what the defaults of the test of samples rest on."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from sampling import Kind, failed

RUNS = 200
CASES: tuple[tuple[str, Kind, tuple[int, int, int, int]], ...] = (
    ("a right candidate", "right", (64, 32, 1, 7)),
    ("a right candidate", "right", (256, 64, 1, 2)),
    ("two modes, as the reference", "modes", (64, 32, 1, 2)),
    ("1.1 times the variance in one of 14 dimensions", "variance", (256, 64, 1, 14)),
    ("1.1 times the variance in one of 2 dimensions", "variance", (256, 64, 1, 2)),
    ("1.1 times the variance in one of 2 dimensions", "variance", (256, 40, 1, 2)),
    ("1.1 times the variance in all of 7 dimensions", "variances", (64, 40, 1, 7)),
    ("1.1 times the variance in all of 7 dimensions", "variances", (64, 32, 1, 7)),
    ("mean shifted by 0.1 of the spread in one of 7 dimensions", "shift", (256, 64, 1, 7)),
    ("mean shifted by 0.1 of the spread in one of 7 dimensions", "shift", (64, 32, 1, 7)),
    ("one of two modes missing", "one mode", (64, 32, 1, 2)),
    ("always the mean", "mean", (64, 32, 1, 7)),
    ("always the same noise", "still", (64, 32, 1, 7)),
)


def measure() -> list[dict[str, str]]:
    """Return one row per case: how many of 200 candidates fail."""
    return [_row(what, kind, shape) for what, kind, shape in CASES]


def _row(what: str, kind: Kind, shape: tuple[int, int, int, int]) -> dict[str, str]:
    began = time.process_time()
    found = sum(failed(shape, kind, seed) for seed in range(RUNS))
    each = (time.process_time() - began) / RUNS
    return {
        "candidate": what,
        "observations × samples": f"{shape[0]} × {shape[1]}",
        f"fail, of {RUNS}": str(found),
        "one judgement, processor": f"{each:.2f} s",
    }
