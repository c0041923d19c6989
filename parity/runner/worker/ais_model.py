"""One OM file through ais_bench's InferSession, for devices that have it and no pyACL: the same checks as `AclModel`.

Interface: the ais_bench reference (``InferSession``: get_inputs, get_outputs, infer). It copies what it is given by
pointer and gives back whatever its buffers hold, so outputs that nothing was written to cannot be noticed here.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from parity.runner.worker.acl_arrays import check_input, count_not_finite, size_of
    from parity.runner.worker.acl_calls import AclError, refused
else:
    from acl_arrays import check_input, count_not_finite, size_of
    from acl_calls import AclError, refused

_NAMES = {"double": "float64", "float": "float32", "float16": "float16", "half": "float16"}


class AisModel:
    """A loaded OM file; `inputs`, `outputs`, `gears`, `soc`, `not_finite` are those of `AclModel`. Sizes are fixed."""

    def __init__(self, path: str, device_id: int = 0, soc: str | None = None, order: list[str] | None = None) -> None:
        """Load the file on a device; ``soc`` cannot be compared, as ais_bench does not tell the chip.

        Raises:
            AclError: there is no ais_bench, it failed, or the model has sizes that are not fixed.
        """
        try:
            from ais_bench.infer.interface import InferSession
        except ImportError as e:
            raise AclError("import ais_bench", None, f"ais_bench cannot be imported ({e})", "absent") from None
        self.device_id, self.soc, self.gears = device_id, None, None
        self.not_finite: dict[str, int] = {}
        try:
            self._session: Any = InferSession(device_id, path)
            self.inputs = [_described(t) for t in self._session.get_inputs()]
            self.outputs = [_described(t) for t in self._session.get_outputs()]
        except Exception as e:
            raise AclError("ais_bench", None, f"{type(e).__name__}: {e}", "load") from e
        for t in self.inputs + self.outputs:
            if any(d < 1 for d in t["shape"]):
                text = "{!r} has the shape {}: gears and dynamic shapes run through pyACL only; install it"
                raise refused(text.format(t["name"], t["shape"]), "load")
            if not t["name"] or size_of(t["shape"], t["dtype"]) != t["bytes"]:
                text = "{!r}: {} of {} does not take the {} bytes that ais_bench tells"
                raise refused(text.format(t["name"], t["shape"], t["dtype"], t["bytes"]), "load")
        for side in (self.inputs, self.outputs):
            if len({t["name"] for t in side}) < len(side) or not side:
                raise refused("the names cannot be told apart: {}".format([t["name"] for t in side]), "load")

    def environment(self) -> dict[str, Any]:
        """Return what runs it."""
        import ais_bench

        stand_in = getattr(ais_bench, "STAND_IN", None)
        found = {
            "runtime": "ais_bench",
            "device": stand_in or "not told by ais_bench",
            "device_id": self.device_id,
            "soc": None,
            "machine": platform.machine(),
            "python": platform.python_version(),
            "numpy": np.__version__,
        }
        return dict(found, stand_in=True) if stand_in else found

    def run(self, feeds: dict[str, Any]) -> dict[str, Any]:
        """Return the outputs for one set of inputs; see `AclModel.run`.

        Raises:
            AclError: inputs do not fit, the call failed, or what came back is not what the model gives.
        """
        arrays = [check_input(t, feeds.get(t["name"])) for t in self.inputs]
        try:
            found = self._session.infer(arrays, mode="static")
        except Exception as e:
            raise AclError("ais_bench.infer", None, f"{type(e).__name__}: {e}") from e
        if found is None or len(found) != len(self.outputs):  # some versions return None where the device failed
            n = "nothing" if found is None else f"{len(found)} outputs"
            raise refused(f"ais_bench gave {n}, the model has {len(self.outputs)}")
        outputs = {}
        for t, given in zip(self.outputs, found):  # noqa: B905 (Python 3.8)
            array = np.array(given)
            if array.dtype != np.dtype(t["dtype"]) or list(array.shape) != t["shape"]:
                text = "output {!r} came back as {} of {}, the model says {} of {}"
                what = (t["name"], list(array.shape), array.dtype, t["shape"], t["dtype"])
                raise refused(text.format(*what))
            outputs[t["name"]] = array
        count_not_finite(self.not_finite, "", outputs)
        count_not_finite(self.not_finite, "input ", feeds)
        return outputs

    def close(self) -> None:
        """Give the device back, where this version can."""
        free = getattr(self._session, "free_resource", None)
        if free is not None:
            free()


def _described(tensor: Any) -> dict[str, Any]:
    kind = getattr(tensor.datatype, "name", str(tensor.datatype)).rpartition(".")[2]
    dtype = _NAMES.get(kind, kind)
    try:
        np.dtype(dtype)
    except TypeError:
        raise refused(f"{tensor.name!r} has the data type {kind}, which NumPy does not hold", "load") from None
    shape = [int(d) for d in tensor.shape]
    return {"name": str(tensor.name), "bytes": int(tensor.size), "dtype": dtype, "shape": shape, "aipp": False}
