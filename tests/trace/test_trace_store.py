"""A trace gives back what was put in, in pieces; equal content gives equal bytes; an unfinished one is not there."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from parity.artifact import recognize
from parity.contract.trace import READER
from parity.errors import ArtifactError, OutputError
from parity.tensor import Block
from parity.trace import Trace, TraceCase, TraceWriter


def sample(n: int = 5) -> tuple[Block, dict[str, object]]:
    x = np.random.default_rng(0).standard_normal((n, 1, 4)).astype(np.float32)
    block = Block(tuple(f"nominal-{i:04d}" for i in range(n)), {"obs/a.b": x, "mask": x > 0})
    outputs: dict[str, object] = {
        "action": x * 2,
        "empty": np.zeros((n, 1, 0), np.float32),
        "ragged": [np.arange(i, dtype=np.int64).reshape(1, i) for i in range(n)],
        "scalar": np.arange(n, dtype=np.float64),
        "half": x.astype(np.float16),
    }
    return block, outputs


def write(path: Path) -> Path:
    block, outputs = sample()
    x = block.inputs["obs/a.b"]
    with TraceWriter(path, {"b": [1, None], "a": "é"}) as trace:
        trace.add(
            block, "nominal", range(5), ["how"] * 5, outputs, {"action": {"float64": np.abs(x), "variants": x * 0}}
        )
        trace.add(Block(("worst-0000",), {"obs/a.b": x[:1], "mask": x[:1] > 0}), "worst", [9], [""], {"action": x[:1]})
    return path


def test_gives_back_what_was_put_in(tmp_path: Path) -> None:
    block, outputs = sample()
    with Trace.open(write(tmp_path / "t.h5")) as trace:
        assert trace.meta == {"a": "é", "b": [1, None]}
        assert [c.id for c in trace.cases] == [*block.ids, "worst-0000"]
        assert trace.cases[-1] == TraceCase("worst-0000", "worst", 9, "")
        for i, case in enumerate(block.ids):
            inputs = trace.inputs(case)
            for name in block.inputs:
                np.testing.assert_array_equal(inputs[name], block.inputs[name][i])
                assert inputs[name].dtype == block.inputs[name].dtype
            assert trace.output_names(case) == tuple(outputs)
            for name, values in outputs.items():
                expected = np.asarray(values[i])  # type: ignore[index]
                source = trace.output(case, name)
                assert source.shape == expected.shape
                assert source.dtype == expected.dtype
                np.testing.assert_array_equal(source.read(0, expected.size), expected.reshape(-1))
            np.testing.assert_array_equal(trace.floor(case, "action")["float64"], np.abs(block.inputs["obs/a.b"][i]))
            assert trace.floor(case, "half") == {}
        assert trace.floor("worst-0000", "action") == {}
        with pytest.raises(KeyError):
            trace.output("worst-0000", "half")
        with pytest.raises(KeyError):
            trace.inputs("nominal-0099")


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    first = write(tmp_path / "a.h5").read_bytes()
    time.sleep(1.1)  # a time stamp in the file would have moved on
    assert write(tmp_path / "b.h5").read_bytes() == first


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.float64, np.float32, np.float16, np.int64, np.uint8, np.bool_, np.int16]),
        hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5),
    ),
    st.integers(0, 700),
    st.integers(0, 700),
)
def test_any_tensor_in_any_piece(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, a: int, b: int) -> None:  # type: ignore[type-arg]
    path = tmp_path_factory.mktemp("trace") / "t.h5"
    n = len(array)
    with TraceWriter(path, {}) as trace:
        trace.add(Block(tuple(map(str, range(n))), {"x": array}), "edge", [0] * n, [""] * n, {"y": array})
    with Trace.open(path) as read:
        for i in range(n):
            flat = array[i].reshape(-1)
            source = read.output(str(i), "y")
            assert source.dtype == array.dtype
            assert source.read(a, b).tobytes() == flat[a:b].tobytes()
            assert read.mapped(str(i), "y").tobytes() == flat.tobytes()


def test_bfloat16_comes_back_as_the_float32_of_the_same_value(tmp_path: Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    values = np.array([[1.5, -3e38, np.inf, 1e-40]], np.float32).astype(ml_dtypes.bfloat16)
    with TraceWriter(tmp_path / "t.h5", {}) as trace:
        trace.add(Block(("a",), {}), "nominal", [0], [""], {"y": values})
    with Trace.open(tmp_path / "t.h5") as read:
        np.testing.assert_array_equal(read.output("a", "y").read(0, 4), values[0].astype(np.float32))


def test_large_output_is_read_without_loading_it(tmp_path: Path) -> None:
    size = 1 << 24  # 64 MiB
    big = np.memmap(tmp_path / "big", np.float32, "w+", shape=(2, 1, size))
    big[1, 0, -1] = 7
    with TraceWriter(tmp_path / "t.h5", {}) as trace:
        trace.add(Block(("a", "b"), {}), "nominal", [0, 0], ["", ""], {"y": big})
    tracemalloc.start()
    with Trace.open(tmp_path / "t.h5") as read:
        source = read.output("b", "y")
        assert source.shape == (1, size)
        assert source.read(size - 1, size)[0] == 7
        assert source.read(0, 1 << 16).max() == 0
        assert read.mapped("b", "y")[0, -1] == 7
        peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_thousands_of_cases_are_cheap(tmp_path: Path) -> None:
    n = 5000
    x = np.zeros((n, 1, 8), np.float32)
    with TraceWriter(tmp_path / "t.h5", {}) as trace:
        trace.add(Block(tuple(map(str, range(n))), {"x": x}), "nominal", [0] * n, [""] * n, {"y": x})
    assert (tmp_path / "t.h5").stat().st_size < 2 * x.nbytes + 200_000


def test_left_with_an_exception_nothing_is_there(tmp_path: Path) -> None:
    path = tmp_path / "t.h5"
    path.write_text("the trace of before")
    with pytest.raises(KeyboardInterrupt), TraceWriter(path, {}):
        raise KeyboardInterrupt
    assert path.read_text() == "the trace of before"
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_folder_is_a_message(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        TraceWriter(tmp_path / "none" / "t.h5", {})


def test_full_disk_is_a_message() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal
    import tempfile

    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        with tempfile.TemporaryDirectory() as folder:
            big = np.ones((1, 1, 1 << 20))
            with pytest.raises(OutputError, match="cannot be written"), TraceWriter(Path(folder) / "t.h5", {}) as trace:
                trace.add(Block(("a",), {}), "nominal", [0], [""], {"y": big})
            assert list(Path(folder).iterdir()) == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)


@pytest.mark.parametrize("wrong", ["seeds", "output", "twice", "again", "dtype"])
def test_what_does_not_agree_is_not_written(tmp_path: Path, wrong: str) -> None:
    x = np.zeros((2, 1, 3))
    block = Block(("a", "a") if wrong == "twice" else ("a", "b"), {"x": x})
    outputs = {"y": x[:1] if wrong == "output" else x}
    if wrong == "dtype":
        outputs = {"y": np.array([{}, {}], object)}
    with TraceWriter(tmp_path / "t.h5", {}) as trace:
        if wrong == "again":
            trace.add(block, "nominal", [0, 0], ["", ""], outputs)
        with pytest.raises(ValueError):
            trace.add(block, "nominal", [0] if wrong == "seeds" else [0, 0], ["", ""], outputs)


def test_contract_of_a_trace(tmp_path: Path) -> None:
    contract = READER.read(recognize(write(tmp_path / "t.h5")))
    assert [(t.name, t.shape, t.dtype) for t in contract.inputs] == [
        ("obs/a.b", (1, 4), "float32"),
        ("mask", (1, 4), "bool"),
    ]
    ragged = contract.output("ragged")
    assert ragged is not None
    assert ragged.shape is None
    assert contract.metadata["cases"] == 6


# ------------------------------------------------------------------------------------------------- foreign files


def tamper(path: Path, how: str, outside: Path) -> None:
    with h5py.File(path, "r+") as f:
        group = f["blocks/000000/outputs"]
        values = group["0"][...]
        if how in ("soft", "external"):
            del group["0"]
            group["0"] = h5py.SoftLink("/meta") if how == "soft" else h5py.ExternalLink(str(outside), "/meta")
            return
        del group["0"]
        if how == "gzip":
            member = group.create_dataset("0", data=values, compression="gzip")
        elif how == "chunked":
            member = group.create_dataset("0", data=values, chunks=True)
        elif how == "stored elsewhere":
            member = group.create_dataset(
                "0", shape=values.shape, dtype="f4", external=[(str(outside), 0, values.nbytes)]
            )
        elif how == "virtual":
            layout = h5py.VirtualLayout(values.shape, "f4")
            layout[:] = h5py.VirtualSource(str(outside), "x", values.shape)
            member = group.create_virtual_dataset("0", layout)
        elif how == "text":
            member = group.create_dataset("0", data=[b"a", b"b", b"c", b"d", b"e"], dtype=h5py.string_dtype())
        elif how == "huge":
            member = group.create_dataset("0", shape=(5, 1 << 56), dtype="f8")
        elif how == "rows":
            member = group.create_dataset("0", data=values[:3])
        member.attrs["name"] = "action"


@pytest.mark.parametrize(
    "how", ["soft", "external", "gzip", "chunked", "stored elsewhere", "virtual", "text", "huge", "rows"]
)
def test_foreign_file_is_refused(tmp_path: Path, how: str) -> None:
    path = write(tmp_path / "t.h5")
    outside = write(tmp_path / "outside.h5")
    tamper(path, how, outside)
    with pytest.raises(ArtifactError) as e:
        Trace.open(path)
    assert str(path) in str(e.value)


@pytest.mark.parametrize("missing", ["meta", "blocks", "blocks/000000/cases", "blocks/000000/outputs"])
def test_incomplete_file_is_refused(tmp_path: Path, missing: str) -> None:
    path = write(tmp_path / "t.h5")
    with h5py.File(path, "r+") as f:
        del f[missing]
    with pytest.raises(ArtifactError):
        Trace.open(path)


def test_version_of_the_future_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.h5")
    with h5py.File(path, "r+") as f:
        f.attrs["parity_trace"] = 2
    with pytest.raises(ArtifactError, match="version 2"):
        Trace.open(path)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_is_a_message_or_harmless(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Flip bytes or cut the file anywhere: the reader either refuses it or reads tensors of the claimed sizes."""
    folder = tmp_path_factory.mktemp("damage")
    raw = bytearray(write(folder / "t.h5").read_bytes())
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(8, len(raw) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 8))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = folder / "damaged.h5"
    path.write_bytes(bytes(raw))
    try:
        with Trace.open(path) as trace:
            for case in trace.cases:
                for name in trace.output_names(case.id):
                    source = trace.output(case.id, name)
                    assert source.read(0, 1 << 20).nbytes <= len(raw)
    except ArtifactError:
        pass
