"""Datasets of plain arrays: `.npz` and HDF5, whose arrays are named, and whose files are not trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest

from parity.artifact import recognize
from parity.dataset.hdf5 import READER
from parity.dataset.registry import open_dataset
from parity.errors import ArtifactError, UsageError
from parity.stats.recompute import recompute

Write = Callable[[Path, Mapping[str, np.ndarray]], Path]
RNG = np.random.default_rng(0)
STATE = RNG.normal(size=(40, 3)).astype(np.float32)
ACTION = RNG.normal(size=(40, 2)).astype(np.float64)


def npz(folder: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    np.savez(folder / "set.npz", **arrays)
    return folder / "set.npz"


def packed(folder: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    np.savez_compressed(folder / "set.npz", **arrays)
    return folder / "set.npz"


def hdf5(folder: Path, arrays: Mapping[str, np.ndarray], **options: object) -> Path:
    with h5py.File(folder / "set.h5", "w") as f:
        for name, values in arrays.items():
            f.create_dataset(name, data=values, **options)
    return folder / "set.h5"


def chunked(folder: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    return hdf5(folder, arrays, chunks=True, compression="gzip", shuffle=True)


@pytest.fixture(params=[npz, packed, hdf5, chunked])
def write(request: pytest.FixtureRequest) -> Write:
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("episode_ends", np.asarray([10, 25, 40])),
        ("meta/episode_ends", np.asarray([10, 25, 40])),
        ("episode_lengths", np.asarray([10, 15, 15])),
        ("episode_index", np.repeat([4, 2, 7], [10, 15, 15])),
    ],
)
def test_frames_and_episodes(
    tmp_path: Path, write: Write, name: str, values: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parity.dataset.model.BLOCK", 16)
    dataset = open_dataset(write(tmp_path, {"obs/state": STATE, "action": ACTION, name: values}))
    assert list(dataset.episodes.lengths) == [10, 15, 15]
    assert not dataset.findings
    np.testing.assert_array_equal(np.concatenate([b.columns["action"] for b in dataset.blocks()]), ACTION)
    np.testing.assert_array_equal(dataset.episode(1)["obs/state"], STATE[10:25])
    np.testing.assert_array_equal(dataset.frame(2, 14)["action"], ACTION[39])
    spans = [(s.episode, s.frame) for b in dataset.blocks(["action"]) for s in b.spans]
    assert spans == [(0, 0), (1, 0), (1, 6), (2, 0), (2, 7)]


def test_without_episodes_all_is_one(tmp_path: Path, write: Write) -> None:
    dataset = open_dataset(write(tmp_path, {"features": STATE, "supervision": np.ones(40, np.int8)}))
    assert list(dataset.episodes.lengths) == [40]
    assert dataset.features["supervision"].shape == (1,)
    assert set(recompute(dataset).stats.features) == {"features", "supervision"}


def test_a_map_of_columns(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path, {"a/b": STATE, "c": ACTION, "other": np.zeros(7)})
    with pytest.raises(ArtifactError, match=r"(?s)2 arrays have 40 frames, others have not: other: 7.*columns"):
        open_dataset(path)
    dataset = open_dataset(path, {"observation.state": "a/b", "action": "c"})
    assert dataset.arrays == ("observation.state", "action")
    np.testing.assert_array_equal(dataset.episode(0)["observation.state"], STATE)
    with pytest.raises(UsageError, match=r"no array 'a/c' for 'x' \(did you mean 'a/b'"):
        open_dataset(path, {"x": "a/c"})


@pytest.mark.parametrize(("ends", "lengths", "lost"), [([10, 60], [10, 30], 20), ([10, 30], [10, 20], 0)])
def test_episodes_that_are_not_all_frames(
    tmp_path: Path, write: Write, ends: list[int], lengths: list[int], lost: int
) -> None:
    dataset = open_dataset(write(tmp_path, {"action": ACTION, "episode_ends": np.asarray(ends)}))
    (finding,) = dataset.findings
    assert (finding.code, finding.severity, finding.evidence["frames_lost"]) == ("DATA005", "error", lost)
    assert f"holds 40 frames, its episode_ends claims {ends[-1]}" in finding.title
    assert list(dataset.episodes.lengths) == lengths
    assert sum(len(b) for b in dataset.blocks()) == sum(lengths)


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("episode_ends", [20, 10, 40], "do not rise"),
        ("episode_ends", [], "it is empty"),
        ("episode_lengths", [50, -10], "do not rise"),
        ("episode_index", [0] * 10 + [1] * 10 + [0] * 20, "lie in two places"),
    ],
)
def test_episodes_that_cannot_be(tmp_path: Path, write: Write, name: str, values: list[int], said: str) -> None:
    path = write(tmp_path, {"action": ACTION, name: np.asarray(values, np.int64)})
    with pytest.raises(ArtifactError, match=said):
        open_dataset(path)


def test_links_are_refused(tmp_path: Path) -> None:
    for number, link in enumerate((h5py.ExternalLink("/etc/passwd", "/x"), h5py.SoftLink("/action"))):
        path = tmp_path / f"{number}.h5"
        with h5py.File(path, "w") as f:
            f["action"] = ACTION
            f["group/out"] = link
        with pytest.raises(ArtifactError, match="group/out is a link"):
            open_dataset(path)


def test_arrays_in_other_files_and_views_are_refused(tmp_path: Path) -> None:
    outside = tmp_path / "raw"
    outside.write_bytes(bytes(1000))
    with h5py.File(tmp_path / "one.h5", "w") as f:
        f.create_dataset("action", (100,), "u1", external=[(str(outside), 0, 100)])
    hdf5(tmp_path, {"action": ACTION})
    view = h5py.VirtualLayout((40, 2), "f8")
    view[:] = h5py.VirtualSource(tmp_path / "set.h5", "action", shape=(40, 2))
    with h5py.File(tmp_path / "two.h5", "w") as f:
        f.create_virtual_dataset("action", view)
    for name in ("one.h5", "two.h5"):
        with pytest.raises(ArtifactError, match="kept in another file"):
            open_dataset(tmp_path / name)


def test_compression_by_a_plugin_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "set.h5", "w") as f:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((10,))
        properties.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))  # Zstandard
        h5py.h5d.create(f.id, b"action", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((40,)), properties)
    with pytest.raises(ArtifactError, match="filter 32015, for which HDF5 would load a plugin"):
        open_dataset(tmp_path / "set.h5")


def test_a_file_that_is_cut_short(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path, {"action": np.tile(ACTION, (200, 1))})
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ArtifactError):
        recompute(open_dataset(path))


def test_python_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", action=np.asarray([{"a": 1}], object))
    with pytest.raises(ArtifactError, match="Python objects"):
        open_dataset(tmp_path / "set.npz")


@pytest.mark.corpus
def test_a_file_of_many_groups_says_what_to_do(corpus: Path) -> None:
    path = corpus / "hdf5" / "81f62da1_generated_dataset_small.hdf5"
    with pytest.raises(ArtifactError, match="say which arrays are meant"):
        READER.open(recognize(path))
    columns = {"action": "data/demo_0/actions", "observation.state": "data/demo_0/obs/joint_pos"}
    assert recompute(open_dataset(path, columns)).stats.features["action"].values["mean"].shape == (7,)
