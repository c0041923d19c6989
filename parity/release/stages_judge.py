"""How comparisons of stages are judged: in which precision class, within which of the user's budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from parity.compare.budget import CLASSES, Budget
from parity.release.precision import VERIFIED
from parity.stages import is_of_stages, parts_of

if TYPE_CHECKING:
    from parity.release.prepare import Prepared
    from parity.release.sides import Side


def stage_classes(prepared: Prepared, side: Side, judged: str) -> dict[str, str]:
    """Return, by output of stages, the class that it is judged in, where that is finer than the candidate's own.

    A stage that computes in float32 does not earn the budget of float16 because another one is declared so. Alone a
    stage is judged in its own class; in the chain, in the coarsest of those up to it.
    """
    program = side.staged.program if side.staged is not None else None
    if side.staged is None or program is None or judged not in CLASSES:
        return {}
    own: dict[str, str] = {}
    for name, stage in zip(side.staged.names, side.staged.sides, strict=True):
        found = stage.contract.precision if stage.contract and stage.spec.runner in VERIFIED else None
        known = CLASSES.index(found) if found in CLASSES else len(CLASSES)
        own[name] = CLASSES[min(CLASSES.index(judged), known)]
    classes: dict[str, str] = {}
    for stage_name, output in prepared.stages.of.get(side.name, ()):
        if stage_name not in own:
            continue
        way = parts_of(output)[0]
        upto = list(own)[: list(own).index(stage_name) + 1]
        if program.loop is not None and program.looped(stage_name):
            upto = list(own)[: list(own).index(program.loop.stages[-1]) + 1]
        earned = own[stage_name] if way == "alone" else max((own[n] for n in upto), key=CLASSES.index)
        classes |= {output: earned} if earned != judged else {}
    return classes


def with_limits(budgets: Mapping[str, Budget], limited_as: Mapping[str, Sequence[str]]) -> dict[str, Budget]:
    """Return the budgets, those of values also under the names of the outputs of stages that they are for."""
    found = {o: next((budgets[n] for n in names if n in budgets), None) for o, names in limited_as.items()}
    own = {o: b for o, b in budgets.items() if not is_of_stages(o)}
    return own | {o: b for o, b in found.items() if b is not None}
