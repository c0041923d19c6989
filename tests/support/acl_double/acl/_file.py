"""What an OM file takes and gives, and how it is computed: told by files beside it, as no OM can be executed here.

``model.om.json`` says ``inputs`` and ``outputs`` (name, shape, dtype; -1 where a gear decides), ``gears`` (kind,
values), ``soc``, ``arithmetic`` (``float16`` rounds the outputs), ``unwritten`` (an output that the device leaves as it
was, or ``name/n`` for its last n values), ``order`` (in which gears of the kind ``dims`` list the inputs' axes).
``model.om.py`` holds ``compute(inputs) -> outputs``, or ``model.om.onnx`` is run by ONNX Runtime.
"""

from __future__ import annotations

import json
import os
import struct

import numpy as np

TYPES = {
    "float32": 0,
    "float16": 1,
    "int8": 2,
    "int32": 3,
    "uint8": 4,
    "int16": 6,
    "uint16": 7,
    "uint32": 8,
    "int64": 9,
    "uint64": 10,
    "float64": 11,
    "bool": 12,
    "string": 13,
    "bfloat16": 27,
}
GEAR_INPUT = "ascend_mbatch_shape_data"


def numpy_type(dtype):
    return np.dtype("uint16" if dtype == "bfloat16" else dtype)


def problem(path):
    """Return the code that a loader refuses the file with, 0 where it is sound on the outside."""
    if not os.path.isfile(path):
        return 145002
    with open(path, "rb") as f:
        head = f.read(256)
    if len(head) < 256 or head[:4] != b"IMOD":
        return 145000
    version, length = struct.unpack_from("<I", head, 8)[0], struct.unpack_from("<I", head, 76)[0]
    if version >= 0x20000000:
        length = struct.unpack_from("<Q", head, 184)[0] or length
    return 0 if os.path.getsize(path) == 256 + length else 145006


class Described:
    """A model that the double plays."""

    def __init__(self, path):
        with open(path + ".json", encoding="utf-8") as f:
            told = json.load(f)
        self.path = path
        self.told = told
        self.soc = told.get("soc")
        self.gears = told.get("gears")
        self.inputs = list(told["inputs"])
        if self.gears:
            self.inputs.append({"name": GEAR_INPUT, "shape": [16], "dtype": "int64"})
        self.outputs = told["outputs"]
        self._compute = None

    def shapes(self, gear):
        """Return the inputs' shapes in one gear, without the input of the gears itself."""
        found, every = {}, iter(gear or [])
        tensors = {t["name"]: t for t in self.told["inputs"]}
        for name in self.told.get("order") or tensors:
            t = tensors[name]
            if self.gears and self.gears["kind"] == "dims":
                found[name] = [next(every) for _ in t["shape"]]
            else:
                numbers = iter(gear or [])
                found[name] = [next(numbers) if d < 0 else d for d in t["shape"]]
        return [found[t["name"]] for t in self.told["inputs"]]

    def size(self, side, index):
        """Return the bytes of a buffer: of the largest gear, where there are gears."""
        t = (self.inputs if side == "input" else self.outputs)[index]
        if "bytes" in t:
            return t["bytes"]
        shapes = [t["shape"]]
        if side == "input" and self.gears and t["name"] != GEAR_INPUT:
            shapes = [self.shapes(g)[index] for g in self.gears["values"]]
        return max(int(np.prod(s, dtype=np.int64)) for s in shapes) * numpy_type(t["dtype"]).itemsize

    def output_shapes(self, gear):
        """Return the outputs' shapes in one gear: by what the function gives for zeros."""
        if not self.gears or gear is None:
            return [t["shape"] for t in self.outputs]
        zeros = [np.zeros(s, numpy_type(t["dtype"])) for s, t in zip(self.shapes(gear), self.told["inputs"])]
        return [list(a.shape) for a in self.compute(zeros)]

    def compute(self, arrays):
        """Return the outputs, in order, for the inputs, in order."""
        if self._compute is None:
            self._compute = self._python() if os.path.isfile(self.path + ".py") else self._onnx()
        names = [t["name"] for t in self.told["inputs"]]
        found = self._compute(dict(zip(names, arrays)))
        outputs = []
        for t in self.outputs:
            array = np.asarray(found[t["name"].split(":", 2)[-1] if t["name"].count(":") >= 2 else t["name"]])
            if self.told.get("arithmetic") == "float16" and array.dtype.kind == "f":
                with np.errstate(over="ignore"):
                    array = array.astype(np.float16)
            outputs.append(np.ascontiguousarray(array.astype(numpy_type(t["dtype"]))))
        return outputs

    def _python(self):
        space = {}
        with open(self.path + ".py", encoding="utf-8") as f:
            exec(f.read(), space)
        return space["compute"]

    def _onnx(self):
        import onnxruntime

        session = onnxruntime.InferenceSession(self.path + ".onnx", providers=["CPUExecutionProvider"])
        names = [o.name for o in session.get_outputs()]
        return lambda inputs: dict(zip(names, session.run(names, inputs)))
