"""Statistics of LeRobot datasets of every version: as stored, or pooled over episodes as LeRobot itself pools them."""

from __future__ import annotations

import json
import math
import shutil
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus_index import corpus_dir
from parity.errors import ArtifactError, UsageError
from parity.stats.lerobot_episodes import Pooling
from parity.stats.model import NormStats
from parity.stats.registry import read_stats

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"


def found(pattern: str) -> list[Path]:
    return sorted(corpus_dir().glob(pattern))


def lerobot_pools(episodes: list[dict[str, Any]]) -> dict[str, Any]:
    """``aggregate_feature_stats`` of lerobot 0.4.4, over one feature's statistics of every episode."""
    means = np.stack([s["mean"] for s in episodes])
    variances = np.stack([s["std"] ** 2 for s in episodes])
    counts = np.stack([s["count"] for s in episodes])
    total = counts.sum(axis=0)
    while counts.ndim < means.ndim:
        counts = np.expand_dims(counts, axis=-1)
    mean = (means * counts).sum(axis=0) / total
    variance = ((variances + (means - mean) ** 2) * counts).sum(axis=0) / total
    pooled = {
        "min": np.min(np.stack([s["min"] for s in episodes]), axis=0),
        "max": np.max(np.stack([s["max"] for s in episodes]), axis=0),
        "mean": mean,
        "std": np.sqrt(variance),
    }
    for name in (k for k in episodes[0] if k.startswith("q") and all(k in s for s in episodes)):
        pooled[name] = (np.stack([s[name] for s in episodes]) * counts).sum(axis=0) / total
    return pooled


def as_arrays(entries: Mapping[str, Any]) -> dict[str, Any]:
    return {name: np.asarray(value, dtype=np.float64) for name, value in entries.items()}


def close(ours: NormStats, feature: str, theirs: Mapping[str, Any]) -> None:
    assert ours.features[feature].values.keys() == theirs.keys()
    for name, value in theirs.items():
        mine = ours.features[feature].values[name]
        assert mine.shape == value.shape
        np.testing.assert_allclose(mine, value, rtol=1e-12, atol=1e-12, err_msg=f"{feature}.{name}")


@pytest.mark.parametrize("path", found("lerobot_stats/*.json"), ids=lambda p: p.name)
def test_every_statistics_file_is_read_as_it_is_stored(path: Path) -> None:
    (stats,) = read_stats(path)
    raw = json.loads(path.read_text())
    assert (stats.kind, stats.era) == ("lerobot_dataset", None)
    assert stats.features.keys() == raw.keys()
    for feature, entries in raw.items():
        one = stats.features[feature]
        assert one.count == (entries["count"][0] if "count" in entries else None)
        assert one.values.keys() == entries.keys() - {"count"}
        for name, value in one.values.items():
            np.testing.assert_array_equal(value, np.asarray(entries[name], dtype=np.float64))
            assert one.sources[name] == f"{path.name}: {feature}.{name}"


@pytest.mark.parametrize("path", found("lerobot_stats/*.pth"), ids=lambda p: p.name)
def test_every_tensor_file_holds_what_its_storages_hold(path: Path) -> None:
    (stats,) = read_stats(path)
    with zipfile.ZipFile(path) as archive:  # a storage may serve two tensors (observation and next.observation)
        names = [n for n in archive.namelist() if "/data/" in n]
        raw = {tuple(np.frombuffer(archive.read(n), "<f4").astype(np.float64).tolist()) for n in names}
    ours = [v for one in stats.features.values() for v in one.values.values()]
    assert {tuple(v.reshape(-1).tolist()) for v in ours} == raw
    assert {v.ndim for v in ours} == {1, 3}  # a stored axis of one sample is left out
    one = stats.features["observation.state"].values
    assert all(low < mid < high for low, mid, high in zip(one["min"], one["mean"], one["max"], strict=True))


def test_the_first_format_keeps_them_in_safetensors(corpus: Path) -> None:
    from safetensors.numpy import load_file

    folder = corpus / "lerobot_datasets/v16_pusht_arrow"
    (stats,) = read_stats(folder)
    raw = load_file(folder / "meta_data/stats.safetensors")
    ours = {f"{f}/{n}": v for f, one in stats.features.items() for n, v in one.values.items()}
    assert ours.keys() == raw.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, raw[name].astype(np.float64))


