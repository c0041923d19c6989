"""A policy in stages as plain data: its graphs, the loop around some of them, and which value goes where.

A value is an input of the policy, an output of a stage, the state of the loop, or its time; all have different names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from parity.tensor import TensorSpec

Update = Literal["euler", "replace"]


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One graph: what it takes and gives in its own names, and ``rename``, from these to the names of values."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    rename: Mapping[str, str] = field(default_factory=dict)

    def value(self, tensor: str) -> str:
        """Return the value that the graph's ``tensor`` is."""
        return self.rename.get(tensor, tensor)


@dataclass(frozen=True, slots=True)
class Loop:
    """Stages that are run ``steps`` times, on a state that changes from step to step.

    ``state`` names the value that goes in and the one that changes it: with ``euler`` it is a velocity,
    ``x += dt · v`` with ``dt = (to − from) / steps`` over ``between = (from, to)`` (the explicit Euler method, as flow
    matching samples: Lipman et al., "Flow Matching for Generative Modeling", 2023; openpi goes from 1 to 0); with
    ``replace`` it is the next state itself (a graph that holds the scheduler's step: DDPM, DDIM).
    ``time`` is the value that tells the stages where they are: ``times`` one by one, else ``from + k · dt``.
    ``start`` says as which value a state begins, ``result`` as which value it ends, where that has another name.
    """

    stages: tuple[str, ...]
    steps: int
    state: Mapping[str, str]
    update: Update = "euler"
    between: tuple[float, float] = (1.0, 0.0)
    time: str | None = None
    times: tuple[float, ...] | None = None
    start: Mapping[str, str] = field(default_factory=dict)
    result: Mapping[str, str] = field(default_factory=dict)

    @property
    def dt(self) -> float:
        """How far the time goes in one step."""
        return (self.between[1] - self.between[0]) / self.steps

    def at(self, step: int) -> float:
        """Return the time that the stages are told in ``step``, from 1."""
        return self.times[step - 1] if self.times is not None else self.between[0] + (step - 1) * self.dt

    def begins_as(self, state: str) -> str:
        return self.start.get(state, state)

    def ends_as(self, state: str) -> str:
        return self.result.get(state, state)

    def as_json(self) -> dict[str, Any]:
        """Return the loop as plain data, with what follows from it spelled out."""
        return {**asdict(self), "dt": self.dt if self.update == "euler" else None}


@dataclass(frozen=True, slots=True)
class Wire:
    """A graph's input or output, the value that it takes or gives, and what the graph declares it to be."""

    tensor: str
    value: str
    spec: TensorSpec


@dataclass(frozen=True, slots=True)
class Wired:
    """A stage with what it takes and gives."""

    name: str
    takes: tuple[Wire, ...]
    gives: tuple[Wire, ...]

    @property
    def values(self) -> tuple[str, ...]:
        """The values that it gives."""
        return tuple(w.value for w in self.gives)


@dataclass(frozen=True, slots=True)
class Program:
    """A policy in stages, wired. ``inputs`` and ``outputs`` are those of the policy as a whole."""

    stages: tuple[Wired, ...]
    loop: Loop | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def stage(self, name: str) -> Wired | None:
        """Return the stage called ``name``, or None."""
        return next((s for s in self.stages if s.name == name), None)

    def looped(self, stage: str) -> bool:
        """Whether a stage is in the loop."""
        return self.loop is not None and stage in self.loop.stages

    def giver(self, value: str) -> Wired | None:
        """Return the stage that gives ``value``, None where no stage does."""
        return next((s for s in self.stages if value in s.values), None)

    def as_json(self) -> dict[str, Any]:
        """Return which value goes where, as plain data."""
        return {
            "stages": [
                {
                    "name": s.name,
                    "takes": {w.tensor: w.value for w in s.takes},
                    "gives": {w.tensor: w.value for w in s.gives},
                }
                for s in self.stages
            ],
            "loop": None if self.loop is None else self.loop.as_json(),
        }

    def words(self) -> str:
        """Return the way through the stages in a few words: ``prefix → expert × 10 (Euler, t from 1 to 0)``."""
        parts: list[str] = []
        for stage in self.stages:
            if not self.looped(stage.name):
                parts.append(stage.name)
            elif self.loop is not None and stage.name == self.loop.stages[0]:
                inside = " → ".join(self.loop.stages)
                inside = f"({inside})" if len(self.loop.stages) > 1 else inside
                parts.append(f"{inside} × {self.loop.steps} ({_how(self.loop)})")
        return " → ".join(parts)


def _how(loop: Loop) -> str:
    if loop.update == "replace":
        return "each step gives the next state"
    return f"Euler, t from {loop.between[0]:g} to {loop.between[1]:g}"
