"""Stored statistics against the frames: silent on what is right, and each fault of the field named."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lerobot_data import write_v2, write_v3
from parity.dataset.registry import open_dataset
from parity.finding import Finding
from parity.stats.against_data import AgainstData, against_data, as_json
from parity.stats.model import FeatureStats, NormStats
from parity.stats.recompute import Recomputed, recompute
from parity.stats.registry import read_stats

pytest.importorskip("pyarrow")
QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
Data = Sequence[Mapping[str, np.ndarray]]


def robot(episodes: int = 12, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """Return episodes of a robot that works somewhere else in each of them; joint 2 is parked at 152."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(episodes):
        frames = int(rng.integers(150, 400))
        t = np.linspace(0, 6, frames)
        state = np.stack([np.sin(t) + i, 40 * np.sin(t + i) * (i == 3), 152 + rng.normal(0, 0.003, frames)], axis=1)
        found.append({"observation.state": state.astype(np.float32), "action": state[:, :2].astype(np.float32)})
    return found


def naive(values: np.ndarray) -> dict[str, np.ndarray]:
    """Return an episode's statistics as LeRobot 0.4 works them out: E[x²] − E[x]² in the data's own float32.

    Source: RunningQuantileStats of lerobot/datasets/compute_stats.py, its quantiles without the histogram's error.
    """
    mean, square = np.mean(values, axis=0), np.mean(values**2, axis=0)
    found = {"min": values.min(axis=0), "max": values.max(axis=0), "mean": mean, "count": np.asarray([len(values)])}
    found["std"] = np.sqrt(np.maximum(0, square - mean**2))
    return found | {name: np.quantile(values, q, axis=0) for name, q in QUANTILES.items()}


def pooled(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return episodes' statistics joined as LeRobot 0.4 joins them (``aggregate_feature_stats``)."""
    weights = np.stack([p["count"] for p in parts]).astype(np.float64)
    total = weights.sum(axis=0)
    mean = (np.stack([p["mean"] for p in parts]) * weights).sum(axis=0) / total
    spread = np.stack([p["std"] ** 2 + (p["mean"] - mean) ** 2 for p in parts])
    found = {
        "min": np.min([p["min"] for p in parts], axis=0),
        "max": np.max([p["max"] for p in parts], axis=0),
        "mean": mean,
        "std": np.sqrt((spread * weights).sum(axis=0) / total),
        "count": total.astype(int),
    }
    return found | {q: (np.stack([p[q] for p in parts]) * weights).sum(axis=0) / total for q in QUANTILES}


def exact(data: Data) -> dict[str, dict[str, np.ndarray]]:
    """Return the statistics of all frames, in float64."""
    found = {}
    for name in data[0]:
        values = np.concatenate([e[name] for e in data]).astype(np.float64)
        found[name] = {"mean": values.mean(axis=0), "std": values.std(axis=0), "count": np.asarray([len(values)])}
        found[name] |= {"min": values.min(axis=0), "max": values.max(axis=0)}
        found[name] |= {q: np.quantile(values, f, axis=0) for q, f in QUANTILES.items()}
    return found


def stored(path: Path, values: Mapping[str, Mapping[str, np.ndarray]]) -> NormStats:
    features = {
        name: FeatureStats(
            name,
            {k: np.asarray(v, np.float64) for k, v in stats.items() if k != "count"},
            count=int(stats["count"][0]) if "count" in stats else None,
        )
        for name, stats in values.items()
    }
    return NormStats(path, "stored", "lerobot_dataset", features)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recomputed]:
    root = write_v2(tmp_path_factory.mktemp("data") / "set", robot())
    return root, recompute(open_dataset(root))


def compare(data: tuple[Path, Recomputed], **changes: Mapping[str, Any]) -> AgainstData:
    """Compare the exact statistics, some of them changed (feature with ``_`` for dots: statistic: value)."""
    values = exact(robot())
    for name, changed in changes.items():
        values[name.replace("_", ".")] |= changed
    return against_data(stored(data[0], values), data[1])


def codes(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(f.code, f.severity) for f in findings]


def test_the_data_s_own_statistics_are_silent(data: tuple[Path, Recomputed]) -> None:
    found = compare(data)
    assert found.findings == ()
    one = found.features["observation.state"]
    assert max(float(g.max()) for g in one.gaps.values()) < 1e-9
    assert [c.ends for c in one.coverage] == [("q01", "q99"), ("min", "max")]
    quantiles, ends = one.coverage
    assert (np.abs(quantiles.low - 0.02) < 0.002).all()
    assert (ends.low == 0).all()
    assert json.dumps(as_json(found))


def test_statistics_rounded_to_float32_are_silent(data: tuple[Path, Recomputed]) -> None:
    values = exact(robot())
    rounded = {n: {k: v.astype(np.float32) if k != "count" else v for k, v in s.items()} for n, s in values.items()}
    assert against_data(stored(data[0], rounded), data[1]).findings == ()


