"""HDF5 of fused features whose space was reserved: rows that were never filled are no frames."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from parity.dataset.registry import open_dataset
from parity.errors import ArtifactError

FEATURES = np.abs(np.random.default_rng(0).normal(size=(60, 192))).astype(np.float32)
LABELS = (np.arange(60)[:, None] % 3 == 0).astype(np.int8)


def write(path: Path, filled: int, rows: int = 100, fill: float = 0.0, **options: object) -> Path:
    """Write a file as the collector does: made for ``rows``, filled up to ``filled``."""
    with h5py.File(path, "w") as f:
        features = f.create_dataset("features", (rows, 192), "f4", fillvalue=fill, **options)
        labels = f.create_dataset("supervision", (rows, 1), "i1", **options)
        features[:filled], labels[:filled] = FEATURES[:filled], LABELS[:filled]
    return path


@pytest.mark.parametrize("options", [{}, {"chunks": True, "compression": "gzip"}])
@pytest.mark.parametrize("fill", [0.0, -1.0])
def test_the_tail_that_was_never_filled(
    tmp_path: Path, fill: float, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parity.dataset.preallocated.BLOCK", 16)
    dataset = open_dataset(write(tmp_path / "racing.h5", 53, fill=fill, **options))
    assert dataset.kind == "features_hdf5"
    assert [(f.code, f.severity) for f in dataset.findings] == [("DATA016", "info")]
    assert "47 of 100 rows at its end were reserved and never filled" in dataset.findings[0].title
    assert dataset.episodes.frames == 53
    assert dataset.facts["reserved"] == 100
    read = {n: np.concatenate([b.columns[n] for b in dataset.blocks()]) for n in dataset.arrays}
    np.testing.assert_array_equal(read["features"], FEATURES[:53])
    np.testing.assert_array_equal(read["supervision"], LABELS[:53])


def test_a_full_file_and_zeros_within(tmp_path: Path) -> None:
    path = write(tmp_path / "racing.h5", 60, rows=60)
    with h5py.File(path, "r+") as f:
        f["features"][20:40] = 0
        f["supervision"][20:40] = 0
    dataset = open_dataset(path)
    assert not dataset.findings
    assert dataset.episodes.frames == 60


def test_a_label_alone_makes_a_row(tmp_path: Path) -> None:
    path = write(tmp_path / "racing.h5", 50)
    with h5py.File(path, "r+") as f:
        f["supervision"][57] = 1
    assert open_dataset(path).episodes.frames == 58


def test_nothing_was_filled(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="space for 100 rows was reserved and none was filled"):
        open_dataset(write(tmp_path / "racing.h5", 0))


def test_other_files_keep_their_zeros(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as f:
        f["action"] = np.zeros((9, 2))
        f["features"] = np.zeros((9, 4))
    dataset = open_dataset(tmp_path / "other.h5")
    assert (dataset.kind, dataset.episodes.frames) == ("hdf5", 9)
