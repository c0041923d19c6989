"""Stages that are functions of this process: what each is fed is kept, and any may fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from parity.runner.base import Failure, RunResult, SessionInfo, Variant
from parity.stages import Loop, Program, StagedSession, StageSpec, wire
from parity.tensor import Block, TensorSpec

Function = Callable[[Mapping[str, Any]], dict[str, Any]]


def spec(name: str, shape: tuple[Any, ...] | None = ("batch", 3), dtype: str | None = "float32") -> TensorSpec:
    return TensorSpec(name, shape, dtype)


def stage(name: str, inputs: list[Any], outputs: list[Any], **rename: str) -> StageSpec:
    """A stage; a tensor that is only named is ``(batch, 3)`` float32."""
    told = [tuple(t if isinstance(t, TensorSpec) else spec(t) for t in specs) for specs in (inputs, outputs)]
    return StageSpec(name, told[0], told[1], rename)


class FakeSession:
    """A stage's session; ``fed`` are the inputs of every run, ``stops_after`` how many cases it does before failing."""

    def __init__(self, function: Function, stops_after: int | None = None) -> None:
        self.function, self.stops_after = function, stops_after
        self.fed: list[dict[str, Any]] = []
        self.closed = False
        self.info = SessionInfo((), (), {"runtime": "fake"}, precision="float32", variants=("base", "float64"))

    def run(self, block: Block, variant: Variant = "base", *, repeat: bool = False, progress: Any = None) -> RunResult:
        self.fed.append({k: np.array(v) for k, v in block.inputs.items()})
        outputs = self.function(block.inputs)
        n, failure = len(block), None
        if self.stops_after is not None and self.stops_after < n:
            n, failure = self.stops_after, Failure("crash", "killed by SIGSEGV")
        cut = {k: v[:n] if not isinstance(v, list) else v for k, v in outputs.items()}
        return RunResult(cut, n, (0.001,) * n, {k: 0.5 for k in cut if repeat and k == "shaky"}, failure)

    def close(self) -> None:
        self.closed = True


def joined(stages: list[StageSpec], loop: Loop | None = None) -> Program:
    return wire("side", stages, loop)


def session_of(program: Program, sessions: Mapping[str, FakeSession]) -> StagedSession:
    return StagedSession(program, sessions)


def cases(n: int = 2, seed: int = 0, **shapes: tuple[int, ...]) -> Block:
    """A block of ``n`` cases of random float32 inputs; shapes are ``(B, …)``."""
    rng = np.random.default_rng(seed)
    made = {k: rng.standard_normal((n, *shape)).astype(np.float32) for k, shape in shapes.items()}
    return Block(tuple(f"nominal-{i:04d}" for i in range(n)), made)
