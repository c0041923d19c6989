"""``InferSession`` as a widely copied version has it: it reads arrays by their pointer, contiguous or not."""

from __future__ import annotations

import ctypes
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np

_PLAYED = Path(__file__).parents[3] / "acl_double" / "acl" / "_file.py"
_SPEC = importlib.util.spec_from_file_location("acl_double_file", _PLAYED)
_FILE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_FILE)


class InferSession:
    def __init__(self, device_id, model_path, acl_json_path=None, debug=False, loop=1):
        code = _FILE.problem(model_path)
        if code:
            raise RuntimeError(f"load model from file failed, model file is {model_path}: {code}")
        self.file = _FILE.Described(model_path)

    def _described(self, side, tensors):
        kinds = [SimpleNamespace(name={"float64": "double"}.get(t["dtype"], t["dtype"])) for t in tensors]
        sizes = [self.file.size(side, i) for i in range(len(tensors))]
        return [
            SimpleNamespace(name=t["name"], shape=t["shape"], datatype=k, size=n)
            for t, k, n in zip(tensors, kinds, sizes, strict=True)
        ]

    def get_inputs(self):
        return self._described("input", self.file.inputs)

    def get_outputs(self):
        return self._described("output", self.file.outputs)

    def infer(self, feeds, mode="static", custom_sizes=100000, out_array=True):
        assert mode == "static"
        arrays = []
        for tensor, given in zip(self.file.inputs, feeds, strict=True):
            raw = ctypes.string_at(given.ctypes.data, given.nbytes)  # of a view: whatever lies at its first element
            arrays.append(np.frombuffer(raw, tensor["dtype"]).reshape(tensor["shape"]))
        outputs = self.file.compute(arrays)
        answer = self.file.told.get("answer")
        if answer == "raise":
            raise RuntimeError("execute failed: 507011")
        if answer == "none":
            return None
        if answer == "flat":
            return [a.ravel() for a in outputs]
        if answer == "double":
            return [a.astype(np.float64) for a in outputs]
        return [] if answer == "fewer" else outputs
