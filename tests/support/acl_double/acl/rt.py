"""``acl.rt`` of the double: device, contexts, streams, memory."""

from __future__ import annotations

import os

from . import _state as state
from ._state import BAD_PARAMETER, NO_CONTEXT, OK, status, value


@status("rt.set_device")
def set_device(number):
    if number != 0:
        return 107001  # the device id is invalid
    if 0 not in state.device.things["device"]:
        state.device.things["device"][0] = {}
    return OK


@status("rt.reset_device", releases=True)
def reset_device(number):
    state.device.leaks("rt.reset_device", state.KINDS[:-1])
    state.device.current = 0
    return state.device.destroy("device", number)


@value("rt.get_device_count")
def get_device_count():
    return 1, OK


@value("rt.get_run_mode")
def get_run_mode():
    return int(os.environ.get("ACL_DOUBLE_RUN_MODE") != "device"), OK


@value("rt.create_context")
def create_context(number):
    if number not in state.device.things["device"]:
        return 0, 107001
    state.device.current = state.device.make("context", {})
    return state.device.current, OK


@status("rt.destroy_context", releases=True)
def destroy_context(context):
    mine = [f"{k} {n:#x}" for k in state.KINDS[:-2] for n, t in state.device.things[k].items() if _in(t, context)]
    if mine:
        state.device.violation("wrong order or a leak: at rt.destroy_context still alive: {}".format(", ".join(mine)))
    if state.device.current == context:
        state.device.current = 0
    return state.device.destroy("context", context)


def _in(thing, context):
    return thing.get("context") == context


@status("rt.set_context")
def set_context(context):
    if state.device.get("context", context) is None:
        return NO_CONTEXT
    state.device.current = context
    return OK


@value("rt.get_context")
def get_context():
    return state.device.current, OK


@value("rt.create_stream", context=True)
def create_stream():
    return state.device.make("stream", {"context": state.device.current}), OK


@status("rt.destroy_stream", releases=True, context=True)
def destroy_stream(stream):
    return state.device.destroy("stream", stream)


@value("rt.malloc", context=True)
def malloc(size, policy):
    if size < 1 or policy not in (0, 1, 2):
        return 0, BAD_PARAMETER
    if size > 1 << 32:
        return 0, 207018
    address = state.device.malloc(size)
    state.device.things["memory"][address]["context"] = state.device.current
    return address, OK


@status("rt.free", releases=True, context=True)
def free(address):
    if any(b["address"] == address for b in state.device.things["data buffer"].values()):
        state.device.violation("wrong order: freed memory that a data buffer still points at")
    return state.device.destroy("memory", address)


@status("rt.memcpy", context=True)
def memcpy(target, target_size, source, size, kind):
    if size < 1 or size > target_size:
        return BAD_PARAMETER
    return state.device.copy(target, source, size, kind)
