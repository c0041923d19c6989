"""What is alive on the double's device, its memory, the faults to inject, and what client code did wrong."""

from __future__ import annotations

import ctypes
import functools
import json
import os

import numpy as np

OK, BAD_PARAMETER, NOT_INITIALIZED, NO_CONTEXT = 0, 100000, 100001, 107002
# In the order in which they are to be given back.
KINDS = ("dataset", "data buffer", "memory", "desc", "model", "stream", "context", "device")


def soc():
    return os.environ.get("ACL_DOUBLE_SOC", "Ascend310P3")


def lacking():
    return [name for name in os.environ.get("ACL_DOUBLE_LACKS", "").split(",") if name]


class Device:
    def __init__(self):
        self.initialized = False
        self.current = 0  # the context of the thread; one thread is enough for a double
        self.things = {kind: {} for kind in KINDS}
        self.gone = {kind: set() for kind in KINDS}
        self.calls = []
        self.violations = []
        self.message = ""
        self.next = 0x7D00_0000_0000
        name, _, rest = os.environ.get("ACL_DOUBLE_FAIL", "").partition(":")
        count, _, code = rest.partition(":")
        self.fault = (name, int(count or 1), int(code or 500000)) if name else None

    def make(self, kind, thing):
        """Make something and return its number: an address that no host memory has, or an odd number."""
        number = self.next
        self.next += ((thing["size"] if kind == "memory" else 1) + 4096) // 512 * 512
        self.things[kind][number] = thing
        return number

    def get(self, kind, number):
        """Return something that is alive; None, and a violation, where it is not."""
        if number in self.things[kind]:
            return self.things[kind][number]
        self.violation(f"{kind} used after it was given back" if number in self.gone[kind] else f"no such {kind}")
        return None

    def destroy(self, kind, number):
        if number not in self.things[kind]:
            twice = number in self.gone[kind]
            self.violation(f"{kind} given back twice" if twice else f"gave back a {kind} that there is not")
            return BAD_PARAMETER
        del self.things[kind][number]
        self.gone[kind].add(number)
        return OK

    def alive(self, kinds):
        return [f"{kind} {number:#x}" for kind in kinds for number in self.things[kind]]

    def leaks(self, where, kinds):
        """Note what is alive and should have been given back before ``where``."""
        left = self.alive(kinds)
        if left:
            self.violation("wrong order or a leak: at {} still alive: {}".format(where, ", ".join(left)))

    def violation(self, text):
        self.violations.append(text)
        self.message = f"[double] violation: {text}"
        log({"violation": text})

    # ----------------------------------------------------------------------------------------------------- memory

    def malloc(self, size):
        seed = len(self.gone["memory"]) + len(self.things["memory"])
        garbage = np.random.RandomState(seed).bytes(size)
        return self.make("memory", {"size": size, "bytes": bytearray(garbage), "written": False})

    def block(self, address, size):
        """Return the block that holds ``size`` bytes at ``address`` and the offset; None, and a violation, if none."""
        for base, block in self.things["memory"].items():
            if base <= address < base + block["size"]:
                if address + size > base + block["size"]:
                    self.violation(f"{size} bytes at {address:#x} reach beyond the end of their memory")
                    return None
                return block, address - base
        freed = "memory used after it was freed" if address in self.gone["memory"] else "not an address of the device"
        self.violation(f"{freed}: {address:#x}")
        return None

    def read(self, address, size):
        """Return bytes of the device; what lies beyond a block is garbage, as next to any buffer."""
        found = self.block(address, 1)
        if found is None:
            return None
        block, offset = found
        data = bytes(block["bytes"][offset : offset + size])
        return data + np.random.RandomState(7).bytes(size - len(data))

    def copy(self, target, source, size, kind):
        """Copy as ``rt.memcpy`` does; on the device itself its memory and the process's are one."""
        on_device = os.environ.get("ACL_DOUBLE_RUN_MODE") == "device"
        if on_device and kind != 3:
            self.violation("copied between host and device in a process that runs on the device")
            return BAD_PARAMETER
        to_device = kind == 1 or (kind == 3 and target >= 0x7D00_0000_0000 and self.block(target, 1) is not None)
        if kind not in (1, 2, 3):
            return BAD_PARAMETER
        found = self.block(target if to_device else source, size)
        if found is None:
            return BAD_PARAMETER
        block, offset = found
        if to_device:
            block["written"] = True
            block["bytes"][offset : offset + size] = ctypes.string_at(source, size)
        else:
            ctypes.memmove(target, bytes(block["bytes"][offset : offset + size]), size)
        return OK


device = Device()


def log(entry):
    path = os.environ.get("ACL_DOUBLE_LOG")
    if path:
        with open(path, "a", encoding="utf-8") as f:
            f.write(json.dumps(entry) + "\n")


def _due(call):
    """Note a call and return the code that it is to fail with, if it is."""
    device.calls.append(call)
    log({"call": call})
    if device.fault and device.fault[0] == call and device.calls.count(call) == device.fault[1]:
        device.message = f"[double] {call} was told to fail"
        return device.fault[2]
    return None


def _ready(call, context):
    if not device.initialized and call != "init":
        return NOT_INITIALIZED
    return NO_CONTEXT if context and device.current not in device.things["context"] else OK


def status(call, releases=False, context=False):
    """A function that returns a status alone. A failing release has released all the same, and says that it failed."""

    def wrap(function):
        @functools.wraps(function)
        def wrapped(*arguments):
            code = _due(call)
            if code is not None and not releases:
                return code
            unready = _ready(call, context)
            if unready and call not in ("init", "finalize"):
                return unready
            return function(*arguments) if code is None else (function(*arguments), code)[1]

        return wrapped

    return wrap


def value(call, nothing=0, context=False):
    """A function that returns (value, status)."""

    def wrap(function):
        @functools.wraps(function)
        def wrapped(*arguments):
            code = _due(call)
            if code is None:
                code = _ready(call, context)
            return (nothing, code) if code else function(*arguments)

        return wrapped

    return wrap


def bare(call, nothing, counted=True):
    """A function that returns a value alone; ``nothing`` is what it returns where it fails."""

    def wrap(function):
        @functools.wraps(function)
        def wrapped(*arguments):
            code = _due(call) if counted else None
            dead = counted and not device.initialized
            return nothing if code is not None or dead else function(*arguments)

        return wrapped

    return wrap
