"""LeRobot datasets v1.x: tables of Hugging Face `datasets`, whose index says which rows are whose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lerobot_data import episodes, table
from parity.dataset.model import Dataset
from parity.dataset.registry import open_dataset
from parity.errors import ArtifactError, UsageError
from parity.stats.recompute import recompute
from videos import numbers_of, pictures, write_video

pa = pytest.importorskip("pyarrow")
LENGTHS = [7, 1, 12, 5]
FPS = 10
CAMERA = "observation.image"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"


def codes(dataset: Dataset) -> list[tuple[str, str]]:
    return [(f.code, f.severity) for f in dataset.findings]


def whole_table(data: list[dict[str, np.ndarray]]) -> Any:
    """Return the table with stamps and with cells of videos."""
    made = table(data)
    stamps = (made["frame_index"].to_numpy() / FPS).astype(np.float32)
    numbers = made["episode_index"].to_numpy()
    cells = [
        {"path": f"videos/{CAMERA}_episode_{e:06d}.mp4", "timestamp": float(t)}
        for e, t in zip(numbers, stamps, strict=True)
    ]
    kind = pa.struct([("path", pa.string()), ("timestamp", pa.float32())])
    return made.append_column("timestamp", pa.array(stamps)).append_column(CAMERA, pa.array(cells, kind))


def write_index(root: Path, begins: list[int], ends: list[int]) -> None:
    from safetensors.numpy import save_file

    (root / "meta_data").mkdir(exist_ok=True)
    said = {"from": np.asarray(begins, np.int64), "to": np.asarray(ends, np.int64)}
    save_file(said, root / "meta_data" / "episode_data_index.safetensors")


def write(root: Path, data: list[dict[str, np.ndarray]], files: int = 2, hub: bool = False, **changes: Any) -> Path:
    """Write a dataset as lerobot saved it to disk, or as it lay on the hub, and return its folder."""
    pytest.importorskip("safetensors")
    import pyarrow.parquet as pq

    made = whole_table(data)
    ends = np.cumsum([len(e["action"]) for e in data]).tolist()
    folder = root / ("data" if hub else "train")
    folder.mkdir(parents=True)
    write_index(root, [0, *ends[:-1]], ends)
    (root / "meta_data" / "info.json").write_text(json.dumps({"fps": FPS, "video": 1} | changes))
    names = []
    step = -(-made.num_rows // files)
    for i in range(files):
        part = made.slice(i * step, step)
        names.append(f"{'train' if hub else 'data'}-{i:05d}-of-{files:05d}.{'parquet' if hub else 'arrow'}")
        if hub:
            pq.write_table(part, folder / names[-1])
            continue
        with pa.OSFile(str(folder / names[-1]), "wb") as f, pa.ipc.new_stream(f, part.schema) as stream:
            stream.write_table(part, max_chunksize=4)
    if not hub:
        (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": n} for n in names]}))
    return root


@pytest.fixture(params=[False, True])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write(tmp_path / "set", episodes(LENGTHS), hub=request.param)


def test_all_frames_are_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parity.dataset.model.BLOCK", 6)
    data = episodes(LENGTHS)
    dataset = open_dataset(root)
    assert (dataset.kind, dataset.fps) == ("lerobot_v1", FPS)
    assert codes(dataset) == [("DATA010", "info")]
    assert dataset.features["action"].shape == (2,)
    assert dataset.features[CAMERA].storage == "video"
    for i, episode in enumerate(data):
        np.testing.assert_array_equal(dataset.episode(i)["action"], episode["action"])
    assert np.concatenate([b.columns["index"] for b in dataset.blocks(["index"], 2)])[:, 0].tolist() == list(
        range(2, 25)
    )
    assert max(len(b) for b in dataset.blocks()) <= 6
    assert set(recompute(dataset).stats.features) >= {"action", "observation.state"}
    with pytest.raises(UsageError, match="names its features itself"):
        open_dataset(root, {"a": "b"})


@pytest.mark.parametrize("inside", ["", "meta_data", "meta_data/info.json", "videos"])
def test_parts_of_it_lead_to_it(root: Path, inside: str) -> None:
    (root / "videos").mkdir()
    assert open_dataset(root / inside).path == root


def test_the_frames_of_its_videos(root: Path) -> None:
    pytest.importorskip("av")
    ends = np.cumsum(LENGTHS)
    for i, length in enumerate(LENGTHS):
        first = int(ends[i]) - length
        write_video(root / "videos" / f"{CAMERA}_episode_{i:06d}.mp4", pictures(length, first), FPS)
    dataset = open_dataset(root)
    assert not dataset.findings
    assert dataset.features[CAMERA].shape == (32, 48, 3)
    assert [n for b in dataset.blocks([CAMERA, "action"]) for n in numbers_of(b.columns[CAMERA])] == list(range(25))
    assert numbers_of(dataset.episode(2, [CAMERA])[CAMERA]) == list(range(8, 20))
    (root / "videos" / f"{CAMERA}_episode_000001.mp4").unlink()
    assert codes(open_dataset(root)) == [("DATA012", "error")]


def test_a_path_in_a_cell_that_leads_out(tmp_path: Path) -> None:
    for number, path in enumerate(("/etc/passwd", "../x.mp4")):
        root = write(tmp_path / str(number), episodes([3]), files=1)
        (stream,) = (root / "train").glob("*.arrow")
        with pa.OSFile(str(stream)) as f:
            read = pa.ipc.open_stream(f).read_all()
        cells = pa.array([{"path": path, "timestamp": 0.0}] * 3, read.schema.field(CAMERA).type)
        with pa.OSFile(str(stream), "wb") as f, pa.ipc.new_stream(f, read.schema) as out:
            out.write_table(read.set_column(read.schema.get_field_index(CAMERA), CAMERA, cells))
        with pytest.raises(ArtifactError, match="a path below the dataset"):
            open_dataset(root)


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (None, "DATA001", "is missing"),
        (b"", "DATA002", "0 bytes"),
        (LFS, "DATA003", "LFS"),
        (b"cut", "DATA004", "cannot be read"),
        (b"noise" * 99, "DATA004", "cannot be read"),
    ],
)
def test_a_file_of_the_table_that_is_not_sound(tmp_path: Path, content: bytes | None, code: str, said: str) -> None:
    root = write(tmp_path / "set", episodes(LENGTHS), files=3)
    path = sorted((root / "train").glob("*.arrow"))[1]
    whole = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(whole[: len(whole) // 2] if content == b"cut" else content)
    dataset = open_dataset(root)
    assert codes(dataset)[:2] == [(code, "error"), ("DATA005", "error")]
    assert said in dataset.findings[0].title
    assert "train holds 9 frames" in dataset.findings[1].title  # those of the file after it would be taken for others
    assert [(e.index, e.length) for e in dataset.episodes] == [(0, 7), (1, 1), (2, 1)]
    path.with_name("data-00000-of-00003.arrow").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"data-00000-of-00003\.arrow: the file is empty"):
        open_dataset(root)


@pytest.mark.parametrize(
    ("begins", "ends"), [([0, 7], [7, 7]), ([0, 8], [7, 25]), ([1, 7], [7, 25]), ([0, 7], [9, 25]), ([0], [7, 25])]
)
def test_an_index_that_cannot_be(root: Path, begins: list[int], ends: list[int]) -> None:
    write_index(root, begins, ends)
    with pytest.raises(ArtifactError, match="does not tell episodes"):
        open_dataset(root)


def test_without_its_index(root: Path) -> None:
    (root / "meta_data" / "episode_data_index.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"episode_data_index\.safetensors: the file is missing"):
        open_dataset(root)


@pytest.mark.parametrize("name", ["../data.arrow", "/etc/passwd", "", 3])
def test_a_list_of_files_that_leads_out(tmp_path: Path, name: object) -> None:
    root = write(tmp_path / "set", episodes(LENGTHS))
    (root / "train" / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    with pytest.raises(ArtifactError, match="does not list the files"):
        open_dataset(root)


def test_a_stream_that_changes_after_it_was_opened(tmp_path: Path) -> None:
    root = write(tmp_path / "set", episodes(LENGTHS))
    dataset = open_dataset(root)
    first, second = sorted((root / "train").glob("*.arrow"))
    first.write_bytes(second.read_bytes())
    with pytest.raises(ArtifactError, match="12 rows were read"):
        list(dataset.blocks())
    first.unlink()
    with pytest.raises(ArtifactError, match="gone since"):
        list(dataset.blocks())


@pytest.mark.corpus
def test_the_real_fixture(corpus: Path) -> None:
    dataset = open_dataset(corpus / "lerobot_datasets" / "v16_pusht_arrow")
    assert codes(dataset) == [("DATA005", "error"), ("DATA010", "info")]  # lerobot cut its table, not its index
    assert "train holds 161 frames" in dataset.findings[0].title
    assert (len(dataset.episodes), dataset.fps) == (1, 10)
    assert dataset.episode(0)["observation.state"][0].tolist() == [222.0, 97.0]
    assert dataset.episode(0)["index"][:, 0].tolist() == list(range(161))
