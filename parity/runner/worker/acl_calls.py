"""Calls to Ascend's pyACL: what they return, what their errors mean, and that all they made is given back, in order.

Return conventions: the pyACL reference and its wrapper (cann/pyacl, ``mdl_wrap.cpp``, ``rt_memory.cpp``). Python 3.7.
"""

from __future__ import annotations

from typing import Any

ERRORS = {
    100000: "a parameter is not one that the runtime takes",
    100001: "the runtime is not initialized: it could not start, or something else in this process ended it",
    100002: "the runtime is initialized already",
    107002: "no context in this thread: the device was reset, or another library took the context away",
    145000: "the graph engine refuses a parameter: the file is probably not an OM that this CANN reads",
    145002: "the path cannot be used: does the file exist, may it be read, and is a `weight` folder due beside it?",
    145003: "no such model is loaded: it was unloaded, or loaded in another context",
    145006: "the size of the data does not fit the model: the OM is truncated, or a buffer is too small",
    145013: "not a size that the model was compiled for: it has gears, and only these run",
    145021: "the shape does not fit the model",
    145022: "the data type does not fit the model",
    207018: "out of device memory: end what else runs there (`npu-smi info`), or take a smaller batch",
    507011: "the model failed while it ran: seen where the OM was compiled for another chip or by another CANN version",
    507014: "an AI core took too long: an operator hangs, or the device is shared",
    507015: "an AI core stopped: an operator met data or memory that it cannot take",
    545601: "the model took too long",
}
_INITIALIZED, _OUT_OF_MEMORY = 100002, 207018
_SAID = 800  # characters of the runtime's own message that are shown

# Of this process: the last model ends the runtime, unless another library began it; the last on a device resets it.
_users = {"models": 0, "foreign": 0}
_devices: dict[int, int] = {}


class AclError(Exception):
    """A call that failed, or something that the runtime would have let through.

    ``call`` is the function, or ``check`` where it is we who refuse; ``code`` is the runtime's, or None; ``kind`` is
    ``absent``, ``load``, ``input``, ``run`` or ``memory``; ``releasing`` says what failed afterwards, while what was
    held was given back.
    """

    def __init__(self, call: str, code: int | None, message: str, kind: str = "run") -> None:
        super().__init__(call, code, message)
        self.call, self.code, self.message = call, code, message
        self.kind = "memory" if code == _OUT_OF_MEMORY else kind
        self.releasing: list[str] = []

    def __str__(self) -> str:
        text = self.message if self.call == "check" else f"{self.call}: {self.message}"
        return text if not self.releasing else "{} (then failed too: {})".format(text, "; ".join(self.releasing))


def refused(message: str, kind: str = "run") -> AclError:
    """Return the error about something that the runtime would let through."""
    return AclError("check", None, message, kind)


