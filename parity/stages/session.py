"""A session whose policy is several graphs: each runs in its runner's own worker, the values go from one to the next.

What every stage gave, and the state after every step of the loop, come back as outputs beside the policy's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from parity.errors import ParityError
from parity.runner.base import VARIANTS, Failure, Progress, RunResult, Session, SessionInfo, Variant
from parity.stages.fit import fitted
from parity.stages.looping import next_state, time_array
from parity.stages.model import Program, Wired
from parity.stages.names import CHAINED, entered, looked_at, state_name
from parity.tensor import Array, Block

CLASSES = ("float32", "float16", "bfloat16", "int8")  # from fine to coarse


@dataclass(frozen=True, slots=True)
class StageFailed(Exception):
    """A stage that could not be run at all: there is nothing to give to the next."""

    failure: Failure


class StagedSession:
    """The stages of one side, loaded. See `parity.runner.base.Session`."""

    def __init__(self, program: Program, sessions: Mapping[str, Session]) -> None:
        self.program = program
        self._sessions = sessions

    @property
    def info(self) -> SessionInfo:
        """What really ran: of the first stage, with every stage's own under ``stages``; the coarsest precision."""
        infos = {name: s.info for name, s in self._sessions.items()}
        first = next(iter(infos.values()))
        seen = [i.precision for i in infos.values() if i.precision is not None]
        ranked = [p for p in seen if p in CLASSES]
        stateful = [f"{name}: {i.stateful}" for name, i in infos.items() if i.stateful]
        told = {name: {**i.environment, "loaded_sha256": i.loaded_sha256} for name, i in infos.items()}
        return SessionInfo(
            inputs=self.program.inputs,
            outputs=self.program.outputs,
            environment={**first.environment, "stages": told, "wiring": self.program.as_json()},
            precision=max(ranked, key=CLASSES.index) if ranked else next(iter(seen), None),
            stateful="; ".join(stateful) or None,
            variants=tuple(v for v in VARIANTS if all(v in i.variants for i in infos.values())),
            notes=tuple(f"{name}: {n}" for name, i in infos.items() for n in i.notes),
        )

    @info.setter
    def info(self, value: SessionInfo) -> None:
        raise AttributeError("what stages say of themselves is theirs")

    def info_of(self, stage: str) -> SessionInfo:
        """Return what one stage says of itself."""
        return self._sessions[stage].info

    def run(
        self, block: Block, variant: Variant = "base", *, repeat: bool = False, progress: Progress | None = None
    ) -> RunResult:
        """Run the block through all stages; see `parity.runner.base.Session.run`.

        A stage that stops early gives fewer cases to those after it. With ``repeat`` each stage runs twice on the same.
        """
        if block.sequence and self.program.loop is not None:
            why = "a policy that keeps state over observations is not run in a loop of stages"
            return RunResult({}, 0, failure=Failure("input", why, "give such a policy as one graph"))
        walk = _Walk(self, block, variant, repeat, dict(block.inputs), len(block))
        try:
            walk.through()
        except StageFailed as e:
            return RunResult({}, 0, failure=e.failure)
        if progress:
            progress(walk.count)
        return walk.result()

    def alone(
        self,
        stage: Wired,
        values: Mapping[str, Array],
        ids: Sequence[str],
        variant: Variant = "base",
        *,
        repeat: bool = False,
        sequence: bool = False,
    ) -> RunResult:
        """Run one stage on ``values``, each ``(N, B, ...)``; its outputs come back under the names of values.

        Raises:
            ParityError: a value is missing, or is not the same in the dtype that the stage takes.
        """
        feeds: dict[str, Array] = {}
        for w in stage.takes:
            where = f"stage {stage.name!r}: {w.tensor!r}"
            if w.value not in values:
                raise ParityError(f"{where} takes {w.value!r}, which there is not (there is: {', '.join(values)})")
            feeds[w.tensor] = fitted(values[w.value], w.spec.dtype, where, exact=variant == "float64")
        result = self._sessions[stage.name].run(Block(tuple(ids), feeds, sequence), variant, repeat=repeat)
        named = {w.value: result.outputs[w.tensor] for w in stage.gives if w.tensor in result.outputs}
        differs = {w.value: result.repeat_differs[w.tensor] for w in stage.gives if w.tensor in result.repeat_differs}
        failure = result.failure
        if failure is not None:
            failure = replace(failure, message=f"stage {stage.name!r}: {failure.message}")
        return RunResult(named, result.completed, result.seconds, differs, failure)

    def close(self) -> None:
        """End every stage's session."""
        for session in self._sessions.values():
            session.close()


class OneStage:
    """One stage of a session as a session of its own, its inputs and outputs under the names of values."""

    def __init__(self, session: StagedSession, stage: Wired) -> None:
        self._session, self._stage = session, stage
        self.info = session.info_of(stage.name)

    def run(
        self, block: Block, variant: Variant = "base", *, repeat: bool = False, progress: Progress | None = None
    ) -> RunResult:
        """Run the stage alone; see `parity.runner.base.Session.run`."""
        return self._session.alone(self._stage, block.inputs, block.ids, variant, repeat=repeat)

    def close(self) -> None:
        """Leave the stage open: it belongs to its session."""


