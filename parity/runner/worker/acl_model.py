"""One OM file on an Ascend device through pyACL, with all that the runtime lets through checked here.

Python 3.7, NumPy and ``acl``; a bundle's script carries this as source (`parity.runner.om.device_source`). The runtime
lets through: an input up to 64 bytes too short (graph engine, ``kDataMemAlignSizeCompare``) or too long, any dtype,
buffers of any size once there are gears, arrays that are not contiguous, and outputs that nothing was written to.

    with AclModel("policy.om") as model:
        outputs = model.run({"obs": obs})
"""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from parity.runner.worker.acl_arrays import (
        DTYPES,
        UNWRITTEN,
        check_input,
        count_not_finite,
        filled,
        holds,
        plain,
        shapes_in,
        size_of,
        stored,
    )
    from parity.runner.worker.acl_calls import AclCalls, read_gears, refused, set_gear
else:
    from acl_arrays import (
        DTYPES,
        UNWRITTEN,
        check_input,
        count_not_finite,
        filled,
        holds,
        plain,
        shapes_in,
        size_of,
        stored,
    )
    from acl_calls import AclCalls, read_gears, refused, set_gear

GEAR_INPUT = "ascend_mbatch_shape_data"
AIPP_INPUT = "ascend_dynamic_aipp_data"
_TO_DEVICE, _FROM_DEVICE, _ON_DEVICE = 1, 2, 3  # kinds of memcpy
_HUGE_FIRST = 0
_MANGLED = "acl_modelId_"  # what names over 127 characters begin with
_VERSIONS = (  # file, key, name in the environment
    ("/usr/local/Ascend/driver/version.info", "Version", "driver"),
    ("{ASCEND_TOOLKIT_HOME}/version.cfg", "toolkit_running_version", "cann"),
    ("{ASCEND_HOME_PATH}/version.cfg", "runtime_running_version", "cann"),
)


