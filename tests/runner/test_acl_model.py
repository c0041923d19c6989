"""AclModel on a double of pyACL, which is not hardware: what a device lets through, the class does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acl_runs import ACTION, OBS, device_code, load_double, om_file

GEARED = {"name": "obs", "shape": [-1, 4], "dtype": "float32"}
ECHO = "def compute(inputs): return dict(action=next(iter(inputs.values())))"


@pytest.fixture
def acl(monkeypatch: pytest.MonkeyPatch) -> Any:
    return load_double(monkeypatch)


@pytest.fixture(scope="module")
def device() -> Any:
    return device_code()


def obs(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape or (2, 4)).astype(np.float32)


def expected(x: Any) -> Any:
    return np.tanh(x @ np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3))


def clean(acl: Any) -> bool:
    return acl.violations() == [] and acl.alive() == [] and not acl.state.device.initialized


def refusal(device: Any, path: Path, feeds: dict[str, Any] | None = None, **options: Any) -> Any:
    """The error of loading, or of running ``feeds``."""
    with pytest.raises(device.AclError) as e, device.AclModel(str(path), **options) as model:
        model.run({"obs": obs()} if feeds is None else feeds)
    return e.value


def test_runs_and_gives_everything_back_in_order(acl: Any, device: Any, tmp_path: Path) -> None:
    x = obs()
    with device.AclModel(str(om_file(tmp_path))) as model:
        assert [(t["name"], t["shape"], t["dtype"], t["bytes"]) for t in model.inputs] == [
            ("obs", [2, 4], "float32", 32)
        ]
        assert [(t["name"], t["shape"], t["dtype"], t["bytes"]) for t in model.outputs] == [
            ("action", [2, 3], "float32", 24)
        ]
        assert (model.gears, model.soc) == (None, "Ascend310P3")
        np.testing.assert_array_equal(model.run({"obs": x})["action"], expected(x))
        np.testing.assert_array_equal(model.run({"obs": -x})["action"], expected(-x))
    assert clean(acl)
    ends = [c for c in acl.calls() if c.rpartition(".")[2].startswith(("destroy", "free", "unload", "reset", "final"))]
    assert ends == [
        *["destroy_data_buffer", "rt.free", "mdl.destroy_dataset"] * 2,
        *["mdl.destroy_desc", "mdl.unload", "rt.destroy_context", "rt.reset_device", "finalize"],
    ]
    model.close()
    assert acl.calls().count("finalize") == 1


def test_a_closed_model_does_not_run(acl: Any, device: Any, tmp_path: Path) -> None:
    model = device.AclModel(str(om_file(tmp_path)))
    model.close()
    with pytest.raises(device.AclError, match="closed"):
        model.run({"obs": obs()})


def test_the_double_does_not_pass_for_a_device(acl: Any, device: Any, tmp_path: Path) -> None:
    with device.AclModel(str(om_file(tmp_path))) as model:
        told = model.environment()
    assert told["device"] == "acl double, no hardware"
    assert told["stand_in"] is True
    assert "double" in told["soc"]


@pytest.mark.parametrize("cut", [1, 16])
def test_an_input_that_is_a_little_too_short_is_refused_though_the_runtime_takes_it(
    acl: Any, device: Any, tmp_path: Path, cut: int
) -> None:
    long = {"name": "obs", "shape": [32], "dtype": "float32"}
    path = om_file(tmp_path, ECHO, inputs=[long], outputs=[{**long, "name": "action"}])
    error = refusal(device, path, {"obs": obs(32 - cut)})
    assert error.kind == "input"
    assert f"[{32 - cut}]" in str(error)
    assert "128 bytes" in str(error)
    assert "mdl.execute" not in acl.calls()
    assert clean(acl)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (obs(3, 4), "shape"),
        (obs(4, 2), "shape"),
        (obs(8), "shape"),
        (obs(2, 4).astype(np.float64), "dtype float64"),
        (obs(2, 4).astype(np.float16), "dtype float16"),
        (np.zeros((2, 4), np.int32), "dtype int32"),
        (np.zeros((2, 4, 0), np.float32), "shape"),
        (None, "dtype object"),
    ],
)
def test_inputs_of_another_size_or_type_are_refused(
    acl: Any, device: Any, tmp_path: Path, array: Any, said: str
) -> None:
    error = refusal(device, om_file(tmp_path), {"obs": array})
    assert (error.kind, error.call) == ("input", "check")
    assert said in str(error)
    assert clean(acl)


@pytest.mark.parametrize("feeds", [{}, {"image": obs()}, {"obs": obs(), "ascend_mbatch_shape_data": np.zeros(16)}])
def test_names_that_do_not_fit_are_refused(acl: Any, device: Any, tmp_path: Path, feeds: Any) -> None:
    assert "the model takes obs" in str(refusal(device, om_file(tmp_path), feeds))


def test_arrays_that_are_not_contiguous_are_read_as_what_they_show(acl: Any, device: Any, tmp_path: Path) -> None:
    x = obs(4, 2).T
    wide = np.repeat(obs(), 2, axis=1)[:, ::2]
    with device.AclModel(str(om_file(tmp_path))) as model:
        for view in (x, wide, np.asfortranarray(obs()), obs()[::-1], obs().astype(">f4")):
            np.testing.assert_array_equal(
                model.run({"obs": view})["action"], expected(np.ascontiguousarray(view, "<f4"))
            )


def test_a_scalar_input_runs(acl: Any, device: Any, tmp_path: Path) -> None:
    scalar = {"name": "t", "shape": [], "dtype": "int64"}
    path = om_file(
        tmp_path,
        "def compute(inputs): return dict(action=inputs['t'] * 2)",
        inputs=[scalar],
        outputs=[{**scalar, "name": "action"}],
    )
    with device.AclModel(str(path)) as model:
        assert model.run({"t": np.int64(21)})["action"] == 42


def test_values_that_are_not_finite_are_given_and_counted(acl: Any, device: Any, tmp_path: Path) -> None:
    path = om_file(
        tmp_path, "import numpy as np\ndef compute(i): return dict(action=np.full((2, 3), np.nan, np.float32))"
    )
    x = obs()
    x[0, 0] = np.inf
    with device.AclModel(str(path)) as model:
        assert np.isnan(model.run({"obs": x})["action"]).all()
        model.run({"obs": obs()})
        assert model.not_finite == {"action": 12, "input obs": 1}


@pytest.mark.parametrize(("left", "said"), [("action", "6 of 6"), ("action/1", "1 of 6"), ("action/4", "4 of 6")])
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "int32", "int8", "uint8", "bool"])
def test_an_output_that_was_not_written_is_noticed(
    acl: Any, device: Any, tmp_path: Path, left: str, said: str, dtype: str
) -> None:
    path = om_file(tmp_path, unwritten=left, outputs=[{**ACTION, "dtype": dtype}])
    error = refusal(device, path)
    assert f"{said} values of output 'action' were not written" in str(error)
    assert clean(acl)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "uint8", "int16", "uint16"])
def test_an_output_that_happens_to_hold_the_pattern_is_no_refusal(
    acl: Any, device: Any, tmp_path: Path, dtype: str
) -> None:
    """Whatever an output legally is, it is not taken for unwritten."""
    bits = np.frombuffer(device.UNWRITTEN[0] * 8, np.uint8)
    value = {"name": "x", "shape": [16 // np.dtype(dtype).itemsize], "dtype": dtype}
    path = om_file(tmp_path, ECHO, inputs=[value], outputs=[{**value, "name": "action"}])
    with device.AclModel(str(path)) as model:
        x = bits.view(dtype)
        assert model.run({"x": x})["action"].tobytes() == x.tobytes()


def test_the_chip_must_be_the_one_that_the_file_was_compiled_for(acl: Any, device: Any, tmp_path: Path) -> None:
    error = refusal(device, om_file(tmp_path), soc="Ascend910B4")
    assert (error.kind, "compiled for Ascend910B4, but the device is Ascend310P3" in str(error)) == ("load", True)
    assert clean(acl)
    with device.AclModel(str(om_file(tmp_path)), soc="ascend310p3") as model:
        model.run({"obs": obs()})


def test_a_chip_that_only_the_runtime_notices(acl: Any, device: Any, tmp_path: Path) -> None:
    error = refusal(device, om_file(tmp_path, soc="Ascend310"))
    assert (error.call, error.code) == ("acl.mdl.execute", 507011)
    assert "another chip" in str(error)
    assert clean(acl)


def test_an_older_pyacl_that_cannot_tell_the_chip(monkeypatch: pytest.MonkeyPatch, device: Any, tmp_path: Path) -> None:
    acl = load_double(monkeypatch, ACL_DOUBLE_LACKS="get_soc_name,get_recent_err_msg,mdl.get_tensor_real_name")
    with device.AclModel(str(om_file(tmp_path)), soc="Ascend310P3") as model:
        assert model.soc is None
        model.run({"obs": obs()})
    assert "error 145002" in str(refusal(device, tmp_path / "absent.om"))
    assert clean(acl)


def test_a_process_on_the_device_itself(monkeypatch: pytest.MonkeyPatch, device: Any, tmp_path: Path) -> None:
    acl = load_double(monkeypatch, ACL_DOUBLE_RUN_MODE="device")
    with device.AclModel(str(om_file(tmp_path))) as model:
        np.testing.assert_array_equal(model.run({"obs": obs()})["action"], expected(obs()))
    assert clean(acl)


@pytest.mark.parametrize(
    ("content", "code"), [(b"", 145000), (b"IMOD" + b"\0" * 252, None), (b"PK\3\4" + b"\0" * 300, 145000)]
)
def test_files_that_are_no_model(acl: Any, device: Any, tmp_path: Path, content: bytes, code: int | None) -> None:
    path = om_file(tmp_path)
    path.write_bytes(content if code else path.read_bytes()[:-1])
    error = refusal(device, path)
    assert (error.kind, error.code) == ("load", code or 145006)
    assert clean(acl)


def test_without_pyacl(monkeypatch: pytest.MonkeyPatch, device: Any, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "acl", None)
    error = refusal(device, om_file(tmp_path))
    assert error.kind == "absent"
    assert "set_env.sh" in str(error)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"inputs": [OBS, OBS]}, "two inputs are called 'obs'"),
        ({"outputs": [ACTION, ACTION]}, "two outputs are called 'action'"),
        ({"inputs": []}, "0 inputs"),
        ({"inputs": [{**OBS, "dtype": "string", "bytes": 32}]}, "data type 13"),
        ({"inputs": [{**OBS, "shape": [-1, 4]}]}, "dynamic"),
        ({"inputs": [{**OBS, "bytes": 64}]}, "takes 32 bytes, but the runtime says 64"),
        ({"outputs": [{**ACTION, "bytes": 32}]}, "takes 24 bytes, but the runtime says 32"),
        ({"outputs": [{**ACTION, "shape": [2, 0]}]}, "does not tell the size"),
        ({"inputs": [OBS, {"name": "ascend_dynamic_aipp_data", "shape": [64], "dtype": "uint8"}]}, "dynamic AIPP"),
        ({"inputs": [{**OBS, "name": ""}]}, "does not tell the name"),
    ],
)
def test_models_that_cannot_be_run_for_certain(
    acl: Any, device: Any, tmp_path: Path, told: dict[str, Any], said: str
) -> None:
    error = refusal(device, om_file(tmp_path, **told))
    assert error.kind == "load"
    assert said in str(error)
    assert "mdl.execute" not in acl.calls()
    assert clean(acl)


def test_names_over_127_characters_are_the_real_ones(acl: Any, device: Any, tmp_path: Path) -> None:
    long = "observation." * 12
    path = om_file(tmp_path, ECHO, inputs=[{**OBS, "name": long}], outputs=[{**OBS, "name": "action"}])
    with device.AclModel(str(path)) as model:
        assert [t["name"] for t in model.inputs] == [long]
        np.testing.assert_array_equal(model.run({long: obs()})["action"], obs())


def test_a_picture_that_the_device_prepares(acl: Any, device: Any, tmp_path: Path) -> None:
    """Static AIPP: YUV420SP has 1.5 bytes a pixel, which is not what shape and type say."""
    picture = {"name": "image", "shape": [1, 4, 4, 3], "dtype": "uint8", "bytes": 24}
    path = om_file(tmp_path, ECHO, inputs=[picture], outputs=[{"name": "action", "shape": [24], "dtype": "uint8"}])
    data = np.arange(24, dtype=np.uint8)
    with device.AclModel(str(path)) as model:
        assert model.inputs[0]["aipp"] is True
        np.testing.assert_array_equal(model.run({"image": data})["action"], data)
        for wrong in (np.zeros((1, 4, 4, 3), np.uint8), data[:-1]):
            with pytest.raises(device.AclError, match="24 bytes"):
                model.run({"image": wrong})


def test_bfloat16_travels_as_float32(acl: Any, device: Any, tmp_path: Path) -> None:
    half = {"name": "x", "shape": [4], "dtype": "bfloat16"}
    path = om_file(tmp_path, ECHO, inputs=[half], outputs=[{**half, "name": "action"}])
    x = np.array([1.0, -2.5, 3e38, np.inf], np.float32).view(np.uint32) & 0xFFFF0000
    with device.AclModel(str(path)) as model:
        np.testing.assert_array_equal(model.run({"x": x.view(np.float32)})["action"], x.view(np.float32))
        with pytest.raises(device.AclError, match="round them first"):
            model.run({"x": np.full(4, 0.1, np.float32)})


# ---------------------------------------------------------------------------------------------------------- gears


def test_a_batch_runs_where_it_was_compiled_for(acl: Any, device: Any, tmp_path: Path) -> None:
    path = om_file(
        tmp_path, inputs=[GEARED], outputs=[{**ACTION, "shape": [8, 3]}], gears={"kind": "batch", "values": [[1], [8]]}
    )
    with device.AclModel(str(path)) as model:
        assert model.gears == {"kind": "batch", "values": [[1], [8]]}
        assert [t["name"] for t in model.inputs] == ["obs"]
        assert model.inputs[0]["bytes"] == 8 * 16
        for n in (8, 1, 8):
            x = obs(n, 4)
            np.testing.assert_array_equal(model.run({"obs": x})["action"], expected(x))
        for n in (2, 9):
            with pytest.raises(device.AclError, match=r"only these run") as e:
                model.run({"obs": obs(n, 4)})
            assert e.value.kind == "input"
    assert clean(acl)


def test_picture_sizes_and_other_axes(acl: Any, device: Any, tmp_path: Path) -> None:
    image = {"name": "image", "shape": [1, 3, -1, -1], "dtype": "float32"}
    state = {"name": "state", "shape": [1, 2], "dtype": "float32"}
    compute = "def compute(i): return dict(action=i['image'] + i['state'].sum())"
    out = {**image, "name": "action", "shape": [1, 3, 4, 6]}
    gears = {"kind": "image", "values": [[2, 2], [4, 6]]}
    with device.AclModel(str(om_file(tmp_path, compute, inputs=[image, state], outputs=[out], gears=gears))) as model:
        for h, w in ((4, 6), (2, 2)):
            x = obs(1, 3, h, w)
            found = model.run({"image": x, "state": np.ones((1, 2), np.float32)})["action"]
            np.testing.assert_array_equal(found, x + np.float32(2))
        with pytest.raises(device.AclError, match="only these run"):
            model.run({"image": obs(1, 3, 6, 4), "state": np.ones((1, 2), np.float32)})
    assert clean(acl)


@pytest.mark.parametrize("order", [["a", "b"], ["b", "a"]])
def test_dims_of_all_inputs(acl: Any, device: Any, tmp_path: Path, order: list[str]) -> None:
    """Gears list the axes of all inputs in the order of atc's --input_shape, which only the file tells."""
    a = {"name": "a", "shape": [-1, 4], "dtype": "float32"}
    b = {"name": "b", "shape": [-1, 4], "dtype": "float32"}
    compute = "def compute(i): return dict(action=i['a'] * i['b'].sum())"
    gears = {"kind": "dims", "values": [[1, 4, 3, 4], [5, 4, 1, 4]]}
    told = {"inputs": [a, b], "outputs": [{**a, "name": "action", "shape": [5, 4]}], "gears": gears, "order": order}
    path = str(om_file(tmp_path, compute, **told))
    first, second = ((n, m) if order[0] == "a" else (m, n) for n, m in ((1, 3), (5, 1)))
    with device.AclModel(path, order=order) as model:
        for n, m in (first, second, first):
            found = model.run({"a": obs(n, 4), "b": np.ones((m, 4), np.float32)})["action"]
            np.testing.assert_array_equal(found, obs(n, 4) * np.float32(4 * m))
        with pytest.raises(device.AclError, match="only these run"):
            model.run({"a": obs(first[1], 4), "b": np.ones((first[0], 4), np.float32)})
    assert clean(acl)
    for said in (None, ["a"], ["a", "c"], ["a", "b", "b"]):
        assert "only the file tells" in str(refusal(device, Path(path), order=said))