@dataclass(slots=True)
class _Walk:
    """One block on its way through the stages. ``pool`` holds all values so far, ``count`` how many cases are left."""

    session: StagedSession
    block: Block
    variant: Variant
    repeat: bool
    pool: dict[str, Array]
    count: int
    failure: Failure | None = None
    seconds: list[float] = field(default_factory=list)
    differs: dict[str, float] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)

    def through(self) -> None:
        program = self.session.program
        done = False
        for stage in program.stages:
            if not program.looped(stage.name):
                self._run(stage)
            elif not done:
                self._loop()
                done = True

    def result(self) -> RunResult:
        """Return the policy's outputs, then what the stages gave and the states of the loop."""
        outputs = {t.name: self.pool[t.name] for t in self.session.program.outputs if t.name in self.pool}
        for name, array in self.kept.items():
            outputs[name] = self._stacked(array) if isinstance(array, list) else array
        cut = {name: array[: self.count] for name, array in outputs.items()}
        seconds = tuple(self.seconds[: self.count])
        return RunResult(cut, self.count, seconds, self.differs, self.failure)

    def _stacked(self, arrays: Sequence[Array]) -> Array:
        import numpy as np

        return np.stack([a[: self.count] for a in arrays], axis=1)

    def _run(self, stage: Wired, step: int | None = None) -> None:
        """Run one stage on the values so far and put what it gives among them."""
        n = self.count
        values = {name: array if len(array) == n else array[:n] for name, array in self.pool.items()}
        try:
            result = self.session.alone(
                stage, values, self.block.ids[:n], self.variant, repeat=self.repeat, sequence=self.block.sequence
            )
        except ParityError as e:
            raise StageFailed(Failure.of(e, "input")) from None
        if result.failure is not None:
            at = "" if step is None else f" (step {step} of the loop)"
            failure = replace(result.failure, message=f"{result.failure.message}{at}")
            self.failure = self.failure or failure
            if not result.completed:
                raise StageFailed(failure)
        self._take(stage, result, step)

    def _take(self, stage: Wired, result: RunResult, step: int | None) -> None:
        for value in stage.values:
            if value not in result.outputs:
                self.failure = self.failure or Failure("run", f"stage {stage.name!r} gave no {value!r}")
                raise StageFailed(self.failure)
            array = result.outputs[value]
            if isinstance(array, list):
                why = f"stage {stage.name!r} gave {value!r} in shapes that differ from case to case"
                raise StageFailed(Failure("run", why, "judge cases of one shape"))
            self.pool[value] = array
            name = f"{CHAINED}{value}"
            if step is None:
                self.kept[name] = array
            elif step in entered(self.session.program.loop.steps if self.session.program.loop else 0):
                self.kept.setdefault(name, []).append(array)
            if value in result.repeat_differs:
                self.differs[name] = max(result.repeat_differs[value], self.differs.get(name, 0.0))
        self.count = min(self.count, result.completed)
        spent = list(result.seconds)
        self.seconds = spent if not self.seconds else [a + b for a, b in zip(self.seconds, spent, strict=False)]

    def _loop(self) -> None:
        loop = self.session.program.loop
        assert loop is not None
        stages = [s for s in self.session.program.stages if s.name in loop.stages]
        for state in loop.state:
            if loop.begins_as(state) not in self.pool:
                why = f"the loop's state {state!r} begins as {loop.begins_as(state)!r}, which there is not"
                raise StageFailed(Failure("input", why))
            self.pool[state] = self.pool[loop.begins_as(state)]
        for step in range(1, loop.steps + 1):
            self._tell_time(stages, step)
            for stage in stages:
                self._run(stage, step)
            self._move(step)
        for state in loop.state:
            self.pool[loop.ends_as(state)] = self.pool[state]

    def _tell_time(self, stages: Sequence[Wired], step: int) -> None:
        loop = self.session.program.loop
        assert loop is not None
        wires = [w for s in stages for w in s.takes if w.value == loop.time]
        if loop.time is None or not wires:
            return
        state = self.pool[next(iter(loop.state))]
        batch = state.shape[1] if state.ndim > 1 else 1
        try:
            exact = self.variant == "float64"
            self.pool[loop.time] = time_array(loop, step, wires[0].spec, self.count, batch, exact=exact)
        except ParityError as e:
            raise StageFailed(Failure.of(e, "input")) from None

    def _move(self, step: int) -> None:
        loop = self.session.program.loop
        assert loop is not None
        for state, change in loop.state.items():
            try:
                moved = next_state(loop, self.pool[state][: self.count], self.pool[change][: self.count])
            except ParityError as e:
                raise StageFailed(Failure.of(e, "input")) from None
            self.pool[state] = moved
            if step in looked_at(loop.steps):
                self.kept[state_name(step, state)] = moved
