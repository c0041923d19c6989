"""Zips and arrays with stable bytes, and the one seam between here and the device: the hash of what is fed."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from parity.bundle.device import files as device
from parity.bundle.npy import decoded, encoded, size_of
from parity.bundle.question import fed_sha256
from parity.bundle.zips import ZipReader, ZipWriter, is_plain
from parity.errors import ArtifactError, OutputError

DTYPES = ("float16", "float32", "float64", "int8", "uint8", "int32", "int64", "bool")
arrays = st.sampled_from(DTYPES).flatmap(lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, max_dims=4, max_side=5)))
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


def stored(array: Any) -> bytes:
    header, values = encoded(array)
    return header + bytes(values)


@settings(max_examples=60, deadline=None)
@given(arrays)
def test_numpy_reads_what_is_written(array: np.ndarray) -> None:
    data = stored(array)
    back = np.load(io.BytesIO(data))
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())
    again = decoded(data, "x.npy")
    assert (again.dtype, again.shape, again.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert size_of(array.dtype.name, array.shape) == array.nbytes


def test_arrays_that_do_not_lie_in_order() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4).T[::2]
    assert np.array_equal(np.load(io.BytesIO(stored(array))), array)


def test_bfloat16_travels_as_the_integers_that_hold_it() -> None:
    array = np.array([[1.5, -2.0, np.inf]], ml_dtypes.bfloat16)
    data = stored(array)
    assert np.load(io.BytesIO(data)).dtype == np.uint16
    assert decoded(data, "x.npy", "bfloat16").tobytes() == array.tobytes()


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(names, arrays, min_size=1, max_size=3))
def test_the_device_makes_the_same_hash_of_what_it_is_fed(inputs: dict[str, np.ndarray]) -> None:
    told = {n: {"dtype": a.dtype.name} for n, a in inputs.items()}
    there = {n: np.load(io.BytesIO(stored(a))) for n, a in inputs.items()}
    assert device.fed_sha256({"inputs": told}, there) == fed_sha256(inputs)


def test_the_device_makes_the_same_hash_of_bfloat16() -> None:
    array = np.array([[1.5, -2.0]], ml_dtypes.bfloat16)
    there = np.load(io.BytesIO(stored(array)))
    assert device.fed_sha256({"inputs": {"x": {"dtype": "bfloat16"}}}, {"x": there}) == fed_sha256({"x": array})


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with ZipWriter(tmp_path / name) as z:
            assert z.add("x/y.bin", [b"12", b"3"], 3) == hashlib.sha256(b"123").hexdigest()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert zipfile.ZipFile(tmp_path / "a").read("x/y.bin") == b"123"
    with ZipReader(tmp_path / "a") as z:
        assert z.names == ["x/y.bin"]
        with pytest.raises(ArtifactError, match="at most 2"):
            z.read("x/y.bin", 2)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_zip_is_there_as_a_whole_or_not_at_all(tmp_path: Path, error: type[BaseException]) -> None:
    def broken() -> Any:
        yield b"12"
        raise error

    (tmp_path / "a.zip").write_bytes(b"before")
    with pytest.raises(error), ZipWriter(tmp_path / "a.zip") as z:
        z.add("x", broken(), 3)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]
    assert (tmp_path / "a.zip").read_bytes() == b"before"


def test_a_file_that_changes_while_it_is_added(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="it changed while it was read"), ZipWriter(tmp_path / "a.zip") as z:
        z.add("x", [b"12"], 3)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        ZipWriter(tmp_path / "none" / "a.zip")


@pytest.mark.parametrize("name", ["a", "a/b.npy", "ä/..b", "a b"])
def test_names_that_stay(name: str) -> None:
    assert is_plain(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/a", "a/", "a//b", "./a", "a/./b", "a/../b", "../a", "a\\b", "C:a", "a\0b"]
)
def test_names_that_lead_out(name: str) -> None:
    assert not is_plain(name)
    if name not in (".", "a/./b", "./a", "C:a", "a\0b"):
        with pytest.raises(device.Stop):
            device.place(Path("/x"), name)
