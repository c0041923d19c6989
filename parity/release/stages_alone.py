"""Each stage alone: on the reference's own inputs to it, so that only its own error shows.

The reference gives the floor of each stage by itself: its variants run on the same inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.errors import ParityError
from parity.release.floor_run import Terms, measure_terms
from parity.runner.base import Failure, RunResult
from parity.stages import ALONE, CHAINED, Program, StagedSession, Wired
from parity.stages.recall import recalled, times_of
from parity.stages.session import OneStage
from parity.tensor import Array, Block

if TYPE_CHECKING:
    from parity.release.execute import Done, Live
    from parity.release.prepare import Prepared


def look_alone(prepared: Prepared, reference: Live, opened: Sequence[Live]) -> None:
    """Run every stage of the sides in ``opened`` alone and add what it gives to their results.

    A stage that fails is a fact of its side, and what it was asked stays unjudged.
    """
    if not prepared.stages.of or not isinstance(reference.session, StagedSession):
        return
    if any(live is reference for live in opened):
        _reference_alone(prepared, reference, reference.session)
    rows = _Rows(reference)
    for live in opened:
        planned = live.side.name in prepared.stages.of and isinstance(live.session, StagedSession)
        if live is not reference and planned and live.facts.failure is None:
            _candidate_alone(prepared, live, reference.session.program, rows)


def _reference_alone(prepared: Prepared, reference: Live, session: StagedSession) -> None:
    """Give the reference its outputs of each stage alone, which are those of the chain, with floors of their own."""
    for i, done in enumerate(reference.results):
        n = done.result.completed
        if not n or not prepared.stages.looks_at(done.block.ids[0]):
            continue
        outputs = {name: a[:n] for name, a in done.result.outputs.items()}
        block = replace(done.block, ids=done.block.ids[:n], inputs={k: a[:n] for k, a in done.block.inputs.items()})
        given: dict[str, Array | list[Array]] = dict(outputs)
        terms: Terms = dict(done.terms)
        for stage in session.program.stages:
            given |= {f"{ALONE}{v}": outputs[f"{CHAINED}{v}"] for v in stage.values if f"{CHAINED}{v}" in outputs}
            if done.result.failure is None:
                terms |= {f"{ALONE}{v}": t for v, t in _floors(reference, session, stage, block, outputs).items()}
        reference.results[i] = replace(done, result=replace(done.result, outputs=given), terms=terms)


def _floors(reference: Live, session: StagedSession, stage: Wired, block: Block, outputs: Mapping[str, Any]) -> Terms:
    """Return the floor terms of one stage on its own inputs, stacked over the steps that are looked at."""
    found: list[Terms] = []
    steps = times_of(session.program, stage)
    for at, step in enumerate(steps):
        values = recalled(session.program, stage, step, block.inputs, outputs)
        fed = Block(block.ids, {w.value: values[w.value] for w in stage.takes})
        base = {v: outputs[f"{CHAINED}{v}"] if step is None else outputs[f"{CHAINED}{v}"][:, at] for v in stage.values}
        found.append(measure_terms(OneStage(session, stage), reference.facts, fed, RunResult(base, len(block))))
    if steps == (None,):
        return found[0]
    stacked: Terms = {}
    for value in stage.values:
        shared = set.intersection(*(set(t.get(value, {})) for t in found))
        if shared:
            stacked[value] = {term: np.stack([t[value][term] for t in found], axis=1) for term in sorted(shared)}
    return stacked


class _Rows(Mapping[str, Array]):
    """What the reference gave for some cases, gathered from its blocks when asked for."""

    def __init__(self, reference: Live, cases: Sequence[str] = ()) -> None:
        self._places: dict[str, tuple[Done, int]] = {}
        for done in reference.results:
            self._places |= {c: (done, i) for i, c in enumerate(done.block.ids[: done.result.completed])}
        self._cases = cases

    def of(self, cases: Sequence[str]) -> _Rows | None:
        """Return the rows of ``cases``; None where the reference lacks one."""
        if not all(c in self._places for c in cases):
            return None
        found = object.__new__(_Rows)
        found._places, found._cases = self._places, cases
        return found

    def __getitem__(self, name: str) -> Array:
        parts = [done.result.outputs[name][i] for done, i in (self._places[c] for c in self._cases)]
        return np.stack([np.asarray(p) for p in parts])

    def __iter__(self) -> Iterator[str]:
        done, _ = self._places[self._cases[0]]
        return iter(done.result.outputs)

    def __len__(self) -> int:
        return len(self._places[self._cases[0]][0].result.outputs)


def _candidate_alone(prepared: Prepared, live: Live, reference: Program, rows: _Rows) -> None:
    session = live.session
    assert isinstance(session, StagedSession)
    adapter = prepared.adapters.get(live.side.name)
    for i, done in enumerate(live.results):
        cases = done.block.ids[: done.result.completed]
        trusted = rows.of(cases) if cases and prepared.stages.looks_at(cases[0]) else None
        if trusted is None:
            continue
        inputs = {name: a[: len(cases)] for name, a in done.block.inputs.items()}
        try:
            own = adapter.inputs(inputs) if adapter else {}
            given = dict(done.result.outputs)
            for stage in session.program.stages:
                original = reference.stage(stage.name)
                if original is not None:
                    given |= _alone(session, stage, (reference, original), inputs, own, trusted, cases)
        except StageStopped as e:
            live.facts.failure = live.facts.failure or e.failure
            return
        except ParityError as e:
            live.facts.failure = live.facts.failure or Failure.of(e, "input")
            return
        live.results[i] = replace(done, result=replace(done.result, outputs=given))


class StageStopped(Exception):
    """A stage that did not run to the end."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def _alone(
    session: StagedSession,
    stage: Wired,
    original: tuple[Program, Wired],
    inputs: Mapping[str, Array],
    own: Mapping[str, Array],
    trusted: Mapping[str, Array],
    cases: Sequence[str],
) -> dict[str, Array]:
    """Return what one stage gives for the reference's own inputs to it, stacked over the steps that are looked at."""
    found: dict[str, list[Array]] = {}
    steps = times_of(*original)
    for step in steps:
        values = {**own, **recalled(*original, step, inputs, trusted)}
        result = session.alone(stage, values, cases)
        failure = result.failure
        if failure is not None or result.completed < len(cases):
            raise StageStopped(failure or Failure("run", f"stage {stage.name!r} stopped early, alone"))
        for value, array in result.outputs.items():
            if isinstance(array, list):
                raise StageStopped(Failure("run", f"stage {stage.name!r} gives {value!r} in shapes that differ"))
            found.setdefault(value, []).append(array)
    if steps == (None,):
        return {f"{ALONE}{v}": arrays[0] for v, arrays in found.items()}
    return {f"{ALONE}{v}": np.stack(arrays, axis=1) for v, arrays in found.items()}
