"""The double of pyACL punishes what a device would: it is no use if it lets wrong client code pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acl_runs import DOUBLE, OBS, load_double, om_file


@pytest.fixture
def acl(monkeypatch: pytest.MonkeyPatch) -> Any:
    return load_double(monkeypatch)


class Client:
    """Plain client code, which does right unless told otherwise; as the samples of CANN have it."""

    def __init__(self, acl: Any, path: Path, sizes: tuple[int, ...] = (32,)) -> None:
        self.acl = acl
        assert acl.init() == 0
        assert acl.rt.set_device(0) == 0
        self.context, code = acl.rt.create_context(0)
        assert code == 0
        self.model, code = acl.mdl.load_from_file(str(path))
        assert code == 0
        self.desc = acl.mdl.create_desc()
        assert acl.mdl.get_desc(self.desc, self.model) == 0
        self.inputs, self.outputs = acl.mdl.create_dataset(), acl.mdl.create_dataset()
        self.memory, self.buffers = [], []
        for dataset, size in [*((self.inputs, n) for n in sizes), (self.outputs, 24)]:
            address, code = acl.rt.malloc(size, 0)
            assert code == 0
            self.memory.append(address)
            self.buffers.append(acl.create_data_buffer(address, size))
            assert acl.mdl.add_dataset_buffer(dataset, self.buffers[-1]) == (dataset, 0)

    def put(self, array: Any, at: int = 0) -> int:
        return self.acl.rt.memcpy(self.memory[at], array.nbytes, array.ctypes.data, array.nbytes, 1)

    def execute(self) -> int:
        return self.acl.mdl.execute(self.model, self.inputs, self.outputs)

    def got(self) -> Any:
        host = np.zeros((2, 3), np.float32)
        assert self.acl.rt.memcpy(host.ctypes.data, 24, self.memory[-1], 24, 2) == 0
        return host

    def release(self, skip: str = "") -> None:
        acl = self.acl
        for buffer in self.buffers:
            acl.destroy_data_buffer(buffer)
        for address in self.memory if skip != "memory" else []:
            acl.rt.free(address)
        for dataset in (self.inputs, self.outputs) if skip != "dataset" else []:
            acl.mdl.destroy_dataset(dataset)
        if skip != "desc":
            acl.mdl.destroy_desc(self.desc)
        if skip != "model":
            acl.mdl.unload(self.model)
        if skip != "context":
            acl.rt.destroy_context(self.context)
        if skip != "device":
            acl.rt.reset_device(0)
        acl.finalize()


def test_right_client_code_passes(acl: Any, tmp_path: Path) -> None:
    client = Client(acl, om_file(tmp_path))
    x = np.ones((2, 4), np.float32)
    assert client.put(x) == 0
    assert client.execute() == 0
    np.testing.assert_array_equal(client.got(), np.tanh(x @ np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)))
    client.release()
    assert (acl.violations(), acl.alive()) == ([], [])


@pytest.mark.parametrize("skip", ["memory", "dataset", "desc", "model", "context", "device"])
def test_leaks_and_wrong_order(acl: Any, tmp_path: Path, skip: str) -> None:
    Client(acl, om_file(tmp_path)).release(skip)
    assert any(skip in v for v in acl.violations()), acl.violations()


def test_calls_before_init_and_without_a_context(acl: Any, tmp_path: Path) -> None:
    assert acl.rt.set_device(0) == 100001
    assert acl.finalize() == 100001
    assert acl.init() == 0
    assert acl.init() == 100002
    assert acl.rt.malloc(4, 0) == (0, 107002)
    assert acl.mdl.load_from_file(str(om_file(tmp_path))) == (0, 107002)


def test_a_model_belongs_to_the_context_that_it_was_loaded_in(acl: Any, tmp_path: Path) -> None:
    client = Client(acl, om_file(tmp_path))
    acl.rt.create_context(0)
    assert client.execute() == 107002
    assert acl.mdl.unload(client.model) == 107002
    assert acl.rt.set_context(client.context) == 0
    assert client.execute() == 0


def test_memory_is_garbage_until_it_is_written(acl: Any, tmp_path: Path) -> None:
    client = Client(acl, om_file(tmp_path, unwritten="action"))
    before = client.got()
    assert before.any()
    assert client.execute() == 0
    assert client.got().tobytes() == before.tobytes()


@pytest.mark.parametrize(("size", "code"), [(32, 0), (64, 0), (24, 0), (4, 0)])
def test_inputs_of_other_sizes_are_let_through(acl: Any, tmp_path: Path, size: int, code: int) -> None:
    assert Client(acl, om_file(tmp_path), (size,)).execute() == code
    assert ("warning" in acl.get_recent_err_msg()) == (size > 32)


def test_more_than_64_bytes_too_short_is_refused(acl: Any, tmp_path: Path) -> None:
    path = om_file(
        tmp_path, inputs=[{**OBS, "shape": [24, 4]}], outputs=[{"name": "action", "shape": [2, 3], "dtype": "float32"}]
    )
    assert Client(acl, path, (24 * 16 - 65,)).execute() == 145006


def test_malloc_of_nothing_and_of_too_much(acl: Any, tmp_path: Path) -> None:
    client = Client(acl, om_file(tmp_path))
    assert acl.rt.malloc(0, 0) == (0, 100000)
    assert acl.rt.malloc(1 << 40, 0) == (0, 207018)
    assert client.acl.violations() == []


@pytest.mark.parametrize("wrong", ["twice", "freed", "host", "beyond", "kind"])
def test_memory_that_is_not_ones_own(acl: Any, tmp_path: Path, wrong: str) -> None:
    client = Client(acl, om_file(tmp_path))
    x = np.zeros(16, np.float32)
    if wrong == "twice":
        acl.destroy_data_buffer(client.buffers[0])
        acl.rt.free(client.memory[0])
        assert acl.rt.free(client.memory[0]) != 0
    elif wrong == "freed":
        acl.rt.free(client.memory[0])
        assert client.execute() == 507015
    elif wrong == "host":
        assert acl.rt.memcpy(x.ctypes.data, 32, x.ctypes.data, 32, 1) != 0
    elif wrong == "beyond":
        assert acl.rt.memcpy(client.memory[0], 64, x.ctypes.data, 64, 1) != 0
    else:
        assert acl.rt.memcpy(client.memory[0], 32, x.ctypes.data, 32, 2) != 0
    assert acl.violations()


def test_gears_must_be_set_and_compiled_and_their_input_left_alone(acl: Any, tmp_path: Path) -> None:
    told = {"inputs": [{**OBS, "shape": [-1, 4]}], "gears": {"kind": "batch", "values": [[1], [2]]}}
    client = Client(acl, om_file(tmp_path, **told), (32, 128))
    assert acl.mdl.get_num_inputs(client.desc) == 2
    assert acl.mdl.get_input_index_by_name(client.desc, "ascend_mbatch_shape_data") == (1, 0)
    assert client.execute() == 145013
    assert acl.mdl.set_dynamic_batch_size(client.model, client.inputs, 1, 3) == 145013
    assert acl.mdl.set_dynamic_batch_size(client.model, client.inputs, 0, 2) == 145000
    assert acl.mdl.set_dynamic_batch_size(client.model, client.inputs, 1, 2) == 0
    assert client.execute() == 0
    assert acl.violations() == []
    client.put(np.zeros(16, np.int64), at=1)
    acl.mdl.set_dynamic_batch_size(client.model, client.inputs, 1, 2)
    assert any("gears" in v for v in acl.violations())


def test_it_needs_nothing_but_numpy(tmp_path: Path) -> None:
    code = (
        "import sys, acl; print(sorted({m.partition('.')[0] for m in sys.modules} & {'parity', 'onnx', 'onnxruntime'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(DOUBLE)},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("source", sorted((DOUBLE / "acl").glob("*.py")), ids=lambda p: p.name)
def test_it_is_python_3_7(source: Path) -> None:
    import ast

    ast.parse(source.read_text(encoding="utf-8"), feature_version=(3, 7))
