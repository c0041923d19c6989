"""GR00T's metadata and statistics of both generations, and datasets cut up by modality.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpus_index import corpus_dir
from parity.errors import ArtifactError
from parity.stats.gr00t import cut
from parity.stats.model import FeatureStats
from parity.stats.names import canonical
from parity.stats.registry import read_stats

STATS = {
    "max": [1.0, 2.0],
    "min": [-1.0, -2.0],
    "mean": [0.0, 0.5],
    "std": [0.5, 0.25],
    "q01": [-0.9] * 2,
    "q99": [0.9] * 2,
}
METADATA = {
    "new_embodiment": {
        "statistics": {"state": {"left_arm": STATS}, "action": {"left_arm": STATS}},
        "modalities": {
            "video": {"ego": {"resolution": [256, 256], "channels": 3, "fps": 20.0}},
            "state": {"left_arm": {"absolute": True, "rotation_type": None, "shape": [2], "continuous": True}},
            "action": {"left_arm": {"absolute": True, "rotation_type": None, "shape": [2], "continuous": True}},
        },
        "embodiment_tag": "new_embodiment",
    }
}


def write(path: Path, data: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize("path", sorted(corpus_dir().glob("gr00t_modality/*.json")), ids=lambda p: p.name)
def test_every_modality_file_declares_its_keys(path: Path) -> None:
    (stats,) = read_stats(path)
    raw = json.loads(path.read_text())
    told = {f"{m}.{k}": (v["end"] - v["start"],) for m in ("state", "action") for k, v in raw[m].items()}
    assert {d.name: d.shape for d in stats.declared} == told
    assert {d.name for d in stats.declared if d.output} == {n for n in told if n.startswith("action.")}
    assert (stats.kind, stats.features, {d.mode for d in stats.declared}) == ("gr00t_modality", {}, {None})


def test_metadata_of_a_checkpoint(tmp_path: Path) -> None:
    write(tmp_path / "experiment_cfg/metadata.json", METADATA)
    (stats,) = read_stats(tmp_path)
    assert (stats.kind, stats.era, stats.facts["embodiment"]) == ("gr00t", "gr00t", "new_embodiment")
    assert list(stats.features) == ["state.left_arm", "action.left_arm"]
    assert [(d.name, d.shape, d.output) for d in stats.declared] == [
        ("state.left_arm", (2,), False),
        ("action.left_arm", (2,), True),
    ]
    one = stats.features["action.left_arm"]
    assert {n: v.tolist() for n, v in one.values.items()} == STATS
    assert one.sources["q99"] == "metadata.json: new_embodiment.action: left_arm.q99"
    assert (one.mode, one.clip) == (None, None)
    assert [canonical(n) for n in stats.features] == ["observation.state.left_arm", "action.left_arm"]


@pytest.mark.parametrize(
    ("config", "mode", "clip"),
    [
        ({"use_percentiles": True, "clip_outliers": True}, "QUANTILES", (-1.0, 1.0)),
        ({"use_percentiles": False, "clip_outliers": False}, "MIN_MAX", None),
        ({}, None, None),
    ],
)
def test_a_processor_tells_mode_and_clipping(
    tmp_path: Path, config: dict[str, Any], mode: str | None, clip: tuple[float, float] | None
) -> None:
    inner = {"state": {"left_arm": STATS}, "action": {"left_arm": STATS}, "relative_action": {"left_arm": STATS}}
    write(tmp_path / "statistics.json", {"gr1": inner, "g1": inner})
    keys = {"gr1": {"state": {"mean_std_embedding_keys": ["left_arm"]}}}
    write(tmp_path / "processor_config.json", {"processor_kwargs": {**config, "modality_configs": keys}})
    first, second = read_stats(tmp_path)
    assert [s.label for s in (first, second)] == [f"{tmp_path} [gr1]", f"{tmp_path} [g1]"]
    assert "relative_action.left_arm" in first.features
    assert (first.features["action.left_arm"].mode, first.features["action.left_arm"].clip) == (mode, clip)
    assert (first.era, second.features["state.left_arm"].mode) == ("gr00t-1.6", mode)
    assert first.features["state.left_arm"].mode == ("MEAN_STD" if config else None)


def test_one_embodiment_without_a_name(tmp_path: Path) -> None:
    (stats,) = read_stats(write(tmp_path / "x.json", {"state": {"x": STATS}, "action": {"y": STATS}}))
    assert (stats.kind, list(stats.features)) == ("gr00t", ["state.x", "action.y"])


def test_columns_are_cut_and_what_is_too_short_is_left_out() -> None:
    whole = FeatureStats("observation.state", {"mean": np.arange(4.0), "std": np.arange(3.0), "q01": np.ones((5, 4))})
    data = {"state": {"a": {"start": 1, "end": 4}, "b": {"start": 0, "end": 2, "original_key": "other"}}}
    found = cut({"observation.state": whole}, data, "f")
    assert list(found) == ["state.a"]
    assert found["state.a"].values["mean"].tolist() == [1.0, 2.0, 3.0]
    assert found["state.a"].values["q01"].shape == (5, 3)
    assert "std" not in found["state.a"].values


@pytest.mark.parametrize(
    "place", [{"start": 2, "end": 2}, {"start": -1, "end": 2}, {"start": 0, "end": "2"}, {"start": True, "end": 2}]
)
def test_places_that_are_none_are_refused(tmp_path: Path, place: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError, match="no columns"):
        read_stats(write(tmp_path / "modality.json", {"state": {"a": place}, "action": {}}))


def test_a_modality_file_beside_statistics_cuts_them(corpus: Path) -> None:
    (stats,) = read_stats(corpus / "lerobot_datasets/v20_droid_meta/meta/modality.json")
    raw = json.loads((corpus / "lerobot_datasets/v20_droid_meta/meta/stats.json").read_text())
    assert stats.features["action.joint_velocity"].values["q99"].tolist() == raw["action"]["q99"][21:28]
