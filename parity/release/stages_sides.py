"""Sides in stages, from the tables of `parity.toml` to wired stages with the contract of the policy as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from parity.compare.budget import CLASSES
from parity.contract import Contract
from parity.contract.matching import match_tensors
from parity.errors import ArtifactError, UsageError
from parity.finding import Finding
from parity.release.config_sides import CandidateTable, LoopTable, RunnerTable, StageTable
from parity.release.sides import Side, resolve
from parity.release.staged import RUNNER, Staged, combined
from parity.release.stages_said import drift, loop_differs, wired_so
from parity.runner.base import Failure, RunnerSpec
from parity.stages import Loop, Program, StageSpec, wire
from parity.tensor import TensorSpec

INHERITED = ("runner", "python", "provider", "device", "options", "timeout_s", "memory_limit_mb")


def resolve_side(table: RunnerTable, name: str, root: Path, adapter: Mapping[str, Any], *, strict: bool) -> Side:
    """Return the side that ``table`` describes, in stages or not; see `parity.release.sides.resolve`.

    Raises:
        UsageError: neither path, command nor stages, or a runner that cannot be told.
        ArtifactError: an artifact cannot be read (``strict`` only).
    """
    if not table.stages:
        return resolve(table, name, root, adapter, strict=strict)
    given = {key: getattr(table, key) for key in INHERITED if key in table.model_fields_set}
    sides: list[Side] = []
    problem: Failure | None = None
    for stage in table.stages:
        own = {key: getattr(stage, key) for key in stage.model_fields_set if key in RunnerTable.model_fields}
        side = resolve(RunnerTable(**{**given, **own}), f"{name}-{stage.name}", root, {}, strict=strict)
        sides.append(side)
        if side.problem is not None and problem is None:
            problem = replace(side.problem, message=f"stage {stage.name!r}: {side.problem.message}")
    staged = Staged(tuple(sides), tuple(table.stages), table.loop)
    return Side(
        name,
        RunnerSpec(name, RUNNER, precision=table.precision, options={"cwd": str(root)}, timeout_s=table.timeout_s),
        None,
        None,
        combined(staged),
        sum(s.bytes for s in sides),
        table.precision,
        noise=tuple(table.noise),
        adapter=adapter,
        problem=problem,
        soc=table.soc if isinstance(table, CandidateTable) else None,
        given=", ".join(s.given for s in sides),
        staged=staged,
    )


def with_programs(sides: Sequence[Side], *, strict: bool) -> tuple[list[Side], list[Finding]]:
    """Return the sides, those in stages wired, with what is to be said of that. The first is the reference.

    A candidate without a loop of its own has the reference's. With ``strict``, and for the reference, stages that do
    not fit each other raise; else that becomes the side's ``problem``.

    Raises:
        UsageError: a name in parity.toml is none of the graphs', or an output leads nowhere.
        ArtifactError: stages that do not fit each other.
    """
    reference, *candidates = sides
    findings: list[Finding] = []
    done: list[Side] = []
    for side in (reference, *candidates):
        if side.staged is None or side.problem is not None:
            done.append(side)
            continue
        trusted = done[0] if done else None
        try:
            made, said = _wired(side, trusted, sides)
        except ArtifactError as e:
            if strict or trusted is None:
                raise
            made, said = replace(side, problem=Failure.of(e, "load"), contract=None), []
        findings += [f.for_candidate(None if trusted is None else side.name) for f in said]
        done.append(made)
    return done, findings


def _wired(side: Side, reference: Side | None, sides: Sequence[Side]) -> tuple[Side, list[Finding]]:
    assert side.staged is not None
    trusted = reference.staged if reference is not None else None
    said: list[Finding] = []
    if trusted is not None:
        _check_present(side, trusted)
    specs = [_spec(side, i, sides) for i in range(len(side.staged.sides))]
    if trusted is not None and trusted.program is not None:
        specs, said = _called_alike(specs, trusted.program)
    asked = side.staged.asked or (trusted.asked if trusted is not None else None)
    loop = _loop(asked, side.staged.names)
    if loop is not None and side.staged.asked is not None:
        loop = _called_so(loop, side.staged, specs)
    program = wire(side.name, specs, loop)
    contract = _contract(side, program)
    said += wired_so(side.given, program, inherited=side.staged.asked is None and asked is not None)
    if trusted is not None and trusted.program is not None:
        said += [*drift(program, trusted.program), *loop_differs(program, trusted.program)]
    return replace(side, staged=replace(side.staged, program=program), contract=contract), said


def _check_present(side: Side, reference: Staged) -> None:
    """Refuse a candidate that lacks a stage of the reference.

    Raises:
        ArtifactError: so; it cannot be judged.
    """
    assert side.staged is not None
    absent = [n for n in reference.names if n not in side.staged.names]
    if absent:
        raise ArtifactError(
            f"{side.name}: stage {absent[0]!r} of the reference is missing (it has {', '.join(side.staged.names)})",
            remedy="give every stage of the reference under the same name, or the reference as one graph",
        )


def _loop(table: LoopTable | None, names: Sequence[str]) -> Loop | None:
    if table is None:
        return None
    return Loop(
        tuple(table.stages) or (names[-1],),
        table.steps,
        dict(table.state),
        table.update,
        (1.0, 0.0) if table.between is None else (table.between[0], table.between[1]),
        table.time,
        None if table.times is None else tuple(table.times),
        dict(table.start),
        dict(table.result),
    )


def _called_so(loop: Loop, staged: Staged, specs: Sequence[StageSpec]) -> Loop:
    """Return a candidate's own loop with the names that its tensors were given after those of the reference."""
    said = {n: t.rename for n, t in zip(staged.names, staged.tables, strict=True)}
    new = {t: v for s in specs if s.name in loop.stages for t, v in s.rename.items() if t not in said[s.name]}
    return replace(
        loop,
        state={new.get(a, a): new.get(b, b) for a, b in loop.state.items()},
        time=None if loop.time is None else new.get(loop.time, loop.time),
        start={new.get(a, a): b for a, b in loop.start.items()},
        result={new.get(a, a): b for a, b in loop.result.items()},
    )


