"""When a side refuses the shape that another gave: two artifacts that most likely belong to different policies.

A TorchScript file or a factory often says nothing of its inputs' shapes; they are then taken from the other side.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from parity.release.config import ContractTable
from parity.release.facts import Facts
from parity.release.prepare import Prepared
from parity.release.sides import Side

MAX_NAMED = 4
_ABOUT_SHAPES = re.compile(r"\b(shapes?|sizes?|dimensions?|broadcast\w*|in_features|channels?)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which shapes a side refused, by input, the sentence that says so and who gave them, and what to do."""

    sentence: str
    shapes: dict[str, list[int]]
    remedy: str


def refusal_of(prepared: Prepared, side: Side, facts: Facts, table: ContractTable) -> Refusal | None:
    """Return what ``side`` refused, or None where its failure is of another kind or its own contract gave the shapes.

    Args:
        prepared: the release.
        side: the side that failed in its first case.
        facts: what was learnt of it.
        table: ``[contract]``, where the user himself may have given a shape.
    """
    failure = facts.failure
    if failure is None or failure.kind != "run" or facts.completed or not _ABOUT_SHAPES.search(reason(failure.message)):
        return None
    fed = prepared.cases[0].inputs if prepared.cases else {}
    own = side.contract.inputs if side.contract is not None else ()
    if not fed or (own and all(t.shape is not None for t in own)):
        return None
    told = {name: list(array.shape) for name, array in fed.items()}
    shapes = ", ".join(f"{tuple(shape)} for {name!r}" for name, shape in list(told.items())[:MAX_NAMED])
    who = "reference" if side is prepared.reference else f"candidate {side.name!r}"
    if any(row.shape is not None for row in table.inputs.values()):
        giver, meaning, remedy = "[contract.inputs] in parity.toml", "", "give the shape that this artifact takes"
    elif (other := _giver([s for s in (prepared.reference, *prepared.candidates) if s is not side], fed)) is not None:
        giver = Path(other.given).name
        meaning = ": the two probably belong to different policies"
        remedy = f"compare {Path(side.given).name} with an export of the same policy"
    else:
        return None
    sentence = f"The {who} refused the shape that {giver} gives, {shapes}{meaning} ({reason(failure.message)})."
    return Refusal(sentence, told, remedy)


def _giver(sides: Sequence[Side], names: Iterable[str]) -> Side | None:
    """Return the first side whose contract knows a shape: of an input of these names, else of any."""
    shaped = [(s, {t.name for t in s.contract.inputs if t.shape is not None}) for s in sides if s.contract is not None]
    named = [s for s, known in shaped if known & set(names)]
    return next(iter([*named, *(s for s, known in shaped if known)]), None)


def reason(message: str) -> str:
    """Return the one line of a failure that says why: TorchScript puts it below two tracebacks."""
    lines = [line.strip() for line in message.strip().splitlines() if line.strip()]
    if not lines:
        return "no message"
    if "TorchScript interpreter" not in lines[0]:
        return lines[0]
    errors = [line for line in lines[1:] if re.match(r"[\w.]*(Error|Exception): ", line)]
    return errors[-1] if errors else lines[0]