class AclCalls:
    """Calls by name, each by its return convention; what was made is held, and given back last first."""

    def __init__(self, device_id: int) -> None:
        """Import pyACL; nothing is called yet.

        Raises:
            AclError: it is not there (``kind`` is ``absent``).
        """
        try:
            import acl
        except ImportError as e:
            text = f"pyACL cannot be imported ({e}): it comes with CANN; run `source <CANN>/set_env.sh` first"
            raise AclError("import acl", None, text, "absent") from None
        self.acl: Any = acl
        self.device_id = device_id
        self.context: Any = None
        self._held: list[tuple[str, tuple[Any, ...]]] = []  # calls that give back, in the order of the making

    @property
    def is_open(self) -> bool:
        """Whether anything is held."""
        return bool(self._held)

    def start(self) -> None:
        """Begin the runtime and take the device, unless another model of this process did, and make a context."""
        if not _users["models"]:
            code = self.called("init")
            if code not in (0, _INITIALIZED):
                raise self._failed("init", code, "load")
            _users["foreign"] = int(code == _INITIALIZED)
        _users["models"] += 1
        self.hold("finalize")
        self.status("rt.set_device", self.device_id, kind="load")
        _devices[self.device_id] = _devices.get(self.device_id, 0) + 1
        self.hold("rt.reset_device", self.device_id)
        self.context = self.value("rt.create_context", self.device_id, kind="load")
        self.hold("rt.destroy_context", self.context)

    def called(self, call: str, *arguments: Any, kind: str = "run") -> Any:
        """Return what a function of pyACL returns; ``call`` is its name below ``acl``."""
        function = self.acl
        try:
            for part in call.split("."):
                function = getattr(function, part)
            return function(*arguments)
        except Exception as e:  # a wrapper that takes other arguments, or lacks the function
            raise AclError(f"acl.{call}", None, f"{type(e).__name__}: {e}", kind) from e

    def status(self, call: str, *arguments: Any, kind: str = "run") -> None:
        """Call what returns a status alone."""
        code = self.called(call, *arguments, kind=kind)
        if not isinstance(code, int) or code:
            raise self._failed(call, code, kind)

    def value(self, call: str, *arguments: Any, kind: str = "run") -> Any:
        """Call what returns (value, status) and return the value."""
        result = self.called(call, *arguments, kind=kind)
        if not isinstance(result, tuple) or len(result) != 2:
            raise self._failed(call, result, kind)
        if not isinstance(result[1], int) or result[1]:
            raise self._failed(call, result[1], kind)
        return result[0]

    def pointer(self, call: str, *arguments: Any) -> int:
        """Call what returns a bare pointer, 0 where it failed."""
        pointer = self.called(call, *arguments, kind="load")
        if not isinstance(pointer, int) or not pointer:
            raise AclError(f"acl.{call}", None, f"nothing was made: it returned {pointer!r}", "load")
        return pointer

    def _failed(self, call: str, code: Any, kind: str) -> AclError:
        if not isinstance(code, int):
            return AclError(f"acl.{call}", None, f"returned {code!r}, where a status was expected", kind)
        text = "error {}: {}".format(code, ERRORS.get(code, "see the error codes of CANN"))
        try:
            said = str(self.acl.get_recent_err_msg() or "").strip()
        except Exception:  # an older pyACL has no such function; the code is told all the same
            said = ""
        return AclError(f"acl.{call}", code, text + (f"; the runtime says: {said[:_SAID]}" if said else ""), kind)

    def hold(self, call: str, *arguments: Any) -> None:
        """Note the call that gives back what was just made."""
        self._held.append((call, arguments))

    def release(self, error: BaseException | None) -> None:
        """Give back all that is held, last first, whatever fails.

        The documented order is datasets and buffers, description, model, context, device, runtime: that of the making
        reversed. What failed is added to ``error``.

        Raises:
            AclError: without ``error``, the first call that failed; the others were made all the same.
        """
        failed: list[AclError] = []
        if any(call == "rt.destroy_context" for call, _ in self._held):
            self._attempt("rt.set_context", (self.context,), failed)  # of two models, the other's may be current
        while self._held:
            call, arguments = self._held.pop()
            if not self._in_use(call):
                self._attempt(call, arguments, failed)
        if failed and isinstance(error, AclError):
            error.releasing += [str(f) for f in failed]
        elif failed and error is None:
            failed[0].releasing += [str(f) for f in failed[1:]]
            raise failed[0]

    def _in_use(self, call: str) -> bool:
        """Whether something else in this process still needs what ``call`` ends."""
        if call == "finalize":
            _users["models"] -= 1
            return bool(_users["models"] or _users["foreign"])
        if call == "rt.reset_device":
            _devices[self.device_id] -= 1
            return bool(_devices[self.device_id])
        return False

    def _attempt(self, call: str, arguments: tuple[Any, ...], failed: list[AclError]) -> None:
        try:
            self.status(call, *arguments)
        except AclError as e:
            failed.append(e)


def read_gears(calls: AclCalls, desc: int) -> dict[str, Any]:
    """Return ``kind`` (``batch``, ``image``, ``dims``) and ``values``, a list of lists of numbers.

    Raises:
        AclError: a call failed, or the runtime tells of none.
    """
    batches = calls.value("mdl.get_dynamic_batch", desc, kind="load").get("batch")
    if batches:
        return {"kind": "batch", "values": [[int(b)] for b in batches]}
    sizes = calls.value("mdl.get_dynamic_hw", desc, -1, kind="load").get("hw")
    if sizes:
        return {"kind": "image", "values": [[int(n) for n in size] for size in sizes]}
    count = calls.value("mdl.get_input_dynamic_gear_count", desc, -1, kind="load")
    if not count:
        raise refused("the model has gears, but the runtime tells of none", "load")
    gears = calls.value("mdl.get_input_dynamic_dims", desc, -1, count, kind="load")
    return {"kind": "dims", "values": [[int(n) for n in g["dims"]] for g in gears]}


def set_gear(calls: AclCalls, at: tuple[int, int, int], kind: str, gear: list[int]) -> None:
    """Set one gear for the next call; ``at`` is the model, its dataset of inputs, and the index of the gears' input.

    Raises:
        AclError: the call failed.
    """
    if kind == "batch":
        calls.status("mdl.set_dynamic_batch_size", *at, gear[0])
    elif kind == "image":
        calls.status("mdl.set_dynamic_hw_size", *at, gear[0], gear[1])
    else:
        calls.status("mdl.set_input_dynamic_dims", *at, {"name": "", "dimCount": len(gear), "dims": gear})
