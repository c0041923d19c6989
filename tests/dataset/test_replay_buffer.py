"""diffusion_policy's replay buffers: Zarr in a folder or a zip file, whose chunks are not trusted."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from parity.dataset.model import Dataset
from parity.dataset.registry import open_dataset
from parity.errors import ArtifactError, ParityError, UsageError
from zarr_stores import PACKERS, array_files, packed, replay_buffer, write_folder, write_zip

RNG = np.random.default_rng(0)
ACTION = RNG.normal(size=(40, 2)).astype(np.float32)
IMAGE = RNG.integers(0, 255, size=(40, 6, 5, 3)).astype(np.uint8)
ENDS = np.asarray([10, 25, 40])
ARRAYS = {"action": ACTION, "img": IMAGE}
Write = Callable[[Path, Mapping[str, bytes]], Path]


@pytest.fixture(params=[write_folder, write_zip])
def write(request: pytest.FixtureRequest) -> Write:
    return request.param  # type: ignore[no-any-return]


def codes(dataset: Dataset) -> list[tuple[str, str]]:
    return [(f.code, f.severity) for f in dataset.findings]


@pytest.mark.parametrize("packer", PACKERS)
def test_frames_and_episodes(tmp_path: Path, write: Write, packer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parity.dataset.model.BLOCK", 16)
    dataset = open_dataset(write(tmp_path / "set.zarr", replay_buffer(ARRAYS, ENDS, packer)))
    assert dataset.kind == "replay_buffer"
    assert not dataset.findings
    assert list(dataset.episodes.lengths) == [10, 15, 15]
    np.testing.assert_array_equal(np.concatenate([b.columns["action"] for b in dataset.blocks()]), ACTION)
    np.testing.assert_array_equal(dataset.episode(1)["img"], IMAGE[10:25])
    np.testing.assert_array_equal(dataset.frame(2, 14)["action"], ACTION[39])
    assert dataset.features["img"].shape == (6, 5, 3)


@pytest.mark.parametrize(
    "changes", [{"order": "F"}, {"dimension_separator": "/"}, {"fill_value": None}, {"fill_value": "NaN"}]
)
def test_other_ways_to_lay_chunks_out(tmp_path: Path, write: Write, changes: dict[str, object]) -> None:
    files = replay_buffer({"action": ACTION}, ENDS)
    files |= array_files("data/img", IMAGE.astype(np.float32), (9, 4, 5, 2), **changes)
    dataset = open_dataset(write(tmp_path / "set.zarr", files))
    assert not dataset.findings
    np.testing.assert_array_equal(
        np.concatenate([b.columns["img"] for b in dataset.blocks(["img"], 3, 38)]), IMAGE[3:38]
    )


def test_big_endian_numbers_and_columns(tmp_path: Path) -> None:
    files = replay_buffer({"action": ACTION.astype(">f4")}, ENDS.astype(">i8"))
    dataset = open_dataset(write_folder(tmp_path / "set", files), {"act": "action"})
    assert dataset.arrays == ("act",)
    assert dataset.episode(0)["act"].dtype == np.dtype("<f4")
    np.testing.assert_array_equal(dataset.episode(0)["act"], ACTION[:10])


@pytest.mark.parametrize("key", ["data/action/3.0", "data/action/5.0"])
def test_a_chunk_that_is_not_there(tmp_path: Path, write: Write, key: str) -> None:
    files = replay_buffer(ARRAYS, ENDS)
    del files[key]
    dataset = open_dataset(write(tmp_path / "set.zarr", files))
    assert codes(dataset) == [("DATA017", "error")]
    assert f"data/action: 1 of 6 chunks are not there, {key} first" in dataset.findings[0].title
    lost = int(key[-3]) * 7
    read = np.concatenate([b.columns["action"] for b in dataset.blocks()])
    np.testing.assert_array_equal(read[lost : lost + 7], np.zeros_like(read[lost : lost + 7]))
    np.testing.assert_array_equal(read[:lost], ACTION[:lost])


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("damage", ["cut", "empty", "noise", "larger", "smaller"])
def test_a_chunk_that_is_damaged(tmp_path: Path, write: Write, packer: str, damage: str) -> None:
    if (packer, damage) == ("none", "noise"):
        pytest.skip("bytes that are stored as they are may be anything")
    files = replay_buffer(ARRAYS, ENDS, packer)
    whole = files["data/action/2.0"]
    files["data/action/2.0"] = {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "noise": bytes(RNG.integers(0, 255, len(whole), dtype=np.uint8)),
        "larger": packed(bytes(8 * 7 * 2000), packer),
        "smaller": packed(bytes(8), packer),
    }[damage]
    dataset = open_dataset(write(tmp_path / "set.zarr", files))
    with pytest.raises(ArtifactError, match=r"data/action/2\.0") as caught:
        list(dataset.blocks(["action"]))
    assert "set.zarr" in str(caught.value)
    np.testing.assert_array_equal(dataset.episode(0, ["img"])["img"], IMAGE[:10])


def test_a_chunk_that_is_a_pointer(tmp_path: Path, write: Write) -> None:
    files = replay_buffer(ARRAYS, ENDS) | {"data/action/2.0": b"version https://git-lfs.github.com/spec/v1\nsize 3\n"}
    dataset = open_dataset(write(tmp_path / "set.zarr", files))
    with pytest.raises(ArtifactError, match="Git LFS pointer"):
        list(dataset.blocks(["action"]))


@pytest.mark.parametrize(
    ("ends", "said"), [([20, 10, 40], "do not rise"), ([], "it is empty"), ([10, 25, 60], None), ([10, 25], None)]
)
def test_ends_of_episodes_that_cannot_be(tmp_path: Path, write: Write, ends: list[int], said: str | None) -> None:
    path = write(tmp_path / "set.zarr", replay_buffer(ARRAYS, np.asarray(ends, np.int64)))
    if said:
        with pytest.raises(ArtifactError, match=f"episode_ends does not tell episodes: .*{said}"):
            open_dataset(path)
        return
    dataset = open_dataset(path)
    assert codes(dataset) == [("DATA005", "error")]
    assert f"claims {ends[-1]}" in dataset.findings[0].title


@pytest.mark.parametrize(
    "changes",
    [
        {"zarr_format": 3},
        {"shape": [40]},
        {"shape": [1 << 39, 1 << 39]},
        {"chunks": [1 << 30, 2]},
        {"chunks": [0, 2]},
        {"chunks": [1, 1], "shape": [1 << 30, 2]},
        {"dtype": "|O"},
        {"dtype": "nonsense"},
        {"order": "X"},
        {"dtype": "|u1", "fill_value": 1e30},
    ],
)
def test_an_array_that_cannot_be(tmp_path: Path, write: Write, changes: dict[str, object]) -> None:
    files = replay_buffer(ARRAYS, ENDS)
    files["data/action/.zarray"] = json.dumps(json.loads(files["data/action/.zarray"]) | changes).encode()
    with pytest.raises(ArtifactError, match=r"data/action/\.zarray"):
        open_dataset(write(tmp_path / "set.zarr", files))


def test_without_ends_of_episodes(tmp_path: Path, write: Write) -> None:
    files = {k: v for k, v in replay_buffer(ARRAYS, ENDS).items() if not k.startswith("meta/episode_ends")}
    with pytest.raises(ArtifactError, match="meta/episode_ends is not there"):
        open_dataset(write(tmp_path / "set.zarr", files))


def test_a_packing_that_is_not_read_is_listed(tmp_path: Path, write: Write) -> None:
    said = {"compressor": {"id": "imagecodecs_jpegxl"}}
    files = replay_buffer({"action": ACTION}, ENDS) | array_files("data/rgb", IMAGE, (1, 6, 5, 3), **said)
    dataset = open_dataset(write(tmp_path / "set.zarr", files))
    assert codes(dataset) == [("DATA010", "info")]
    assert "rgb (imagecodecs_jpegxl)" in dataset.findings[0].title
    assert dataset.arrays == ("action",)
    with pytest.raises(UsageError, match="not read here"):
        list(dataset.blocks(["rgb"]))
    only = {k: v for k, v in files.items() if not k.startswith("data/action")}
    with pytest.raises(ArtifactError, match="data/rgb is packed by imagecodecs_jpegxl"):
        open_dataset(write(tmp_path / "only.zarr", only))


def test_without_numcodecs(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "set.zarr", replay_buffer(ARRAYS, ENDS, "blosc"))
    monkeypatch.setitem(sys.modules, "numcodecs", None)
    with pytest.raises(UsageError, match=r"(?s)numcodecs is not installed.*blosc.*policy-parity\[zarr\]"):
        open_dataset(path)


def test_links_out_of_a_store_are_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write_folder(outside, array_files("a", ACTION, (7, 2)))
    files = replay_buffer(ARRAYS, ENDS)
    one = write_folder(tmp_path / "one.zarr", files)
    (one / "data" / "more").symlink_to(outside / "a")
    with pytest.raises(ArtifactError, match="a link, which may lead out of the store"):
        open_dataset(one)
    two = write_folder(tmp_path / "two.zarr", files)
    (two / "data" / "action" / "2.0").unlink()
    (two / "data" / "action" / "2.0").symlink_to(outside / "a" / "2.0")
    with pytest.raises(ArtifactError, match=r"2\.0: a link, which may lead out of the store"):
        list(open_dataset(two).blocks(["action"]))


def test_a_zip_file_of_a_folder(tmp_path: Path) -> None:
    files = {f"set.zarr/{name}": data for name, data in replay_buffer(ARRAYS, ENDS).items()}
    dataset = open_dataset(write_zip(tmp_path / "set.zip", files))
    assert not dataset.findings
    np.testing.assert_array_equal(dataset.episode(1)["img"], IMAGE[10:25])


def test_a_zip_file_that_is_cut(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "set.zarr.zip", replay_buffer(ARRAYS, ENDS))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ParityError, match="half-written"):
        open_dataset(path)


def test_what_the_zarr_package_writes(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    if not zarr.__version__.startswith("2."):
        pytest.skip("writes version 2 only")
    group = zarr.open_group(str(tmp_path / "set.zarr"), "w")
    group.create_group("data").array("action", ACTION, chunks=(7, 2))
    group.create_group("meta").array("episode_ends", ENDS)
    np.testing.assert_array_equal(open_dataset(tmp_path / "set.zarr").episode(2)["action"], ACTION[25:])
