"""What is planned of stages: each alone, each in the chain, and the state of the loop after its steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from parity.finding import Finding
from parity.release.sides import Side
from parity.stages import ALONE, CHAINED, Program, parts_of, state_name
from parity.stages.names import looked_at
from parity.tensor import TensorSpec


@dataclass(frozen=True, slots=True)
class StagesPlan:
    """Outputs of stages that are compared besides those of the whole policy.

    Attributes:
        of: by candidate, the stage and the name of each.
        specs: what is known of them.
        limited_as: by output, the names under which a budget of the user's is for it.
        values: all names of values that a budget may be for.
    """

    of: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    specs: tuple[TensorSpec, ...] = ()
    limited_as: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def values(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(n for names in self.limited_as.values() for n in names))


def plan_stages(reference: Side, candidates: Sequence[Side]) -> StagesPlan:
    """Return what is compared of stages: nothing where the reference, or a candidate, is one graph."""
    program = reference.staged.program if reference.staged is not None else None
    staged = [c.name for c in candidates if c.staged is not None]
    if program is None or not staged:
        return StagesPlan()
    found = _outputs(program)
    specs = tuple(_spec(program, output) for _, output in found)
    limited = {output: _limited_as(program, output) for _, output in found}
    return StagesPlan(dict.fromkeys(staged, found), specs, limited)


def _outputs(program: Program) -> tuple[tuple[str, str], ...]:
    """Return stage and name of every output that is compared."""
    found = [(s.name, f"{way}{value}") for s in program.stages for way in (ALONE, CHAINED) for value in s.values]
    if program.loop is not None:
        for step in looked_at(program.loop.steps):
            for state, change in program.loop.state.items():
                giver = program.giver(change)
                assert giver is not None
                found.append((giver.name, state_name(step, state)))
    return tuple(found)


def _spec(program: Program, output: str) -> TensorSpec:
    """Return the spec of an output of stages; the state of the loop has its elements from what it ends as."""
    way, value, _ = parts_of(output)
    if way == "loop" and program.loop is not None:
        end = next((t for t in program.outputs if t.name == program.loop.ends_as(value)), None)
        return TensorSpec(output, elements=end.elements if end else None)
    return TensorSpec(output)


def _limited_as(program: Program, output: str) -> tuple[str, ...]:
    way, value, _ = parts_of(output)
    ends = (program.loop.ends_as(value),) if way == "loop" and program.loop is not None else ()
    return tuple(dict.fromkeys((value, *ends)))


def whole_reference(reference: Side, candidates: Iterable[Side]) -> list[Finding]:
    """Return what is to be said where only whole policies are compared, though a side has stages."""
    if reference.staged is not None:
        return [
            _only_whole(c.name, f"{c.name} is one graph, the reference has stages")
            for c in candidates
            if c.staged is None
        ]
    return [
        _only_whole(c.name, f"the reference is one graph, {c.name} has stages")
        for c in candidates
        if c.staged is not None
    ]


def _only_whole(candidate: str, why: str) -> Finding:
    return Finding(
        "STAGE008",
        "info",
        f"Only the policy's own outputs are compared: {why}.",
        where=candidate,
        detail="Where an error enters, and how it grows from step to step, cannot be told.",
        remedy="give the reference the same stages: [reference] stages = [...]",
        candidate=candidate,
    )
