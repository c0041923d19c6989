"""Files of normalization statistics for tests, as openpi writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

RNG = np.random.default_rng(11)
STATE = RNG.normal(size=(400, 3)) * [1.0, 20.0, 0.1] + [0.0, 5.0, 152.0]
ACTION = RNG.normal(size=(400, 2)) * [0.5, 3.0]


def statistics(rows: Any) -> dict[str, list[float]]:
    """Return mean, std, q01 and q99 of ``rows`` ``(N, D)``."""
    found = {"mean": rows.mean(0), "std": rows.std(0), "q01": np.quantile(rows, 0.01, 0)}
    found["q99"] = np.quantile(rows, 0.99, 0)
    return {name: value.tolist() for name, value in found.items()}


def norm_stats(path: Path, **features: Any) -> Path:
    """Write ``norm_stats.json`` of rows by feature to ``path``; without features those of STATE and ACTION."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = {n: statistics(r) for n, r in (features or {"state": STATE, "actions": ACTION}).items()}
    path.write_text(json.dumps({"norm_stats": table}))
    return path
