"""What is to be said of stages before anything runs: how they are joined, and where that differs from the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from parity.contract.matching import kind_of
from parity.finding import Finding
from parity.stages import Loop, Program, Wire

CLOSE = 1e-9  # of the time of a loop, which is worked out


def wired_so(given: str, program: Program, *, inherited: bool) -> Iterator[Finding]:
    """Yield how the stages are joined, what no stage takes, and where a dtype changes on the way."""
    yield Finding(
        "STAGE001",
        "info",
        f"Judged in stages: {program.words()}{', the loop as the reference has it' if inherited else ''}.",
        where=given,
        detail="parity joins the stages as parity.toml says; the code that does it on the robot is not run.",
        evidence=program.as_json(),
    )
    taken = {w.value for s in program.stages for w in s.takes} | {t.name for t in program.outputs}
    if program.loop is not None:
        taken |= {*program.loop.state.values(), *map(program.loop.begins_as, program.loop.state)}
    for stage in program.stages:
        idle = [w.value for w in stage.gives if w.value not in taken]
        if idle:
            yield Finding(
                "STAGE003",
                "warning",
                f"Stage {stage.name!r} gives {', '.join(idle)}, which no stage takes.",
                where=stage.name,
                remedy="if a later stage should, join them with `rename`; else export without it",
            )
    yield from _converted(program)


def _converted(program: Program) -> Iterator[Finding]:
    given = {w.value: (s.name, w) for s in program.stages for w in s.gives}
    for stage in program.stages:
        for w in stage.takes:
            giver, made = given.get(w.value, ("", None))
            if made is not None and _other_kind(made, w):
                yield Finding(
                    "STAGE004",
                    "warning",
                    f"{w.value} is given as {made.spec.dtype} by stage {giver!r} and taken as {w.spec.dtype} by "
                    f"stage {stage.name!r}: what joins them on the robot must convert it, not reinterpret it.",
                    where=f"{stage.name}/{w.value}",
                    evidence={"given": made.spec.dtype, "taken": w.spec.dtype},
                    remedy="export both stages with the same dtype",
                )


def drift(program: Program, reference: Program) -> Iterator[Finding]:
    """Yield where a stage takes or gives a value in a dtype of another kind than the reference's, or in other order."""
    for stage in program.stages:
        trusted = reference.stage(stage.name)
        if trusted is None:
            yield Finding(
                "STAGE009",
                "info",
                f"The reference has no stage {stage.name!r}: it is not looked at alone.",
                where=stage.name,
            )
            continue
        for what, ours, theirs in (("takes", stage.takes, trusted.takes), ("gives", stage.gives, trusted.gives)):
            yield from _other_dtypes(stage.name, what, ours, {w.value: w for w in theirs})
            own, right = [w.value for w in ours], [w.value for w in theirs]
            if own != right and sorted(own) == sorted(right):
                yield Finding(
                    "STAGE006",
                    "warning",
                    f"Stage {stage.name!r} {what} {', '.join(own)}; the reference's has another order: "
                    f"{', '.join(right)}.",
                    where=stage.name,
                    detail="parity joins by name. A runtime that binds by position (acl, ais_bench) mixes them up.",
                    evidence={"candidate": own, "reference": right},
                    remedy="bind by name on the robot, or export in the reference's order",
                )


def _other_dtypes(stage: str, what: str, ours: tuple[Wire, ...], theirs: Mapping[str, Wire]) -> Iterator[Finding]:
    for w in ours:
        right = theirs.get(w.value)
        if right is not None and _other_kind(w, right):
            yield Finding(
                "STAGE005",
                "warning",
                f"Stage {stage!r} {what} {w.value} as {w.spec.dtype}, the reference's as {right.spec.dtype}.",
                where=f"{stage}/{w.value}",
                evidence={"candidate": w.spec.dtype, "reference": right.spec.dtype},
                remedy="export it in the reference's dtype: a mask in another one often means the opposite",
            )


def _other_kind(a: Wire, b: Wire) -> bool:
    return bool(a.spec.dtype and b.spec.dtype) and kind_of(str(a.spec.dtype)) != kind_of(str(b.spec.dtype))


def loop_differs(program: Program, reference: Program) -> Iterator[Finding]:
    """Yield a finding where the candidate's loop is not the reference's."""
    ours, theirs = program.loop, reference.loop
    if ours is None and theirs is None:
        return
    if ours is None or theirs is None:
        which = "has no loop, the reference has one" if ours is None else "has a loop, the reference has none"
        yield _loop_finding(f"the candidate {which}", {})
        return
    told: dict[str, tuple[object, object]] = {
        "steps": (ours.steps, theirs.steps),
        "update": (ours.update, theirs.update),
    }
    if ours.update == theirs.update == "euler":
        told["dt"] = (f"{ours.dt:.6g}", f"{theirs.dt:.6g}")
    apart = {k: v for k, v in told.items() if v[0] != v[1]}
    at = _first_other_time(ours, theirs)
    if at is not None:
        apart[f"the time of step {at} is"] = (f"{ours.at(at):.6g}", f"{theirs.at(at):.6g}")
    if apart:
        words = "; ".join(f"{k} {a} (reference {b})" for k, (a, b) in apart.items())
        yield _loop_finding(words, {k: {"candidate": a, "reference": b} for k, (a, b) in apart.items()})


def _first_other_time(ours: Loop, theirs: Loop) -> int | None:
    if ours.time is None and theirs.time is None:
        return None
    for k in range(1, min(ours.steps, theirs.steps) + 1):
        if abs(ours.at(k) - theirs.at(k)) > CLOSE * max(1.0, abs(theirs.at(k))):
            return k
    return None


def _loop_finding(words: str, evidence: dict[str, object]) -> Finding:
    return Finding(
        "STAGE007",
        "error",
        f"The loop is not the reference's: {words}.",
        where="loop",
        evidence=evidence,
        remedy="give the candidate the reference's loop, or leave its `loop` out: then it has it",
    )
