"""The runner om in its worker, on a double of pyACL, which is not hardware, and on one of ais_bench."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acl_runs import ACTION, AIS_DOUBLE, DOUBLE, OBS, logged
from acl_runs import real_om as om_file
from om_writer import Node, Om, Port, write
from parity.artifact import digest, recognize
from parity.errors import ArtifactError, RunnerError, UsageError
from parity.runner.findings import session_findings
from parity.runner.origin import stand_in_of
from runs import block, opened

GEARS = {"inputs": [{**OBS, "shape": [-1, 4]}], "gears": {"kind": "batch", "values": [[1], [2]]}}


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Workers find the double; it writes what is done to it there."""
    monkeypatch.setenv("PYTHONPATH", str(DOUBLE))
    monkeypatch.setenv("ACL_DOUBLE_LOG", str(tmp_path / "acl.log"))
    return tmp_path / "acl.log"


def observations(n: int = 3, rows: int = 2) -> Any:
    return block(n, obs=np.random.default_rng(1).standard_normal((n, rows, 4)).astype(np.float32))


def expected(data: Any) -> Any:
    return np.tanh(data.inputs["obs"] @ np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3))


def clean(log: Path) -> bool:
    """Whether nothing was left on the device, nor done to it that is not allowed."""
    return logged(log, "violation") == [] and logged(log, "call")[-1] == "finalize"


def test_runs_tells_what_ran_and_leaves_nothing(log: Path, tmp_path: Path) -> None:
    path, data = om_file(tmp_path), observations()
    with opened("om", path, tmp_path) as session:
        info = session.info
        assert [(t.name, t.shape, t.dtype) for t in info.inputs] == [("obs", (2, 4), "float32")]
        assert [(t.name, t.shape, t.dtype) for t in info.outputs] == [("action", (2, 3), "float32")]
        assert info.loaded_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert info.environment["runtime"] == "acl"
        assert info.environment["device"] == "acl double, no hardware"
        assert stand_in_of(info.environment) == "acl double, no hardware"
        assert list(session_findings(info, str(path))) == []
        result = session.run(data, repeat=True)
        assert (result.failure, result.repeat_differs) == (None, {})
        np.testing.assert_array_equal(result.outputs["action"], expected(data))
        assert session.run(data, "float64").failure is not None
    assert clean(log)


def test_without_any_runtime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(RunnerError) as e, opened("om", om_file(tmp_path), tmp_path):
        pass
    text = str(e.value)
    for part in ("pyACL cannot be imported", "ais_bench cannot be imported", "parity bundle", "`python`", "set_env.sh"):
        assert part in text
    assert "Traceback" not in text


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    np.savez(path, a=np.zeros(3))
    with pytest.raises(ArtifactError, match="not an OM"), opened("om", path, tmp_path):
        pass


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device": 1}, "no option 'device'; did you mean 'device_id'?"),
        ({"device_id": -1}, "device_id = -1"),
        ({"device_id": "0"}, "device_id = '0'"),
        ({"device_id": True}, "device_id = True"),
        ({"gear": [0]}, "gear"),
        ({"gear": "8"}, "gear"),
        ({"runtime": "cann"}, "acl or ais_bench"),
        ({"soc": 310}, "soc = 310"),
    ],
)
def test_options_are_checked(log: Path, tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as e, opened("om", om_file(tmp_path), tmp_path, options=options):
        pass
    assert said in str(e.value)


@pytest.mark.parametrize("device", ["cpu", "cuda:0", "npu:", "1", "npu:1x"])
def test_a_device_that_is_no_npu(log: Path, tmp_path: Path, device: str) -> None:
    with pytest.raises(UsageError, match="is no NPU"), opened("om", om_file(tmp_path), tmp_path, device=device):
        pass


def test_two_ways_to_say_which_device(log: Path, tmp_path: Path) -> None:
    path = om_file(tmp_path)
    for device, options in (("npu", {}), ("NPU:0", {"device_id": 0}), (None, {"device_id": 0})):
        with opened("om", path, tmp_path, device=device, options=options) as session:
            assert session.info.environment["device_id"] == 0
    with pytest.raises(RunnerError, match="107001"), opened("om", path, tmp_path, device="npu:1"):
        pass
    with (
        pytest.raises(UsageError, match="but device_id = 0"),
        opened("om", path, tmp_path, device="npu:1", options={"device_id": 0}),
    ):
        pass


def test_a_device_that_there_is_not(log: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(RunnerError, match=r"acl\.rt\.set_device: error 107001"),
        opened("om", om_file(tmp_path), tmp_path, options={"device_id": 3}),
    ):
        pass


def test_another_chip_is_refused_before_anything_runs(log: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(RunnerError, match="compiled for Ascend910B4, but the device is Ascend310P3"),
        opened("om", om_file(tmp_path), tmp_path, options={"soc": "Ascend910B4"}),
    ):
        pass
    assert "mdl.execute" not in logged(log, "call")
    assert clean(log)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"image": np.zeros((2, 2, 4), np.float32)}, "missing obs"),
        ({"obs": np.zeros((2, 1, 4), np.float32)}, "shape [1, 4]"),
        ({"obs": np.zeros((2, 2, 4), np.int64)}, "dtype int64"),
    ],
)
def test_inputs_that_do_not_fit(log: Path, tmp_path: Path, inputs: dict[str, Any], said: str) -> None:
    with opened("om", om_file(tmp_path), tmp_path) as session:
        failure = session.run(block(2, **inputs)).failure
        assert failure is not None
        assert failure.kind == "input"
        assert said in failure.message
        assert session.run(observations()).failure is None
    assert clean(log)


