"""An ONNX file as a model, with ONNX Runtime."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from parity.bundle.device.files import Stop, place

ORT_DTYPES = {"float": "float32", "double": "float64"}
CPU = "CPUExecutionProvider"


class OrtModel:
    """An ONNX file loaded by ONNX Runtime on one provider, which must be the one that runs."""

    def __init__(self, path: Path, provider: str) -> None:
        import onnxruntime as ort

        self.version, self.provider = ort.__version__, provider
        options = ort.SessionOptions()
        options.log_severity_level = 3
        try:
            providers = [provider] if provider == CPU else [provider, CPU]
            self.session = ort.InferenceSession(str(path), options, providers=providers)
        except Exception as e:  # onnxruntime's errors have no common base
            raise Stop(f"{path.name} cannot be loaded: {e}") from None
        ran = self.session.get_providers()
        if not ran or ran[0] != provider:
            raise Stop(f"asked for {provider}, but ONNX Runtime runs {', '.join(ran) or 'nothing'}")
        self.inputs = [spec_of(t) for t in self.session.get_inputs()]
        self.outputs = [spec_of(t) for t in self.session.get_outputs()]

    def environment(self) -> dict[str, Any]:
        """Return what ran: runtime, machine, provider."""
        device = platform.processor() or platform.machine()
        return {"runtime": f"onnxruntime {self.version}", "device": device, "provider": self.provider}

    def run(self, feeds: dict[str, Any]) -> dict[str, Any]:
        """Return the outputs by name."""
        names = [t["name"] for t in self.outputs]
        try:
            return dict(zip(names, self.session.run(names, feeds)))
        except Exception as e:
            raise Stop(f"ONNX Runtime: {e}") from None

    def close(self) -> None:
        """Let go of the session."""
        del self.session


def spec_of(tensor: Any) -> dict[str, Any]:
    """Return name, element type and shape of an input or output; its bytes are not fixed."""
    kind = tensor.type[len("tensor(") : -1]
    return {"name": tensor.name, "dtype": ORT_DTYPES.get(kind, kind), "shape": list(tensor.shape), "bytes": None}


def load_model(folder: Path, manifest: dict[str, Any], options: Any, config: Path | None) -> Any:
    """Return the model of the bundle."""
    if config or options.dump:
        raise Stop("--dump needs an OM: ONNX Runtime does not dump operators")
    provider = manifest["candidate"].get("provider") or CPU
    return OrtModel(place(folder, "artifact/" + manifest["artifact"]["main"]), provider)