@pytest.mark.parametrize(
    ("inputs", "gears", "said"),
    [
        ([OBS], {"kind": "batch", "values": [[1], [2]]}, "which axes"),
        ([{**GEARED, "bytes": 4}], {"kind": "batch", "values": []}, "tells of none"),
        ([{**GEARED, "bytes": 64}], {"kind": "batch", "values": [[1], [8]]}, "takes 128 bytes"),
        ([{**OBS, "shape": [-1, -1], "bytes": 4}], {"kind": "batch", "values": [[1]]}, "does not fit"),
        ([{**GEARED, "bytes": 4}], {"kind": "dims", "values": [[1, 4, 4]]}, "does not fit"),
        ([{**GEARED, "bytes": 4}], {"kind": "dims", "values": [[4]]}, "does not fit"),
    ],
)
def test_gears_that_say_nothing_certain(
    acl: Any, device: Any, tmp_path: Path, inputs: Any, gears: Any, said: str
) -> None:
    error = refusal(device, om_file(tmp_path, inputs=inputs, gears=gears))
    assert (error.kind, said in str(error)) == ("load", True), str(error)
    assert clean(acl)


@pytest.mark.parametrize("dims", [[9, 3], [0, 3], [-1, 3], [1, 1, 25]])
def test_an_output_that_says_to_be_more_than_its_buffer(
    acl: Any, device: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dims: list[int]
) -> None:
    gears = {"kind": "batch", "values": [[1], [8]]}
    path = om_file(tmp_path, inputs=[GEARED], outputs=[{**ACTION, "shape": [8, 3]}], gears=gears)
    monkeypatch.setattr(acl.mdl, "get_cur_output_dims", lambda *_: ({"name": "", "dimCount": 2, "dims": dims}, 0))
    assert "which its 96 bytes do not hold" in str(refusal(device, path, {"obs": obs(8, 4)}))
    assert clean(acl)


def test_two_models_share_the_runtime_and_the_last_ends_it(acl: Any, device: Any, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = device.AclModel(str(om_file(tmp_path / "a")))
    second = device.AclModel(str(om_file(tmp_path / "b", ECHO, outputs=[{**OBS, "name": "action"}])))
    for _ in range(2):
        np.testing.assert_array_equal(first.run({"obs": obs()})["action"], expected(obs()))
        np.testing.assert_array_equal(second.run({"obs": obs()})["action"], obs())
    first.close()
    assert "finalize" not in acl.calls()
    second.run({"obs": obs()})
    second.close()
    assert clean(acl)
    assert (acl.calls().count("init"), acl.calls().count("finalize")) == (1, 1)


def test_a_runtime_that_another_library_began_is_left_running(acl: Any, device: Any, tmp_path: Path) -> None:
    assert acl.init() == 0
    with device.AclModel(str(om_file(tmp_path))) as model:
        model.run({"obs": obs()})
    assert "finalize" not in acl.calls()
    assert (acl.violations(), acl.alive()) == ([], [])
