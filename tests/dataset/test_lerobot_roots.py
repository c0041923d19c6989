"""A LeRobot dataset is found from a folder above it and from those inside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lerobot_data import episodes, write_v2, write_v3
from parity.dataset.lerobot_roots import find_roots
from parity.dataset.registry import open_dataset
from parity.errors import ArtifactError

pytest.importorskip("pyarrow")
INSIDE = ["", "meta", "data", "data/chunk-000", "meta/info.json", "videos/chunk-000/observation.images.top"]


@pytest.fixture(params=[write_v2, write_v3])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    written: Path = request.param(tmp_path / "all" / "someone" / "set", episodes([3, 4]))
    (written / "videos" / "chunk-000" / "observation.images.top").mkdir(parents=True)
    return written


@pytest.mark.parametrize("inside", INSIDE)
def test_folders_inside_lead_to_it(root: Path, inside: str) -> None:
    dataset = open_dataset(root / inside)
    assert (dataset.path, dataset.episodes.frames) == (root, 7)


@pytest.mark.parametrize("inside", INSIDE)
def test_so_do_relative_paths(root: Path, inside: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    assert open_dataset(Path("set") / inside).episodes.frames == 7
    if (root / inside).is_dir():
        monkeypatch.chdir(root / inside)
        assert open_dataset(".").path.resolve() == root.resolve()


def test_folders_above_lead_to_it(root: Path) -> None:
    assert open_dataset(root.parent).path == root
    assert open_dataset(root.parent.parent).path == root


def test_several_datasets_are_listed(root: Path) -> None:
    write_v2(root.parent / "other", episodes([2]))
    with pytest.raises(ArtifactError, match="2 datasets lie here: other, set"):
        open_dataset(root.parent)
    with pytest.raises(ArtifactError, match="2 datasets lie here: someone/other, someone/set") as caught:
        open_dataset(root.parent.parent)
    assert "give the folder of one of them" in str(caught.value)


def test_other_folders_lead_nowhere(root: Path) -> None:
    (root / "policy" / "checkpoint").mkdir(parents=True)
    assert find_roots(root / "policy" / "checkpoint") == []
    assert find_roots(root / "data" / "absent.parquet") == [root]
    with pytest.raises(ArtifactError, match="in which no dataset was found"):
        open_dataset(root / "policy" / "checkpoint")
