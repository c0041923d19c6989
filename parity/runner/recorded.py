"""Answers with what was recorded: a trace, or an ``.npz`` of inputs and outputs, stands for the runner that made it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from parity.artifact import digest, recognize
from parity.runner.base import Failure, Progress, RunnerSpec, RunResult, Session, SessionInfo, Variant
from parity.runner.gather import joined
from parity.runner.options import check_options
from parity.runner.origin import captured_of, repeated_of, told_origin, unchecked_of
from parity.tensor import Array, Block, TensorSpec
from parity.trace import Trace


class RecordedRunner:
    """The runner ``recorded``. It has no options."""

    name = "recorded"

    def open(self, spec: RunnerSpec, workdir: Path) -> AbstractContextManager[Session]:
        """Open the trace; see `parity.runner.base.Runner.open`."""
        return _open(spec)


@contextmanager
def _open(spec: RunnerSpec) -> Iterator[Session]:
    check_options(spec, ())
    sha, _ = digest(recognize(spec.path))
    with Trace.open(spec.path) as trace:
        yield RecordedSession(trace, sha)


class RecordedSession:
    """A trace as a session. A case is found by its id, else by its inputs; its inputs must be those recorded."""

    def __init__(self, trace: Trace, sha256: str) -> None:
        self._trace = trace
        self._ids = {c.id for c in trace.cases}
        self._by_inputs: dict[str, str] | None = None
        self.info = SessionInfo(
            inputs=_specs(trace, "inputs"),
            outputs=_specs(trace, "outputs"),
            environment=recorded_environment(trace),
            loaded_sha256=sha256,
        )

    def run(
        self, block: Block, variant: Variant = "base", *, repeat: bool = False, progress: Progress | None = None
    ) -> RunResult:
        """Return the recorded outputs of the cases, up to the first that was not recorded.

        With ``repeat`` what changed on the device, when a case ran twice there, is told again.
        """
        if variant != "base":
            return RunResult({}, 0, failure=Failure("run", f"a recorded trace has no variant {variant}"))
        rows: list[Mapping[str, Array]] = []
        failure: Failure | None = None
        for i, case_id in enumerate(block.ids):
            found = self._find(case_id, {name: array[i] for name, array in block.inputs.items()})
            if isinstance(found, Failure):
                failure = found
                break
            rows.append({name: self._trace.mapped(found, name) for name in self._trace.output_names(found)})
            if progress:
                progress(i + 1)
        differs = repeated_of(self._trace.meta) if repeat else {}
        return RunResult(joined(rows), len(rows), (0.0,) * len(rows), differs, failure)

    def close(self) -> None:
        """Nothing is held open."""

    def _find(self, case_id: str, inputs: Mapping[str, Array]) -> str | Failure:
        if case_id in self._ids:
            differs = _difference(self._trace.inputs(case_id), inputs)
            if differs is None:
                return case_id
        else:
            differs = "it is not in the trace"
        if self._by_inputs is None:
            self._by_inputs = {_key(self._trace.inputs(i)): i for i in self._ids}
        found = self._by_inputs.get(_key(inputs))
        if found is not None:
            return found
        return Failure("input", f"case {case_id} was not recorded in {self._trace.path.name}: {differs}")


def recorded_environment(trace: Trace) -> dict[str, Any]:
    """Return what a recording says of how it was made; where it came back from a device, of that in one line too."""
    recorded = {k: v for k, v in trace.meta.items() if isinstance(v, (str, int, float, bool, dict, list))}
    captured = captured_of(trace.meta)
    device = {"device": f"recorded on {told_origin(captured)}"} if captured else {}
    unchecked = unchecked_of(captured)
    return {
        "recorded": recorded,
        "cases": len(trace.cases),
        **device,
        **({"unchecked": unchecked} if unchecked else {}),
    }


def _specs(trace: Trace, kind: str) -> tuple[TensorSpec, ...]:
    shapes = trace.shapes(kind)
    return tuple(TensorSpec(n, s and s[0], s[1].name if s else None) for n, s in shapes.items())


def _difference(recorded: Mapping[str, Array], given: Mapping[str, Array]) -> str | None:
    """Return in what the inputs differ, None if they are the same bytes (so that NaN equals the same NaN)."""
    if recorded.keys() != given.keys():
        return f"it was recorded with inputs {', '.join(recorded)}, not {', '.join(given)}"
    for name, array in given.items():
        other = recorded[name]
        if _plain(array).shape != other.shape:
            return f"input {name} was recorded with shape {other.shape}, not {array.shape}"
        if _plain(array).dtype != other.dtype or _plain(array).tobytes() != other.tobytes():
            return f"input {name} was recorded with other values"
    return None


def _key(inputs: Mapping[str, Array]) -> str:
    sha = hashlib.sha256()
    for name in sorted(inputs):
        array = _plain(inputs[name])
        sha.update(f"{name}\0{array.shape}\0{array.dtype.str}\0".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def _plain(array: Array) -> Array:
    """Return the array as a trace gives it back: bfloat16 as float32."""
    import numpy as np

    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


RUNNER = RecordedRunner()
