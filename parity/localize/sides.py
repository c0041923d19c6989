"""The reference and the candidate as something whose intermediate values can be had, each in its own process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from parity.artifact import recognize
from parity.errors import RunnerError, UsageError
from parity.localize.graph import Graph, Value, canonical
from parity.localize.onnx_graph import OnnxFile, read_onnx, write_tapped
from parity.runner.base import RunnerSpec, Session, Variant, runner_for
from parity.runner.rebuilt import rebuilt_request
from parity.runner.session import worker_session
from parity.tensor import Block

if TYPE_CHECKING:
    from parity.tensor import Array

    Arrays = Mapping[str, Array]
    Run = Callable[[Arrays, Variant], Arrays]  # inputs (B, ...) by name to values by name


class Side(Protocol):
    """One policy whose values can be looked at."""

    @property
    def name(self) -> str: ...

    @property
    def graph(self) -> Graph: ...

    @property
    def notes(self) -> tuple[str, ...]: ...

    def open(self, names: Sequence[str]) -> AbstractContextManager[Run]:
        """Return a function that runs one case and gives the values called ``names``.

        Raises (and so does the function):
            RunnerError: it cannot be loaded or run.
        """
        ...

    def weights(self, names: Sequence[str]) -> Arrays:
        """Return those of the stored tensors that can be had."""
        ...


@contextmanager
def open_side(spec: RunnerSpec, workdir: Path, case: Arrays) -> Iterator[Side]:
    """Yield the side that fits the artifact; ``case`` is run once where the values are only known after running.

    Raises:
        UsageError: no layers of such an artifact can be looked at.
        ArtifactError: it cannot be read.
        RunnerError: it cannot be loaded or run.
    """
    kind = recognize(spec.path).kind
    if kind == "onnx":
        yield OnnxSide(spec, workdir, read_onnx(Path(spec.path)))
    elif kind in ("torchscript", "pt2", "factory", "folder", "checkpoint"):
        request = {"kind": kind, **(rebuilt_request(spec, workdir) if kind == "checkpoint" else {})}
        with worker_session(spec, workdir, WORKER, request) as session:
            yield torch_side(spec, workdir, request, case, session)
    else:
        raise UsageError(
            f"{spec.path}: layers of {kind} cannot be looked into",
            expected="ONNX, TorchScript, .pt2, an actor's checkpoint, or package.module:factory that returns a "
            "torch.nn.Module",
        )


@dataclass(frozen=True, slots=True)
class OnnxSide:
    """An ONNX file; values are had by a copy with further outputs, run by the runner that ``spec`` names."""

    spec: RunnerSpec
    workdir: Path
    file: OnnxFile

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def graph(self) -> Graph:
        return self.file.graph

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    @contextmanager
    def open(self, names: Sequence[str]) -> Iterator[Run]:
        """Yield the function that runs one case; see `Side.open`."""
        with self.session(names) as session:
            yield lambda inputs, variant: _run(session, inputs, variant, self.name)

    @contextmanager
    def session(self, names: Sequence[str]) -> Iterator[Session]:
        """Yield a session whose outputs are the values called ``names`` that are tensors.

        Raises:
            RunnerError: it cannot be loaded.
        """
        self.workdir.mkdir(parents=True, exist_ok=True)
        path = self.workdir / f"{_plain(self.name)}-layers.onnx"
        spec = replace(self.spec, path=str(path))
        for attempt in (list(names), [n for n in names if n in self.file.typed]):
            write_tapped(self.file, attempt, path)
            opened = runner_for(spec).open(spec, self.workdir)
            try:
                session = opened.__enter__()
            except RunnerError:
                if len(attempt) == len(names) and any(n not in self.file.typed for n in names):
                    continue  # a value of unknown type is no tensor
                raise
            try:
                yield session
            finally:
                opened.__exit__(None, None, None)
            return

    def weights(self, names: Sequence[str]) -> Arrays:
        """Return the stored tensors called ``names``."""
        found = {n: self.file.weight(n) for n in names}
        return {n: a for n, a in found.items() if a is not None}


@dataclass(frozen=True, slots=True)
class TorchSide:
    """A PyTorch policy in a worker that records what every layer computes."""

    spec: RunnerSpec
    workdir: Path
    request: Mapping[str, Any]
    case: Arrays
    session: Session
    graph: Graph
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.spec.name

    @contextmanager
    def open(self, names: Sequence[str]) -> Iterator[Run]:
        """Yield the function that runs one case; see `Side.open`."""
        yield lambda inputs, variant: _run(self.session, inputs, variant, self.name)

    def weights(self, names: Sequence[str]) -> Arrays:
        """Return the parameters and buffers called ``names``."""
        request = {**self.request, "asked": list(names)}
        with worker_session(self.spec, self.workdir, WORKER, request) as session:
            return _run(session, self.case, "base", self.name)


WORKER = "run_torch_layers.py"


def torch_side(
    spec: RunnerSpec, workdir: Path, request: Mapping[str, Any], case: Arrays, session: Session
) -> TorchSide:
    """Return the side of a PyTorch policy, having run one case to learn what its values are.

    Raises:
        RunnerError: it cannot be loaded or run, or has no layers.
    """
    arrays = _run(session, case, "base", spec.name)
    told = session.info.environment
    values = tuple(
        Value(
            name=layer["name"],
            op=canonical(layer["op"]),
            node=layer["node"],
            inputs=tuple(layer["inputs"]),
            weights=tuple(layer["weights"]),
            shape=tuple(arrays[layer["name"]].shape),
            scopes=tuple(layer["scopes"]),
        )
        for layer in told["layers"]
    )
    values = _moving(values, told["graph_inputs"])
    if not values:
        raise RunnerError(f"{spec.name}: it has no layers that can be looked into")
    skipped = told.get("skipped") or []
    notes = (f"{spec.name}: {len(skipped)} values were too large to be kept",) if skipped else ()
    return TorchSide(spec, workdir, request, case, session, Graph(tuple(told["graph_inputs"]), values), notes)


def _moving(values: tuple[Value, ...], inputs: Sequence[str]) -> tuple[Value, ...]:
    """Return the values that depend on the inputs; all where a trace does not say what depends on what."""
    if not any(v.inputs for v in values):
        return values
    moving, kept = set(inputs), []
    for v in values:
        if any(n in moving for n in v.inputs):
            moving.add(v.name)
            kept.append(replace(v, inputs=tuple(n for n in v.inputs if n in moving)))
    return tuple(kept)


def _run(session: Session, inputs: Arrays, variant: Variant, name: str) -> Arrays:
    result = session.run(Block(("layers",), {n: a[None] for n, a in inputs.items()}), variant)
    if result.failure or result.completed != 1:
        reason = result.failure.message if result.failure else "it gave nothing back"
        raise RunnerError(f"{name}: running it layer by layer failed: {reason}")
    return {n: a[0] for n, a in result.outputs.items()}


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)
