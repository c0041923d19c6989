"""Frames of videos and encoded images: which frame goes with which row, and what is said of unsound files."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lerobot_data import CAMERA, add_videos, data_file, episodes, write_v2, write_v3
from parity.dataset import lerobot_video, video
from parity.dataset.faults import Fault
from parity.dataset.model import Dataset
from parity.dataset.mp4 import Mp4, look_at_mp4
from parity.dataset.registry import open_dataset
from parity.errors import ArtifactError, UsageError
from parity.stats.recompute import recompute
from videos import number_of, numbers_of, pictures, write_video

pa = pytest.importorskip("pyarrow")
pytest.importorskip("av")
LENGTHS = [7, 1, 12, 5, 9]
ROWS = list(range(sum(LENGTHS)))
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"
Write = Callable[..., Path]


@pytest.fixture(params=[write_v2, write_v3])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    data = episodes(LENGTHS)
    folder: Path = request.param(tmp_path / "set", data)
    add_videos(folder, data)
    return folder


def videos(root: Path) -> list[Path]:
    return sorted((root / "videos").rglob("*.mp4"))


def codes(dataset: Dataset) -> list[tuple[str, str]]:
    return [(f.code, f.severity) for f in dataset.findings]


def test_the_frames_go_with_the_rows(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parity.dataset.model.BLOCK_BYTES", 5 * 32 * 48 * 3)  # blocks that end within episodes
    dataset = open_dataset(root)
    assert not dataset.findings
    blocks = list(dataset.blocks([CAMERA, "action", "index"]))
    assert max(len(b) for b in blocks) == 5
    shown = np.concatenate([b.columns[CAMERA] for b in blocks])
    assert (shown.dtype, shown.shape) == (np.uint8, (len(ROWS), 32, 48, 3))
    assert numbers_of(shown) == ROWS
    assert np.concatenate([b.columns["index"] for b in blocks])[:, 0].tolist() == ROWS
    np.testing.assert_allclose(shown, pictures(len(ROWS)), atol=12)  # what the codec loses
    assert [s.episode for b in blocks for s in b.spans if s.last] == [0, 1, 2, 3, 4]


def test_single_frames_episodes_and_pictures_alone(root: Path) -> None:
    dataset = open_dataset(root)
    assert number_of(dataset.frame(2, 9, [CAMERA])[CAMERA]) == 17
    assert numbers_of(dataset.episode(3, [CAMERA])[CAMERA]) == ROWS[20:25]
    assert [n for b in dataset.blocks([CAMERA], 6, 21) for n in numbers_of(b.columns[CAMERA])] == ROWS[6:21]
    assert CAMERA not in dataset.arrays
    assert next(iter(dataset.blocks())).columns.keys() == set(dataset.arrays)


def test_statistics_of_the_frames(root: Path) -> None:
    dataset = open_dataset(root)
    shown = np.concatenate([b.columns[CAMERA] for b in dataset.blocks([CAMERA])]) / 255
    found = recompute(dataset, [CAMERA]).stats.features[CAMERA].values
    np.testing.assert_allclose(np.ravel(found["mean"]), shown.mean((0, 1, 2)), rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "is missing"), (b"", "0 bytes"), (LFS, "Git LFS"), (b"cut", "half-written"), (b"\0" * 900, "begins with")],
)
def test_a_video_that_is_not_sound(root: Path, content: bytes | None, said: str) -> None:
    path = videos(root)[1]
    whole = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(whole[: len(whole) // 2] if content == b"cut" else content)
    dataset = open_dataset(root)
    assert codes(dataset) == [("DATA012", "error")]
    (finding,) = dataset.findings
    assert said in finding.title
    assert finding.title.endswith("not judged")
    assert path.name in finding.title
    with pytest.raises(ArtifactError, match=path.name):
        list(dataset.blocks([CAMERA]))
    assert sum(len(b) for b in dataset.blocks(["action"])) == len(ROWS)
    assert number_of(dataset.frame(0, 3, [CAMERA])[CAMERA]) == 3  # the other videos can be read all the same


def test_videos_that_were_not_fetched_are_said_once(root: Path) -> None:
    for path in videos(root):
        path.unlink()
    dataset = open_dataset(root)
    assert codes(dataset) == [("DATA010", "info")]
    assert "files are not here" in dataset.findings[0].title
    with pytest.raises(ArtifactError, match=r"mp4: the file is missing"):
        list(dataset.blocks([CAMERA]))


def test_pointers_alone_are_told_as_pointers(root: Path) -> None:
    for path in videos(root):
        path.write_bytes(LFS)
    dataset = open_dataset(root)
    assert codes(dataset) == [("DATA012", "error")]
    assert "Git LFS pointer" in dataset.findings[0].title
    assert "git lfs pull" in dataset.findings[0].remedy


def test_without_the_decoder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (lerobot_video, video):
        monkeypatch.setattr(module, "has_decoder", lambda: False)
    dataset = open_dataset(root)
    assert codes(dataset) == [("DATA010", "info")]
    assert dataset.findings[0].remedy == "pip install 'policy-parity[video]'"
    with pytest.raises(UsageError, match="PyAV is not installed") as caught:
        list(dataset.blocks([CAMERA]))
    assert "policy-parity[video]" in str(caught.value)


@pytest.mark.parametrize(("change", "severity"), [(-2, "error"), (3, "warning")])
def test_another_number_of_frames_than_the_index_claims(root: Path, change: int, severity: str) -> None:
    path = videos(root)[0]
    seen = look_at_mp4(path)
    assert isinstance(seen, Mp4)
    count = seen.frames or 0
    write_video(path, pictures(count + change), 30)
    dataset = open_dataset(root)
    assert codes(dataset) == [("DATA013", severity)]
    assert f"holds {count + change} frames, the index claims {count}" in dataset.findings[0].title
    if change < 0:
        with pytest.raises(ArtifactError, match="it has no frame at"):
            list(dataset.blocks([CAMERA]))
    else:
        assert [n for b in dataset.blocks([CAMERA]) for n in numbers_of(b.columns[CAMERA])] == ROWS


def test_a_video_whose_middle_frame_is_not_there(tmp_path: Path) -> None:
    data = episodes([6])
    root = write_v2(tmp_path / "set", data)
    (path,) = add_videos(root, data)
    kept = [0, 1, 2, 4, 5, 6]
    write_video(path, pictures(7)[kept], 30, [k / 30 for k in kept])
    with pytest.raises(ArtifactError, match=r"no frame at 0\.1000 s"):
        list(open_dataset(root).blocks([CAMERA]))


def test_frames_a_little_off_are_still_theirs(tmp_path: Path) -> None:
    data = episodes([6])
    root = write_v2(tmp_path / "set", data)
    (path,) = add_videos(root, data)
    write_video(path, pictures(6), 30, [k / 30 + (0.3 / 30 if k % 2 else 0) for k in range(6)])
    assert numbers_of(open_dataset(root).episode(0, [CAMERA])[CAMERA]) == list(range(6))


def test_pictures_of_another_size_than_declared(root: Path) -> None:
    info = json.loads((root / "meta" / "info.json").read_text())
    info["features"][CAMERA]["shape"] = [48, 32, 3]
    (root / "meta" / "info.json").write_text(json.dumps(info))
    assert codes(open_dataset(root)) == [("DATA007", "error")]
    info["features"][CAMERA]["shape"] = [3, 32, 48]  # channels first is the same picture
    (root / "meta" / "info.json").write_text(json.dumps(info))
    assert not open_dataset(root).findings


def test_a_span_that_is_shorter_than_its_episode(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    data = episodes(LENGTHS)
    root = write_v3(tmp_path / "set", data)
    add_videos(root, data)
    path = root / "meta" / "episodes" / "chunk-000" / "file-000.parquet"
    rows = pq.read_table(path).to_pylist()
    rows[2][f"videos/{CAMERA}/to_timestamp"] -= 5 / 30
    pq.write_table(pa.Table.from_pylist(rows), path)
    dataset = open_dataset(root)
    assert codes(dataset) == [("DATA013", "error")]
    assert "episode 2 is said to be 0.233 s of its video, its frames take 0.400 s" in dataset.findings[0].title


@pytest.mark.parametrize("template", ["/etc/{video_key}", "../{video_key}.mp4", "videos/{data}", 7])
def test_a_path_of_videos_that_leads_out(root: Path, template: object) -> None:
    info = json.loads((root / "meta" / "info.json").read_text())
    (root / "meta" / "info.json").write_text(json.dumps(info | {"video_path": template}))
    with pytest.raises(ArtifactError, match="video_path"):
        open_dataset(root)


def test_a_feature_whose_name_would_lead_out_is_not_followed(tmp_path: Path) -> None:
    data = episodes([4])
    root = write_v2(tmp_path / "set", data)
    write_video(tmp_path / "outside" / "episode_000000.mp4", pictures(4), 30)
    add_videos(root, data)
    info = json.loads((root / "meta" / "info.json").read_text())
    info["features"]["../../../outside"] = info["features"][CAMERA]
    (root / "meta" / "info.json").write_text(json.dumps(info))
    dataset = open_dataset(root)
    assert codes(dataset) == [("DATA010", "info")]
    assert list(dataset.pictures) == [CAMERA]


def encoded(picture: np.ndarray, kind: str) -> bytes:
    from PIL import Image

    held = io.BytesIO()
    Image.fromarray(picture).save(held, kind)
    return held.getvalue()


def with_images(root: Path, cells: list[object]) -> Path:
    """Give the first episode of a dataset of v2.1 a column of images."""
    import pyarrow.parquet as pq

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    read = pq.read_table(data_file(root, 0)).append_column("observation.image", pa.array(cells, kind))
    pq.write_table(read, data_file(root, 0))
    info = json.loads((root / "meta" / "info.json").read_text())
    info["features"]["observation.image"] = {"dtype": "image", "shape": [32, 48, 3], "names": None}
    del info["features"][CAMERA]
    (root / "meta" / "info.json").write_text(json.dumps(info))
    return root


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_encoded_images(tmp_path: Path, kind: str) -> None:
    cells = [{"bytes": encoded(p, kind), "path": f"{i}.{kind}"} for i, p in enumerate(pictures(40))]
    dataset = open_dataset(with_images(write_v2(tmp_path / "set", episodes([40])), cells))
    assert not dataset.findings
    assert dataset.features["observation.image"].storage == "image"
    blocks = list(dataset.blocks(["observation.image", "frame_index"], 3))
    assert numbers_of(np.concatenate([b.columns["observation.image"] for b in blocks])) == list(range(3, 40))
    if kind == "PNG":
        np.testing.assert_array_equal(
            dataset.frame(0, 39, ["observation.image"])["observation.image"], pictures(40)[39]
        )


def test_images_that_cannot_be_read(tmp_path: Path) -> None:
    good, small = encoded(pictures(1)[0], "PNG"), encoded(pictures(1, height=8)[0], "PNG")
    wrong = [b"GIF89a" + bytes(40), good[: len(good) // 2], small, None]
    said = ["cannot be read as PNG or JPEG", "cannot be decoded", "is 48 x 8", "is not embedded"]
    for i, (content, message) in enumerate(zip(wrong, said, strict=True)):
        cells = [{"bytes": good, "path": "0"}, {"bytes": content, "path": "1"}]
        dataset = open_dataset(with_images(write_v2(tmp_path / str(i), episodes([2])), cells))
        with pytest.raises(ArtifactError, match=f"row 1 {message}"):
            list(dataset.blocks(["observation.image"]))


def test_the_header_of_a_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(9), 10)
    assert look_at_mp4(path) == Mp4(9, 32, 48)
    parts = write_video(tmp_path / "b.mp4", pictures(9), 10, options={"movflags": "frag_keyframe+empty_moov"})
    assert look_at_mp4(parts) == Mp4(None, 32, 48)


def test_every_cut_of_a_video_is_told(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "a.mp4", pictures(6), 10).read_bytes()
    for size in [*range(1, 200, 7), *range(200, len(whole), 97), len(whole) - 1]:
        path = tmp_path / "cut.mp4"
        path.write_bytes(whole[:size])
        assert isinstance(look_at_mp4(path), Fault), size
