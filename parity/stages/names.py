"""What the outputs of stages are called beside those of the whole policy.

    alone:<value>       what a stage gives for the reference's own inputs to it
    chained:<value>     what it gives for what the stages before it gave
    step-0003:<state>   the state of the loop after its third step

Values of a stage inside the loop are stacked over the steps that are looked at, ``(steps, B, ...)``.
"""

from __future__ import annotations

import re

ALONE = "alone:"
CHAINED = "chained:"
_STATE = re.compile(r"step-(\d{4,}):(.+)", re.DOTALL)
LOOKED_AT = 32  # steps of a loop of which the state is compared, where it has more


def state_name(step: int, state: str) -> str:
    """Return what the state of the loop after ``step`` (from 1) is called."""
    return f"step-{step:04d}:{state}"


def is_of_stages(output: str) -> bool:
    """Whether an output is of stages, and not of the whole policy."""
    return output.startswith((ALONE, CHAINED)) or _STATE.fullmatch(output) is not None


def parts_of(output: str) -> tuple[str, str, int | None]:
    """Return how (``alone``, ``chained``, ``loop``, or ``""`` for the whole policy), the value's name, and the step."""
    for way in (ALONE, CHAINED):
        if output.startswith(way):
            return way.removesuffix(":"), output.removeprefix(way), None
    found = _STATE.fullmatch(output)
    return ("loop", found[2], int(found[1])) if found else ("", output, None)


def looked_at(steps: int) -> tuple[int, ...]:
    """Return the steps, from 1, after which the state is compared: all, or of many an even choice with both ends."""
    if steps <= LOOKED_AT:
        return tuple(range(1, steps + 1))
    chosen = {1 + round(i * (steps - 1) / (LOOKED_AT - 1)) for i in range(LOOKED_AT)}
    return tuple(sorted({*chosen, steps - 1}))


def entered(steps: int) -> tuple[int, ...]:
    """Return the steps whose inputs are known from those states: the first, and each that follows one looked at."""
    return tuple(sorted({1, *(k + 1 for k in looked_at(steps) if k < steps)}))


def called(output: str, stage: str | None) -> str:
    """Return what a comparison is about in words: ``action``, ``kv of stage prefix (alone)``, ``x_t in the loop``.

    It is the place of its findings, and what a waiver names. The state of a loop is one, over all steps.
    """
    way, value, _ = parts_of(output)
    if not way or not stage:
        return output
    return f"{value} in the loop" if way == "loop" else f"{value} of stage {stage} ({way})"
