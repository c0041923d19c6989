"""Runs a graph twice on each case, in float32 and rounded to float16, and keeps what was seen of every value."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from parity.errors import UsageError
from parity.localize.align import Match
from parity.localize.measure import groups
from parity.localize.onnx_graph import OnnxFile
from parity.localize.sides import OnnxSide
from parity.predict.rounded import rounded
from parity.predict.seen import OutputSeen, Seen
from parity.runner.base import RunnerSpec

if TYPE_CHECKING:
    from parity.tensor import Array

    Cases = Sequence[tuple[str, Mapping[str, Array]]]  # id, and the graph's inputs (B, ...) by name


@dataclass(frozen=True, slots=True)
class Watched:
    """What was seen of every value that was looked at, in the order of computation, and of the outputs."""

    values: Mapping[str, Seen]
    outputs: Mapping[str, OutputSeen]


def watch(
    file: OnnxFile,
    lowered: Collection[str],
    cases: Cases,
    workdir: Path,
    *,
    inner: Collection[str] = (),
    names: Sequence[str] | None = None,
) -> Watched:
    """Return what was seen of the values called ``names``, and of the float outputs.

    By default those of ``lowered`` are looked at, but for ``inner`` ones: see `parity.predict.rounded.rounded`.

    Values are looked at in groups of bounded size, one case at a time, so memory does not grow with graph or cases.

    Raises:
        UsageError: a case lacks an input of the graph.
        RunnerError: ONNX Runtime cannot run the graph, or its rounded copy.
    """
    outputs = [o.name for o in file.model.graph.output if o.type.tensor_type.elem_type in (0, 1)]
    chosen = list(dict.fromkeys([*([n for n in lowered if n not in inner] if names is None else names), *outputs]))
    known = [file.graph.by_name[n] for n in chosen if n in file.graph.by_name]
    values = {v.name: Seen() for v in known}
    seen = {n: OutputSeen() for n in outputs if n in values}
    filled = [(case, _filled(file, inputs)) for case, inputs in cases]
    plain = OnnxSide(RunnerSpec("float32", "onnxruntime"), workdir, file)
    half = OnnxSide(RunnerSpec("float16", "onnxruntime"), workdir, rounded(file, lowered, inner))
    for group in groups([Match(v, v, "itself") for v in known]):
        some = [known[i].name for i in group]
        with ExitStack() as stack:
            run, run_half = stack.enter_context(plain.open(some)), stack.enter_context(half.open(some))
            for case, inputs in filled:
                exact, low = run(inputs, "base"), run_half(inputs, "no_optimization")
                for name in some:
                    if name in exact and name in low and exact[name].dtype.kind == "f":
                        values[name].add(exact[name], low[name], case)
                        if name in seen:
                            seen[name].add(exact[name], low[name], case)
    return Watched(values, seen)


def _filled(file: OnnxFile, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return the graph's inputs from a case's: by name, else by position.

    Raises:
        UsageError: an input is missing.
    """
    wanted = file.graph.inputs
    if set(wanted) <= set(inputs):
        return {n: inputs[n] for n in wanted}
    if len(wanted) == len(inputs):
        return dict(zip(wanted, inputs.values(), strict=True))
    missing = ", ".join(n for n in wanted if n not in inputs)
    raise UsageError(f"no case gives the graph's input {missing}", expected=", ".join(inputs))