@pytest.mark.parametrize(
    "path",
    [*found("lerobot_episodes_stats/*.jsonl"), *found("lerobot_datasets/*/meta/episodes_stats.jsonl")],
    ids=lambda p: f"{p.parent.parent.name[:12]}-{p.name}",
)
def test_every_file_of_episodes_is_pooled_as_lerobot_pools_it(path: Path) -> None:
    (stats,) = read_stats(path)
    episodes = [json.loads(line)["stats"] for line in path.read_text().splitlines() if line.strip()]
    assert stats.facts["pooled_episodes"] == len(episodes)
    assert set(stats.features) == {f for e in episodes for f in e}
    for feature in stats.features:
        told = [as_arrays(e[feature]) for e in episodes if feature in e]
        close(stats, feature, lerobot_pools(told))
        assert stats.features[feature].count == int(sum(e["count"][0] for e in told))


def test_episode_tables_are_a_second_set_that_agrees_with_the_first(corpus: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    folder = corpus / "lerobot_datasets/v30_coreai_meta_fixture"
    whole, tables = read_stats(folder)
    assert (whole.label, tables.label) == (str(folder), f"{folder} [episodes]")
    assert tables.facts["averaged_quantiles"] == ["q01", "q10", "q50", "q90", "q99"]
    assert tables.facts["codebase_version"] == "v3.0"
    rows = parquet.read_table(folder / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert tables.features.keys() == whole.features.keys()
    for feature in tables.features:
        start = f"stats/{feature}/"
        told = [as_arrays({k.removeprefix(start): v for k, v in r.items() if k.startswith(start)}) for r in rows]
        close(tables, feature, lerobot_pools(told))
        for name in ("min", "max", "mean", "std"):  # LeRobot wrote both, partly in float32
            np.testing.assert_allclose(
                tables.features[feature].values[name], whole.features[feature].values[name], rtol=1e-7, atol=1e-12
            )


def test_a_folder_of_droid_holds_five_sets(corpus: Path) -> None:
    folder = corpus / "lerobot_datasets/v20_droid_meta"
    found = read_stats(folder)
    labels = [s.label.removeprefix(str(folder)) for s in found]
    relative = ["relative_horizon_stats_dreamzero.json", "relative_stats.json", "relative_stats_dreamzero.json"]
    assert labels == ["", *(f" [{name}]" for name in relative), " [modality.json]"]
    assert [s.kind for s in found[1:4]] == ["relative_actions"] * 3
    assert [s.features["joint_position"].values["mean"].shape for s in found[1:4]] == [(24, 7), (32, 7), (7,)]
    assert all(s.facts["total_episodes"] == 57774 for s in found)
    state = found[0].features["observation.state"].values["mean"]
    np.testing.assert_array_equal(found[4].features["state.joint_position"].values["mean"], state[7:14])
    assert read_stats(folder / "meta")[0].features.keys() == found[0].features.keys()


episode = st.tuples(
    st.integers(1, 10**6),
    st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=2),
    st.lists(st.floats(0, 1e3), min_size=2, max_size=2),
)


@given(st.lists(episode, min_size=1, max_size=12), st.integers(0, 11))
@settings(max_examples=200, deadline=None)
def test_pooling_is_lerobots_however_episodes_are_cut_into_groups(
    drawn: list[tuple[int, list[float], list[float]]], cut: int
) -> None:
    told = [
        {
            "mean": np.array(mean),
            "std": np.array(std),
            "min": np.array(mean) - std,
            "max": np.array(mean) + std,
            "q50": np.array(mean),
            "count": np.array([float(n)]),
        }
        for n, mean, std in drawn
    ]
    pooling = Pooling("test")
    for group in (told[:cut], told[cut:]):
        if group:
            pooling.add("f", {name: np.stack([e[name] for e in group]) for name in group[0]})
    pooled = pooling.result()[0]["f"].values
    for name, value in lerobot_pools(told).items():
        np.testing.assert_allclose(pooled[name], value, rtol=1e-9, atol=1e-9 * max(1, float(np.abs(value).max())))
    assert pooled["count"].tolist() == [sum(n for n, _, _ in drawn)]


def line(index: int, **stats: Any) -> str:
    full = {"mean": [0.0], "std": [1.0], "min": [-1.0], "max": [1.0], "count": [3], **stats}
    return json.dumps({"episode_index": index, "stats": {"action": {k: v for k, v in full.items() if v is not None}}})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (line(0) + "\n" + line(0), "appears twice"),
        (line(0) + "\n" + line(1, mean=[0.0, 1.0]), "do not fit"),
        (line(0) + "\n" + line(1, std=None), "has no std"),
        (line(0) + "\n" + line(1, count=None), "has no count"),
        (line(0) + "\n" + line(1, mean=["a"]), "not an array of numbers"),
        (line(0) + "\n" + line(1)[:-9], "not valid JSON"),
        (line(0) + "\n[1]", "no JSON object"),
        (line(0) + '\n{"episode_index": true, "stats": {}}', "no episode's statistics"),
        (line(0) + "\n" + '{"a": ' * 5000, "JSON"),
        (line(0) + "\n" + " " * 5000 + "\udcff", "not UTF-8"),
    ],
)
def test_damaged_lines_are_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "episodes_stats.jsonl"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ArtifactError, match=said):
        read_stats(path)


