"""Worker that executes an Ascend OM file. Stand-alone: NumPy, and acl (pyACL) or ais_bench on a machine with an NPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity.runner.worker.acl_calls import AclError
    from parity.runner.worker.acl_model import AclModel
    from parity.runner.worker.ais_model import AisModel
    from parity.runner.worker.kept_state import keep_state
    from parity.runner.worker.protocol import Call, Policy, Refused, alone, cast, digest, pick, serve
else:
    from acl_calls import AclError
    from acl_model import AclModel
    from ais_model import AisModel
    from kept_state import keep_state
    from protocol import Policy, Refused, alone, cast, digest, pick, serve

_MODELS: dict[str, type[AclModel] | type[AisModel]] = {"acl": AclModel, "ais_bench": AisModel}


class OmPolicy(Policy):
    """A model loaded on a device. It keeps no state that can be reset."""

    def __init__(self, request: dict[str, Any]) -> None:
        path, soc = Path(request["path"]), request.get("soc")
        files = [path.parent / f for f in request["files"]]
        self.sha = digest(path.parent, files, folder=False)
        self.model = _loaded(request["options"].get("runtime"), str(path), request["device_id"], soc, request["order"])
        if digest(path.parent, files, folder=False) != self.sha:
            self.model.close()
            raise Refused("load", "the file was changed while it was loaded")
        self.soc = soc
        self.names = _names([t["name"] for t in self.model.outputs])
        self.shapes = [t["shape"] for t in self.model.inputs]
        if request.get("gear"):
            self.shapes = self._fixed(request["gear"])

    def _fixed(self, gear: list[int]) -> list[list[int]]:
        """Return the inputs' shapes in the gear that the user chose."""
        gears = self.model.gears
        if gears is None or gear not in gears["values"]:
            self.model.close()
            had = "no gears" if gears is None else "the gears ({}) {}".format(gears["kind"], gears["values"])
            raise Refused("load", f"`gear = {gear}`: the model has {had}")
        return self.model.shapes(gear)  # type: ignore[union-attr]

    def call(self, variant: str) -> Call:
        """Return the function that runs the model."""
        if variant != "base":
            raise Refused("run", f"an OM has no variant {variant}: how it computes was decided when it was compiled")
        wanted = [t["name"] for t in self.model.inputs]

        def run(inputs: dict[str, Any]) -> dict[str, Any]:
            arrays = pick(inputs, wanted)
            feeds = {t["name"]: _as(t["dtype"], t["name"], a) for t, a in zip(self.model.inputs, arrays)}  # noqa: B905
            for t, shape in zip(self.model.inputs, self.shapes):  # noqa: B905 (Python 3.8)
                given = feeds[t["name"]].shape
                if len(given) != len(shape) or any(d >= 0 and n != d for n, d in zip(given, shape)):  # noqa: B905
                    raise Refused("input", "input {!r} has shape {}, due is {}".format(t["name"], list(given), shape))
            try:
                outputs = self.model.run(feeds)
            except AclError as e:
                raise Refused(e.kind, str(e)) from e
            return {self.names[name]: array for name, array in outputs.items()}

        return run

    def close(self) -> None:
        """Give back all that is held on the device."""
        self.model.close()

    def learnt(self) -> dict[str, Any]:
        """Return which values were not finite."""
        return {"notes": [f"{what}: {n} values are not finite" for what, n in sorted(self.model.not_finite.items())]}

    def info(self) -> dict[str, Any]:
        """Return what was loaded and where it runs."""
        environment = self.model.environment()
        unchecked = []
        if self.soc and self.model.soc is None:
            unchecked.append(f"compiled for {self.soc}; what chip the device is cannot be told here")
        if environment["runtime"] == "ais_bench":
            unchecked.append("through ais_bench, outputs that nothing was written to cannot be noticed")
        if unchecked:
            environment["unchecked"] = unchecked
        if self.model.gears is not None:
            environment["gears"] = self.model.gears
        inputs = [dict(t, shape=s) for t, s in zip(self.model.inputs, self.shapes)]  # noqa: B905 (Python 3.8)
        free = self.model.gears is not None  # then the shapes of outputs are the largest gear's
        outputs = [dict(t, name=self.names[t["name"]], shape=None if free else t["shape"]) for t in self.model.outputs]
        return {
            "inputs": [_spec(t) for t in inputs],
            "outputs": [_spec(t) for t in outputs],
            "environment": environment,
            "loaded_sha256": self.sha,
            "variants": ["base"],
        }


def _loaded(
    runtime: str | None, path: str, device_id: int, soc: str | None, order: list[str] | None
) -> AclModel | AisModel:
    """Return the model in the runtime that was asked for, or in the first that is there."""
    absent = []
    for name in [runtime] if runtime else list(_MODELS):
        try:
            return _MODELS[name](path, device_id, soc, order)
        except AclError as e:
            if e.kind != "absent":
                raise Refused(e.kind, str(e)) from e
            absent.append(e.message)
    text = "no runtime for OM files is here: {}. Without an NPU: `parity bundle` takes the cases to one, and back"
    raise Refused("absent", text.format("; ".join(absent)))


def _names(raw: list[str]) -> dict[str, str]:
    """Return the outputs' names in the source model, by the file's: the last field of ``<last node>:<index>:<name>``.

    Where two are called alike there, they keep the file's.
    """
    parts = {name: name.split(":", 2) for name in raw}
    short = {name: p[2] if len(p) == 3 and p[1].isdigit() else name for name, p in parts.items()}
    known = list(short.values())
    named = {name: name if known.count(of) > 1 else of for name, of in short.items()}
    return named if len(set(named.values())) == len(raw) else {name: name for name in raw}


def _as(dtype: str, name: str, array: Any) -> Any:
    """Return an input in the dtype that the model takes; for bfloat16 as float32, rounded to nearest even."""
    import numpy as np

    if dtype != "bfloat16":
        return cast(name, array, dtype)
    bits = np.array(cast(name, array, "float32"), order="C").view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)
    return np.where(np.isfinite(bits.view(np.float32)), rounded, bits.view(np.float32)).astype(np.float32)


def _spec(t: dict[str, Any]) -> dict[str, Any]:
    shape = None if t["shape"] is None else [d if d >= 0 else None for d in t["shape"]]
    return {"name": t["name"], "shape": shape, "dtype": t["dtype"]}


def open_policy(request: dict[str, Any]) -> Any:
    """Load the OM file that the request names and return it with its description."""
    policy = OmPolicy(request)
    return keep_state(policy, policy.info(), request["options"].get("state"))


if __name__ == "__main__":
    alone()
    serve(open_policy, "numpy")
