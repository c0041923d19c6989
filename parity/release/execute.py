"""Execute: each runner once, in its own process; what comes back goes into traces and facts, nothing is judged here.

The reference runs every case as shipped and in its legitimate variants, which gives the floors. Candidates run every
case as shipped. Sessions stay open for the search for worst cases, whose findings are replayed on all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from parity.errors import ArtifactError, ParityError
from parity.release.compiled import look as look_at_compiled
from parity.release.facts import Facts
from parity.release.floor_run import Terms, measure_terms, recorded_terms
from parity.release.normalization import look
from parity.release.prepare import Prepared
from parity.release.recordings import link_recording
from parity.release.settle import settle
from parity.release.sides import Side
from parity.release.staged import open_stages
from parity.release.stages_alone import look_alone
from parity.release.stages_plan import StagesPlan
from parity.release.state import SEQUENCE
from parity.release.weights import weigh
from parity.release.worst import find_worst
from parity.runner.base import Failure, RunResult, Session, runner_for
from parity.runner.composed import ComposedSession
from parity.runner.origin import repeated_of
from parity.runner.process import stop_under
from parity.runner.recorded import recorded_environment
from parity.stages import is_of_stages
from parity.tensor import Array, Block, Case, stack
from parity.trace import Trace, TraceWriter

AT_ONCE = 8  # candidates that are loaded together
Report = Callable[[str, int, int], None]  # side, cases done, cases in all


@dataclass(frozen=True, slots=True)
class Done:
    """One block that ran on one side, with the floor terms where the side is the reference."""

    block: Block
    result: RunResult
    terms: Terms


@dataclass(slots=True)
class Live:
    """A side with its open session, or with the reason why there is none."""

    side: Side
    session: Session | None
    facts: Facts
    results: list[Done] = field(default_factory=list)


def execute(
    prepared: Prepared, folder: Path, report: Report | None = None, *, keep: Path | None = None, lanes: int = 1
) -> dict[str, Facts]:
    """Run the reference and all candidates on the planned cases; write ``<folder>/<side>.h5`` for each.

    Then recorded data are replayed, where the release asks for it: with ``lanes`` processes of each side; ``keep`` is
    where it keeps what is done, so that a run which is killed goes on (see `parity.release.replaying`).

    Returns:
        What was learnt of each side, by name. Failures are facts, not exceptions; on Ctrl-C what was measured is
        written and the rest of the plan stays unjudged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sides = [prepared.reference, *prepared.candidates]
    groups = _groups(prepared)
    lives: list[Live] = []
    with ExitStack() as exits, ThreadPoolExecutor(max_workers=max(map(len, groups)) + 1) as pool:
        try:
            for group in groups:
                with ExitStack() as own:
                    stays = [exits if side is prepared.reference else own for side in group]
                    opening = [
                        pool.submit(_open, prepared, side, folder, stay)
                        for side, stay in zip(group, stays, strict=True)
                    ]
                    opened = [job.result() for job in opening]
                    lives += opened
                    settle(prepared, [lives[0], *(x for x in opened if x is not lives[0])])
                    _run_group(prepared, opened, pool, report)
                    if prepared.worst_evaluations:
                        _search(prepared, lives)
                    look_alone(prepared, lives[0], opened)
                _weigh_all(prepared, opened)
                _look_into(prepared, opened)
            _survey(prepared, lives[0].facts)
        except KeyboardInterrupt:
            _interrupted(sides, lives, folder)
        except BaseException:  # told to end: what waits for a policy must not wait any longer
            _interrupted(sides, lives, folder)
            raise
        for live in lives:
            if not (folder / f"{live.side.name}.h5").exists():
                _write(prepared, live, folder)
    facts = {live.side.name: live.facts for live in lives}
    _replay(prepared, facts, folder, keep, lanes, report)
    return facts


def _replay(
    prepared: Prepared, facts: dict[str, Facts], folder: Path, keep: Path | None, lanes: int, report: Report | None
) -> None:
    stopped = any(f.failure is not None and f.failure.kind == "interrupted" for f in facts.values())
    if prepared.replaying.dataset is not None and not stopped:
        from parity.release.replaying import replay_release

        started = time.perf_counter()
        facts["reference"].replay = replay_release(prepared, folder, keep=keep, lanes=lanes, report=report)
        facts["reference"].seconds["replay"] = time.perf_counter() - started


