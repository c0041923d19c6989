"""Sentences about dimensions: which, how much in which units, and where to look."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from parity.replay.model import Context, State
from parity.tensor import Array

LISTED = 6  # dimensions that a sentence lists
SMALLEST = 1e-150  # a limit of zero, where something is divided by its square


def called(context: Context, d: int) -> str:
    """Return what a dimension is called, such as ``action[4] (wrist)``."""
    number, _, name = context.names[d].partition(" ")
    return f"{context.output}[{number}]" + (f" {name}" if name else "")


def several(context: Context, dims: Sequence[int]) -> str:
    """Return what some dimensions are called, the first `LISTED` of them, and how many more there are."""
    if len(dims) == len(context.names) and len(dims) > LISTED:
        return f"all {len(dims)} dimensions of {context.output}"
    told = ", ".join(called(context, d) for d in dims[:LISTED])
    more = len(dims) - LISTED
    return told + (f" and {more} more" if more > 0 else "")


def amount(context: Context, d: int, value: float, per: str = "") -> str:
    """Return a number in the units of a dimension, such as ``0.31 rad``; ``per`` is put behind the units."""
    units = context.units[d] or ("units" if per else "")
    return f"{value:.3g} {units}{per}".rstrip()


def look_at(context: Context, place: State, dims: Sequence[int]) -> str:
    """Return ``worst at episode 12, frame 87: 0.31 rad in action[4]``, of the dimension furthest over its limit."""
    over = place["value"][list(dims)] / np.maximum(context.limits[list(dims)], SMALLEST)
    d = int(list(dims)[int(over.argmax())])
    value = float(place["value"][d])
    told = amount(context, d, value) if np.isfinite(value) else "not finite"
    return (
        f"worst at episode {int(place['episode'][d])}, frame {int(place['frame'][d])}: {told} in {called(context, d)}"
    )


def over_limits(context: Context, place: State) -> Array:
    """Return in which dimensions the worst error is over a limit, ``(D,)``; nowhere, where the candidate is sampled."""
    if context.sampled:
        return np.zeros(len(context.names), bool)
    over: Array = place["value"] > context.limits
    return over


def moving(context: Context) -> Array:
    """Return in which dimensions the reference moves enough to say something, ``(D,)``."""
    limits = np.where(np.isfinite(context.limits), context.limits, 0.0)
    moves: Array = np.asarray(context.scale) > 4 * limits
    return moves
