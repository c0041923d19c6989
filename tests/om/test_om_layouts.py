"""Layouts of the device, undone: any shape comes back as it was, and what does not fit is refused, never guessed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from om_layouts import pack
from om_writer import Constant, Om, write
from parity.artifact import digest, recognize
from parity.checkpoint.weights import read_weights
from parity.contract.om import contract_of
from parity.errors import ArtifactError
from parity.om.layouts import restored
from parity.om.reading import open_om

SIDE = st.integers(1, 35)
KERNEL = st.tuples(SIDE, SIDE, st.integers(1, 3), st.integers(1, 3))  # N, C, H, W
ORIGINS = st.sampled_from(["NCHW", "NHWC", "HWCN", "CHWN"])


def numbers(shape: tuple[int, ...], dtype: str = "float16", seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).integers(1, 100, shape)
    return values.astype(dtype)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.sampled_from([(), (2,), (2, 3)]), st.sampled_from([8, 16, 32]))
def test_matrices(m: int, n: int, batch: tuple[int, ...], c0: int) -> None:
    values = numbers((*batch, m, n))
    found = restored(pack(values, "FRACTAL_NZ", "ND", c0), "FRACTAL_NZ", values.shape, "ND")
    assert np.array_equal(found, values)


@settings(max_examples=30, deadline=None)
@given(KERNEL, ORIGINS, st.sampled_from(["FRACTAL_Z", "NC1HWC0"]), st.sampled_from([8, 16, 32]))
def test_filters(nchw: tuple[int, ...], origin: str, layout: str, c0: int) -> None:
    values = numbers(tuple(nchw["NCHW".index(axis)] for axis in origin))
    found = restored(pack(values, layout, origin, c0), layout, values.shape, origin)
    assert found.shape == values.shape
    assert np.array_equal(found, values)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 20), st.integers(1, 2), st.integers(1, 3)),
    st.integers(1, 40),
    ORIGINS,
    st.sampled_from([8, 16]),
)
def test_grouped_filters(nchw: tuple[int, ...], groups: int, origin: str, c0: int) -> None:
    sizes = (nchw[0] * groups, *nchw[1:])
    values = numbers(tuple(sizes["NCHW".index(axis)] for axis in origin))
    layout = f"FRACTAL_Z:{groups}"
    assert np.array_equal(restored(pack(values, layout, origin, c0), layout, values.shape, origin), values)


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.integers(1, 18)] * 2, *[st.integers(1, 3)] * 3), st.sampled_from(["NCDHW", "NDHWC", "DHWCN"]))
def test_filters_in_space_and_time(ncdhw: tuple[int, ...], origin: str) -> None:
    values = numbers(tuple(ncdhw["NCDHW".index(axis)] for axis in origin))
    assert np.array_equal(restored(pack(values, "FRACTAL_Z_3D", origin), "FRACTAL_Z_3D", values.shape, origin), values)


def test_grouped_filters_that_do_not_say_so_are_refused() -> None:
    """A depthwise filter of up to 16 channels has the blocks of a plain one, and lies along their diagonal."""
    values = numbers((16, 1, 3, 3))
    stored = pack(values, "FRACTAL_Z:16", "NCHW")
    assert stored.shape == pack(values, "FRACTAL_Z", "NCHW").shape
    for wrong in ("FRACTAL_Z", "FRACTAL_Z:8"):
        with pytest.raises(ArtifactError):
            restored(stored, wrong, values.shape, "NCHW")


@settings(max_examples=20, deadline=None)
@given(KERNEL, ORIGINS, ORIGINS)
def test_plain_layouts(nchw: tuple[int, ...], origin: str, layout: str) -> None:
    values = numbers(tuple(nchw["NCHW".index(axis)] for axis in origin))
    assert np.array_equal(restored(pack(values, layout, origin), layout, values.shape, origin), values)


def test_a_vector_in_blocks_and_vectors_with_axes_of_one() -> None:
    values = numbers((20,))
    assert np.array_equal(
        restored(pack(values.reshape(1, 20, 1, 1), "NC1HWC0", "NCHW"), "NC1HWC0", (20,), "NCHW"), values
    )
    assert restored(values.reshape(1, 20), "ND", (20,), "ND").shape == (20,)
    assert restored(values, "NHWC", (20,), "ND") is values  # the layout says nothing of one axis


@pytest.mark.parametrize(
    ("layout", "stored", "shape", "origin"),
    [
        ("FRACTAL_Z_3D", (4, 4, 16, 16), (3, 3, 3, 3), "NCHW"),
        ("FRACTAL_Z:8", (9, 1, 16, 16), (12, 1, 3, 3), "NCHW"),  # 12 outputs of 8 groups
        ("FRACTAL_Z:x", (9, 1, 16, 16), (16, 16, 3, 3), "NCHW"),
        ("FRACTAL_NZ:2", (1, 1, 16, 16), (16, 16), "ND"),
        ("FRACTAL_Z_G", (9, 1, 16, 16), (16, 16, 3, 3), "NCHW"),
        ("", (3, 3), (3, 3), "ND"),
        ("FRACTAL_NZ", (2, 2, 16, 16), (33, 32), ""),  # 33 rows need three blocks
        ("FRACTAL_NZ", (2, 3, 16, 16), (32, 32), ""),  # a block too many
        ("FRACTAL_NZ", (2, 2, 16, 16), (32,), ""),
        ("FRACTAL_NZ", (2, 2), (2, 2), ""),
        ("FRACTAL_Z", (9, 2, 16, 16), (32, 17, 3, 3), "NCHW"),
        ("FRACTAL_Z", (9, 2, 16, 16), (32, 16, 3, 3), "ND"),
        ("FRACTAL_Z", (9, 2, 16, 0), (32, 0, 3, 3), "NCHW"),
        ("NC1HWC0", (1, 1, 3, 3, 16), (1, 17, 3, 3), "NCHW"),
        ("ND", (3, 4), (4, 3), "ND"),  # a reshape would be a guess
        ("NCHW", (2, 3, 4, 5), (2, 3, 5, 4), "NCHW"),
        ("NHWC", (2, 3, 4, 5), (2, 3, 4, 5), "NCHW"),  # the same shape in two layouts
    ],
)
def test_what_does_not_fit_is_refused(
    layout: str, stored: tuple[int, ...], shape: tuple[int, ...], origin: str
) -> None:
    with pytest.raises(ArtifactError) as e:
        restored(np.zeros(stored, np.float16), layout, shape, origin)
    assert e.value.remedy


@pytest.mark.parametrize("layout", ["FRACTAL_Z", "NC1HWC0", "FRACTAL_NZ"])
def test_numbers_in_the_padding_are_another_layout(layout: str) -> None:
    """Grouped filters are packed along the diagonal, into the same shape as plain ones."""
    values = numbers((5, 6)) if layout == "FRACTAL_NZ" else numbers((5, 6, 1, 1))
    stored = pack(values, layout, "ND" if layout == "FRACTAL_NZ" else "NCHW")
    stored.reshape(-1)[-1] = 1
    with pytest.raises(ArtifactError, match="does not fit"):
        restored(stored, layout, values.shape, "NCHW")


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "int32", "int64", "uint8", "bool"])
def test_constants_of_every_type(tmp_path: Path, dtype: str) -> None:
    values = numbers((3, 5), dtype)
    path = write(tmp_path / "m.om", Om(constants=(Constant("w", values), Constant("scalar", values[0, 0].reshape(())))))
    weights = read_weights(path)
    assert np.array_equal(weights["w"].array, values)
    assert weights["w"].array.dtype == values.dtype
    assert weights["scalar"].array.shape == ()


def test_bfloat16_comes_as_its_bits(tmp_path: Path) -> None:
    bits = np.array([0x3F80, 0xC000], np.uint16)
    weight = read_weights(write(tmp_path / "m.om", Om(constants=(Constant("w", bits, dtype="bfloat16"),))))["w"]
    assert (weight.dtype, weight.array.dtype) == ("bfloat16", np.uint16)
    assert weight.as_float().tolist() == [1.0, -2.0]


def test_a_layout_that_is_not_known_is_an_error_when_it_is_read(tmp_path: Path) -> None:
    strange = Constant("w", numbers((4, 4)), "FRACTAL_ZN_LSTM", stored=numbers((1, 1, 16, 16)))
    model = open_om(write(tmp_path / "m.om", Om(constants=(strange, Constant("fine", numbers((2,)))))))
    assert model.constants["fine"].read().shape == (2,)
    with pytest.raises(ArtifactError, match=r"m\.om: the constant 'w': stored as FRACTAL_ZN_LSTM"):
        model.constants["w"].read()


@dataclass(frozen=True)
class Claimed:
    """What looks like an array of any shape, and holds nothing."""

    shape: tuple[int, ...]
    dtype: str = "float16"
    nbytes: int = 0

    def tobytes(self) -> bytes:
        return b""


@pytest.mark.parametrize(
    ("stored", "shape"),
    [((0, 2**62), (0, 2**62)), ((0, 2**63 - 1, 2**63 - 1), (4,)), ((2**62, 0), (0,)), ((-1, 0), (0,)), ((0,), (-3,))],
)
def test_shapes_that_no_array_has(tmp_path: Path, stored: tuple[int, ...], shape: tuple[int, ...]) -> None:
    claimed = Constant("w", Claimed(shape), stored=Claimed(stored))  # type: ignore[arg-type]
    model = open_om(write(tmp_path / "m.om", Om(constants=(claimed,))))
    with pytest.raises(ArtifactError, match=r"m\.om: the constant 'w'"):
        model.constants["w"].read()
    assert "OM011" in [f.code for f in contract_of(model).findings]


def test_nothing_in_a_shape_that_an_array_has(tmp_path: Path) -> None:
    empty = Constant("w", np.zeros((0, 4), np.float16))
    assert open_om(write(tmp_path / "m.om", Om(constants=(empty,)))).constants["w"].read().shape == (0, 4)


def test_folded_and_external_constants(tmp_path: Path) -> None:
    folded = Constant("dynamic_const_1", numbers((2,)), origin_name="conv1.weight_filter_host")
    outside = Constant("big", numbers((2, 3)), external=True)
    model = open_om(write(tmp_path / "m.om", Om(constants=(folded, outside))))
    assert model.constants["dynamic_const_1"].folded
    assert not model.constants["big"].folded
    assert model.constants["big"].shape == (2, 3)
    with pytest.raises(ArtifactError, match="--external_weight=1"):
        model.constants["big"].read()


def test_bytes_that_are_not_there(tmp_path: Path) -> None:
    values = numbers((64,))
    data = write(tmp_path / "m.om", Om(constants=(Constant("a", values), Constant("b", values)))).read_bytes()
    offset = b"\x90\x01\x80\x04"  # data_offset 512
    assert data.count(offset) == 1
    (tmp_path / "n.om").write_bytes(data.replace(offset, b"\x90\x01\x81\x08"))
    with pytest.raises(ArtifactError, match=r"the constant 'b': bytes 1025 to 1153 of the weights"):
        open_om(tmp_path / "n.om").constants["b"].read()


def test_weights_outside_of_the_file_count_in_its_digest(tmp_path: Path) -> None:
    def hashed(om: Om) -> tuple[str, int]:
        return digest(recognize(write(tmp_path / "m.om", om)))

    outside = Om(constants=(Constant("big", numbers((2, 3)), external=True),))
    inside = Om(constants=(Constant("big", numbers((2, 3))),))
    alone = hashed(outside), hashed(inside)
    (tmp_path / "weight").mkdir()
    (tmp_path / "weight" / "m_weight_combined").write_bytes(b"1234")
    assert hashed(inside) == alone[1]  # the folder is another model's
    with_weights = hashed(outside)
    assert with_weights[1] == alone[0][1] + 4
    (tmp_path / "weight" / "m_weight_combined").write_bytes(b"1235")
    assert len({alone[0], with_weights, hashed(outside)}) == 3
