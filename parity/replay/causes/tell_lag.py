"""Findings about time: a lag of what is executed, other steps of the chunk, another rate."""

from __future__ import annotations

from collections.abc import Sequence

from parity.finding import Finding
from parity.replay.causes.late import Late
from parity.replay.causes.shifted import LAGS
from parity.replay.model import Context, State
from parity.replay.said import called, look_at, several


def _seconds(context: Context, steps: float) -> str:
    return f" ({abs(steps) / context.fps:.3g} s)" if context.fps else ""


def _steps(count: int) -> str:
    return f"{abs(count)} step" + ("s" if abs(count) != 1 else "")


def _lags(context: Context, group: Sequence[Late], lag: int) -> str:
    dims = [x.dimension for x in group]
    word = "lag" if lag > 0 else "lead"
    return f"{several(context, dims)} {word}{'s' if len(dims) == 1 else ''}"


def _groups(found: Sequence[Late]) -> list[list[Late]]:
    rows = sorted({x.row for x in found})
    return [[x for x in found if x.row == row] for row in rows]


def _finding(code: str, title: str, found: Sequence[Late], context: Context, place: State, remedy: str) -> Finding:
    dims = [x.dimension for x in found]
    share = max(x.share for x in found)
    with_line = [x for x in found if x.line is not None]
    besides = ""
    if with_line:
        lines = ", ".join(f"gain {x.line[0]:.3g} in {called(context, x.dimension)}" for x in with_line if x.line)
        besides = f" Besides it is scaled: {lines}."
    return Finding(
        code,
        "error",
        title,
        where=called(context, dims[0]) if len(dims) == 1 else context.output,
        detail=f"This explains {100 * (1 - share):.1f} % of the difference; {look_at(context, place, dims)}.{besides}",
        evidence={
            "dimensions": dims,
            "explained": 1 - share,
            "runner_up_explained": 1 - min(x.runner_up for x in found),
            "lines": [list(x.line) if x.line else None for x in found],
        },
        remedy=remedy,
    )


def told_lag(found: Sequence[Late], context: Context, place: State) -> list[Finding]:
    """Return a finding for each lag of executed actions."""
    told = []
    for group in _groups(found):
        lag = group[0].lag
        least = "at least " if group[0].at_the_end else ""
        title = f"{_lags(context, group, lag)} by {least}{_steps(lag)}{_seconds(context, lag)}"
        remedy = "look for a queue, filter or buffer that delays, and at which action is executed first"
        told.append(_finding("REPLAY030", title, group, context, place, remedy))
    return told


def told_chunk(found: Sequence[Late], context: Context, place: State, names: Sequence[str]) -> list[Finding]:
    """Return a finding for each alignment of chunk steps: shifted, or faster or slower."""
    told = []
    for group in _groups(found):
        kind, _, number = names[group[0].row].partition(" ")
        where = several(context, [x.dimension for x in group])
        if kind == "shift":
            by = LAGS[group[0].row]
            is_at = f"step k of its chunk is the reference's step k {'+' if by > 0 else '-'} {abs(by)}"
            title = f"{_lags(context, group, -by)} by {_steps(by)}{_seconds(context, by)}: {is_at}"
            remedy = "compare which slice of the horizon both sides return: n_obs_steps - 1 is executed first, or 0"
            told.append(_finding("REPLAY031", title, group, context, place, remedy))
            continue
        speed = float(number) if kind == "speed" else 1.0 / float(number)
        title = f"it moves at {speed:.3g} times the reference's speed in {where}: the control rate differs"
        remedy = "compare the rate that actions are made for with the rate at which they are sent (fps, action repeat)"
        told.append(_finding("REPLAY032", title, group, context, place, remedy))
    return told


def told_execution(context: Context, place: State, over: list[int]) -> list[Finding]:
    """Return a finding where the chunks agree and what is executed of them does not."""
    a, b = context.timing
    differs = [
        f"{name} {getattr(b, name)}, reference {getattr(a, name)}"
        for name in ("first", "n_action_steps", "ensemble")
        if getattr(a, name) != getattr(b, name)
    ]
    return [
        Finding(
            "REPLAY033",
            "error",
            "the chunks agree, but other steps of them are executed" + (f": {', '.join(differs)}" if differs else ""),
            where=context.output,
            detail=f"The policy is right and its queue is not; {look_at(context, place, over)}.",
            evidence={"dimensions": over, "differs": differs},
            remedy="execute the chunk as in training: first step, number of steps, ensembling",
        )
    ]


def told_recorded(lag: int, share: float, context: Context) -> Finding:
    """Return a warning that the reference itself is late or early against the recorded actions."""
    word = "lags behind" if lag > 0 else "is ahead of"
    return Finding(
        "REPLAY034",
        "warning",
        f"the reference itself {word} the recorded actions by {_steps(lag)}{_seconds(context, lag)}",
        where=context.output,
        detail=f"Shifted so, {100 * (1 - share):.0f} % of what separates them is gone. Both sides share this.",
        evidence={"lag": lag, "explained": 1 - share},
        remedy="check which step is executed first, and how actions are aligned with observations in the dataset",
    )