def _groups(prepared: Prepared) -> list[list[Side]]:
    """Return the sides in groups that are loaded together, the reference in the first: many policies take much memory.

    The search for worst cases needs all of them at once.
    """
    candidates = prepared.candidates
    size = len(candidates) if prepared.worst_evaluations else AT_ONCE
    first, *others = [candidates[i : i + size] for i in range(0, len(candidates), size)] or [[]]
    return [[prepared.reference, *first], *others]


def _interrupted(sides: Sequence[Side], lives: list[Live], folder: Path) -> None:
    """Note the interruption on every side, and stop sessions, open or still loading, so that waiting threads end."""
    stop_under(folder)
    failure = Failure("interrupted", "interrupted by Ctrl-C before all cases ran")
    begun = {live.side.name for live in lives}
    lives.extend(Live(side, None, Facts(side.name)) for side in sides if side.name not in begun)
    for live in lives:
        live.facts.failure = live.facts.failure or failure
        if live.session is not None:
            live.session.close()


def _open(prepared: Prepared, side: Side, folder: Path, exits: ExitStack) -> Live:
    started = time.perf_counter()
    facts = Facts(side.name)
    session: Session | None = None
    if side.problem:
        facts.failure = side.problem
        return Live(side, None, facts)
    if link_recording(prepared, side, folder / f"{side.name}.h5"):
        with Trace.open(side.spec.path) as trace:
            facts.environment = recorded_environment(trace)
            facts.repeat_differs.update(repeated_of(trace.meta))
        facts.completed = len(prepared.cases)
        return Live(side, None, facts)
    try:
        work = folder / f"work-{side.name}"
        work.mkdir(parents=True, exist_ok=True)
        spec = prepared.spec_of(side)
        opening = open_stages(side, work) if side.staged is not None else runner_for(spec).open(spec, work)
        session = exits.enter_context(opening)
        if side.pipeline is not None and side.pipeline.composition is not None:
            session = ComposedSession(session, side.pipeline.composition)
        facts.learn(session.info)
        prepared.check_loaded(side, facts)
    except ParityError as e:
        facts.failure = Failure.of(e, "artifact" if isinstance(e, ArtifactError) else "load")
        session = None
    facts.seconds["load"] = time.perf_counter() - started
    return Live(side, session, facts)


def _run_group(prepared: Prepared, opened: list[Live], pool: ThreadPoolExecutor, report: Report | None) -> None:
    jobs: list[Future[None]] = [pool.submit(_run, prepared, x, prepared.cases_of(x.side), report) for x in opened]
    for job in jobs:
        job.result()
    if opened[0].side is prepared.reference:
        _assemble(prepared, opened[0])


def _search(prepared: Prepared, lives: list[Live]) -> None:
    """Search for the worst cases on all sides, and run on each what was found."""
    worst = find_worst(prepared, lives[0], lives[1:])
    prepared.add_worst(worst)
    for live in lives:
        _run(prepared, live, worst, None)


def _weigh_all(prepared: Prepared, lives: Sequence[Live]) -> None:
    for live in lives:
        if live.side.name in prepared.weighing.candidates and live.side is not prepared.reference:
            started = time.perf_counter()
            live.facts.weights = weigh(live.side, prepared.weighing.checkpoints)
            live.facts.seconds["weights"] = time.perf_counter() - started


def _look_into(prepared: Prepared, lives: Sequence[Live]) -> None:
    """Note what can be told of each candidate's OM without running it."""
    for live in lives:
        if live.side is not prepared.reference:
            started = time.perf_counter()
            live.facts.compiled = look_at_compiled(prepared, live.side)
            if live.facts.compiled is not None:
                live.facts.seconds["compiled"] = time.perf_counter() - started


def _survey(prepared: Prepared, facts: Facts) -> None:
    if prepared.surveying.asked:
        started = time.perf_counter()
        facts.stats = look(prepared.surveying)
        facts.seconds["stats"] = time.perf_counter() - started


def _run(prepared: Prepared, live: Live, cases: Sequence[Case], report: Report | None) -> None:
    """Run ``cases`` on one side, block by block (no block mixes profiles), until done or failed."""
    if live.session is None:
        return
    started, done = time.perf_counter(), 0
    for block in blocks_of(cases, prepared.stages):
        result = run_block(prepared, live, block)
        if not prepared.stages.looks_at(block.ids[0]):
            result = replace(result, outputs={n: a for n, a in result.outputs.items() if not is_of_stages(n)})
        if done == 0 and result.failure is None:
            live.facts.repeat_differs.update(_repeat(prepared, live, block))
        terms = _terms(prepared, live, block, result)
        live.results.append(Done(block, result, terms))
        live.facts.note_run(result)
        done += result.completed
        if report:
            report(live.side.name, done, len(cases))
        if result.failure:
            live.facts.failure = live.facts.failure or result.failure
            if result.failure.kind not in ("input", "run"):
                break
    live.facts.learn(live.session.info)  # a run may show more than loading did
    live.facts.seconds["run"] = live.facts.seconds.get("run", 0.0) + time.perf_counter() - started


