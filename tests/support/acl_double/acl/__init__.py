"""A conformance double of Ascend's pyACL. IT IS NOT HARDWARE: no NPU computes anything here.

It models what client code must get right (return conventions, memory that is garbage until written, what the runtime
lets through, the order of release) and computes a model's outputs by a function that lies beside the OM file. What it
lets through, a real runtime lets through; what it refuses as a *violation*, a real runtime would punish with a crash,
a leak, or wrong numbers. Python 3.7 and NumPy; importable as ``acl`` where the folder above is on ``PYTHONPATH``.

Environment variables:
    ACL_DOUBLE_SOC       the chip that it plays (Ascend310P3)
    ACL_DOUBLE_RUN_MODE  ``host`` or ``device``: whether the process runs on the device itself
    ACL_DOUBLE_FAIL      ``<call>:<count>[:<code>]``: the count-th call of that name fails
    ACL_DOUBLE_LOG       a file that takes every call and every violation, one JSON object a line
    ACL_DOUBLE_LACKS     names of calls that this pyACL does not have, separated by commas
"""

from __future__ import annotations

from . import _state as state
from . import mdl, rt, util  # noqa: F401
from ._state import OK, bare, status

STAND_IN = "acl double, no hardware"  # told in the environment of whatever runs on it


@status("init")
def init(config=None):
    if state.device.initialized:
        return 100002
    state.device.initialized = True
    return OK


@status("finalize", releases=True)
def finalize():
    if not state.device.initialized:
        return 100001
    state.device.leaks("finalize", state.KINDS)
    state.device.initialized = False
    return OK


@bare("get_soc_name", None)
def get_soc_name():
    return state.soc()


@bare("get_recent_err_msg", "", counted=False)
def get_recent_err_msg():
    said, state.device.message = state.device.message, ""
    return said


@bare("create_data_buffer", 0)
def create_data_buffer(address, size):
    return state.device.make("data buffer", {"address": address, "size": size})


@status("destroy_data_buffer", releases=True)
def destroy_data_buffer(buffer):
    return state.device.destroy("data buffer", buffer)


@bare("get_data_buffer_addr", 0)
def get_data_buffer_addr(buffer):
    found = state.device.get("data buffer", buffer)
    return found["address"] if found else 0


@bare("get_data_buffer_size", 0)
def get_data_buffer_size(buffer):
    found = state.device.get("data buffer", buffer)
    return found["size"] if found else 0


def violations():
    """Return what client code did wrong so far."""
    return list(state.device.violations)


def calls():
    """Return the names of all calls so far."""
    return list(state.device.calls)


def alive():
    """Return what is allocated, as ``kind number``."""
    return state.device.alive(state.KINDS)


def fail(call, count=1, code=500000):
    """Let the count-th call of that name from now on fail."""
    state.device.fault = (call, state.device.calls.count(call) + count, code)


for _name in state.lacking():
    _owner = {"rt": rt, "mdl": mdl}.get(_name.rpartition(".")[0])
    if _owner is not None:
        delattr(_owner, _name.rpartition(".")[2])
    else:
        del globals()[_name]
