"""Runs ONNX files with ONNX Runtime, on any of its providers; the provider asked for must be the one that ran."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from parity.artifact import recognize
from parity.checkpoint.onnx_data import external_span
from parity.checkpoint.onnx_file import open_onnx
from parity.errors import ArtifactError
from parity.runner.base import RunnerSpec, Session
from parity.runner.options import check_options
from parity.runner.session import worker_session

# Short names that users write, as in `provider = "cuda"`.
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "cann": "CANNExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "dnnl": "DnnlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
    "qnn": "QNNExecutionProvider",
    "azure": "AzureExecutionProvider",
}
_EXTERNAL = 1  # TensorProto.DataLocation (onnx.proto)
_OPTIONS = ("threads", "session_config", "provider_options", "allow_fallback", "state")


class OnnxRuntimeRunner:
    """The runner ``onnxruntime``.

    Options: ``threads``, ``session_config``, ``provider_options``; ``allow_fallback``, which accepts nodes that ran on
    another provider than the one asked for; ``state``, the inputs of a recurrent state with the outputs that are their
    next values (``{h_in = "h_out"}``): the worker keeps them, and the session does not show them.
    """

    name = "onnxruntime"

    def open(self, spec: RunnerSpec, workdir: Path) -> AbstractContextManager[Session]:
        """Load the ONNX file in a worker; see `parity.runner.base.Runner.open`."""
        return _open(spec, workdir)


@contextmanager
def _open(spec: RunnerSpec, workdir: Path) -> Iterator[Session]:
    check_options(spec, _OPTIONS)
    artifact = recognize(spec.path)
    if artifact.kind != "onnx":
        raise ArtifactError(f"{spec.path}: this is {artifact.kind}, not ONNX", remedy="give the runner that fits")
    provider = PROVIDERS.get((spec.provider or "cpu").lower(), spec.provider)
    request: dict[str, Any] = {"provider": provider, "external": external_data(artifact.path)}
    with worker_session(spec, workdir, "run_onnxruntime.py", request) as session:
        yield session


def external_data(path: Path) -> list[str]:
    """Return the names of the files that hold an ONNX file's external data, sorted.

    Raises:
        ArtifactError: the file is not readable ONNX, or its data is missing, too short, or outside its folder.
    """
    outside = [t for t in _tensors(open_onnx(path).model.graph) if t.data_location == _EXTERNAL]
    for tensor in outside:
        external_span(path, tensor)
    return sorted({e.value for t in outside for e in t.external_data if e.key == "location"})


def _tensors(graph: Any) -> Iterator[Any]:
    """Yield every stored tensor of the graph: initializers, constants, and those of graphs within."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from _tensors(inner)


RUNNER = OnnxRuntimeRunner()