def test_an_output_that_was_not_written_fails_the_run(log: Path, tmp_path: Path) -> None:
    with opened("om", om_file(tmp_path, unwritten="action/1"), tmp_path) as session:
        failure = session.run(observations()).failure
        assert failure is not None
        assert (failure.kind, "1 of 6 values" in failure.message) == ("run", True)
    assert clean(log)


def test_values_that_are_not_finite_are_given_and_told(log: Path, tmp_path: Path) -> None:
    source = "import numpy as np\ndef compute(i): return dict(action=np.full((2, 3), np.nan, np.float32))"
    with opened("om", om_file(tmp_path, source), tmp_path) as session:
        result = session.run(observations())
        assert np.isnan(np.asarray(result.outputs["action"])).all()
        assert "action: 18 values are not finite" in session.info.notes


def test_float16_inputs_are_cast_to_what_the_model_takes(log: Path, tmp_path: Path) -> None:
    half = observations().inputs["obs"].astype(np.float16)
    with opened("om", om_file(tmp_path), tmp_path) as session:
        result = session.run(block(3, obs=half))
        np.testing.assert_array_equal(result.outputs["action"], expected(block(3, obs=half.astype(np.float32))))


def test_bfloat16_inputs_are_rounded_to_nearest_even(log: Path, tmp_path: Path) -> None:
    value = {"name": "x", "shape": [4], "dtype": "bfloat16"}
    source = "def compute(inputs): return dict(action=inputs['x'])"
    path = om_file(tmp_path, source, inputs=[value], outputs=[{**value, "name": "action"}])
    x = np.array([[1.0, 1 + 2**-8, 1 + 3 * 2**-8, np.inf]], np.float32)  # exact, a tie down, a tie up
    with opened("om", path, tmp_path) as session:
        found = session.run(block(1, x=x)).outputs["action"]
    np.testing.assert_array_equal(np.asarray(found), [[1.0, 1.0, 1 + 2**-6, np.inf]])


def test_output_names_are_those_of_the_source_model_where_unique(log: Path, tmp_path: Path) -> None:
    names = ["Tanh_7:0:action", "Cast_8:1:value"]
    source = "def compute(i): return dict(action=i['obs'], value=i['obs'] + 1)"
    outputs = [{**OBS, "name": n} for n in names]
    with opened("om", om_file(tmp_path, source, outputs=outputs), tmp_path) as session:
        assert [t.name for t in session.info.outputs] == ["action", "value"]
        result = session.run(observations())
        np.testing.assert_array_equal(np.asarray(result.outputs["value"]), np.asarray(result.outputs["action"]) + 1)
    twice = [{**OBS, "name": n} for n in ("A:0:action", "B:0:action")]
    with opened("om", om_file(tmp_path, source, outputs=twice), tmp_path) as session:
        assert [t.name for t in session.info.outputs] == ["A:0:action", "B:0:action"]
    mixed = [*twice, {**OBS, "name": "C:0:value"}]
    with opened("om", om_file(tmp_path, source, outputs=mixed), tmp_path) as session:
        assert [t.name for t in session.info.outputs] == ["A:0:action", "B:0:action", "value"]


