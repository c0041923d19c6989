"""Whatever the data are, their own statistics contradict nothing: as NumPy, LeRobot and openpi compute them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from parity.stats.check import check_stats
from parity.stats.model import FeatureStats, NormStats

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
CONTRADICTIONS = {f"STATS{n:03}" for n in range(10, 19)}
SHAPES = ("normal", "uniform", "cauchy", "binary", "seldom", "constant", "exponential", "two", "steps")


def draw(kind: str, rng: np.random.Generator, n: int) -> np.ndarray:
    """Return ``(n, 1)`` values of one distribution."""
    made = {
        "normal": lambda: rng.standard_normal(n),
        "uniform": lambda: rng.uniform(-1, 1, n),
        "cauchy": lambda: np.clip(rng.standard_cauchy(n), -1e6, 1e6),
        "binary": lambda: (rng.uniform(size=n) < 0.5).astype(float),
        "seldom": lambda: (np.arange(n) % 200 == 0).astype(float),
        "constant": lambda: np.ones(n),
        "exponential": lambda: rng.exponential(size=n),
        "two": lambda: np.where(rng.uniform(size=n) < 0.1, -1.0, 1.0),
        "steps": lambda: np.round(rng.standard_normal(n)),
    }
    return np.asarray(made[kind]())[:, None]


def binned(x: np.ndarray, bins: int = 5000) -> dict[str, Any]:
    """Return quantiles off a histogram, as LeRobot and openpi read them: the edge of the bin where they fall."""
    found: dict[str, Any] = {}
    edges = np.linspace(x.min() - 1e-10, x.max() + 1e-10, bins + 1)
    mass = np.cumsum(np.histogram(x[:, 0], bins=edges)[0])
    for name, p in QUANTILES.items():
        found[name] = np.array([edges[np.searchsorted(mass, p * len(x))]])
    return found


def numbers(x: np.ndarray, how: str) -> dict[str, Any]:
    values = {"mean": x.mean(0), "std": x.std(0), "min": x.min(0), "max": x.max(0)}
    if how == "numpy":
        return {**values, **{k: np.quantile(x, p, axis=0) for k, p in QUANTILES.items()}}
    if how == "sample":  # with the n - 1 of pandas and torch
        return {**values, "std": x.std(0, ddof=1) if len(x) > 1 else x.std(0)}
    if how == "openpi":
        return {
            "mean": values["mean"],
            "std": values["std"],
            **{k: v for k, v in binned(x).items() if k in ("q01", "q99")},
        }
    return {**values, **binned(x)}


def pooled(parts: list[np.ndarray]) -> dict[str, Any]:
    """Return statistics of episodes as LeRobot 0.4 pools them: quantiles are weighted means of quantiles."""
    whole = numbers(np.concatenate(parts), "numpy")
    weights = np.array([len(p) for p in parts], float) / sum(len(p) for p in parts)
    each = [numbers(p, "lerobot") for p in parts]
    return {**whole, **{q: np.sum([w * e[q] for w, e in zip(weights, each, strict=True)], axis=0) for q in QUANTILES}}


def contradictions(values: dict[str, Any], count: int | None) -> list[str]:
    feature = FeatureStats("observation.state", values, count=count)
    found = check_stats(NormStats(Path("stats.json"), "stats.json", "lerobot_dataset", {feature.name: feature}))
    return [f"{f.code} {f.title}" for f in found if f.code in CONTRADICTIONS]


@settings(max_examples=300, deadline=None)
@example(kind="normal", how="sample", n=2, scale=1e-6, offset=0.0, float32=False, counted=False, seed=0)
@example(kind="normal", how="sample", n=2, scale=1.0, offset=0.0, float32=False, counted=True, seed=0)
@given(
    kind=st.sampled_from(SHAPES),
    how=st.sampled_from(["numpy", "sample", "openpi", "lerobot"]),
    n=st.integers(1, 5000),
    scale=st.sampled_from([1e-6, 1e-3, 1.0, 1e3]),
    offset=st.sampled_from([0.0, 1.0, -152.0, 1e5]),
    float32=st.booleans(),
    counted=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_own_statistics_contradict_nothing(
    kind: str, how: str, n: int, scale: float, offset: float, float32: bool, counted: bool, seed: int
) -> None:
    x = offset + scale * draw(kind, np.random.default_rng(seed), n)
    if float32:
        x = x.astype(np.float32).astype(np.float64)
    values = numbers(x, how)
    if float32:
        values = {k: np.float64(np.float32(v)) for k, v in values.items()}
    assert contradictions(values, n if counted else None) == []


@settings(max_examples=100, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(SHAPES), min_size=1, max_size=6),
    lengths=st.lists(st.integers(2, 600), min_size=6, max_size=6),
    offsets=st.lists(st.sampled_from([-3.0, 0.0, 0.5, 40.0]), min_size=6, max_size=6),
    seed=st.integers(0, 2**32 - 1),
)
def test_pooled_statistics_contradict_nothing(
    kinds: list[str], lengths: list[int], offsets: list[float], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    parts = [o + draw(k, rng, n) for k, n, o in zip(kinds, lengths, offsets, strict=False)]
    assert contradictions(pooled(parts), sum(len(p) for p in parts)) == []
