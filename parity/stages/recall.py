"""The reference's own inputs to a stage, from what its run left: its inputs, what stages gave, the loop's states."""

from __future__ import annotations

from collections.abc import Mapping

from parity.stages.looping import time_array
from parity.stages.model import Loop, Program, Wired
from parity.stages.names import CHAINED, entered, state_name
from parity.tensor import Array


def times_of(program: Program, stage: Wired) -> tuple[int | None, ...]:
    """Return the steps in which a stage is looked at; None alone for one outside the loop."""
    if program.loop is None or not program.looped(stage.name):
        return (None,)
    return entered(program.loop.steps)


def recalled(
    program: Program, stage: Wired, step: int | None, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
) -> dict[str, Array]:
    """Return the values ``(N, B, ...)`` that were there when ``stage`` was run, those that it took among them.

    Args:
        program: the reference's stages.
        stage: one of them.
        step: of the loop, from 1; None for a stage outside.
        inputs: of the policy.
        outputs: of its run, with those of the stages.
    """
    values = {**inputs, **_given_before(program, stage, step, outputs)}
    if program.loop is None:
        return values
    if step is None:
        return values | _ended(program.loop, outputs)
    return values | _entered(program, program.loop, step, values, outputs)


def _given_before(program: Program, stage: Wired, step: int | None, outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return what the stages before it gave: those in the loop in ``step``, or last where it stands after the loop."""
    found: dict[str, Array] = {}
    for other in program.stages[: [s.name for s in program.stages].index(stage.name)]:
        for value in other.values:
            array = outputs.get(f"{CHAINED}{value}")
            if array is None:
                continue
            if program.loop is not None and program.looped(other.name):
                array = array[:, -1 if step is None else entered(program.loop.steps).index(step)]
            found[value] = array
    return found


def _ended(loop: Loop, outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return the states that the loop ended with, under both of their names."""
    last = {state: outputs.get(state_name(loop.steps, state)) for state in loop.state}
    return {name: a for state, a in last.items() if a is not None for name in (state, loop.ends_as(state))}


def _entered(
    program: Program, loop: Loop, step: int, values: Mapping[str, Array], outputs: Mapping[str, Array]
) -> dict[str, Array]:
    """Return the states with which the loop entered ``step``, and the time that it told."""
    found: dict[str, Array] = {}
    for state in loop.state:
        before = values.get(loop.begins_as(state)) if step == 1 else outputs.get(state_name(step - 1, state))
        if before is not None:
            found[state] = before
    told = next((w for s in program.stages if s.name in loop.stages for w in s.takes if w.value == loop.time), None)
    first = found.get(next(iter(loop.state)))
    if told is not None and loop.time is not None and first is not None:
        batch = first.shape[1] if first.ndim > 1 else 1
        found[loop.time] = time_array(loop, step, told.spec, len(first), batch)
    return found
