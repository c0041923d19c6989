"""Any call of pyACL may fail: nothing stays allocated, one clear message, and the first failure is the one told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acl_runs import ACTION, OBS, device_code, load_double, om_file

GEARS: dict[str, dict[str, Any]] = {
    "fixed": {},
    "batch": {"gears": {"kind": "batch", "values": [[1], [2]]}, "inputs": [{**OBS, "shape": [-1, 4]}]},
    "image": {"gears": {"kind": "image", "values": [[2, 4], [1, 4]]}, "inputs": [{**OBS, "shape": [-1, -1]}]},
    "dims": {"gears": {"kind": "dims", "values": [[2, 4], [1, 4]]}, "inputs": [{**OBS, "shape": [-1, 4]}]},
    "long": {"inputs": [OBS | {"name": "o" * 200}]},
}
RELEASES = ("destroy_", "free", "unload", "reset_device", "finalize")
# Calls that cannot fail so that it matters: asked for a message or a better name only.
HARMLESS = ("get_recent_err_msg",)


@pytest.fixture(scope="module")
def device() -> Any:
    return device_code()


def used(device: Any, path: Path) -> Any:
    """Load, run twice and close."""
    with device.AclModel(str(path), soc="Ascend310P3") as model:
        x = np.ones((2, 4), np.float32)
        for _ in range(2):
            outputs = model.run({model.inputs[0]["name"]: x})
    return outputs


def file(folder: Path, kind: str) -> Path:
    told = GEARS[kind]
    name = told.get("inputs", [OBS])[0]["name"]
    compute = f"def compute(inputs): return dict(action=inputs[{name!r}][:, :3])"
    return om_file(folder, compute, outputs=[ACTION], **told)


def released(acl: Any) -> bool:
    return acl.alive() == [] and acl.violations() == [] and not acl.state.device.initialized


@pytest.mark.parametrize("kind", GEARS)
def test_every_call_may_fail(monkeypatch: pytest.MonkeyPatch, device: Any, tmp_path: Path, kind: str) -> None:
    acl = load_double(monkeypatch)
    path = file(tmp_path, kind)
    used(device, path)
    assert released(acl)
    sequence = [c for c in acl.calls() if c not in HARMLESS]
    assert {"init", "mdl.load_from_file", "rt.memcpy", "mdl.execute", "mdl.unload", "finalize"} <= set(sequence)
    for at, call in enumerate(sequence):
        count = sequence[: at + 1].count(call)
        acl = load_double(monkeypatch, ACL_DOUBLE_FAIL=f"{call}:{count}:507015")
        with pytest.raises(device.AclError) as e:
            used(device, path)
        where = f"{call} number {count}"
        text = str(e.value)
        assert released(acl), (where, acl.alive(), acl.violations())
        assert len(text.splitlines()) == 1, where
        assert "Traceback" not in text
        names_it = f"acl.{call}" in text or e.value.call == "check"  # a bare value has no status: what it lacks is told
        assert names_it, (where, text)
        if e.value.code is not None:
            assert e.value.code == 507015, where
            assert "an AI core stopped" in text, where
            assert "told to fail" in text or any(r in call for r in RELEASES), where  # what the runtime says


@pytest.mark.parametrize("release", ["destroy_data_buffer", "rt.free", "mdl.unload", "rt.reset_device", "finalize"])
def test_a_release_that_fails_too_does_not_hide_the_first_error(
    monkeypatch: pytest.MonkeyPatch, device: Any, tmp_path: Path, release: str
) -> None:
    acl = load_double(monkeypatch, ACL_DOUBLE_FAIL=f"{release}:1:507015")
    path = om_file(tmp_path, soc="Ascend310")  # the runtime refuses to execute it
    with pytest.raises(device.AclError) as e:
        used(device, path)
    assert (e.value.call, e.value.code) == ("acl.mdl.execute", 507011)
    assert str(e.value).startswith("acl.mdl.execute: error 507011")
    assert [r.partition(":")[0] for r in e.value.releasing] == [f"acl.{release}"]
    assert f"then failed too: acl.{release}" in str(e.value)
    assert released(acl)


def test_an_error_that_is_not_the_runtimes_is_told_as_it_is(
    monkeypatch: pytest.MonkeyPatch, device: Any, tmp_path: Path
) -> None:
    acl = load_double(monkeypatch, ACL_DOUBLE_FAIL="mdl.unload:1")
    with pytest.raises(ZeroDivisionError), device.AclModel(str(om_file(tmp_path))):
        raise ZeroDivisionError
    assert released(acl)


@pytest.mark.parametrize("code", [100000, 100001, 107002, 145000, 145002, 145003, 145006, 145013, 145021, 145022])
@pytest.mark.parametrize("also", [207018, 507011, 507014, 507015, 545601])
def test_codes_have_a_sentence(device: Any, code: int, also: int) -> None:
    for known in (code, also):
        assert len(device.ERRORS[known]) > 20


def test_out_of_memory_is_of_its_own_kind(monkeypatch: pytest.MonkeyPatch, device: Any, tmp_path: Path) -> None:
    acl = load_double(monkeypatch, ACL_DOUBLE_FAIL="rt.malloc:2:207018")
    with pytest.raises(device.AclError) as e:
        used(device, om_file(tmp_path))
    assert e.value.kind == "memory"
    assert "npu-smi" in str(e.value)
    assert released(acl)


def test_a_code_that_nobody_knows(monkeypatch: pytest.MonkeyPatch, device: Any, tmp_path: Path) -> None:
    load_double(monkeypatch, ACL_DOUBLE_FAIL="mdl.execute:2:999999")
    with pytest.raises(device.AclError, match="error 999999: see the error codes of CANN"):
        used(device, om_file(tmp_path))


@pytest.mark.parametrize("returned", [None, "0", (7,), 7.5])
def test_a_wrapper_that_returns_something_else(
    monkeypatch: pytest.MonkeyPatch, device: Any, tmp_path: Path, returned: Any
) -> None:
    acl = load_double(monkeypatch)
    for name in ("memcpy", "malloc"):
        with monkeypatch.context() as m:
            m.setattr(acl.rt, name, lambda *_: returned)
            with pytest.raises(device.AclError, match="where a status was expected"):
                used(device, om_file(tmp_path))
        assert acl.alive() == []
