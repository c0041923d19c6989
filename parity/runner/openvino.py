"""Runs ONNX or OpenVINO IR with OpenVINO, in float32 unless told otherwise; what it really ran in is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from parity.artifact import recognize
from parity.errors import ArtifactError
from parity.runner.base import RunnerSpec, Session
from parity.runner.onnxruntime import external_data
from parity.runner.options import check_options
from parity.runner.session import worker_session

_OPTIONS = ("threads", "precision_hint", "state")


class OpenVinoRunner:
    """The runner ``openvino``.

    Options: ``threads``, ``precision_hint`` (f32; by itself OpenVINO may take bfloat16), and ``state``, as for
    ``onnxruntime``.
    """

    name = "openvino"

    def open(self, spec: RunnerSpec, workdir: Path) -> AbstractContextManager[Session]:
        """Load the model in a worker; see `parity.runner.base.Runner.open`."""
        return _open(spec, workdir)


@contextmanager
def _open(spec: RunnerSpec, workdir: Path) -> Iterator[Session]:
    check_options(spec, _OPTIONS)
    artifact = recognize(spec.path)
    if artifact.kind not in ("onnx", "openvino"):
        raise ArtifactError(f"{spec.path}: this is {artifact.kind}, not ONNX or OpenVINO IR")
    files = [artifact.path.name]
    if artifact.kind == "onnx":
        files += external_data(artifact.path)
    elif artifact.path.with_suffix(".bin").is_file():
        files.append(artifact.path.with_suffix(".bin").name)
    with worker_session(spec, workdir, "run_openvino.py", {"files": files}) as session:
        yield session


RUNNER = OpenVinoRunner()
