"""Returns and largest rewards of two evaluations, beside the gate: the mean difference, its interval, its p-value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.evaluation import rewards as score

if TYPE_CHECKING:
    from parity.evaluation.gates import Sample

FIGURES = {"total_reward": "the return", "max_reward": "the largest reward"}


def compare_rewards(sample: Sample, alpha: float, seed: int) -> tuple[Mapping[str, Any], ...]:
    """Return a row for each reward that every episode of both sides has and that tells more than success does."""
    return tuple(
        _row(sample, figure, words, alpha, seed)
        for figure, words in FIGURES.items()
        if figure != sample.figure and _all_have(sample, figure) and not _is_success(sample, figure)
    )


def _episodes(sample: Sample) -> list[Any]:
    return [e for sides in sample.by_task.values() for side in sides for e in side]


def _all_have(sample: Sample, figure: str) -> bool:
    return all((v := getattr(e, figure)) is not None and math.isfinite(v) for e in _episodes(sample))


def _is_success(sample: Sample, figure: str) -> bool:
    return all(e.success is not None and float(e.success) == getattr(e, figure) for e in _episodes(sample))


def _row(sample: Sample, figure: str, words: str, alpha: float, seed: int) -> dict[str, Any]:
    values = sample.values(figure)
    mine, theirs = (np.concatenate(side) for side in zip(*values, strict=True))
    if sample.paired:
        apart = theirs - mine
        difference, interval = float(apart.mean()), score.bca([apart], alpha, seed)
        p_value, exact = score.sign_flips(apart, seed)
    else:
        weights = np.array([r.size * c.size / (r.size + c.size) for r, c in values])
        difference = float(np.average([c.mean() - r.mean() for r, c in values], weights=weights))
        interval = score.bca([mine, theirs], alpha, seed) if len(values) == 1 else None
        p_value, exact = score.shuffles(values, seed), False
    return {
        "figure": figure,
        "words": words,
        "n": min(mine.size, theirs.size),
        "reference_mean": float(mine.mean()),
        "candidate_mean": float(theirs.mean()),
        "difference": difference,
        "interval": list(interval) if interval else None,
        "p_value": p_value,
        "exact": exact,
    }
