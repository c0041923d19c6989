"""Faults of normalization that only other sources, or the data, show: N8 and N9 of the catalogue, N6 of one file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from parity.finding import Finding
from parity.stats.agree import agree
from parity.stats.model import FeatureStats, NormStats
from parity.stats.registry import read_stats
from parity.stats.tell import agreement_findings

pytestmark = pytest.mark.corpus

CONFLICT, STORED = "STATS071", "STATS081"  # between sources; stored against recomputed
BRIDGE = "norm_stats_openpi/52fff58b_norm_stats.json"
G1 = "lerobot_datasets/v21_g1_inspire_100ep"


def conflicts(*sources: NormStats) -> list[Finding]:
    found: list[Finding] = agreement_findings(agree(sources))
    return [f for f in found if f.severity == "error"]


def test_n8_the_statistics_of_another_key_are_selected(corpus: Path) -> None:
    """openvla 203: a model with statistics of several datasets runs with the wrong ``unnorm_key``."""
    data = replace(read_stats(corpus / BRIDGE)[0], label="bridge, the data", kind="lerobot_dataset", era=None)
    run = replace(read_stats(corpus / BRIDGE)[0], path=corpus / "run", label="the training run")
    right = replace(run, path=corpus / "robot", label="the robot: bridge")
    other = read_stats(corpus / "norm_stats_conflicts/norm_drift_robomme/0_9fa36cb8.json")[0]
    wrong = replace(other, path=corpus / "robot", label="the robot: robomme")
    assert conflicts(right, run, data) == []
    found = conflicts(wrong, run, data)
    assert [f.code for f in found if f.where.startswith("observation.state")] == [CONFLICT]
    assert "the robot: robomme" in found[0].title  # the odd one out


def g1_episodes(corpus: Path) -> list[np.ndarray]:
    """Return the actions of every episode, ``(T, 26)`` each."""
    pq = pytest.importorskip("pyarrow.parquet")
    files = sorted((corpus / G1 / "data").rglob("*.parquet"))
    tables = (pq.read_table(f, columns=["action"]).column("action").combine_chunks() for f in files)
    return [np.asarray(t.flatten(), np.float64).reshape(len(t), -1) for t in tables]


def statistics(values: dict[str, np.ndarray], label: str, kind: str, corpus: Path) -> NormStats:
    return NormStats(corpus / label, label, kind, {"action": FeatureStats("action", values, mode="QUANTILES")})


def test_n9_quantiles_that_are_weighted_means_of_quantiles(corpus: Path) -> None:
    """lerobot 4156: q99 of episodes averaged, as v3.0 datasets store it. Real actions of a G1, 100 episodes."""
    episodes = g1_episodes(corpus)
    whole = np.concatenate(episodes)
    weights = np.array([len(e) for e in episodes]) / len(whole)
    true = {q: np.quantile(whole, p, axis=0) for q, p in (("q01", 0.01), ("q99", 0.99))}
    mean = {
        q: np.sum([w * np.quantile(e, p, axis=0) for w, e in zip(weights, episodes, strict=True)], axis=0)
        for q, p in (("q01", 0.01), ("q99", 0.99))
    }
    recomputed = statistics(true, "recomputed", "recomputed", corpus)
    rounded = {q: np.float64(np.float32(v)) for q, v in true.items()}
    assert conflicts(statistics(rounded, "stored", "lerobot_dataset", corpus), recomputed) == []
    found = conflicts(statistics(mean, "stored", "lerobot_dataset", corpus), recomputed)
    assert [f.code for f in found] == [STORED]
    assert found[0].where.startswith("action")


def test_n6_two_files_that_differ_in_their_quantiles_only(corpus: Path) -> None:
    """The real conflict of the corpus: mean and std agree to 3e-3, the quantiles of one are its extremes."""
    folder = corpus / "norm_stats_conflicts/norm_conflict_zwbx"
    good, bad = (read_stats(folder / n)[0] for n in ("0_52fff58b.json", "1_f338a091.json"))
    assert {f.code for f in conflicts(good, bad)} == {CONFLICT}
    drift = corpus / "norm_stats_conflicts/norm_drift_robomme"
    assert conflicts(*(read_stats(drift / n)[0] for n in ("0_9fa36cb8.json", "1_f3bf76ac.json"))) == []