def _spec(side: Side, index: int, sides: Sequence[Side]) -> StageSpec:
    """Return what a stage takes and gives: as its file says, as the user does, else as that stage elsewhere does."""
    assert side.staged is not None
    table, own = side.staged.tables[index], side.staged.sides[index].contract
    partners = [p for other in sides if other is not side for p in _known(other, table.name)]
    found = []
    for kind, names in (("inputs", table.inputs), ("outputs", table.outputs)):
        elsewhere: list[TensorSpec] = next((getattr(p, kind) for p in partners if getattr(p, kind)), [])
        specs = _named(side.name, table, kind, own, names) or tuple(elsewhere)
        known = {t.name: t for t in elsewhere}
        found.append(tuple(_completed(t, known.get(table.rename.get(t.name, t.name))) for t in specs))
    return StageSpec(table.name, found[0], found[1], dict(table.rename))


def _named(
    side: str, table: StageTable, kind: str, own: Contract | None, names: Sequence[str]
) -> tuple[TensorSpec, ...]:
    """Return what the file says, under the names that the user gives where its own mean nothing: those are positions.

    Raises:
        UsageError: another number of names, or others than a file has that is fed by name.
    """
    specs: tuple[TensorSpec, ...] = getattr(own, kind) if own is not None else ()
    if not names or not specs:
        return specs or tuple(map(TensorSpec, names))
    by_name = own is not None and own.complete
    if len(specs) != len(names) or (by_name and sorted(names) != sorted(t.name for t in specs)):
        raise UsageError(
            f"{side}: stage {table.name!r}: {kind} = {list(names)}, but the file has {[t.name for t in specs]}",
            remedy="leave it out, and say with `rename` which value each is",
        )
    return specs if by_name else tuple(replace(t, name=n) for t, n in zip(specs, names, strict=True))


def _completed(spec: TensorSpec, partner: TensorSpec | None) -> TensorSpec:
    if partner is None:
        return spec
    return replace(spec, shape=spec.shape or partner.shape, dtype=spec.dtype or partner.dtype)


def _known(side: Side, stage: str) -> Iterator[StageSpec]:
    """Yield what another side's file says of the same stage, under the names of values."""
    if side.staged is None:
        return
    for table, own in zip(side.staged.tables, side.staged.sides, strict=True):
        if table.name == stage and own.contract is not None and own.contract.complete:
            renamed = [
                tuple(replace(t, name=table.rename.get(t.name, t.name)) for t in specs)
                for specs in (own.contract.inputs, own.contract.outputs)
            ]
            yield StageSpec(stage, renamed[0], renamed[1])


def _called_alike(specs: Sequence[StageSpec], reference: Program) -> tuple[list[StageSpec], list[Finding]]:
    """Return the stages with what the reference calls otherwise renamed where it is certain, and what was assumed.

    A wrong guess gives wrong numbers, which are compared: it can fail a candidate, and pass none.
    """
    told: list[StageSpec] = []
    findings: list[Finding] = []
    for spec in specs:
        wired = reference.stage(spec.name)
        rename = dict(spec.rename)
        for own, wires in ((spec.inputs, wired.takes), (spec.outputs, wired.gives)) if wired else ():
            values = {w.value for w in wires}
            left = [t for t in own if t.name not in rename and t.name not in values]
            taken = {spec.value(t.name) for t in own}
            open_ = [replace(w.spec, name=w.value) for w in wires if w.value not in taken]
            for m in match_tensors(open_, left).pairs:
                rename[m.b.name] = m.a.name
                findings.append(_assumed(spec.name, m.b.name, m.a.name, m.how))
        told.append(replace(spec, rename=rename))
    return told, findings


def _assumed(stage: str, own: str, value: str, how: str) -> Finding:
    return Finding(
        "STAGE002",
        "info",
        f"Stage {stage!r}: {own!r} is taken to be the reference's {value!r}, by {how}.",
        where=f"{stage}/{own}",
        remedy=f'if it is not, say which it is: rename = {{"{own}" = "…"}}',
    )


def _contract(side: Side, program: Program) -> Contract:
    """Return the contract of the policy that the stages make up."""
    assert side.staged is not None
    known = [s.contract for s in side.staged.sides if s.contract is not None]
    classes = [c.precision for c in known if c.precision in CLASSES]
    ops = [str(op) for c in known for op in c.metadata.get("random_ops", ())]
    specs = [t for c in known for t in (*c.inputs, *c.outputs)]
    free = len(known) == len(side.staged.sides) and all(t.shape and not isinstance(t.shape[0], int) for t in specs)
    first = Path(side.staged.sides[0].spec.path or ".")
    return Contract(
        path=first.parent / f"{side.name} in stages",
        kind="stages",
        inputs=program.inputs,
        outputs=program.outputs,
        complete=all(t.shape for t in (*program.inputs, *program.outputs)),
        precision=max(classes, key=CLASSES.index) if classes else None,
        metadata={**({"random_ops": ops} if ops else {}), **({} if free else {"state_batch": False})},
    )
