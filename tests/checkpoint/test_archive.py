"""Zip archives of strangers: claims are checked before memory is taken, and names are only names."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from parity.checkpoint.archive import Archive
from parity.errors import ArtifactError


def make(path: Path, entries: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", how) as z:
        for name, data in entries.items():
            z.writestr(name, data)
    return path


def lie(path: Path, field: int, value: int) -> Path:
    """Overwrite a field of the first central directory entry."""
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\x01\x02")
    struct.pack_into("<I", data, at + field, value)
    path.write_bytes(data)
    return path


SIZE, COMPRESSED, HEADER = 24, 20, 42


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_entries_read_and_map_alike(tmp_path: Path, how: int) -> None:
    data = bytes(range(256)) * 40
    archive = Archive(make(tmp_path / "a.zip", {"x/1": data, "x/empty": b""}, how))
    assert archive.read("x/1") == data
    assert archive.map("x/1").tobytes() == data
    assert archive.map("x/empty").size == 0
    assert archive.size("x/1") == len(data)


def test_a_map_cannot_be_written(tmp_path: Path) -> None:
    mapped = Archive(make(tmp_path / "a.zip", {"x": b"abc"})).map("x")
    with pytest.raises(ValueError, match="read-only"):
        mapped[0] = 1


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("claim", [2**31 - 1, 2**32 - 2, 5000])
def test_a_size_that_lies_is_refused_before_memory_is_taken(tmp_path: Path, how: int, claim: int) -> None:
    path = lie(make(tmp_path / "a.zip", {"x": b"y" * 10}, how), SIZE, claim)
    for act in (lambda a: a.read("x"), lambda a: a.map("x")):
        with pytest.raises(ArtifactError):
            act(Archive(path))


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", {"x": b"\0" * (64 << 20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(ArtifactError, match="at most"):
        Archive(path).read("x", limit=1 << 20)


def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as z:
        z.writestr("x", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            z.writestr("x", b"2")
    with pytest.raises(ArtifactError, match="two entries"):
        Archive(tmp_path / "a.zip")


def test_names_never_reach_the_file_system(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", {"../../evil": b"1", "/etc/passwd": b"2"})
    archive = Archive(path)
    assert archive.read("/etc/passwd") == b"2"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.zip"]
    assert not (tmp_path.parent / "evil").exists()


def test_a_header_outside_of_the_file_is_refused(tmp_path: Path) -> None:
    path = lie(make(tmp_path / "a.zip", {"x": b"y" * 10}), HEADER, 40)
    with pytest.raises(ArtifactError):
        Archive(path).map("x")


def test_missing_and_unreadable_say_so(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no such file"):
        Archive(tmp_path / "none.zip")
    (tmp_path / "short.zip").write_bytes(b"PK\x03\x04 and nothing")
    with pytest.raises(ArtifactError, match="cannot be opened"):
        Archive(tmp_path / "short.zip")
    with pytest.raises(ArtifactError, match="no entry"):
        Archive(make(tmp_path / "a.zip", {"x": b"1"})).read("y")


def test_truncation_at_any_length_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    entries = {f"m/data/{i}": rng.bytes(int(rng.integers(0, 200))) for i in range(5)}
    whole = make(tmp_path / "a.zip", entries).read_bytes()
    cut = tmp_path / "cut.zip"
    for n in range(0, len(whole), 7):
        cut.write_bytes(whole[:n])
        with pytest.raises(ArtifactError):
            [Archive(cut).map(name) for name in entries]
