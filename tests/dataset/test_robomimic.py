"""Demonstrations in HDF5, as robomimic and Isaac Lab Mimic record them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from parity.dataset.model import Dataset
from parity.dataset.registry import open_dataset
from parity.errors import ArtifactError, UsageError
from parity.stats.recompute import recompute

LENGTHS = {0: 6, 2: 9, 10: 4, 1: 11}  # written in this order: numbers, not names, order them


def action(number: int, length: int) -> np.ndarray:
    return np.random.default_rng(number).normal(size=(length, 7)).astype(np.float32)


def write(path: Path, change: Callable[[Any], None] | None = None) -> Path:
    """Write demonstrations with an observation, states in a group, and where they began."""
    with h5py.File(path, "w") as f:
        data = f.create_group("data")
        data.attrs["total"] = sum(LENGTHS.values())
        data.attrs["env_args"] = '{"env_name": "Stack", "type": 2}'
        for number, length in LENGTHS.items():
            demo = data.create_group(f"demo_{number}")
            demo.attrs["num_samples"] = length
            demo["actions"] = action(number, length)
            demo["obs/eef_pos"] = np.full((length, 3), number, np.float32)
            demo["obs/image"] = np.full((length, 4, 5, 3), number, np.uint8)
            demo["states/robot/joint_position"] = np.arange(length * 9, dtype=np.float64).reshape(length, 9)
            demo["rewards"] = np.arange(length, dtype=np.float32)
            demo["dones"] = np.zeros(length, np.int64)
            demo["initial_state/robot/root_pose"] = np.zeros((1, 7), np.float32)
        f["mask/train"] = np.asarray([b"demo_0", b"demo_2"])
        if change is not None:
            change(f)
    return path


def codes(dataset: Dataset) -> list[tuple[str, str]]:
    return [(f.code, f.severity) for f in dataset.findings]


def test_demonstrations_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parity.dataset.model.BLOCK", 5)
    dataset = open_dataset(write(tmp_path / "demo.hdf5"))
    assert dataset.kind == "robomimic"
    assert not dataset.findings
    assert [(e.index, e.length) for e in dataset.episodes] == [(0, 6), (1, 11), (2, 9), (10, 4)]
    assert set(dataset.arrays) == {
        "actions",
        "dones",
        "obs/eef_pos",
        "obs/image",
        "rewards",
        "states/robot/joint_position",
    }
    assert dataset.features["rewards"].shape == (1,)
    assert dataset.facts["masks"] == {"train": 2}
    assert dataset.facts["environment"] == "Stack"
    for number, length in LENGTHS.items():
        np.testing.assert_array_equal(dataset.episode(number)["actions"], action(number, length))
    blocks = list(dataset.blocks(["actions", "obs/eef_pos"], 4, 29))
    assert max(len(b) for b in blocks) <= 5
    whole = np.concatenate([action(n, LENGTHS[n]) for n in (0, 1, 2, 10)])
    np.testing.assert_array_equal(np.concatenate([b.columns["actions"] for b in blocks]), whole[4:29])
    whose = [s.episode for b in blocks for s in b.spans for _ in range(s.stop - s.start)]
    assert np.concatenate([b.columns["obs/eef_pos"] for b in blocks])[:, 0].tolist() == whose


def test_a_map_of_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "demo.hdf5")
    dataset = open_dataset(path, {"observation.state": "obs/eef_pos", "action": "actions"})
    assert dataset.arrays == ("observation.state", "action")
    np.testing.assert_array_equal(dataset.episode(2)["action"], action(2, 9))
    assert set(recompute(dataset).stats.features) == {"observation.state", "action"}
    with pytest.raises(UsageError, match=r"no array 'obs/eef_poss' for 'x' \(did you mean 'obs/eef_pos'"):
        open_dataset(path, {"x": "obs/eef_poss"})


def test_counts_that_are_not_those_of_the_arrays(tmp_path: Path) -> None:
    def change(f: Any) -> None:
        f["data/demo_2"].attrs["num_samples"] = 12
        f["data"].attrs["total"] = 33

    dataset = open_dataset(write(tmp_path / "demo.hdf5", change))
    assert codes(dataset) == [("DATA014", "error"), ("DATA014", "error")]
    assert "demo_2 claims num_samples 12, its actions have 9 rows" in dataset.findings[0].title
    assert "claims total 33, its 4 demonstrations have 30 frames" in dataset.findings[1].title
    assert dataset.episodes.frames == 30


def replaced(name: str, values: np.ndarray | None) -> Callable[[Any], None]:
    def change(f: Any) -> None:
        del f[name]
        if values is not None:
            f[name] = values

    return change


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("data/demo_2/actions", None, "demo_2 has no actions"),
        ("data/demo_2/obs/eef_pos", None, "demo_2 has no obs/eef_pos, which the others have"),
        ("data/demo_2/obs/eef_pos", np.zeros((8, 3), "f4"), "demo_2 has 8 rows of obs/eef_pos, but 9 actions"),
        ("data/demo_2/obs/eef_pos", np.zeros((9, 4), "f4"), r"demo_2 has obs/eef_pos of shape \[4\], float32, where"),
        ("data/demo_0/obs/eef_pos", np.zeros((6, 3), "f8"), r"demo_0 has obs/eef_pos of shape \[3\], float64, where"),
        ("data/demo_0/actions", np.zeros((0, 7), "f4"), "demo_0 has no frames"),
    ],
)
def test_a_demonstration_that_is_left_out(tmp_path: Path, name: str, values: np.ndarray | None, said: str) -> None:
    dataset = open_dataset(write(tmp_path / "demo.hdf5", replaced(name, values)))
    finding = next(f for f in dataset.findings if f.code == "DATA015")
    assert finding.severity == "error"
    assert re.search(said, finding.title)
    out = int(name.split("/")[1].removeprefix("demo_"))
    assert [e.index for e in dataset.episodes] == [n for n in (0, 1, 2, 10) if n != out]
    np.testing.assert_array_equal(dataset.episode(10)["actions"], action(10, 4))


def test_without_any_actions(tmp_path: Path) -> None:
    def change(f: Any) -> None:
        for demo in f["data"].values():
            del demo["actions"]

    with pytest.raises(ArtifactError, match="none of its 4 demonstrations has actions"):
        open_dataset(write(tmp_path / "demo.hdf5", change))


def test_links_are_refused(tmp_path: Path) -> None:
    other = write(tmp_path / "other.hdf5")
    links = {
        "data/demo_3": h5py.ExternalLink(str(other), "/data/demo_0"),
        "data/demo_0/obs/x": h5py.SoftLink("/data/demo_0/actions"),
    }
    for i, (name, link) in enumerate(links.items()):

        def change(f: Any, name: str = name, link: object = link) -> None:
            f[name] = link

        with pytest.raises(ArtifactError, match="link"):
            open_dataset(write(tmp_path / f"{i}.hdf5", change))


def test_a_file_without_demonstrations_is_read_as_arrays(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "plain.hdf5", "w") as f:
        f["data/actions"] = np.zeros((5, 2))
    assert open_dataset(tmp_path / "plain.hdf5").kind == "hdf5"


def test_a_truncated_file(tmp_path: Path) -> None:
    path = write(tmp_path / "demo.hdf5")
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ArtifactError, match="truncated or corrupt"):
        open_dataset(path)


@pytest.mark.corpus
def test_the_real_file_is_as_the_index_says(corpus: Path, corpus_entries: dict[str, Any]) -> None:
    entry = corpus_entries["hdf5_81f62da127"]
    dataset = open_dataset(corpus / entry["files"][0]["file"])
    assert not dataset.findings
    assert len(dataset.episodes) == entry["expected"]["demos"]
    assert dataset.episodes.frames == int(entry["expected"]["attrs"]["total"])
    assert list(dataset.episode(0)["actions"].shape) == entry["expected"]["actions_shape"]
    assert sum(len(b) for b in dataset.blocks()) == 2328
