"""LeRobot datasets v3.0: many episodes in a file, and what their tables claim against what the files hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lerobot_data import episodes, write_v2, write_v3
from parity.dataset.model import Dataset
from parity.dataset.registry import open_dataset
from parity.errors import ArtifactError
from parity.stats.recompute import recompute

pa = pytest.importorskip("pyarrow")
LENGTHS = [7, 1, 12, 5, 9]


def errors(dataset: Dataset) -> list[str]:
    return [f.code for f in dataset.findings if f.severity == "error"]


def index(root: Path) -> Path:
    return root / "meta" / "episodes" / "chunk-000" / "file-000.parquet"


def change(root: Path, column: str, row: int, value: object) -> None:
    """Write another value into the table of episodes."""
    import pyarrow.parquet as pq

    rows = pq.read_table(index(root)).to_pylist()
    rows[row][column] = value
    pq.write_table(pa.Table.from_pylist(rows), index(root))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_v3(tmp_path / "set", episodes(LENGTHS))


def test_all_frames_are_read(root: Path) -> None:
    data = episodes(LENGTHS)
    dataset = open_dataset(root)
    assert dataset.kind == "lerobot_v3.0"
    assert not errors(dataset)
    assert dataset.facts["files"] == 3
    for i, episode in enumerate(data):
        np.testing.assert_array_equal(dataset.episode(i)["action"], episode["action"])
        assert dataset.episode(i)["episode_index"].tolist() == [[i]] * len(episode["action"])
        np.testing.assert_array_equal(dataset.frame(i, 0)["action"], episode["action"][0])
    assert open_dataset(root / "meta").episodes.frames == sum(LENGTHS)


def test_the_statistics_are_those_of_the_same_frames_in_v2(root: Path, tmp_path: Path) -> None:
    other = open_dataset(write_v2(tmp_path / "other", episodes(LENGTHS)))
    one, two = recompute(open_dataset(root), chunk=3), recompute(other, chunk=3)
    for name in one.summaries:
        assert one.summaries[name].digest() == two.summaries[name].digest()
    assert one.chunk_summaries["action"].digest() == two.chunk_summaries["action"].digest()


def test_frames_that_the_table_claims_and_the_file_lacks(root: Path) -> None:
    change(root, "length", 1, 4)
    dataset = open_dataset(root)
    assert errors(dataset) == ["DATA011", "DATA006", "DATA005"]
    finding = next(f for f in dataset.findings if f.code == "DATA005")
    assert "data/chunk-000/file-000.parquet holds 8 frames, meta/episodes claims 11" in finding.title
    assert finding.evidence["frames_lost"] == 3
    assert list(dataset.episodes.lengths) == LENGTHS


@pytest.mark.parametrize(
    ("content", "code"),
    [(None, "DATA001"), (b"", "DATA002"), (b"version https://git-lfs.github.com/spec/v1\n", "DATA003")],
)
def test_a_data_file_that_cannot_be_read(root: Path, content: bytes | None, code: str) -> None:
    path = root / "data" / "chunk-000" / "file-001.parquet"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    dataset = open_dataset(root)
    assert errors(dataset) == [code]
    assert [e.index for e in dataset.episodes] == [0, 1, 4]
    np.testing.assert_array_equal(dataset.episode(4)["action"], episodes(LENGTHS)[4]["action"])


@pytest.mark.parametrize(
    ("content", "said"), [(None, "missing"), (b"", "0 bytes"), (b"version https://git-lfs", "LFS"), (b"PAR1", "half")]
)
def test_a_table_of_episodes_that_cannot_be_read(root: Path, content: bytes | None, said: str) -> None:
    whole = index(root).read_bytes()
    index(root).unlink()
    if content is not None:
        index(root).write_bytes(whole[:-9] if content == b"PAR1" else content)
    with pytest.raises(ArtifactError, match=said) as caught:
        open_dataset(root)
    assert "file-000.parquet" in str(caught.value)


def test_frames_by_number_that_are_not_those_by_length(root: Path) -> None:
    change(root, "dataset_from_index", 2, 9)
    dataset = open_dataset(root)
    assert errors(dataset) == ["DATA011"]
    assert "episode 2 is said to be frames 9 to 20" in dataset.findings[0].title


@pytest.mark.parametrize(("column", "value"), [("episode_index", 0), ("length", -1), ("data/file_index", None)])
def test_a_table_that_cannot_be(root: Path, column: str, value: object) -> None:
    change(root, column, 3, value)
    with pytest.raises(ArtifactError, match="episode"):
        open_dataset(root)


@pytest.mark.corpus
def test_metadata_alone_says_that_the_data_is_missing(corpus: Path) -> None:
    with pytest.raises(ArtifactError, match=r"data/chunk-000/file-000.parquet: the file is missing"):
        open_dataset(corpus / "lerobot_datasets" / "v30_coreai_meta_fixture")
