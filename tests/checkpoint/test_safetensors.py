"""Safetensors read without the package: the same numbers as the package reads, and no header believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from parity.checkpoint.safetensors import open_safetensors
from parity.errors import ArtifactError


def write(path: Path, header: Any, body: bytes = b"", length: int | None = None) -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(raw) if length is None else length).to_bytes(8, "little") + raw + body)
    return path


def entry(dtype: str, shape: Any, begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


dtypes = st.sampled_from(["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "c8"])
tensors = st.dictionaries(
    st.text(min_size=1, max_size=12).filter(lambda n: n != "__metadata__"),
    dtypes.flatmap(lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))),
    max_size=5,
)


@given(tensors)
def test_reads_what_the_package_writes(tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, Any]) -> None:
    numpy_io = pytest.importorskip("safetensors.numpy")
    path = tmp_path_factory.mktemp("s") / "x.safetensors"
    numpy_io.save_file(arrays, path, metadata={"made": "here"})
    file = open_safetensors(path)
    assert dict(file.metadata) == {"made": "here"}
    assert set(file.names) == set(arrays)
    for name, array in arrays.items():
        read = file.read(name)
        assert file.spec(name) == (array.dtype.name, array.shape)
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)
        assert not read.flags.writeable
        assert name in file


def test_bfloat16_comes_as_bits_and_converts_exactly(tmp_path: Path) -> None:
    bits = np.array([0x3F80, 0xC000, 0x7F80, 0x7FC0, 0x0001], dtype="<u2")
    path = write(tmp_path / "x", {"w": entry("BF16", [5], 0, 10)}, bits.tobytes())
    file = open_safetensors(path)
    assert file.spec("w") == ("bfloat16", (5,))
    np.testing.assert_array_equal(file.read("w"), bits)
    values = file.read("w", as_float32=True)
    assert values.dtype == np.float32
    assert values[:3].tolist() == [1.0, -2.0, np.inf]
    assert np.isnan(values[3])
    assert values[4] == np.float32(2.0**-133)


def test_float8_is_bits_and_never_guessed(tmp_path: Path) -> None:
    file = open_safetensors(write(tmp_path / "x", {"w": entry("F8_E4M3", [2], 0, 2)}, b"\x01\x02"))
    assert file.spec("w") == ("float8_e4m3", (2,))
    assert file.read("w").tolist() == [1, 2]
    with pytest.raises(ArtifactError, match="not converted"):
        file.read("w", as_float32=True)


def test_as_float32_of_other_types(tmp_path: Path) -> None:
    file = open_safetensors(write(tmp_path / "x", {"w": entry("I16", [2], 0, 4)}, b"\x01\x00\xff\xff"))
    assert file.read("w", as_float32=True).tolist() == [1.0, -1.0]
    with pytest.raises(ArtifactError, match="no tensor called 'v'"):
        file.read("v")
    with pytest.raises(ArtifactError, match="no tensor called"):
        file.spec("v")


def test_unaligned_data_and_an_empty_file(tmp_path: Path) -> None:
    header = json.dumps({"a": entry("U8", [1], 0, 1), "b": entry("F32", [1], 1, 5)}).encode()
    path = write(tmp_path / "x", header + b" " * (8 - len(header) % 8), b"\x07" + np.float32(1.5).tobytes())
    assert open_safetensors(path).read("b").tolist() == [1.5]
    assert open_safetensors(write(tmp_path / "y", {})).names == ()


@pytest.mark.parametrize(
    ("header", "body", "said"),
    [
        ({"w": entry("F32", [2], 0, 8)}, b"\0" * 7, "expected: "),
        ({"w": entry("F32", [2], 0, 8)}, b"\0" * 9, "expected: "),
        ({"w": entry("F32", [2], 0, 4)}, b"\0" * 4, "has 4 bytes"),
        ({"w": entry("F32", [2**60], 0, 8)}, b"\0" * 8, "has 8 bytes"),
        ({"w": entry("F32", [2**32, 2**32], 0, 0)}, b"", "has 0 bytes"),
        ({"w": entry("F32", [1], 0, 4), "v": entry("F32", [1], 2, 6)}, b"\0" * 6, "overlaps"),
        ({"w": entry("F32", [1], 0, 4), "v": entry("F32", [1], 0, 4)}, b"\0" * 4, "overlaps"),
        ({"w": entry("F32", [1], 0, 4), "v": entry("F32", [1], 6, 10)}, b"\0" * 10, "unused"),
        ({"w": entry("F32", [1], 4, 8)}, b"\0" * 8, "unused"),
        ({"w": entry("F32", [1], -4, 0)}, b"\0" * 4, "offsets"),
        ({"w": entry("F32", [1], 4, 0)}, b"\0" * 4, "offsets"),
        ({"w": entry("F32", [1], 2**62, 2**62 + 4)}, b"\0" * 4, "unused"),
        ({"w": entry("F32", [1.0], 0, 4)}, b"\0" * 4, "shape"),
        ({"w": entry("F32", [True], 0, 4)}, b"\0" * 4, "shape"),
        ({"w": entry("F32", [-1], 0, 4)}, b"\0" * 4, "shape"),
        ({"w": entry("F32", None, 0, 4)}, b"\0" * 4, "shape"),
        ({"w": entry("F77", [1], 0, 4)}, b"\0" * 4, "dtype"),
        ({"w": {"dtype": "F32"}}, b"", "shape"),
        ({"w": [1]}, b"", "described by a list"),
        ([1], b"", "a list"),
        ({"__metadata__": [1]}, b"", "metadata"),
        (b'{"a": ', b"", "not valid JSON"),
        (b'{"a": {}, "a": {}}', b"", "twice"),
        (b"[" * 100_000, b"", "not valid JSON"),
        (b"\xff\xff", b"", "not valid JSON"),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: Any, body: bytes, said: str) -> None:
    with pytest.raises(ArtifactError) as e:
        open_safetensors(write(tmp_path / "x", header, body))
    assert said in str(e.value)
    assert str(e.value).startswith(str(tmp_path / "x"))


@pytest.mark.parametrize("length", [11, 2**27, 2**63, 2**64 - 1])
def test_a_header_longer_than_the_file_takes_no_memory(tmp_path: Path, length: int) -> None:
    with pytest.raises(ArtifactError, match=f"claims a safetensors header of {length} bytes"):
        open_safetensors(write(tmp_path / "x", b"{}", length=length))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"{", "too short"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS"),
    ],
)
def test_files_that_are_none(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ArtifactError, match=said):
        open_safetensors(tmp_path / "x")
    with pytest.raises(ArtifactError, match="folder"):
        open_safetensors(tmp_path)
    with pytest.raises(ArtifactError, match="cannot be read"):
        open_safetensors(tmp_path / "absent")


@given(st.binary(max_size=64))
def test_any_bytes_are_tensors_or_a_message(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("s") / "x"
    path.write_bytes(content)
    try:
        open_safetensors(path)
    except ArtifactError as e:
        message = str(e)
    else:
        return
    assert message.startswith(str(path))


@pytest.mark.corpus
def test_every_safetensors_of_the_corpus_is_what_the_package_reads(corpus: Path) -> None:
    numpy_io = pytest.importorskip("safetensors.numpy")
    files = sorted(corpus.rglob("*.safetensors"))
    assert len(files) >= 75
    for path in files:
        file, theirs = open_safetensors(path), numpy_io.load_file(path)
        assert set(file.names) == set(theirs)
        for name, array in theirs.items():
            np.testing.assert_array_equal(file.read(name), array)
            assert file.read(name).dtype == array.dtype
