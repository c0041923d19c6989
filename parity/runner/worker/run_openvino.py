"""Worker that executes a model with OpenVINO. Stand-alone: NumPy and openvino."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity.runner.worker.kept_state import keep_state
    from parity.runner.worker.protocol import Call, Policy, Refused, alone, cast, digest, pick, serve
else:
    from kept_state import keep_state
    from protocol import Policy, Refused, alone, cast, digest, pick, serve

CLASSES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "i8": "int8", "u8": "int8"}


class OpenVinoPolicy(Policy):
    """A compiled model; one more is compiled for the variant with a single thread."""

    def __init__(self, request: dict[str, Any]) -> None:
        import openvino as ov

        path = Path(request["path"])
        self.sha = digest(path.parent, [path.parent / f for f in request["files"]], folder=False)
        self.device = (request.get("device") or "CPU").upper()
        self.threads = int(request["options"].get("threads", 2))
        self.hint = str(request["options"].get("precision_hint", "f32"))
        self.core = ov.Core()
        self.model = self.core.read_model(str(path))
        self.compiled = self._compile(self.threads)
        self.requests = {"base": self.compiled.create_infer_request()}

    def _compile(self, threads: int) -> Any:
        config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": self.hint, "PERFORMANCE_HINT": "LATENCY"}
        if self.device == "CPU":
            config.update(INFERENCE_NUM_THREADS=threads, NUM_STREAMS=1)
        return self.core.compile_model(self.model, self.device, config)

    def call(self, variant: str) -> Call:
        """Return the function that runs one variant."""
        if variant not in ("base", "one_thread"):
            raise Refused("run", f"OpenVINO has no variant {variant}")
        if variant not in self.requests:
            self.requests[variant] = self._compile(1).create_infer_request()
        request = self.requests[variant]
        wanted = [_name(p, i) for i, p in enumerate(self.compiled.inputs)]
        types = [p.get_element_type().to_dtype() for p in self.compiled.inputs]
        names = [_name(p, i) for i, p in enumerate(self.compiled.outputs)]

        def run(inputs: dict[str, Any]) -> dict[str, Any]:
            arrays = pick(inputs, wanted)
            result = request.infer([cast(n, a, t) for n, a, t in zip(wanted, arrays, types)])  # noqa: B905 (Python 3.8)
            return {name: result[i].copy() for i, name in enumerate(names)}

        return run

    def reset(self) -> None:
        """Reset the variables that a recurrent model keeps."""
        for request in self.requests.values():
            request.reset_state()

    def info(self) -> dict[str, Any]:
        """Return what was compiled, and in what precision it runs."""
        import openvino as ov

        ran = self.compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        states = [s.name for s in self.requests["base"].query_state()]
        notes = []
        if ran != self.hint:
            notes.append(f"asked for {self.hint}, but OpenVINO runs in {ran}")
        return {
            "inputs": [_spec(p, i) for i, p in enumerate(self.compiled.inputs)],
            "outputs": [_spec(p, i) for i, p in enumerate(self.compiled.outputs)],
            "environment": {
                "openvino": ov.__version__,
                "device": self.device,
                "execution_devices": list(self.compiled.get_property("EXECUTION_DEVICES")),
                "inference_precision": ran,
                "precision_hint": self.hint,
                "threads": self.threads,
                "python": platform.python_version(),
            },
            "loaded_sha256": self.sha,
            "precision": CLASSES.get(ran),
            "stateful": "{} kept between calls; reset before each case".format(", ".join(states)) if states else None,
            "variants": ["base", "one_thread"],
            "notes": notes,
        }


def _name(port: Any, index: int) -> str:
    return str(port.get_any_name()) if port.get_names() else f"tensor_{index}"


def _spec(port: Any, index: int) -> dict[str, Any]:
    shape = [d.get_length() if d.is_static else None for d in port.get_partial_shape()]
    return {"name": _name(port, index), "shape": shape, "dtype": str(port.get_element_type().to_dtype())}


def open_policy(request: dict[str, Any]) -> Any:
    """Load the model that the request names and return it with its description."""
    import openvino as ov

    device = (request.get("device") or "CPU").upper()
    available = ov.Core().available_devices
    if device.split(".")[0] not in {d.split(".")[0] for d in available}:
        raise Refused("absent", "asked for device {}, but OpenVINO finds only {}".format(device, ", ".join(available)))
    policy = OpenVinoPolicy(request)
    return keep_state(policy, policy.info(), request["options"].get("state"))


if __name__ == "__main__":
    alone()
    serve(open_policy, "openvino")
