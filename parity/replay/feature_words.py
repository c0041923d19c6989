"""How features, action dimensions and amounts are called in sentences for people."""

from __future__ import annotations

from collections.abc import Sequence

from parity.replay import telling
from parity.replay.model import Context
from parity.replay.reaction import Moved
from parity.replay.said import called

NAMED = 4  # dimensions that a sentence names


def dimensions(context: Context, these: Sequence[int]) -> str:
    """Return some action dimensions, the first few by name."""
    named = ", ".join(called(context, d) for d in these[:NAMED])
    return named + (f" and {len(these) - NAMED} more" if len(these) > NAMED else "")


def amount(context: Context, value: float, at: int) -> str:
    """Return a number of a dimension with its units."""
    return telling.amount(value, context.units[at])


def place(moved: Moved) -> str:
    """Return the frame to look at."""
    return f"episode {moved.episode}, frame {moved.frame}"


CHANGES = {
    "swap": "swapped with that of another frame",
    "zero": "set to zero",
    "shift": "shifted by a tenth of its spread",
    "repeat": "given again",
    "history": "given after another history",
}