def blocks_of(cases: Sequence[Case], stages: StagesPlan) -> Iterator[Block]:
    """Yield the cases stacked, in order, without mixing profiles; a sequence is one block.

    Cases in which stages are looked at are not mixed with others, nor more of them stacked than their values allow.
    """
    for (_, sequence, _), group in groupby(
        cases, key=lambda c: (c.profile, c.id.startswith(SEQUENCE), stages.looks_at(c.id))
    ):
        run = list(group)
        if sequence:
            whole = list(stack(run, max_bytes=1 << 62))
            yield from (replace(block, sequence=True) for block in whole)
        else:
            for start in range(0, len(run), stages.at_once):
                yield from stack(run[start : start + stages.at_once])


def _repeat(prepared: Prepared, live: Live, block: Block) -> dict[str, float]:
    """Run the first two cases of the block twice and return the outputs that changed, with by how much."""
    few = Block(block.ids[:2], {n: a[:2] for n, a in block.inputs.items()})
    return dict(run_block(prepared, live, few, repeat=True).repeat_differs)


def _terms(prepared: Prepared, live: Live, block: Block, result: RunResult) -> Terms:
    if live.side is not prepared.reference or live.session is None or result.failure:
        return {}
    if live.side.spec.runner == "recorded":
        return recorded_terms(Path(live.side.spec.path), block)
    return measure_terms(live.session, live.facts, block, result)


def run_block(prepared: Prepared, live: Live, block: Block, *, repeat: bool = False) -> RunResult:
    """Run one block on a live side through its adapter; outputs come back under the contract's names."""
    assert live.session is not None
    adapter = prepared.adapters.get(live.side.name)
    try:
        inputs = adapter.inputs(block.inputs) if adapter else block.inputs
        result = live.session.run(replace(block, inputs=inputs), repeat=repeat)
        outputs = adapter.outputs(result.outputs) if adapter and result.completed else result.outputs
    except ParityError as e:
        return RunResult({}, 0, failure=Failure.of(e, "input"))
    return RunResult(outputs, result.completed, result.seconds, result.repeat_differs, result.failure)


def _assemble(prepared: Prepared, reference: Live) -> None:
    """Give the reference its outputs for batch cases: the outputs of the single cases, one row each.

    A policy acts on each observation alone, so row i of a batch must equal case i.
    """
    outputs: dict[str, dict[str, Array]] = {}
    terms: dict[str, dict[str, dict[str, Array]]] = {}
    for done in reference.results:
        for i, case in enumerate(done.block.ids[: done.result.completed]):
            outputs[case] = {n: np.asarray(a[i]) for n, a in done.result.outputs.items()}
            terms[case] = {o: {t: a[i] for t, a in f.items()} for o, f in done.terms.items()}
    by_id = {c.id: c for c in prepared.cases}
    for batch, rows in prepared.assembled.items():
        if not all(r in outputs for r in rows):
            continue
        names = [n for n in outputs[rows[0]] if not is_of_stages(n)]
        joined = {n: np.concatenate([outputs[r][n] for r in rows])[None] for n in names}
        floors = {
            o: {t: np.concatenate([terms[r][o][t] for r in rows])[None] for t in terms[rows[0]][o]}
            for o in terms[rows[0]]
            if o in names
            if all(o in terms[r] and set(terms[r][o]) == set(terms[rows[0]][o]) for r in rows)
        }
        block = next(stack([by_id[batch]]))
        reference.results.append(Done(block, RunResult(joined, 1), floors))


def _write(prepared: Prepared, live: Live, folder: Path) -> None:
    """Write the trace of one side: inputs, outputs, and for the reference the floor terms."""
    by_id = {c.id: c for c in prepared.cases}
    meta = {"side": live.side.name, "seed": prepared.plan.seed, "facts": live.facts.as_json()}
    with TraceWriter(folder / f"{live.side.name}.h5", meta) as trace:
        for done in live.results:
            n = done.result.completed
            if not n:
                continue
            cases = [by_id[i] for i in done.block.ids[:n]]
            block = Block(done.block.ids[:n], {k: a[:n] for k, a in done.block.inputs.items()})
            trace.add(
                block,
                cases[0].profile,
                [c.seed for c in cases],
                [c.note for c in cases],
                done.result.outputs,
                done.terms or None,
            )
