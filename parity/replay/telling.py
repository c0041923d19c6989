"""How amounts and frames are told of, in sentences and in JSON: `0.31 rad`, `episode 12, frame 87`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from parity.tensor import Array


def amount(value: float, units: str | None) -> str:
    """Return a number with its units."""
    return f"{value:.3g} {units}" if units else f"{value:.3g}"


def place(at: Array) -> str:
    """Return the frame to look at, from row, episode, frame and step of the chunk, ``(4,)``."""
    return f"episode {int(at[1])}, frame {int(at[2])}, step {int(at[3])} of the chunk (row {int(at[0])})"


def plain(value: float) -> float | None:
    """Return a number for JSON; None where it is not finite."""
    return float(value) if np.isfinite(value) else None


def table(values: Array) -> list[list[float | None]]:
    """Return ``(M, D)`` for JSON."""
    return [[plain(v) for v in row] for row in np.asarray(values, np.float64)]
