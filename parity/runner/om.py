"""Runs Ascend OM files on an NPU of this machine: through pyACL, or through ais_bench where only that is installed.

What the runtime lets through is checked around every call, see `worker/acl_model.py`. Without an NPU here, a bundle
goes to the device and back (`parity bundle`, `parity capture`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from parity.artifact import files_of, recognize
from parity.errors import ArtifactError, UsageError
from parity.om.reading import open_om
from parity.runner.base import RunnerSpec, Session
from parity.runner.options import check_options
from parity.runner.session import worker_session

_OPTIONS = ("device_id", "soc", "gear", "runtime", "state")
_RUNTIMES = ("acl", "ais_bench")
_DEVICE = re.compile(r"npu(?::(\d{1,4}))?", re.IGNORECASE)
_CLOSING_S = 30.0  # giving a device back takes seconds where the model is large
_PARTS = ("acl_calls.py", "acl_arrays.py", "acl_model.py")


class OmRunner:
    """The runner ``om``.

    Options: ``device_id`` (0; ``device = "npu:0"`` says the same); ``soc``, the chip that the file was compiled for,
    where the file does not say it or says it otherwise than the device does; ``gear``, the one of the compiled sizes
    that is to run (a batch, or a list of numbers); ``runtime`` (``acl`` or ``ais_bench``: the first that is there);
    ``state``, as for ``onnxruntime``.
    """

    name = "om"

    def open(self, spec: RunnerSpec, workdir: Path) -> AbstractContextManager[Session]:
        """Load the OM file in a worker; see `parity.runner.base.Runner.open`."""
        return _open(spec, workdir)


@contextmanager
def _open(spec: RunnerSpec, workdir: Path) -> Iterator[Session]:
    check_options(spec, _OPTIONS)
    artifact = recognize(spec.path)
    if artifact.kind != "om":
        raise ArtifactError(f"{spec.path}: this is {artifact.kind}, not an OM", remedy="give the runner that fits")
    model = open_om(artifact.path)
    files = [f.relative_to(artifact.path.parent).as_posix() for f in files_of(artifact)]
    request = {**_request(spec), "files": files, "order": list(model.name_order) or None}
    request["soc"] = request["soc"] or model.soc
    with worker_session(spec, workdir, "run_om.py", request) as session:
        yield session
        session.finish(_CLOSING_S)


def _request(spec: RunnerSpec) -> dict[str, Any]:
    """Return what the worker is told beside the spec, its options checked."""
    gear, runtime = spec.options.get("gear"), spec.options.get("runtime")
    numbers = [gear] if isinstance(gear, int) else gear
    if gear is not None and not (isinstance(numbers, list) and all(type(n) is int and n > 0 for n in numbers)):
        raise UsageError(f"{spec.name}: gear = {gear!r}", expected="a batch (4) or a list of sizes ([224, 224])")
    if runtime is not None and runtime not in _RUNTIMES:
        raise UsageError(f"{spec.name}: runtime = {runtime!r}", expected=" or ".join(_RUNTIMES))
    soc = spec.options.get("soc")
    if soc is not None and not (isinstance(soc, str) and soc):
        raise UsageError(f"{spec.name}: soc = {soc!r}", expected='the name of a chip, such as "Ascend310P3"')
    return {"device_id": device_number(spec), "gear": numbers, "soc": soc}


def device_number(spec: RunnerSpec) -> int:
    """Return which of the machine's NPUs is meant: by ``device`` (``npu:1``) or the option ``device_id``.

    Raises:
        UsageError: neither says a number, or they say different ones.
    """
    number = spec.options.get("device_id")
    if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 0):
        raise UsageError(f"{spec.name}: device_id = {number!r} is no device number", expected="0, 1, 2…")
    if spec.device is None:
        return number or 0
    found = _DEVICE.fullmatch(spec.device)
    if found is None:
        raise UsageError(f"{spec.name}: device = {spec.device!r} is no NPU", expected='"npu", "npu:1"')
    named = int(found[1] or 0)
    if number not in (None, named):
        raise UsageError(f"{spec.name}: device = {spec.device!r}, but device_id = {number}", remedy="say one of them")
    return named


def device_source() -> str:
    """Return `AclModel` and all it needs as the source of one module: Python 3.7, NumPy and ``acl``, for a bundle."""
    folder = Path(__file__).parent / "worker"
    parts = [_without_imports((folder / name).read_text(encoding="utf-8"), name) for name in _PARTS]
    return "from __future__ import annotations\n\n" + "\n\n".join(parts)


def _without_imports(source: str, name: str) -> str:
    """Return the source of a part without what joining makes needless: its docstring and its imports of other parts."""
    lines = source.splitlines()
    for node in reversed(ast.parse(source).body):
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        others = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if future or others or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            del lines[node.lineno - 1 : node.end_lineno]
    return f"# {name}\n" + "\n".join(lines).strip("\n") + "\n"


RUNNER = OmRunner()