def test_gears(log: Path, tmp_path: Path) -> None:
    path = om_file(tmp_path, **GEARS)
    with opened("om", path, tmp_path) as session:
        assert session.info.inputs[0].shape == (None, 4)
        assert session.info.environment["gears"] == GEARS["gears"]
        for rows in (1, 2):
            data = observations(rows=rows)
            np.testing.assert_array_equal(session.run(data).outputs["action"], expected(data))
        failure = session.run(observations(rows=3)).failure
        assert failure is not None
        assert "only these run" in failure.message
    assert clean(log)


def test_one_gear_is_chosen(log: Path, tmp_path: Path) -> None:
    path = om_file(tmp_path, **GEARS)
    with opened("om", path, tmp_path, options={"gear": 2}) as session:
        assert session.info.inputs[0].shape == (2, 4)
        assert session.run(observations(rows=2)).failure is None
        failure = session.run(observations(rows=1)).failure
        assert failure is not None
        assert "due is [2, 4]" in failure.message
    assert clean(log)
    with (
        pytest.raises(RunnerError, match=r"gears \(batch\) \[\[1\], \[2\]\]"),
        opened("om", path, tmp_path, options={"gear": 4}),
    ):
        pass
    with pytest.raises(RunnerError, match="no gears"), opened("om", om_file(tmp_path), tmp_path, options={"gear": 2}):
        pass
    assert clean(log)


