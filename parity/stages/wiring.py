"""Which value goes where: stages joined by the names of what they take and give, nothing guessed.

What no stage before gives is an input of the policy. As a misspelled name would become one in silence, an input that
looks like an output which nothing takes is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from parity.contract.adapter_table import nearest
from parity.contract.matching import dims_agree, fits, kind_of
from parity.errors import ArtifactError, UsageError
from parity.stages.model import Loop, Program, StageSpec, Wire, Wired
from parity.stages.names import is_of_stages
from parity.tensor import TensorSpec


def wire(side: str, stages: Sequence[StageSpec], loop: Loop | None) -> Program:
    """Return the stages of ``side`` wired by name.

    Raises:
        UsageError: a name in parity.toml is none of the graphs', two values have one name, an output leads nowhere.
        ArtifactError: a stage gives another shape than the one that takes it expects.
    """
    for stage in stages:
        _check_names(side, stage)
    wired = tuple(
        Wired(
            s.name,
            tuple(Wire(t.name, s.value(t.name), t) for t in s.inputs),
            tuple(Wire(t.name, s.value(t.name), t) for t in s.outputs),
        )
        for s in stages
    )
    _check_unique(side, wired)
    if loop is not None:
        _check_loop(side, wired, loop)
    inputs = _policy_inputs(wired, loop)
    program = Program(wired, loop, inputs, _policy_outputs(wired, loop))
    _check_order(side, program)
    _check_used(side, program, stages)
    _check_shapes(side, program)
    return program


def _check_names(side: str, stage: StageSpec) -> None:
    known = [t.name for t in (*stage.inputs, *stage.outputs)]
    for tensor, value in stage.rename.items():
        if tensor not in known:
            raise UsageError(
                f"{side}: stage {stage.name!r}: rename: there is no {tensor!r}{nearest(tensor, known)}",
                expected=", ".join(known),
            )
        if is_of_stages(value):
            raise UsageError(f"{side}: stage {stage.name!r}: {value!r} is how parity calls outputs of stages")
    if not stage.inputs or not stage.outputs:
        raise UsageError(
            f"{side}: what stage {stage.name!r} takes and gives cannot be told without running it",
            remedy='name it, in order: inputs = ["image", "state"], outputs = ["kv"]',
        )


def _check_unique(side: str, stages: Sequence[Wired]) -> None:
    """Refuse two outputs of one name."""
    given: dict[str, str] = {}
    for stage in stages:
        for value in stage.values:
            if value in given:
                raise UsageError(
                    f"{side}: stages {given[value]!r} and {stage.name!r} both give {value!r}",
                    remedy=f'tell them apart: rename = {{"{value}" = "{stage.name}_{value}"}} in stage {stage.name!r}',
                )
            given[value] = stage.name


def _check_loop(side: str, stages: Sequence[Wired], loop: Loop) -> None:
    names = [s.name for s in stages]
    for name in loop.stages:
        if name not in names:
            raise UsageError(
                f"{side}: loop: no stage is called {name!r}{nearest(name, names)}", expected=", ".join(names)
            )
    inside = [s for s in stages if s.name in loop.stages]
    first = names.index(inside[0].name)
    if names[first : first + len(inside)] != list(loop.stages):
        raise UsageError(
            f"{side}: loop: {', '.join(loop.stages)} do not follow one another in `stages`", expected=", ".join(names)
        )
    taken = [w.value for s in inside for w in s.takes]
    given = [v for s in inside for v in s.values]
    asked = [("state", n, taken) for n in loop.state] + [("state", n, given) for n in loop.state.values()]
    asked += [("time", loop.time, taken)] if loop.time is not None else []
    for place, name, known in asked:
        if name not in known:
            what = "takes" if known is taken else "gives"
            raise UsageError(
                f"{side}: loop.{place}: {' → '.join(loop.stages)} {what} no {name!r}{nearest(name, known)}",
                expected=", ".join(dict.fromkeys(known)),
                remedy="name what the graph calls it, or rename it in its stage",
            )
    _check_times(side, inside, loop)
    given_anywhere = [v for s in stages for v in s.values]
    for state in loop.state:
        if state in given_anywhere:
            raise UsageError(f"{side}: loop.state: {state!r} is given by a stage, too: rename one of them")


def _check_times(side: str, inside: Sequence[Wired], loop: Loop) -> None:
    """Refuse a time that is no whole number where the graph takes integers."""
    told = next((w.spec for s in inside for w in s.takes if w.value == loop.time), None)
    if told is None or told.dtype is None or kind_of(told.dtype) != "int":
        return
    broken = next((loop.at(k) for k in range(1, loop.steps + 1) if not float(loop.at(k)).is_integer()), None)
    if broken is not None:
        raise UsageError(
            f"{side}: loop.time: {told.name!r} is {told.dtype}, and one of the times is {broken:g}",
            remedy="say what the graph is told at each step: times = [0, 250, 500, 750]",
        )


def _made(stages: Sequence[Wired], loop: Loop | None) -> Iterator[tuple[Wired, Wire, str]]:
    """Yield each input of each stage with where its value is from: ``stage``, ``state``, ``time`` or ``policy``."""
    given: set[str] = set()
    for stage in stages:
        inside = loop is not None and stage.name in loop.stages
        after = loop is not None and not inside and set(loop.state.values()) <= given
        results = {n for s in loop.state for n in (s, loop.ends_as(s))} if loop is not None and after else set()
        for w in stage.takes:
            if w.value in given:
                yield stage, w, "stage"
            elif (inside and loop is not None and w.value in loop.state) or w.value in results:
                yield stage, w, "state"
            elif inside and loop is not None and w.value == loop.time:
                yield stage, w, "time"
            else:
                yield stage, w, "policy"
        given |= set(stage.values)


def _policy_inputs(stages: Sequence[Wired], loop: Loop | None) -> tuple[TensorSpec, ...]:
    found: dict[str, TensorSpec] = {}
    for stage, w, source in _made(stages, loop):
        if source == "policy":
            found.setdefault(w.value, replace(w.spec, name=w.value))
        elif source == "state" and loop is not None and stage.name in loop.stages:
            start = loop.begins_as(w.value)
            if any(start in s.values for s in stages):
                continue  # it begins as what a stage gives
            role = w.spec.role or ("noise" if start != w.value or start == "noise" else None)
            found.setdefault(start, replace(w.spec, name=start, role=role))
    return tuple(found.values())


def _policy_outputs(stages: Sequence[Wired], loop: Loop | None) -> tuple[TensorSpec, ...]:
    """Return what the policy gives: what the loop ends with where it comes last, else what the last stage gives."""
    if loop is None or stages[-1].name not in loop.stages:
        return tuple(replace(w.spec, name=w.value) for w in stages[-1].gives)
    found = []
    for state in loop.state:
        spec = next(w.spec for s in stages if s.name in loop.stages for w in s.takes if w.value == state)
        found.append(replace(spec, name=loop.ends_as(state), role="action"))
    return tuple(found)


def _check_order(side: str, program: Program) -> None:
    """Refuse a stage that takes what only itself or a later one gives."""
    for stage, w, source in _made(program.stages, program.loop):
        giver = program.giver(w.value) if source == "policy" else None
        if giver is not None:
            raise UsageError(
                f"{side}: stage {stage.name!r} takes {w.value!r} before stage {giver.name!r} gives it",
                remedy="put the stages in the order in which they run; what is fed back is `loop.state`",
            )


def _check_used(side: str, program: Program, stages: Sequence[StageSpec]) -> None:
    """Refuse outputs that nothing takes where an input of a later stage looks like one of them."""
    sources = list(_made(program.stages, program.loop))
    used = {w.value for _, w, _ in sources} | {t.name for t in program.outputs}
    used |= set(program.loop.state.values()) if program.loop else set()
    used |= {program.loop.begins_as(s) for s in program.loop.state} if program.loop else set()
    said = {(s.name, tensor) for s in stages for tensor in s.rename}
    for i, stage in enumerate(program.stages[:-1]):
        idle = [w for w in stage.gives if w.value not in used]
        open_ = [
            (s, w)
            for s, w, source in sources
            if source == "policy" and s in program.stages[i + 1 :] and (s.name, w.tensor) not in said
        ]
        for w in idle:
            alike = [(s, o) for s, o in open_ if w.spec.shape is not None and _same_tensor(w.spec, o.spec)]
            if alike:
                later, taken = alike[0]
                raise UsageError(
                    f"{side}: stage {later.name!r} takes {taken.tensor!r}, which no stage gives; {stage.name!r} gives "
                    f"{w.value!r}, of the same shape, which nothing takes",
                    remedy=f'join them: rename = {{"{taken.tensor}" = "{w.value}"}} in stage {later.name!r}; if it is '
                    f'an input of the policy, say so: rename = {{"{taken.tensor}" = "{taken.tensor}"}}',
                )
        if len(idle) == len(stage.gives):
            wanted = ", ".join(w.tensor for s in program.stages[i + 1 :] for w in s.takes)
            raise UsageError(
                f"{side}: nothing that stage {stage.name!r} gives is taken by a later one: "
                f"{', '.join(stage.values)}; those take {wanted}",
                remedy='join them with rename = {"<input>" = "<output>"} in the later stage',
            )


def _same_tensor(a: TensorSpec, b: TensorSpec) -> bool:
    return (
        a.shape is not None
        and b.shape is not None
        and len(a.shape) == len(b.shape)
        and fits(a, replace(b, role=a.role))
    )


def _check_shapes(side: str, program: Program) -> None:
    """Refuse a stage that gives another shape than the one that takes it expects."""
    given: dict[str, tuple[str, TensorSpec]] = {w.value: (s.name, w.spec) for s in program.stages for w in s.gives}
    pairs = [(given[w.value], stage.name, w) for stage in program.stages for w in stage.takes if w.value in given]
    if program.loop is not None:
        inside = [s for s in program.stages if s.name in program.loop.stages]
        for state, changed in program.loop.state.items():
            pairs += [(given[changed], s.name, w) for s in inside for w in s.takes if w.value == state]
    for (giver, spec), taker, w in pairs:
        a, b = spec.shape, w.spec.shape
        if a is None or b is None:
            continue
        if len(a) != len(b) or not all(dims_agree(x, y) for x, y in zip(a, b, strict=True)):
            raise ArtifactError(
                f"{side}: stage {giver!r} gives {spec.name!r} in shape {_shape(a)}, stage {taker!r} takes it as "
                f"{w.tensor!r} in shape {_shape(b)}",
                remedy="export both stages for the same sizes, or correct `rename` and `loop`",
            )


def _shape(shape: Sequence[object]) -> str:
    return "(" + ", ".join(map(str, shape)) + ")"
