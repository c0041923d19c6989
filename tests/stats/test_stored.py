"""Stored statistics against the data: beside each other, and how much of the data a stored range covers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from parity.stats.agree import Source, agree, as_source
from parity.stats.model import FeatureStats, NormStats
from parity.stats.stored import coverage_findings, rows
from parity.stats.tell import agreement_findings

DATA = np.random.default_rng(3).normal(size=(1000, 2)) * [1.0, 10.0]
LEVELS = {"q01": 0.01, "q10": 0.1, "q90": 0.9, "q99": 0.99}


@dataclass
class Counted:
    """Counts by looking at all values."""

    values: Any

    @property
    def count(self) -> Any:
        return np.full(self.values.shape[1], len(self.values))

    def outside(self, low: Any, high: Any) -> list[Any]:
        found = ((self.values < low) | (self.values > high)).sum(0)
        return [type("Share", (), {"low": int(n), "high": int(n)}) for n in found]


def statistics(values: Any) -> dict[str, Any]:
    ends = {"mean": values.mean(0), "std": values.std(0), "min": values.min(0), "max": values.max(0)}
    return ends | {name: np.quantile(values, level, axis=0) for name, level in LEVELS.items()}


def source(kind: str, stored: dict[str, Any], mode: str | None = None) -> Source:
    return as_source(NormStats(Path(kind), kind, kind, {"action": FeatureStats("action", stored, mode=mode)}))


def row(stored: dict[str, Any], mode: str | None = None) -> dict[str, Any]:
    data = source("recomputed", statistics(DATA))
    (found,) = rows([source("policy", stored, mode), data], data, {"action": Counted(DATA)})
    return found


def test_what_is_stored_stands_beside_what_the_data_gives() -> None:
    found = row(statistics(DATA), "QUANTILES")
    assert (found["source"], found["feature"], found["ends"]) == ("policy", "action", ["q01", "q99"])
    assert found["stored"] == found["recomputed"]
    assert found["outside"] == [0.02, 0.02]
    assert list(coverage_findings([found])) == []


def test_quantiles_that_are_averages_leave_too_much_outside() -> None:
    stored = {**statistics(DATA), "q99": np.quantile(DATA, 0.7, axis=0)}
    (finding,) = coverage_findings([row(stored, "QUANTILES")])
    assert (finding.code, finding.severity, finding.where.startswith("action[")) == ("STATS082", "warning", True)
    assert "31%" in finding.title
    assert list(coverage_findings([row(stored, "MIN_MAX")])) == []


def test_min_and_max_cover_all_though_they_were_rounded() -> None:
    stored = {n: v.astype(np.float32) for n, v in statistics(DATA).items()}
    found = row(stored, "MIN_MAX")
    assert (found["outside"], found["expected"]) == ([0.0, 0.0], 0.0)


def test_a_mode_without_ends_counts_four_std() -> None:
    found = row(statistics(DATA), "MEAN_STD")
    assert found["ends"] == ["mean - 4 std", "mean + 4 std"]
    narrow = {**statistics(DATA), "std": statistics(DATA)["std"] / 8}
    assert [f.code for f in coverage_findings([row(narrow, "MEAN_STD")])] == ["STATS082"]


def test_what_is_not_normalized_has_no_row() -> None:
    data = source("recomputed", statistics(DATA))
    assert list(rows([source("policy", statistics(DATA), "IDENTITY"), data], data, {})) == []


def test_other_shapes_and_missing_statistics_have_no_coverage() -> None:
    assert row({"mean": np.zeros(2), "max": np.zeros(3)})["outside"] is None


def test_stored_statistics_that_are_not_those_of_the_data_are_named_so() -> None:
    off = {**statistics(DATA), "std": statistics(DATA)["std"] * 8}
    two = [source("policy", off), source("lerobot_dataset", off), source("recomputed", statistics(DATA))]
    codes = [f.code for f in agreement_findings(agree([s.stats for s in two]))]
    assert codes == ["STATS081", "STATS070"]