def test_a_file_that_changes_while_it_is_loaded(log: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The bytes that are hashed are those that are loaded: here the file changes just after the runtime read it."""
    path = om_file(tmp_path)
    late = tmp_path / "late"
    late.mkdir()
    (late / "sitecustomize.py").write_text(
        "import acl, pathlib\n"
        "load = acl.mdl.load_from_file\n"
        "def changed(path):\n"
        "    found, file = load(path), pathlib.Path(path)\n"
        "    file.write_bytes(file.read_bytes()[:-1] + b'x')\n"
        "    return found\n"
        "acl.mdl.load_from_file = changed\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{late}:{DOUBLE}")
    with pytest.raises(RunnerError, match="changed while it was loaded"), opened("om", path, tmp_path):
        pass
    assert clean(log)


def test_weights_that_lie_beside_the_file_are_hashed_with_it(
    log: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = om_file(tmp_path)
    weights = tmp_path / "weight" / "weight_1"
    weights.parent.mkdir()
    weights.write_bytes(b"1234")
    alone = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest(recognize(path)) == (
        alone,
        path.stat().st_size,
    )  # a folder of that name, of which the file knows nothing
    told = json.loads(Path(f"{path}.json").read_text(encoding="utf-8"))
    port = Port("action", (2, 3), source="c:0")
    write(
        path, Om((Port("obs", (2, 4)),), (port,), (Node("c", "FileConstant"),), attributes={"soc_version": told["soc"]})
    )
    both = digest(recognize(path))
    assert both[1] == path.stat().st_size + 4
    with opened("om", path, tmp_path) as session:
        assert session.info.loaded_sha256 == both[0]
    weights.write_bytes(b"1235")
    with opened("om", path, tmp_path) as session:
        assert session.info.loaded_sha256 == digest(recognize(path))[0] != both[0]


def test_a_release_that_fails_is_told_once_nothing_else_failed(
    log: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ACL_DOUBLE_FAIL", "mdl.unload:1:507015")
    with (
        pytest.raises(RunnerError, match=r"closing: .*acl\.mdl\.unload: error 507015"),
        opened("om", om_file(tmp_path), tmp_path) as session,
    ):
        assert session.run(observations()).failure is None
    assert clean(log)
    with opened("om", om_file(tmp_path, unwritten="action"), tmp_path) as session:
        failure = session.run(observations()).failure
        assert failure is not None
        assert "not written" in failure.message


def test_a_failing_call_is_one_clear_message(log: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ACL_DOUBLE_FAIL", "mdl.execute:2:507014")
    with opened("om", om_file(tmp_path), tmp_path) as session:
        result = session.run(observations())
        assert result.completed == 1
        assert result.failure is not None
        assert "acl.mdl.execute: error 507014: an AI core took too long" in result.failure.message
    assert clean(log)


def test_state_that_goes_in_and_out_is_kept(log: Path, tmp_path: Path) -> None:
    source = "def compute(i): return dict(action=i['obs'] + i['h'], h_out=i['h'] + 1)"
    outputs = [{**OBS, "name": n} for n in ("action", "h_out")]
    path = om_file(tmp_path, source, inputs=[OBS, {**OBS, "name": "h"}], outputs=outputs)
    with opened("om", path, tmp_path, options={"state": {"h": "h_out"}}) as session:
        assert [t.name for t in session.info.inputs] == ["obs"]
        data = observations()
        np.testing.assert_array_equal(session.run(data).outputs["action"], data.inputs["obs"])
    assert clean(log)


# ------------------------------------------------------------------------------------------------------- ais_bench


@pytest.fixture
def ais(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(AIS_DOUBLE))


def test_ais_bench_where_only_that_is_installed(ais: None, tmp_path: Path) -> None:
    data = observations()
    with opened("om", om_file(tmp_path), tmp_path) as session:
        assert session.info.environment["runtime"] == "ais_bench"
        assert session.info.environment["device"] == "ais_bench double, no hardware"
        told = list(session_findings(session.info, "policy.om"))
        assert [f.code for f in told] == ["RUN008", "RUN008"]
        assert "outputs that nothing was written to cannot be noticed" in told[1].title
        assert "compiled for Ascend310P3; what chip the device is cannot be told here" in told[0].title
        result = session.run(data)
        assert result.failure is None
        np.testing.assert_array_equal(result.outputs["action"], expected(data))
        failure = session.run(block(1, obs=np.zeros((1, 4, 2), np.float32))).failure
        assert failure is not None
        assert "shape [4, 2]" in failure.message


def test_ais_bench_gets_contiguous_arrays_only(ais: None, tmp_path: Path) -> None:
    """Its double reads by pointer, as a widely copied version does; arrays reach it contiguous all the same."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "parity" / "runner" / "worker"))
    sys.path.insert(0, str(AIS_DOUBLE))
    try:
        from ais_model import AisModel

        model = AisModel(str(om_file(tmp_path)))
        x = np.random.default_rng(0).standard_normal((4, 2)).astype(np.float32).T
        right = np.tanh(np.ascontiguousarray(x) @ np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3))
        assert not np.array_equal(model._session.infer([x], "static")[0], right)
        np.testing.assert_array_equal(model.run({"obs": x})["action"], right)
    finally:
        del sys.path[:2]
        for name in [n for n in sys.modules if n.startswith(("ais_", "acl_calls", "acl_arrays"))]:
            del sys.modules[name]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"answer": "none"}, "gave nothing"),
        ({"answer": "fewer"}, "gave 0 outputs"),
        ({"answer": "flat"}, "came back as [6]"),
        ({"answer": "double"}, "float64"),
        ({"answer": "raise"}, "507011"),
    ],
)
def test_ais_bench_answers_that_are_no_outputs(ais: None, tmp_path: Path, told: dict[str, Any], said: str) -> None:
    with opened("om", om_file(tmp_path, **told), tmp_path) as session:
        failure = session.run(observations()).failure
        assert failure is not None
        assert said in failure.message


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (GEARS, "pyACL only"),
        ({"inputs": [OBS, OBS]}, "told apart"),
        ({"outputs": [{**ACTION, "bytes": 96}]}, "does not take the 96 bytes"),
    ],
)
def test_ais_bench_models_that_it_cannot_run_for_certain(
    ais: None, tmp_path: Path, told: dict[str, Any], said: str
) -> None:
    with pytest.raises(RunnerError, match=said), opened("om", om_file(tmp_path, **told), tmp_path):
        pass


def test_the_runtime_may_be_named(log: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(RunnerError, match="ais_bench cannot be imported"),
        opened("om", om_file(tmp_path), tmp_path, options={"runtime": "ais_bench"}),
    ):
        pass
