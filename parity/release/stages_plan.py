"""What is planned of stages: each alone, each in the chain, and the state of the loop after its steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from parity.finding import Finding
from parity.release.batches import single
from parity.release.sides import Side
from parity.stages import ALONE, CHAINED, Program, parts_of, state_name
from parity.stages.names import entered, looked_at
from parity.tensor import Case, TensorSpec

KEPT = 96 << 20  # bytes of all that stages give, which is kept with its floor
LEAST = 4  # cases that are looked at whatever they take
IN_BLOCK = 256 << 20  # bytes of what stages give in one block


@dataclass(frozen=True, slots=True)
class StagesPlan:
    """Outputs of stages that are compared besides those of the whole policy.

    Attributes:
        of: by candidate, the stage and the name of each.
        specs: what is known of them.
        limited_as: by output, the names under which a budget of the user's is for it.
        cases: the cases in which stages are looked at; None for all single ones.
        bytes: what they give in one case, as far as their shapes are known.
    """

    of: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    specs: tuple[TensorSpec, ...] = ()
    limited_as: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cases: frozenset[str] | None = None
    bytes: int = 0

    def looks_at(self, case: str) -> bool:
        """Whether stages are looked at in ``case``."""
        return bool(self.of) and single(case) and (self.cases is None or case in self.cases)

    @property
    def at_once(self) -> int:
        """How many cases go through the stages in one block: what they give waits on disk for the next."""
        return max(1, IN_BLOCK // max(self.bytes, 1))

    @property
    def values(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(n for names in self.limited_as.values() for n in names))


def plan_stages(reference: Side, candidates: Sequence[Side], cases: Sequence[Case]) -> StagesPlan:
    """Return what is compared of stages: nothing where the reference, or a candidate, is one graph.

    Where they give much (a cache of keys and values), only as many of ``cases`` are looked at as can be kept.
    """
    program = reference.staged.program if reference.staged is not None else None
    staged = [c.name for c in candidates if c.staged is not None]
    if program is None or not staged:
        return StagesPlan()
    found = _outputs(program)
    specs = tuple(_spec(program, output) for _, output in found)
    limited = {output: _limited_as(program, output) for _, output in found}
    size = _bytes(program)
    return StagesPlan(dict.fromkeys(staged, found), specs, limited, _looked_at(cases, size), size)


def _bytes(program: Program) -> int:
    """Return the bytes of all values in one case; symbolic dims count as one, unknown shapes not at all."""
    total = 0
    for stage in program.stages:
        steps = len(entered(program.loop.steps)) if program.loop is not None and program.looped(stage.name) else 1
        for w in stage.gives:
            sizes = [d for d in w.spec.shape or () if isinstance(d, int)]
            each = 2 if w.spec.dtype in ("float16", "bfloat16") else 8 if w.spec.dtype in ("float64", "int64") else 4
            total += steps * each * math.prod(sizes) if w.spec.shape else 0
    return total


def _looked_at(cases: Sequence[Case], size: int) -> frozenset[str] | None:
    """Return the cases that are looked at: ordinary ones first, then an even choice of the others; None for all."""
    few = max(LEAST, KEPT // max(size, 1))
    known = [c for c in cases if single(c.id)]
    if len(known) <= few:
        return None
    ordinary = [c.id for c in known if c.profile in ("nominal", "dataset")]
    others = [c.id for c in known if c.profile not in ("nominal", "dataset")]
    first = ordinary[: max(few - few // 4, few - len(others))]
    left = few - len(first)
    return frozenset([*first, *(others[i * len(others) // left] for i in range(left))])


def seldom_looked_at(plan: StagesPlan, cases: Sequence[Case]) -> list[Finding]:
    """Return what is to be said where stages are looked at in some cases only."""
    if plan.cases is None:
        return []
    return [
        Finding(
            "STAGE014",
            "info",
            f"Stages are looked at in {len(plan.cases)} of {sum(single(c.id) for c in cases)} cases: what they give "
            f"takes {plan.bytes / 2**20:,.0f} MiB in each.",
            detail="The policy's own outputs are compared in all cases. A fault that shows in the others alone is "
            "found, and where it enters is not told.",
            evidence={"cases": sorted(plan.cases), "bytes": plan.bytes},
            remedy="judge fewer cases to look at all of them: [cases] nominal = 4, edge = false",
        )
    ]


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
