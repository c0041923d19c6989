"""One side of a replay: a policy in its own process that is asked in batches, raw observations in, actions out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from parity.contract.adapter import Adapter
from parity.contract.model import Contract
from parity.errors import ArtifactError, ParityError
from parity.runner.base import Failure, RunnerSpec, Session, Variant, runner_for
from parity.runner.composed import ComposedSession, Composition
from parity.tensor import Array, Block

BATCH = 256  # observations in one call, at most
CALL_BYTES = 16 << 20  # bytes of the observations in one call, about


class PlayFailed(Exception):
    """A side stopped: ``failure`` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Playable:
    """What is needed to run one side; plain data, so that another process can open it.

    Attributes:
        name: of the candidate, or ``reference``.
        spec: its runner, with the inputs and outputs of its graph.
        contract: of the policy as a whole, None where nothing is known of it.
        adapter: from the policy's names to the side's.
        composition: its pipeline, where one stands around the graph.
        sha256: of its bytes, where its worker hashes what it loads in the same way; else None.
        keeps_state: whether episodes must run step by step.
        batch: rows that it takes at once: None for any number.
    """

    name: str
    spec: RunnerSpec
    contract: Contract | None = None
    adapter: Adapter | None = None
    composition: Composition | None = None
    sha256: str | None = None
    keeps_state: bool = False
    batch: int | None = None


@dataclass(slots=True)
class Player:
    """A side with its open session."""

    what: Playable
    session: Session
    _alone: bool = field(default=False)  # batches were refused: one observation after the other

    @property
    def recorded(self) -> bool:
        """Whether it answers what was recorded and nothing else."""
        return self.what.spec.runner == "recorded"

    @property
    def keeps_state(self) -> bool:
        """Whether episodes must run step by step: it is known to keep state, or its runtime has found some.

        A LeRobot folder keeps queues, which its worker fills from the observations that it is given.
        """
        whole = self.session.info.environment.get("policy") is not None and self.what.spec.runner == "torch"
        return self.what.keeps_state or (self.session.info.stateful is not None and not whole)

    def answer(self, inputs: Mapping[str, Array], variant: Variant = "base") -> dict[str, Array]:
        """Return all outputs for observations ``(N, ...)``, each ``(N, ...)``; state is reset before each call.

        Raises:
            PlayFailed: it did not answer all of them.
        """
        count = len(next(iter(inputs.values())))
        size = self._batch(inputs)
        fixed = self.what.batch is not None
        try:
            return self._answered(inputs, count, size, variant, fixed=fixed)
        except PlayFailed as e:
            if fixed or size == 1 or e.failure.kind not in ("input", "run"):
                raise
            self._alone = True  # it takes one observation at a time, as many exported graphs do
            return self._answered(inputs, count, 1, variant, fixed=True)

    def answer_runs(self, inputs: Mapping[str, Array], lengths: Sequence[int]) -> dict[str, Array]:
        """Return all outputs for observations of episodes that follow one another, state carried over within each.

        Raises:
            PlayFailed: it did not answer all of them.
        """
        parts, start = [], 0
        for length in lengths:
            run = {n: a[start : start + length, None] for n, a in inputs.items()}
            block = Block(tuple(f"frame-{i}" for i in range(length)), run, sequence=True)
            parts.append(self._run(block, "base"))
            start += length
        return _joined(parts)

    def repeats(self, inputs: Mapping[str, Array]) -> dict[str, float]:
        """Return by how much each output differs when the same observations ``(N, ...)`` come twice.

        Raises:
            PlayFailed: it did not answer.
        """
        block = Block(("repeat-0",), {n: a[:1][None] for n, a in inputs.items()})
        fed = self._fed(block)
        result = self.session.run(fed, repeat=True)
        if result.failure is not None:
            raise PlayFailed(result.failure)
        return dict(result.repeat_differs)

    def _batch(self, inputs: Mapping[str, Array]) -> int:
        if self.what.batch is not None:
            return self.what.batch
        row = sum(a[:1].nbytes for a in inputs.values())
        return 1 if self._alone else max(1, min(BATCH, CALL_BYTES // max(row, 1)))

    def _answered(
        self, inputs: Mapping[str, Array], count: int, size: int, variant: Variant, *, fixed: bool
    ) -> dict[str, Array]:
        whole, rest = divmod(count, size)
        parts = []
        if whole:
            full = {n: a[: whole * size].reshape(whole, size, *a.shape[1:]) for n, a in inputs.items()}
            parts.append(self._run(Block(tuple(f"frames-{i * size}" for i in range(whole)), full), variant))
        if rest:
            last = {n: a[whole * size :] for n, a in inputs.items()}
            if fixed:
                last = {n: np.concatenate([a, np.repeat(a[-1:], size - rest, axis=0)]) for n, a in last.items()}
            block = Block((f"frames-{whole * size}",), {n: a[None] for n, a in last.items()})
            parts.append({n: a[:rest] for n, a in self._run(block, variant).items()})
        return _joined(parts)

    def _run(self, block: Block, variant: Variant) -> dict[str, Array]:
        """Return the outputs of a block, its cases one behind the other, ``(N * B, ...)``."""
        try:
            result = self.session.run(self._fed(block), variant)
            adapter = self.what.adapter
            outputs = adapter.outputs(result.outputs) if adapter and result.completed else result.outputs
        except ParityError as e:
            raise PlayFailed(Failure.of(e, "input")) from None
        if result.failure is not None:
            raise PlayFailed(result.failure)
        rows = len(block) * next(iter(block.inputs.values())).shape[1]
        return {n: _flat(self.what.name, n, a, rows) for n, a in outputs.items()}

    def _fed(self, block: Block) -> Block:
        adapter = self.what.adapter
        return replace(block, inputs=adapter.inputs(block.inputs)) if adapter else block


def _flat(side: str, name: str, array: Array | list[Array], rows: int) -> Array:
    if isinstance(array, list):
        shapes = {a.shape for a in array}
        if len(shapes) > 1:
            text = f"{side}: {name} has another shape from call to call: {', '.join(map(str, sorted(shapes)))}"
            raise PlayFailed(Failure("run", text))
        array = np.stack(array)
    if array.ndim < 2 or array.shape[0] * array.shape[1] != rows:
        text = f"{side}: {name} has shape {array.shape[1:]} for a batch of {rows // max(len(array), 1)}"
        raise PlayFailed(Failure("run", f"{text}: its first axis does not count observations"))
    return np.ascontiguousarray(array).reshape(rows, *array.shape[2:])


def _joined(parts: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    return {n: np.concatenate([p[n] for p in parts]) for n in (parts[0] if parts else ())}


@contextmanager
def opened(what: Playable, work: Path) -> Iterator[Player]:
    """Load one side in a process of its own, which ends with the context.

    Raises:
        PlayFailed: it cannot be loaded, or its bytes are not those that were hashed.
    """
    work.mkdir(parents=True, exist_ok=True)
    context = None
    try:
        context = runner_for(what.spec).open(what.spec, work)
        session = context.__enter__()
    except ParityError as e:
        raise PlayFailed(Failure.of(e, "artifact" if isinstance(e, ArtifactError) else "load")) from None
    try:
        loaded = session.info.loaded_sha256
        if what.sha256 is not None and loaded is not None and loaded != what.sha256:
            raise PlayFailed(Failure("load", f"{what.spec.path} changed while it was being tested"))
        if what.composition is not None:
            session = ComposedSession(session, what.composition)
        yield Player(what, session)
    finally:
        context.__exit__(None, None, None)
