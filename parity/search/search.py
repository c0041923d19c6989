"""Finds the inputs inside the ranges on which reference and candidate differ most, within a bound on evaluations.

1. A stratified design, seven tenths of the evaluations and at least 101 where there are as many: in every coordinate
   one point in each of as many equal intervals.
2. Corners of the box, a twentieth of the evaluations and at most 16, and the cases given to start from.
3. Moves around the best points with shrinking steps. As long as nothing stands out, half of these evaluations (all of
   them where no divergence was seen at all) go to further designs instead.

**What is sure**: from 101 evaluations on, a divergence in a slab of 1 % of any one coordinate's range is hit. Every
corner of the box is tried in up to 3 dimensions from 160 evaluations on, and in 4 from 320. **What is likely**: another
region of 1 % of the volume is hit with a probability of about 1 − 0.99^N by N evaluations spent on designs (87 % for
200, above 99.9 % for 700), more in few dimensions. Nothing is said of smaller regions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from parity.contract.model import Contract
from parity.errors import UsageError
from parity.finding import Finding
from parity.search.design import corners, moves, stratified
from parity.search.space import Space, space_of
from parity.tensor import Case, Range, TensorSpec

if TYPE_CHECKING:
    from parity.tensor import Array

Floats = npt.NDArray[np.float64]
Evaluate = Callable[[Sequence[Mapping[str, "Array"]]], Sequence[float]]

SURE = 101  # points that leave no slab of 1 % without one
PARENTS = 4
STANDS_OUT = 10.0  # times the median
APART = 0.05  # of the box, in some coordinate: cases that are kept differ by this if enough do

_CHUNK_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class SearchResult:
    """``worst-0000`` and on, the largest divergence first, their divergences, and the evaluations that were used.

    ``sure`` tells that the bound allowed the design that no slab of 1 % escapes.
    """

    cases: tuple[Case, ...]
    divergences: tuple[float, ...]
    evaluations: int
    sure: bool
    findings: tuple[Finding, ...] = ()


@dataclass(slots=True)
class _Run:
    """Points evaluated so far, with their divergences."""

    space: Space
    evaluate: Evaluate
    bound: int
    keep: int
    points: list[Floats] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)

    @property
    def left(self) -> int:
        enough = sum(v == np.inf for v in self.values) >= max(self.keep, PARENTS)
        return 0 if enough else self.bound - len(self.values)  # nothing is larger than infinity

    def look(self, points: Floats, phase: str) -> None:
        """Evaluate the points, as far as the bound allows, in blocks of bounded memory."""
        points = points[: self.left]
        step = max(1, _CHUNK_BYTES // max(1, self.space.nbytes))
        for start in range(0, len(points), step):
            part = points[start : start + step]
            found = [float(v) for v in self.evaluate(self.space.decode(part))]
            if len(found) != len(part):
                raise UsageError(f"the search asked for {len(part)} divergences and was given {len(found)}")
            self.points += list(part)
            self.values += [np.inf if np.isnan(v) else v for v in found]
            self.phases += [phase] * len(part)

    def order(self) -> list[int]:
        """Return the indices of all points, the largest divergence first, the earlier first among equals."""
        return sorted(range(len(self.values)), key=lambda i: -self.values[i])

    def best(self, count: int) -> list[int]:
        """Return up to ``count`` indices, the largest divergence first, each apart from those before it if possible."""
        chosen: list[int] = []
        order = self.order()
        for apart in (APART, 0.0):
            for i in order:
                if len(chosen) >= count:
                    break
                near = any(float(np.abs(self.points[i] - self.points[j]).max(initial=0.0)) <= apart for j in chosen)
                if i not in chosen and not near:
                    chosen.append(i)
        return sorted(chosen, key=order.index)


def search(
    evaluate: Evaluate,
    specs: Contract | Sequence[TensorSpec],
    ranges: Mapping[str, Range] | None = None,
    *,
    seed: int,
    evaluations: int,
    keep: int = 4,
    start: Sequence[Case] = (),
    batch: int = 1,
    bind: Mapping[str, int] | None = None,
) -> SearchResult:
    """Return up to ``keep`` inputs with the largest divergence that ``evaluations`` calls can find.

    Args:
        evaluate: returns one divergence, 0 or more, for each set of inputs ``(B, ...)`` it is given; NaN counts as
            infinite.
        specs: the contract, or the specs of its inputs.
        ranges: the box, by input; they go before the specs' own. Without any: ±4 for vectors, 0 … 1 for images.
        seed: the same seed makes the same points.
        evaluations: how many sets of inputs may be evaluated.
        keep: how many cases to return.
        start: cases to begin from, and to take unknown shapes from.
        batch: size of symbolic batch axes.
        bind: sizes of symbolic dims, as in `make_cases`.

    Raises:
        UsageError: an input's shape is not known, a range does not fit, or ``evaluate`` returns too few values.
    """
    if evaluations < 0 or keep < 0:
        raise UsageError(f"a search of {evaluations} evaluations that keeps {keep}", expected="0 or more")
    space = space_of(specs, ranges or {}, seed=seed, start=start, batch=batch, bind=bind)
    if space.dims == 0 or evaluations == 0:
        return SearchResult((), (), 0, False, _nothing(space))
    run = _Run(space, evaluate, evaluations, keep)
    design = max(min(evaluations, SURE), evaluations * 7 // 10)
    run.look(stratified(seed, design, space.dims), "design")
    run.look(corners(seed, min(16, evaluations // 20), space.dims), "corner")
    encoded = [p for case in start[: evaluations // 16] if (p := space.encode(case)) is not None]
    if encoded:
        run.look(np.stack(encoded), "start")
    _refine(run, seed)
    return _result(run, seed, keep, sure=design >= SURE)


def _refine(run: _Run, seed: int) -> None:
    """Spend what is left on moves around the best points and, where nothing stands out, on further designs."""
    total = run.left
    turn = 0
    while run.left > 0:
        turn += 1
        size = min(run.left, max(8, total // 8))
        spread = _standing(run)
        further = size if spread == "nothing" else size // 2 if spread == "flat" else 0
        if further:
            run.look(stratified(seed, further, run.space.dims, turn), "further design")
        if size > further and run.left > 0:
            step = 0.2 * 0.05 ** (1.0 - run.left / total)
            parents = np.stack([run.points[i] for i in run.best(PARENTS)])
            run.look(moves(seed, turn, parents, min(size - further, run.left), step), "move")


def _standing(run: _Run) -> str:
    """Whether the largest divergence is ``nothing`` (zero), ``flat`` or a ``peak``."""
    values = np.array(run.values)
    top = float(values.max())
    if top <= 0.0:
        return "nothing"
    return "peak" if top > STANDS_OUT * float(np.median(values)) else "flat"


def _result(run: _Run, seed: int, keep: int, *, sure: bool) -> SearchResult:
    cases, values = [], []
    for number, i in enumerate(run.best(keep)):
        note = f"divergence {run.values[i]:.3g}, evaluation {i + 1} of {run.bound} ({run.phases[i]})"
        inputs = run.space.decode(run.points[i][None])[0]
        cases.append(Case(f"worst-{number:04d}", "worst", seed, inputs, note))
        values.append(run.values[i])
    findings = () if sure else (_not_sure(run.bound),)
    return SearchResult(tuple(cases), tuple(values), len(run.values), sure, findings)


def _not_sure(bound: int) -> Finding:
    title = f"the search had {bound} evaluations: below {SURE}, a divergence in 1 % of one input's range may escape it"
    return Finding("CASE021", "info", title, evidence={"evaluations": bound}, remedy="set [cases] worst = 200")


def _nothing(space: Space) -> tuple[Finding, ...]:
    if space.dims:
        return ()
    return (Finding("CASE020", "info", "no input has a range to search in: no worst cases are made"),)
