"""The reader of acl dump files, against a writer of its own and against damage."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from dump_writer import NUMBERS, write_dump
from parity.bundle.dump_file import read_dump
from parity.errors import ArtifactError


@pytest.mark.parametrize("dtype", NUMBERS)
def test_values_come_back_in_their_order(tmp_path: Path, dtype: str) -> None:
    inputs = [np.arange(6).reshape(2, 3).astype(dtype), np.ones((1, 4), dtype)]
    outputs = [np.arange(5).astype(dtype)]
    dump = read_dump(write_dump(tmp_path / "Add.a.1.1700000000000000", inputs, outputs, "a/b"))
    assert dump.op_name == "a/b"
    for found, given in ((dump.inputs, inputs), (dump.outputs, outputs)):
        assert len(found) == len(given)
        for one, other in zip(found, given, strict=True):
            assert one.array().dtype == other.dtype
            assert np.array_equal(one.array(), other)


def test_a_scalar_and_an_empty_tensor(tmp_path: Path) -> None:
    dump = read_dump(write_dump(tmp_path / "d", [], [np.float32(3).reshape(()), np.zeros((0, 3), np.float32)]))
    assert dump.outputs[0].array() == 3
    assert dump.outputs[1].array().shape == (0, 3)


@pytest.mark.parametrize(("layout", "name"), [(3, "NC1HWC0"), (29, "FRACTAL_NZ"), (4, "FRACTAL_Z"), (77, "format 77")])
def test_a_layout_of_the_device_is_never_taken_for_plain(tmp_path: Path, layout: int, name: str) -> None:
    dump = read_dump(write_dump(tmp_path / "d", [], [np.zeros((1, 1, 2, 2, 16), np.float16)], layout=layout))
    with pytest.raises(ArtifactError, match=name):
        dump.outputs[0].array()


def test_a_shape_that_does_not_fit_the_bytes(tmp_path: Path) -> None:
    dump = read_dump(write_dump(tmp_path / "d", [], [np.zeros(6, np.float32)], shape=(1 << 40, 1 << 20)))
    with pytest.raises(ArtifactError, match="24 bytes are not those"):
        dump.outputs[0].array()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 7,
        b"\xff" * 8,
        (1 << 40).to_bytes(8, "little") + b"x" * 100,
        (4).to_bytes(8, "little") + b"\x1a\xff\xff\x7f",
    ],
)
def test_what_is_no_dump(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "d").write_bytes(data)
    with pytest.raises(ArtifactError, match="cannot be read as a dump"):
        read_dump(tmp_path / "d")


def test_bytes_too_few_or_too_many(tmp_path: Path) -> None:
    whole = write_dump(tmp_path / "d", [], [np.zeros(6, np.float32)]).read_bytes()
    for data in (whole[:-1], whole + b"\0"):
        (tmp_path / "d").write_bytes(data)
        with pytest.raises(ArtifactError, match="its tensors take"):
            read_dump(tmp_path / "d")


def test_damage_is_an_error_or_another_value_and_nothing_else(tmp_path: Path) -> None:
    rng = random.Random(7)
    whole = write_dump(tmp_path / "d", [np.ones((2, 3), np.float32)], [np.ones(4, np.float16)]).read_bytes()
    for _ in range(600):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        (tmp_path / "d").write_bytes(data[: rng.randint(0, len(data))] if rng.random() < 0.3 else data)
        try:
            dump = read_dump(tmp_path / "d")
            for found in (*dump.inputs, *dump.outputs):
                assert found.array().nbytes <= 2 * len(whole)
        except ArtifactError:
            pass
