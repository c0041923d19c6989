"""openpi's and RLinf's norm_stats.json: every key style, padding, metadata columns, folders of assets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpus_index import corpus_dir
from parity.errors import ArtifactError
from parity.stats.names import by_name, canonical, is_metadata
from parity.stats.registry import read_stats

FILES = sorted([*corpus_dir().glob("norm_stats_openpi/*.json"), *corpus_dir().glob("norm_stats_conflicts/*/*.json")])


def write(path: Path, stats: Any, **beside: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"norm_stats": stats, **beside}))
    return path


def entry(n: int, at: float = 0.0) -> dict[str, list[float]]:
    return {"mean": [at] * n, "std": [1.0] * n, "q01": [at - 1] * n, "q99": [at + 1] * n}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_every_file_is_read_as_it_is_stored(path: Path) -> None:
    (stats,) = read_stats(path)
    raw = json.loads(path.read_text())["norm_stats"]
    assert (stats.kind, stats.era, stats.label, stats.chunk) == ("openpi", "openpi", str(path), None)
    assert stats.features.keys() == raw.keys()
    for key, entries in raw.items():
        one = stats.features[key]
        assert (one.mode, one.eps, one.count) == (None, 1e-6, None)  # which of the two is read stands in no file
        assert one.values.keys() == entries.keys()
        for name, value in one.values.items():
            np.testing.assert_array_equal(value, np.asarray(entries[name]))
            assert one.sources[name] == f"{path.name}: {key}.{name}"


def test_every_key_style_is_one_feature(tmp_path: Path) -> None:
    styles = [("state", "actions"), ("observation.state", "action"), ("observation/state", "actions")]
    for i, (state, action) in enumerate(styles):
        columns = dict.fromkeys(("episode_index", "frame_index", "timestamp", "index", "task_index"), entry(1))
        path = write(tmp_path / f"{i}.json", {state: entry(32, 5.0), action: entry(32), **columns})
        (stats,) = read_stats(path)
        assert list(stats.features) == [state, action, *columns]
        assert by_name(stats)["observation.state"].values["mean"].tolist() == [5.0] * 32
        assert [n for n in stats.features if is_metadata(n)] == list(columns)


def test_a_checkpoint_has_a_set_for_each_asset(tmp_path: Path) -> None:
    (tmp_path / "params").mkdir()
    write(tmp_path / "assets/trossen/norm_stats.json", {"state": entry(2)})
    write(tmp_path / "assets/lerobot/aloha_sim/norm_stats.json", {"state": entry(3)})
    (tmp_path / "config.json").write_text(json.dumps({"action_dim": 32, "action_horizon": 50}))
    found = read_stats(tmp_path)
    assert [s.facts["asset"] for s in found] == ["trossen", "lerobot/aloha_sim"]
    assert found[0].label == f"{tmp_path} [trossen]"
    assert {(s.chunk, s.facts["action_dim"]) for s in found} == {(50, 32)}
    assert read_stats(tmp_path / "assets/trossen")[0].features.keys() == {"state"}


def test_rlinf_keeps_the_asset_in_the_model_folder(tmp_path: Path) -> None:
    write(tmp_path / "physical-intelligence/libero/norm_stats.json", {"state": entry(2)})
    (stats,) = read_stats(tmp_path)
    assert stats.facts["asset"] == "physical-intelligence/libero"


def test_folders_behind_links_and_far_below_are_not_searched(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere/norm_stats.json", {"state": entry(2)})
    (tmp_path / "model").mkdir()
    (tmp_path / "model/assets").symlink_to(tmp_path / "elsewhere")
    write(tmp_path / "model/1/2/3/4/5/norm_stats.json", {"state": entry(2)})
    with pytest.raises(ArtifactError, match="no normalization statistics"):
        read_stats(tmp_path / "model")


def test_quantiles_that_were_not_computed_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "norm_stats.json", {"state": {"mean": [0.0], "std": [1.0], "q01": None, "q99": None}})
    assert read_stats(path)[0].features["state"].values.keys() == {"mean", "std"}


@pytest.mark.parametrize(
    "stats", [{"state": [1, 2]}, {"state": {"mean": "x"}}, {"state": {"mean": [[1], 2]}}, {"state": {"mean": [{}]}}]
)
def test_what_is_no_statistics_is_refused(tmp_path: Path, stats: Any) -> None:
    with pytest.raises(ArtifactError, match=r"expected"):
        read_stats(write(tmp_path / "norm_stats.json", stats))


@pytest.mark.parametrize("text", ["", "{", '{"norm_stats": {}}', '{"norm_stats": []}', "[]", '{"norm_stats": {"a": {'])
def test_a_file_that_holds_none_is_refused_and_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "norm_stats.json"
    path.write_text(text)
    with pytest.raises(ArtifactError, match=r"norm_stats\.json"):
        read_stats(path)


def test_names_of_the_corpus_are_the_two_that_every_policy_has() -> None:
    assert {canonical(key) for path in FILES for s in read_stats(path) for key in s.features} <= {
        "observation.state",
        "action",
    }
