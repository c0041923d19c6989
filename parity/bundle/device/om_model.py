"""An OM file as a model: through pyACL, or through ais_bench where only that is installed."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.bundle.device.files import Stop, place

if TYPE_CHECKING:
    from parity.runner.worker.acl_calls import AclError
    from parity.runner.worker.acl_model import AclModel


class AisModel:
    """An OM file loaded by ais_bench's ``InferSession``, which checks little: arrays are made sure of here.

    Source: Ascend's ais_bench, ``InferSession(device_id, model_path, acl_json_path)``, ``get_inputs``, ``infer``.
    """

    gears = None
    DTYPES = {"float32": "float32", "float16": "float16", "float64": "float64", "bool": "bool", "bfloat16": "bfloat16"}

    def __init__(self, path: Path, device: int, config: Path | None) -> None:
        from ais_bench.infer.interface import InferSession

        self.session = InferSession(device, str(path), str(config) if config else None)
        self.inputs = [self._spec(t) for t in self.session.get_inputs()]
        self.outputs = [self._spec(t) for t in self.session.get_outputs()]
        if any(d < 0 for t in self.inputs for d in t["shape"]):
            raise Stop("this OM has gears: with ais_bench alone they are not run; install pyACL (acl)")

    def _spec(self, tensor: Any) -> dict[str, Any]:
        kind = str(tensor.datatype).split(".")[-1].lower()
        dtype = self.DTYPES.get(kind, kind if kind.startswith(("int", "uint")) else "")
        if not dtype:
            raise Stop(f"ais_bench tells the element type {tensor.datatype} of {tensor.name!r}, which is not known")
        return {"name": tensor.name, "dtype": dtype, "shape": list(tensor.shape), "bytes": int(tensor.size)}

    def environment(self) -> dict[str, Any]:
        """Return what ran: runtime and chip, as far as ais_bench tells."""
        return {"runtime": "ais_bench", "device": "unknown: ais_bench does not tell", "soc": None}

    def run(self, feeds: dict[str, Any]) -> dict[str, Any]:
        """Return the outputs by name."""
        arrays = [np.ascontiguousarray(feeds[t["name"]]).reshape(t["shape"]) for t in self.inputs]
        found = self.session.infer(arrays, "static")
        if found is None or len(found) != len(self.outputs):
            raise Stop("ais_bench gave no outputs")
        for array, told in zip(found, self.outputs):
            if array.dtype.name != told["dtype"] or array.nbytes != told["bytes"]:
                raise Stop(f"output {told['name']!r}: ais_bench gave {array.nbytes} bytes of {array.dtype}, not as told")
        return {t["name"]: np.array(a) for t, a in zip(self.outputs, found)}

    def close(self) -> None:
        """Let go of the session."""
        del self.session


class Acl:
    """An OM file loaded by pyACL; what it refuses becomes a `Stop`."""

    def __init__(self, path: Path, device: int, soc: str | None, config: Path | None) -> None:
        self.began = config is not None
        if config is not None:  # begun here, with the dump's settings: the model then takes the runtime as it is
            status = importlib.import_module("acl").init(str(config))
            if status != 0:
                raise Stop(f"acl.init with {config.name} failed: {status}")
        try:
            self.model = AclModel(str(path), device, soc)
        except AclError as e:
            raise Stop(str(e)) from None
        self.inputs, self.outputs, self.gears = self.model.inputs, self.model.outputs, self.model.gears

    def environment(self) -> dict[str, Any]:
        """Return what ran: device, chip, versions of driver and CANN."""
        return self.model.environment()

    def run(self, feeds: dict[str, Any]) -> dict[str, Any]:
        """Return the outputs by name."""
        try:
            return self.model.run(feeds)
        except AclError as e:
            raise Stop(str(e)) from None

    def close(self) -> None:
        """Give all back."""
        try:
            self.model.close()
        except AclError as e:
            raise Stop(str(e)) from None
        finally:
            if self.began:
                importlib.import_module("acl").finalize()


def load_model(folder: Path, manifest: dict[str, Any], options: Any, config: Path | None) -> Any:
    """Return the model of the bundle, on the device asked for."""
    path = place(folder, "artifact/" + manifest["artifact"]["main"])
    soc = None if options.any_soc else manifest["artifact"].get("soc")
    if importlib.util.find_spec("acl") is not None:
        return Acl(path, options.device, soc, config)
    if importlib.util.find_spec("ais_bench") is not None:
        return AisModel(path, options.device, config)
    raise Stop("neither acl (pyACL) nor ais_bench can be imported: source CANN's set_env.sh first")
