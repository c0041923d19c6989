"""Runs a graph twice on each case, in float32 and rounded to float16, and keeps what was seen of every value."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from parity.errors import RunnerError, UsageError
from parity.localize.align import Match
from parity.localize.graph import Value
from parity.localize.measure import GROUP_BYTES, UNKNOWN_BYTES, groups
from parity.localize.onnx_graph import OnnxFile
from parity.localize.sides import OnnxSide
from parity.predict.rounded import floating, rounded, untyped
from parity.predict.seen import OutputSeen, Seen
from parity.runner.base import RunnerSpec, Session, Variant
from parity.tensor import Block, Case, stack

if TYPE_CHECKING:
    from parity.tensor import Array

    Cases = Sequence[tuple[str, Mapping[str, Array]]]  # id, and the graph's inputs (B, ...) by name


ALL, SIZES, FLAT = "values::all", "values::sizes", "values::flat"


@dataclass(frozen=True, slots=True)
class Watched:
    """What was seen of every value that was looked at, in the order of computation, and of the outputs."""

    values: Mapping[str, Seen]
    outputs: Mapping[str, OutputSeen]


def learn_types(file: OnnxFile, workdir: Path) -> int:
    """Note in ``file`` the float32 values whose type only the runtime tells; return how many stay unknown."""
    from onnx import TensorProto, helper

    names = untyped(file)
    if not names:
        return 0
    try:
        with OnnxSide(RunnerSpec("types", "onnxruntime"), workdir, file).session(names) as session:
            told = {t.name: t.dtype for t in session.info.outputs}
    except RunnerError:
        return len(names)
    full = [n for n in names if told.get(n) == "float32"]
    file.model.graph.value_info.extend(helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in full)
    return sum(n not in told for n in names)


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

    Values are looked at in groups, and cases in blocks, of bounded size: memory does not grow with graph or cases.

    Raises:
        UsageError: a case lacks an input of the graph.
        RunnerError: ONNX Runtime cannot run the graph, or its rounded copy.
    """
    floats = floating(file)
    outputs = [o.name for o in file.model.graph.output if o.name in floats]
    chosen = list(dict.fromkeys([*([n for n in lowered if n not in inner] if names is None else names), *outputs]))
    known = [file.graph.by_name[n] for n in chosen if n in file.graph.by_name]
    values = {v.name: Seen() for v in known}
    seen = {n: OutputSeen() for n in outputs if n in values}
    if not known:
        return Watched({}, {})
    filled = [Case(case, "nominal", 0, _filled(file, inputs)) for case, inputs in cases]
    plain = OnnxSide(RunnerSpec("float32", "onnxruntime"), workdir, file)
    half = OnnxSide(RunnerSpec("float16", "onnxruntime"), workdir, rounded(file, lowered, inner))
    for group in groups([Match(v, v, "itself") for v in known]):
        some = [known[i] for i in group]
        ends = [v.name for v in some if v.name in seen]
        with ExitStack() as opened:
            sessions = []
            for side in (plain, half):
                with _packed(side.file, [v.name for v in some]):
                    sessions.append(opened.enter_context(side.session([ALL, SIZES, *ends])))
            for block in _blocks(filled, some):
                exact, low = _run(sessions[0], block, "base"), _run(sessions[1], block, "no_optimization")
                for i, case in enumerate(block.ids):
                    for v, x, y in zip(some, _parts(exact, i), _parts(low, i), strict=True):
                        values[v.name].add(x, y, case)
                    for name in ends:
                        seen[name].add(exact[name][i], low[name][i], case)
    return Watched(values, seen)


@contextmanager
def _packed(file: OnnxFile, names: Sequence[str]) -> Iterator[None]:
    """Let the graph give the values called ``names`` as one array and their sizes as another, while this is open.

    Thousands of small arrays would cost far more to carry than to compute.
    """
    from onnx import helper, numpy_helper

    graph = file.model.graph
    nodes, stored = len(graph.node), len(graph.initializer)
    graph.initializer.append(numpy_helper.from_array(np.asarray([-1], np.int64), FLAT))
    for i, name in enumerate(names):
        graph.node.append(helper.make_node("Reshape", [name, FLAT], [f"{ALL}{i}"], name=f"{ALL}{i}"))
        graph.node.append(helper.make_node("Size", [name], [f"{SIZES}{i}"], name=f"{SIZES}{i}"))
        graph.node.append(helper.make_node("Reshape", [f"{SIZES}{i}", FLAT], [f"{SIZES}{i}-flat"], name=f"{FLAT}{i}"))
    made = [f"{ALL}{i}" for i in range(len(names))], [f"{SIZES}{i}-flat" for i in range(len(names))]
    for inputs, output in zip(made, (ALL, SIZES), strict=True):
        graph.node.append(helper.make_node("Concat", inputs, [output], name=output, axis=0))
    try:
        yield
    finally:
        del graph.node[nodes:]
        del graph.initializer[stored:]


def _parts(result: Mapping[str, Array | list[Array]], case: int) -> list[Array]:
    """Return the values of one case, each flat."""
    return np.split(np.asarray(result[ALL][case]), np.cumsum(result[SIZES][case])[:-1])


def _blocks(cases: Sequence[Case], values: Sequence[Value]) -> Iterator[Block]:
    """Yield the cases in blocks of which all values together are at most about `GROUP_BYTES`."""
    size = sum(4 * math.prod(d or 1 for d in v.shape) if v.shape else UNKNOWN_BYTES for v in values)
    room = max(1, GROUP_BYTES // max(size, 1))
    for block in stack(cases):
        for at in range(0, len(block), room):
            part = slice(at, at + room)
            yield Block(block.ids[part], {n: a[part] for n, a in block.inputs.items()})


def _run(session: Session, block: Block, variant: Variant) -> Mapping[str, Array | list[Array]]:
    result = session.run(block, variant)
    if result.failure or result.completed != len(block):
        reason = result.failure.message if result.failure else "it gave nothing back"
        raise RunnerError(f"running it value by value failed: {reason}")
    return result.outputs


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
