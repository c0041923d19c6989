"""LeRobot datasets v2.0 and v2.1: read whole, by episode, by frame; each disagreement of index and files is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lerobot_data import data_file, episodes, write_v2
from parity.dataset.lerobot_v2 import READER
from parity.dataset.model import Dataset
from parity.dataset.registry import open_dataset
from parity.errors import ArtifactError, UsageError

pytest.importorskip("pyarrow")
LENGTHS = [7, 1, 12, 5]


def codes(dataset: Dataset, severity: str = "error") -> list[str]:
    return [f.code for f in dataset.findings if f.severity == severity]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_v2(tmp_path / "set", episodes(LENGTHS))


@pytest.mark.parametrize("version", ["v2.0", "v2.1"])
@pytest.mark.parametrize("fixed", [True, False])
def test_all_frames_are_read(tmp_path: Path, version: str, fixed: bool) -> None:
    data = episodes(LENGTHS)
    dataset = open_dataset(write_v2(tmp_path / "set", data, version, fixed))
    assert dataset.kind == f"lerobot_{version}"
    assert not codes(dataset)
    assert dataset.fps == 30
    assert list(dataset.episodes.lengths) == LENGTHS
    assert dataset.episodes[2].tasks == ("push",)
    for name in ("observation.state", "action"):
        whole = np.concatenate([b.columns[name] for b in dataset.blocks([name])])
        np.testing.assert_array_equal(whole, np.concatenate([e[name] for e in data]))
        for i, episode in enumerate(data):
            np.testing.assert_array_equal(dataset.episode(i, [name])[name], episode[name])
            np.testing.assert_array_equal(dataset.frame(i, len(episode[name]) - 1)[name], episode[name][-1])


def test_a_part_of_the_rows_and_whose_they_are(root: Path) -> None:
    dataset = open_dataset(root)
    found = np.concatenate([b.columns["index"] for b in dataset.blocks(["index"], 6, 21)])
    assert found[:, 0].tolist() == list(range(6, 21))
    spans = [(s.episode, s.frame, s.stop - s.start, s.last) for b in dataset.blocks(["index"], 6, 21) for s in b.spans]
    assert spans == [(0, 6, 1, True), (1, 0, 1, True), (2, 0, 12, True), (3, 0, 1, False)]


@pytest.mark.parametrize("part", ["", "meta", "data", "meta/info.json", ".."])
def test_the_folder_its_parts_and_its_parent_are_all_the_dataset(root: Path, part: str) -> None:
    assert open_dataset((root / part).resolve()).episodes.frames == sum(LENGTHS)


def test_a_parent_of_two_datasets_names_them(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_v2(tmp_path / name, episodes([2]))
    with pytest.raises(ArtifactError, match="2 datasets lie here: one, other"):
        open_dataset(tmp_path)


def test_what_is_asked_for_must_be_there(root: Path) -> None:
    dataset = open_dataset(root)
    with pytest.raises(UsageError, match=r"did you mean 'action'"):
        list(dataset.blocks(["actoin"]))
    with pytest.raises(UsageError, match="kept as video"):
        list(dataset.blocks(["observation.images.top"]))
    with pytest.raises(UsageError, match="episode 4 is not there"):
        dataset.episode(4)
    with pytest.raises(UsageError, match="no frame 7"):
        dataset.frame(0, 7)
    with pytest.raises(UsageError, match="names its features itself"):
        open_dataset(root, {"a": "b"})


def test_video_is_listed_and_said_not_to_be_read(root: Path) -> None:
    dataset = open_dataset(root)
    assert dataset.features["observation.images.top"].storage == "video"
    assert "observation.images.top" not in dataset.arrays
    assert codes(dataset, "info") == ["DATA010"]


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"


@pytest.mark.parametrize(
    ("code", "content", "said"),
    [
        ("DATA001", None, "is missing"),
        ("DATA002", b"", "0 bytes"),
        ("DATA003", LFS, "Git LFS pointer"),
        ("DATA004", b"half", "half-written"),
        ("DATA004", b"\0" * 4000, "zero bytes"),
        ("DATA004", b"PAR1" + b"\xff" * 400 + b"PAR1", "footer cannot be read"),
    ],
)
def test_a_data_file_that_cannot_be_read_is_named_and_left_out(
    root: Path, code: str, content: bytes | None, said: str
) -> None:
    path = data_file(root, 2)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-10] if content == b"half" else content)
    dataset = open_dataset(root)
    assert codes(dataset) == [code]
    finding = next(f for f in dataset.findings if f.code == code)
    assert finding.where == "data/chunk-000/episode_000002.parquet"
    assert said in finding.title
    assert finding.remedy
    assert [e.index for e in dataset.episodes] == [0, 1, 3]
    assert sum(len(b) for b in dataset.blocks()) == 7 + 1 + 5
    with pytest.raises(UsageError, match="episode 2 is not there"):
        dataset.episode(2)


def test_pointers_everywhere_are_an_error_that_says_what_to_do(root: Path) -> None:
    for i in range(len(LENGTHS)):
        data_file(root, i).write_bytes(LFS)
    with pytest.raises(ArtifactError, match=r"(?s)LFS pointer.*all 4 data files.*git lfs pull"):
        open_dataset(root)


@pytest.mark.parametrize("name", ["info.json", "episodes.jsonl"])
@pytest.mark.parametrize(("content", "said"), [(b"", "0 bytes"), (LFS, "LFS"), (b'{"episode_ind', "truncated")])
def test_metadata_that_is_needed(root: Path, name: str, content: bytes, said: str) -> None:
    (root / "meta" / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=said) as caught:
        open_dataset(root)
    assert name in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["stats.json", "episodes_stats.jsonl", "tasks.jsonl"])
def test_metadata_of_0_bytes_that_is_not_needed(root: Path, name: str) -> None:
    (root / "meta" / name).touch()
    dataset = open_dataset(root)
    assert [(f.code, f.where) for f in dataset.findings if f.severity == "error"] == [("DATA002", f"meta/{name}")]
    assert dataset.episodes.frames == sum(LENGTHS)


def relist(root: Path, lengths: list[int]) -> None:
    lines = [{"episode_index": i, "tasks": ["push"], "length": n} for i, n in enumerate(lengths)]
    (root / "meta" / "episodes.jsonl").write_text("\n".join(json.dumps(line) for line in lines))


def test_an_index_that_claims_more_frames_than_exist(root: Path) -> None:
    relist(root, [7, 1, 30, 5])
    dataset = open_dataset(root)
    assert codes(dataset) == ["DATA006", "DATA005"]
    finding = next(f for f in dataset.findings if f.code == "DATA005")
    assert "episode_000002.parquet holds 12 frames, meta/episodes.jsonl claims 30" in finding.title
    assert finding.evidence["frames_lost"] == 18
    assert dataset.episodes.frames == sum(LENGTHS)


def test_totals_that_are_not_those_of_the_index(tmp_path: Path) -> None:
    dataset = open_dataset(write_v2(tmp_path / "set", episodes(LENGTHS), total_frames=1000))
    assert codes(dataset) == ["DATA006"]
    assert "claims 1000 frames in 4 episodes, meta/episodes.jsonl lists 25 in 4" in dataset.findings[0].title


@pytest.mark.parametrize("fixed", [True, False])
def test_a_shape_that_is_not_that_of_the_files(tmp_path: Path, fixed: bool) -> None:
    data = episodes(LENGTHS)
    root = write_v2(tmp_path / "set", data, fixed=fixed)
    path = root / "meta" / "info.json"
    said = json.loads(path.read_text())
    said["features"]["action"]["shape"] = [7]
    path.write_text(json.dumps(said))
    dataset = open_dataset(root)
    assert codes(dataset) == ["DATA007"]
    assert "declares shape [7]" in dataset.findings[0].title
    assert "2 values a frame" in dataset.findings[0].title
    assert dataset.features["action"].shape == (2,)
    np.testing.assert_array_equal(dataset.episode(0)["action"], data[0]["action"])


def test_a_dtype_that_is_not_that_of_the_files_is_a_warning(tmp_path: Path) -> None:
    data = [{k: v.astype(np.float64) for k, v in e.items()} for e in episodes(LENGTHS)]
    root = write_v2(tmp_path / "set", data)
    path = root / "meta" / "info.json"
    path.write_text(path.read_text().replace("float64", "float32"))
    dataset = open_dataset(root)
    assert codes(dataset, "warning") == ["DATA007", "DATA007"]
    assert dataset.episode(0)["action"].dtype == np.float64


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    root = write_v2(tmp_path / "set", episodes(LENGTHS))
    path = root / "meta" / "info.json"
    path.write_text(path.read_text().replace('"action"', '"actions"'))
    dataset = open_dataset(root)
    assert codes(dataset) == ["DATA008"]
    assert "action" in dataset.findings[0].evidence["columns"]


def test_one_episode_of_another_width_cannot_be_read(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    from lerobot_data import table

    root = write_v2(tmp_path / "set", episodes(LENGTHS), fixed=False)
    pq.write_table(table([episodes([12], action=3)[0]], 2, False), data_file(root, 2))
    dataset = open_dataset(root)
    assert codes(dataset) == ["DATA007"]
    assert "episode_000002.parquet holds 3 values" in dataset.findings[0].title
    with pytest.raises(ArtifactError, match=r"episode_000002.parquet: rows of action"):
        list(dataset.blocks(["action"]))


def test_a_file_that_no_index_lists(root: Path) -> None:
    data_file(root, 9).write_bytes(data_file(root, 1).read_bytes())
    dataset = open_dataset(root)
    assert codes(dataset, "warning") == ["DATA009"]
    assert dataset.episodes.frames == sum(LENGTHS)


def test_a_file_that_changes_after_it_was_opened(root: Path) -> None:
    dataset = open_dataset(root)
    data_file(root, 2).write_bytes(data_file(root, 1).read_bytes())
    with pytest.raises(ArtifactError, match="episode_000002"):
        list(dataset.blocks())
    data_file(root, 2).unlink()
    with pytest.raises(ArtifactError, match="gone since"):
        list(dataset.blocks())


@pytest.mark.parametrize(
    "template", ["/etc/passwd", "../{episode_index}.parquet", "data/{episode_index.__class__}", "data/{0}", "", 7]
)
def test_a_path_template_that_leads_out(tmp_path: Path, template: object) -> None:
    root = write_v2(tmp_path / "set", episodes([2]), data_path=template)
    with pytest.raises(ArtifactError, match="data_path"):
        open_dataset(root)


def test_an_episode_listed_twice(root: Path) -> None:
    path = root / "meta" / "episodes.jsonl"
    path.write_text(path.read_text() * 2)
    with pytest.raises(ArtifactError, match="episode 0 is listed twice"):
        open_dataset(root)


@pytest.mark.corpus
def test_the_real_set_is_clean(corpus: Path) -> None:
    dataset = open_dataset(corpus / "lerobot_datasets" / "v21_g1_inspire_100ep")
    assert [f.code for f in dataset.findings] == ["DATA010"]
    assert (len(dataset.episodes), dataset.episodes.frames) == (100, 35965)
    assert dataset.features["action"].names[25] == "kRightHandThumbRotation"
    index = np.concatenate([b.columns["index"][:, 0] for b in dataset.blocks(["index"])])
    np.testing.assert_array_equal(index, np.arange(35965))


@pytest.mark.corpus
def test_other_artifacts_are_no_dataset(corpus: Path) -> None:
    from parity.artifact import recognize

    for name in ("made/lerobot-0.4.4", "lerobot_datasets/v16_pusht_arrow"):
        assert not READER.matches(recognize(corpus / name))