def test_a_parked_joint_s_std_that_float32_lost(data: tuple[Path, Recomputed]) -> None:
    parts = [naive(e["observation.state"]) for e in robot()]
    true, lost = exact(robot())["observation.state"]["std"], pooled(parts)["std"]
    assert lost[2] > 8 * true[2]  # as it is in the field
    found = compare(data, observation_state={"std": lost})
    assert codes(found.findings) == [("STATS040", "error")]
    (finding,) = found.findings
    assert finding.where == "observation.state[2]"
    assert f"{lost[2] / true[2]:.3g} times" in finding.title
    assert finding.evidence["stored"]["[2]"] == lost[2]


def test_a_std_of_0_that_float32_lost(data: tuple[Path, Recomputed]) -> None:
    std = exact(robot())["observation.state"]["std"] * [1, 1, 0]
    found = compare(data, observation_state={"std": std})
    assert codes(found.findings) == [("STATS040", "error")]


def test_a_wrong_std_that_float32_does_not_explain(data: tuple[Path, Recomputed]) -> None:
    std = exact(robot())["observation.state"]["std"]
    for factor, severity in ((2.0, "error"), (0.5, "error"), (1.1, "warning")):
        found = compare(data, observation_state={"std": std * [1, factor, 1]})
        assert codes(found.findings) == [("STATS041", severity)]
        assert found.findings[0].where == "observation.state[1]"
    assert compare(data, observation_state={"std": std * 1.005}).findings == ()


def averaged(tmp_path: Path) -> tuple[Path, dict[str, dict[str, np.ndarray]]]:
    """Write a v3.0 set whose ``stats.json`` is joined from its episodes' statistics, as LeRobot writes it."""
    episodes = [{"action": e["action"]} for e in robot()]
    parts = [{n: naive(v) for n, v in e.items()} for e in episodes]
    root = write_v3(tmp_path / "set", episodes, 5, parts)
    whole = {n: pooled([p[n] for p in parts]) for n in parts[0]}
    listed = {n: {k: v.tolist() for k, v in s.items()} for n, s in whole.items()}
    (root / "meta" / "stats.json").write_text(json.dumps(listed))
    return root, whole


def test_quantiles_that_are_means_of_the_episodes_quantiles(tmp_path: Path) -> None:
    root, whole = averaged(tmp_path)
    recomputed = recompute(open_dataset(root))
    sets = read_stats(root)
    assert len(sets) == 2
    found = against_data(sets[0], recomputed, sets[1])
    assert codes(found.findings) == [("STATS044", "error")]
    (finding,) = found.findings
    assert "mean of the episodes' quantiles" in finding.title
    assert "lie outside of q01 to q99" in finding.title
    one = found.features["action"]
    values = np.concatenate([e["action"] for e in robot()])
    outside = ((values < whole["action"]["q01"]) | (values > whole["action"]["q99"])).mean(axis=0)
    np.testing.assert_allclose(one.coverage[0].low, outside, atol=1e-3)
    assert one.coverage[0].low.max() > 0.05
    without = against_data(sets[0], recomputed)
    assert codes(without.findings) == [("STATS045", "error")]  # wrong either way; why is told by the episodes alone


def test_other_quantiles_are_not_said_to_be_means(tmp_path: Path) -> None:
    root, whole = averaged(tmp_path)
    sets = read_stats(root)
    other = stored(root, {"action": whole["action"] | {"q99": whole["action"]["q99"] + 3}})
    found = against_data(other, recompute(open_dataset(root)), sets[1])
    assert ("STATS045", "error") in codes(found.findings)
    assert next(f for f in found.findings if f.code == "STATS045").evidence.keys() == {"q99"}