class AclModel:
    """A loaded OM file.

    Attributes:
        inputs: what `run` takes, in order: dicts of ``name``, ``bytes`` (of the buffer: the largest gear), ``dtype``,
            ``shape`` (-1 where a gear decides), ``aipp`` (the device prepares a picture: ``bytes`` of uint8 are due).
        outputs: what `run` gives, in order: the same, the shape being the largest gear's.
        gears: None, or ``kind`` (``batch``, ``image``, ``dims``) and ``values``, a list of lists of numbers.
        soc: the device's chip, e.g. ``Ascend310P3``; None where this pyACL cannot tell.
        not_finite: how many values were not finite in all calls, by output (an input is ``input <name>``).
    """

    def __init__(self, path: str, device_id: int = 0, soc: str | None = None, order: list[str] | None = None) -> None:
        """Load the file on a device.

        What the runtime does not tell, the file does: ``soc`` is the chip that it was compiled for; ``order`` are the
        inputs' names in the order in which gears of the kind ``dims`` list their axes (that of atc's --input_shape),
        which such a model needs if it has more than one input.

        Raises:
            AclError: there is no pyACL, the device is another chip, a call failed, or the model is one whose inputs
                and outputs cannot be told for certain. Nothing stays allocated.
        """
        self.device_id = device_id
        self.soc: str | None = None
        self.inputs: list[dict[str, Any]] = []
        self.outputs: list[dict[str, Any]] = []
        self.gears: dict[str, Any] | None = None
        self.not_finite: dict[str, int] = {}
        self._buffers: dict[str, int] = {}  # address on the device by "in <index>" or "out <index>"
        self._hidden = -1  # index of the gear input
        self._order = order
        self._calls = AclCalls(device_id)
        try:
            self._open(os.fspath(path), soc)
        except BaseException as e:
            self._calls.release(e)
            raise

    def __enter__(self) -> AclModel:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._calls.release(error)

    def close(self) -> None:
        """Give back all that is held, in the documented order; safe to call twice.

        Raises:
            AclError: the first call that failed; the others were made all the same.
        """
        self._calls.release(None)

    def environment(self) -> dict[str, Any]:
        """Return what runs it: device, chip, and the versions of CANN and driver as far as they can be told."""
        stand_in = getattr(self._calls.acl, "STAND_IN", None)  # what only plays the runtime must not pass for a device
        found: dict[str, Any] = {
            "runtime": "acl",
            "device": stand_in or self.soc or "unknown",
            "device_id": self.device_id,
            "soc": self.soc,
            "machine": platform.machine(),
            "python": platform.python_version(),
            "numpy": np.__version__,
        }
        if stand_in:
            return dict(found, stand_in=True, soc=f"{self.soc} as played by {stand_in}")
        for file, key, name in _VERSIONS:
            value = _version(file, key)
            if value and name not in found:
                found[name] = value
        return found

    # ------------------------------------------------------------------------------------------------------- loading

    def _open(self, path: str, soc: str | None) -> None:
        calls = self._calls
        calls.start()
        on_host = calls.value("rt.get_run_mode", kind="load")  # 0: this process runs on the device itself
        self._to, self._from = (_TO_DEVICE, _FROM_DEVICE) if on_host else (_ON_DEVICE, _ON_DEVICE)
        self._check_soc(soc)
        self._model = calls.value("mdl.load_from_file", path, kind="load")
        calls.hold("mdl.unload", self._model)
        self._desc = calls.pointer("mdl.create_desc")
        calls.hold("mdl.destroy_desc", self._desc)
        calls.status("mdl.get_desc", self._desc, self._model, kind="load")
        tensors = [self._described("input", i) for i in range(self._count("input"))]
        self.outputs = [self._described("output", i) for i in range(self._count("output"))]
        self._places = [i for i, t in enumerate(tensors) if t["name"] != GEAR_INPUT]
        self.inputs = [tensors[i] for i in self._places]
        self._check_names()
        if len(self.inputs) < len(tensors):
            self._hidden = next(i for i, t in enumerate(tensors) if t["name"] == GEAR_INPUT)
            self.gears = read_gears(calls, self._desc)
        self._check_sizes()
        self._in = self._dataset("in", tensors)
        self._out = self._dataset("out", self.outputs)

    def _check_soc(self, soc: str | None) -> None:
        if not hasattr(self._calls.acl, "get_soc_name"):
            return
        self.soc = self._calls.called("get_soc_name", kind="load") or None
        if soc and (self.soc is None or self.soc.lower() != soc.lower()):
            device = self.soc or "one that the runtime does not name"
            raise refused(f"compiled for {soc}, but the device is {device}: compile the model for this chip", "load")

    def _count(self, side: str) -> int:
        n = self._calls.called(f"mdl.get_num_{side}s", self._desc, kind="load")
        if not isinstance(n, int) or n < 1:
            raise refused(f"the runtime tells of {n!r} {side}s", "load")
        return n

    def _described(self, side: str, index: int) -> dict[str, Any]:
        at, calls = (self._desc, index), self._calls
        dims = calls.value(f"mdl.get_{side}_dims", *at, kind="load")
        dtype = calls.called(f"mdl.get_{side}_data_type", *at, kind="load")
        size = calls.called(f"mdl.get_{side}_size_by_index", *at, kind="load")
        name = calls.called(f"mdl.get_{side}_name_by_index", *at, kind="load")
        if isinstance(name, str) and name.startswith(_MANGLED) and hasattr(calls.acl.mdl, "get_tensor_real_name"):
            name = calls.called("mdl.get_tensor_real_name", self._desc, name, kind="load")
        if not name or not isinstance(name, str):
            raise refused(f"the runtime does not tell the name of {side} {index}", "load")
        if not isinstance(size, int) or size < 1:
            text = "the runtime does not tell the size of {} {!r}: its shape is dynamic; compile the model with gears"
            raise refused(text.format(side, name), "load")
        if dtype not in DTYPES:
            raise refused(f"{side} {name!r} has ACL's data type {dtype}, which NumPy does not hold", "load")
        shape = [int(d) for d in dims["dims"]]
        return {"name": name, "bytes": size, "dtype": DTYPES[dtype], "shape": shape, "aipp": False}

    def _check_names(self) -> None:
        for side, tensors in (("input", self.inputs), ("output", self.outputs)):
            names = [t["name"] for t in tensors]
            twice = sorted({n for n in names if names.count(n) > 1})
            if twice:
                text = "two {}s are called {!r} and cannot be told apart: rename them and export again"
                raise refused(text.format(side, twice[0]), "load")
            if any(n.startswith(AIPP_INPUT) for n in names):
                text = (
                    "{} is due in each call (dynamic AIPP), and what it holds is not part of the policy: compile "
                    "the model with a static AIPP configuration, or without one"
                )
                raise refused(text.format(AIPP_INPUT), "load")

    def shapes(self, gear: list[int] | None) -> list[list[int]]:
        """Return the shape of each input in one gear (an entry of ``gears["values"]``); see `shapes_in`."""
        if self.gears is None or gear is None:
            return [t["shape"] for t in self.inputs]
        return shapes_in(self.inputs, self.gears["kind"], gear, self._order)

    def _check_sizes(self) -> None:
        """Refuse bytes that are not those of the shape, or of the largest gear; AIPP's pictures are known by that."""
        fixed = not any(d < 0 for t in self.inputs for d in t["shape"])
        if self.gears is None and not fixed:
            raise refused("the shapes are dynamic, and the model has no gears: compile it with fixed sizes", "load")
        if self.gears is not None and fixed and self.gears["kind"] != "dims":
            raise refused("the model has gears, but the runtime does not tell which axes they decide", "load")
        gears = self.gears["values"] if self.gears else [None]
        largest = [max(size_of(s, t["dtype"]) for s in shapes) for t, shapes in self._by_input(gears)]
        sides = [("input", t, due) for t, due in zip(self.inputs, largest)]  # noqa: B905 (Python 3.7)
        sides += [("output", t, size_of([abs(d) for d in t["shape"]], t["dtype"])) for t in self.outputs]
        for side, t, due in sides:
            # the graph engine tells the size of the shape, without padding; with gears that of the largest, or more
            if due == t["bytes"] or (self.gears is not None and due < t["bytes"]):
                continue
            if side == "input" and t["dtype"] == "uint8" and self.gears is None:
                t["aipp"] = True
                continue
            text = "{} {!r}: {} of {} takes {} bytes, but the runtime says {}"
            raise refused(text.format(side, t["name"], t["shape"], t["dtype"], due, t["bytes"]), "load")

    def _by_input(self, gears: list[Any]) -> list[tuple[dict[str, Any], list[list[int]]]]:
        shapes = [self.shapes(g) for g in gears]
        return [(t, [s[i] for s in shapes]) for i, t in enumerate(self.inputs)]

    def _dataset(self, side: str, tensors: list[dict[str, Any]]) -> int:
        calls = self._calls
        dataset = calls.pointer("mdl.create_dataset")
        calls.hold("mdl.destroy_dataset", dataset)
        for i, tensor in enumerate(tensors):
            address = calls.value("rt.malloc", tensor["bytes"], _HUGE_FIRST, kind="load")
            calls.hold("rt.free", address)
            self._buffers[f"{side} {i}"] = address
            buffer = calls.pointer("create_data_buffer", address, tensor["bytes"])
            calls.hold("destroy_data_buffer", buffer)
            calls.value("mdl.add_dataset_buffer", dataset, buffer, kind="load")
        return dataset

    # ------------------------------------------------------------------------------------------------------- running

    def run(self, feeds: dict[str, Any]) -> dict[str, Any]:
        """Return the outputs for one set of inputs, each in the shape that the device gave.

        Arrays must have the dtype and shape of `inputs`; those that are not contiguous are copied. Values that are
        not finite are returned as they are and counted in `not_finite`.

        Raises:
            AclError: inputs do not fit (``kind`` is ``input``), a call failed, or an output was not written.
        """
        if not self._calls.is_open:
            raise refused("the model is closed")
        arrays = self._checked(feeds)
        gear = self._gear(arrays)
        self._calls.status("rt.set_context", self._calls.context)
        for place, array in zip(self._places, arrays):  # noqa: B905 (Python 3.7)
            self._upload(f"in {place}", array)
        if self.gears is not None and gear is not None:
            set_gear(self._calls, (self._model, self._in, self._hidden), self.gears["kind"], gear)
        found = self._executed(UNWRITTEN[0])
        if any(holds(a, UNWRITTEN[0]).any() for a in found.values()):  # by chance, or not written: look again
            self._refuse_unwritten(found, self._executed(UNWRITTEN[1]))
        outputs = {t["name"]: plain(found[t["name"]], t["dtype"]) for t in self.outputs}
        count_not_finite(self.not_finite, "", outputs)
        count_not_finite(self.not_finite, "input ", feeds)
        return outputs

    def _checked(self, feeds: dict[str, Any]) -> list[Any]:
        """Return the inputs in the model's order, contiguous, each of exactly the bytes that are due."""
        wanted = [t["name"] for t in self.inputs]
        missing = [n for n in wanted if n not in feeds]
        extra = [n for n in feeds if n not in wanted]
        if missing or extra:
            text = "inputs do not fit: missing {}; unknown {}; the model takes {}"
            raise refused(text.format(*(", ".join(names) or "none" for names in (missing, extra, wanted))), "input")
        return [check_input(t, feeds[t["name"]]) for t in self.inputs]

    def _gear(self, arrays: list[Any]) -> list[int] | None:
        """Return the gear that the inputs' shapes ask for; None where the model has none."""
        if self.gears is None:
            return None
        asked = [list(a.shape) for a in arrays]
        for gear in self.gears["values"]:
            if self.shapes(gear) == asked:
                return list(gear)
        text = "inputs of shape {} fit no gear: the model was compiled for {} {}, and only these run"
        raise refused(text.format(asked, self.gears["kind"], self.gears["values"]), "input")

    def _executed(self, pattern: bytes) -> dict[str, Any]:
        """Fill the outputs with a pattern, execute, and return what they hold then, as the device stores it."""
        for i, t in enumerate(self.outputs):
            self._upload(f"out {i}", filled(t["bytes"], pattern))
        self._calls.status("mdl.execute", self._model, self._in, self._out)
        return {t["name"]: self._download(i, t) for i, t in enumerate(self.outputs)}

    def _upload(self, buffer: str, array: Any) -> None:
        size = array.nbytes
        self._calls.status("rt.memcpy", self._buffers[buffer], size, array.ctypes.data, size, self._to)

    def _download(self, index: int, tensor: dict[str, Any]) -> Any:
        shape = tensor["shape"]
        if self.gears is not None:
            shape = [int(d) for d in self._calls.value("mdl.get_cur_output_dims", self._desc, index)["dims"]]
        size = size_of(shape, tensor["dtype"])
        if any(d < 1 for d in shape) or size > tensor["bytes"]:
            text = "output {!r} has the shape {} now, which its {} bytes do not hold"
            raise refused(text.format(tensor["name"], shape, tensor["bytes"]))
        host = np.empty(shape, stored(tensor["dtype"]))
        self._calls.status("rt.memcpy", host.ctypes.data, size, self._buffers[f"out {index}"], size, self._from)
        return host

    @staticmethod
    def _refuse_unwritten(first: dict[str, Any], second: dict[str, Any]) -> None:
        for name, array in first.items():
            left = int((holds(array, UNWRITTEN[0]) & holds(second[name], UNWRITTEN[1])).sum())
            if left:
                text = "{} of {} values of output {!r} were not written: they are what the memory held before"
                raise refused(text.format(left, array.size, name))


def _version(file: str, key: str) -> str:
    """Return what a file of CANN or of the driver says in a line ``key=value``; nothing where it is not there."""
    try:
        with open(file.format(**os.environ), encoding="utf-8", errors="replace") as f:
            lines = f.read(1 << 16).splitlines()
    except (OSError, KeyError):
        return ""
    found = [value for name, _, value in (line.partition("=") for line in lines) if name.strip().lower() == key.lower()]
    return found[0].strip().strip("[]") if found else ""