@pytest.mark.parametrize("content", [b"", LFS])
@pytest.mark.parametrize("name", ["stats.json", "episodes_stats.jsonl", "episodes/chunk-000/file-000.parquet"])
def test_empty_files_and_pointers_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/info.json").write_text("{}")
    path = tmp_path / "meta" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"empty|LFS") as error:
        read_stats(tmp_path)
    assert name.rpartition("/")[2] in str(error.value)


def test_without_pyarrow_tables_are_passed_over_where_more_is_there_and_asked_for_where_not(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    folder = corpus / "lerobot_datasets/v30_coreai_meta_fixture"
    (whole,) = read_stats(folder)
    assert whole.facts["not_read"] == "episodes: pyarrow is not installed"
    shutil.copytree(folder, tmp_path / "d")
    (tmp_path / "d/meta/stats.json").unlink()
    with pytest.raises(UsageError, match="policy-parity"):
        read_stats(tmp_path / "d")


@pytest.mark.parametrize("cut", [1, 100, 20000, 48000])
def test_a_table_cut_short_is_refused(corpus: Path, tmp_path: Path, cut: int) -> None:
    pytest.importorskip("pyarrow")
    whole = corpus / "lerobot_datasets/v30_coreai_meta_fixture/meta/episodes/chunk-000/file-000.parquet"
    path = tmp_path / "meta/episodes/file.parquet"
    path.parent.mkdir(parents=True)
    (tmp_path / "meta/info.json").write_text("{}")
    path.write_bytes(whole.read_bytes()[:-cut])
    with pytest.raises(ArtifactError, match="parquet"):
        read_stats(tmp_path)


def table(folder: Path, columns: Mapping[str, Any]) -> Path:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = folder / "meta/episodes/file.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    (folder / "meta/info.json").write_text("{}")
    parquet.write_table(pa.table(dict(columns)), path)
    return folder


ONE = {f"stats/a/{n}": [[0.0, 1.0], [1.0, 2.0]] for n in ("mean", "std", "min", "max")}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"episode_index": [3, 3]}, "appears twice"),
        ({"stats/a/mean": [[0.0, 1.0], [1.0]]}, "unequal"),
        ({"stats/a/mean": [[0.0, 1.0, 2.0], [1.0]]}, "unequal"),
        ({"stats/a/mean": [[0.0, 1.0], None]}, "without a value"),
        ({"stats/a/mean": [["x", "y"], ["x", "y"]]}, "expected: numbers"),
        ({"stats/a/mean": [[0.0], [1.0]]}, "do not fit"),
    ],
)
def test_tables_that_contradict_themselves_are_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    columns = {"episode_index": [0, 1], **ONE, "stats/a/count": [[3], [4]]}
    assert read_stats(table(tmp_path, columns))[0].features["a"].count == 7
    with pytest.raises(ArtifactError, match=said):
        read_stats(table(tmp_path, {**columns, **change}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"action": {"mean": [1, [2]], "std": [1]}}', "not an array"),
        ('{"action": {"mean": ["1"], "std": [1]}}', "not an array"),
        ('{"action": {"mean": [1], "std": [1], "mean": [2]}}', "twice"),
        ('{"action": {"mean": [1], "std": [1', "cut short|not valid"),
        ("[" * 100000, "deeper|not valid"),
        ('{"action": {"mean": [1' + "0" * 5000 + '], "std": [1]}}', "digits"),
        ('{"action": {"mean": [1' + "0" * 400 + '], "std": [1]}}', "not an array"),
    ],
)
def test_hostile_json_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "stats.json"
    path.write_text(text)
    with pytest.raises(ArtifactError, match=said):
        read_stats(path)


def test_values_that_are_not_finite_are_kept_for_the_checks_to_name(tmp_path: Path) -> None:
    path = tmp_path / "stats.json"
    path.write_text('{"action": {"mean": [NaN, null, 1], "std": [Infinity, 1, 1], "q01": null}}')
    values = read_stats(path)[0].features["action"].values
    assert np.isnan(values["mean"]).tolist() == [True, True, False]
    assert math.isinf(values["std"][0])
    assert values.keys() == {"mean", "std"}