def test_true_quantiles_of_a_set_whose_episodes_are_alike_are_silent(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    episodes = [{"action": rng.uniform(-1, 1, (2000, 2)).astype(np.float32)} for _ in range(5)]
    root = write_v2(tmp_path / "set", episodes)
    values = {"action": pooled([naive(e["action"]) for e in episodes])}
    assert against_data(stored(root, values), recompute(open_dataset(root))).findings == ()


def test_a_count_of_other_frames(data: tuple[Path, Recomputed]) -> None:
    found = compare(data, action={"count": np.asarray([17])})
    assert codes(found.findings) == [("STATS046", "warning")]
    assert "of 17 frames" in found.findings[0].title


def test_min_and_max_that_the_data_leaves(data: tuple[Path, Recomputed]) -> None:
    true = exact(robot())["action"]
    found = compare(data, action={"max": true["max"] - [3, 0]})
    assert codes(found.findings) == [("STATS042", "error")]
    (finding,) = found.findings
    values = np.concatenate([e["action"][:, 0] for e in robot()])
    outside = float((values > true["max"][0] - 3).mean())
    assert finding.where == "action[0]"
    assert finding.evidence["outside"] == pytest.approx(outside)
    assert f"{outside:.2%} of it is outside of [-1, 1]" in finding.title
    slightly = compare(data, action={"max": true["max"] - [0.02, 0]})
    assert codes(slightly.findings) == [("STATS042", "warning")]


def test_min_and_max_that_are_far_wider(data: tuple[Path, Recomputed]) -> None:
    true = exact(robot())["action"]
    found = compare(data, action={"min": true["min"] - [0, 50]})
    assert codes(found.findings) == [("STATS043", "warning")]
    assert found.findings[0].where == "action[1]"


def test_a_mean_of_other_data(data: tuple[Path, Recomputed]) -> None:
    true = exact(robot())["action"]
    for by, severity in ((2.0, "error"), (0.1, "warning")):
        found = compare(data, action={"mean": true["mean"] + [by, 0]})
        assert codes(found.findings) == [("STATS041", severity)]


def test_names_are_matched_and_shapes_are_not_guessed(data: tuple[Path, Recomputed]) -> None:
    values = exact(robot())
    renamed = stored(data[0], {"state": values["observation.state"], "actions": values["action"]})
    assert set(against_data(renamed, data[1]).features) == {"observation.state", "action"}
    long = stored(data[0], {"action": {"mean": np.arange(7.0), "std": np.arange(1.0, 8.0)}})
    assert codes(against_data(long, data[1]).findings) == [("STATS047", "error")]
    other = stored(data[0], {"torque": values["action"]})
    assert codes(against_data(other, data[1]).findings) == [("STATS049", "error")]


def test_what_openpi_pads_to_its_models_width_is_left_out(data: tuple[Path, Recomputed]) -> None:
    values = exact(robot())["action"]
    padded = {n: np.concatenate([values[n], np.full(30, float(n == "std"))]) for n in ("mean", "std", "q01", "q99")}
    found = against_data(stored(data[0], {"actions": padded}), data[1])
    assert (set(found.features), found.findings) == ({"action"}, ())


def test_a_std_of_other_data_was_not_lost_in_float32(data: tuple[Path, Recomputed]) -> None:
    values = {n: v.copy() for n, v in exact(robot())["observation.state"].items()}
    values["std"][2] *= 0.9
    lost = against_data(stored(data[0], {"state": values}), data[1]).findings
    values["mean"][0] += 5
    other = against_data(stored(data[0], {"state": values}), data[1]).findings
    assert ("STATS040" in {f.code for f in lost}, "STATS040" in {f.code for f in other}) == (True, False)


def test_statistics_per_chunk_position(tmp_path: Path) -> None:
    episodes = robot()
    root = write_v2(tmp_path / "set", episodes)
    chunks = np.asarray([e["action"][t : t + 4] for e in episodes for t in range(len(e["action"]) - 3)], np.float64)
    values = {"mean": chunks.mean(axis=0), "std": chunks.std(axis=0), "q99": np.quantile(chunks, 0.99, axis=0)}
    found = against_data(stored(root, {"action": values}), recompute(open_dataset(root), chunk=4))
    assert found.findings == ()
    assert found.features["action"].per_chunk
    values["mean"] = values["mean"] + 2
    found = against_data(stored(root, {"action": values}), recompute(open_dataset(root), chunk=4))
    assert codes(found.findings) == [("STATS041", "error")]


def test_values_that_are_not_finite_are_counted_and_named(tmp_path: Path) -> None:
    episodes = robot()
    episodes[1]["action"][5, 1] = np.nan
    episodes[2]["action"][7, 0] = np.inf
    root = write_v2(tmp_path / "set", episodes)
    recomputed = recompute(open_dataset(root))
    values = recomputed.stats.features
    assert np.isfinite(values["action"].values["mean"]).all()
    found = against_data(replace(recomputed.stats, label="stored"), recomputed)
    assert codes(found.findings) == [("STATS048", "warning")]
    assert "1 values are NaN and 1 infinite" in found.findings[0].title


@pytest.mark.corpus
def test_the_real_set_is_clean(corpus: Path) -> None:
    root = corpus / "lerobot_datasets" / "v21_g1_inspire_100ep"
    (episodes,) = read_stats(root)
    found = against_data(episodes, recompute(open_dataset(root)), episodes)
    assert found.findings == ()
    assert set(found.features) == {"observation.state", "action"}
    for one in found.features.values():
        assert one.gaps["mean"].max() < 1e-6
        assert one.gaps["min"].max() == one.gaps["max"].max() == 0
        assert np.abs(one.ratio - 1).max() < 1e-5
        assert next(c for c in one.coverage if c.ends == ("min", "max")).high.max() == 0
