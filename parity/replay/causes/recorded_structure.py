"""Faults of structure that reference and candidate share: the reference against the recorded actions."""

from __future__ import annotations

import numpy as np

from parity.finding import Finding
from parity.replay.causes.affine import CLEARLY, DEGREES, Pair
from parity.replay.model import Context
from parity.replay.said import called, moving, several

FOLLOWS = 0.9  # a correlation from which on the reference follows what was recorded
SCALED = 2.0  # a gain that no policy learns by itself
FEWEST = 200  # frames below which a correlation may be luck: those of an episode depend on each other


def against_recorded(demo: Pair, context: Context) -> list[Finding]:
    """Return a warning for each structure in which the reference itself differs from the recorded actions.

    ``demo`` holds the recorded actions as its first side and the reference's as its second.
    """
    if demo.n < FEWEST:
        return []
    both = moving(context) & (np.diag(demo.rr) > 0) & (np.diag(demo.cc) > 0)
    dims = np.flatnonzero(both)
    rho = np.diag(demo.correlation)
    slope = np.divide(np.diag(demo.rc), np.diag(demo.rr), out=np.ones(len(rho)), where=np.diag(demo.rr) > 0)
    found: list[tuple[str, list[int]]] = []
    flipped = [int(d) for d in dims if rho[d] <= -FOLLOWS]
    if flipped:
        found.append((f"the opposite sign, correlation {rho[flipped].max():.2f} or less", flipped))
    for factor, text in ((DEGREES, "degrees against radians"), (1 / DEGREES, "radians against degrees")):
        units = [int(d) for d in dims if rho[d] >= FOLLOWS and abs(slope[d] / factor - 1) < 0.15]
        if units:
            found.append((f"{text}, gain {slope[units].mean():.3g}", units))
            slope[units] = 1.0
    scaled = [int(d) for d in dims if rho[d] >= FOLLOWS and not 1 / SCALED < slope[d] < SCALED]
    if scaled:
        found.append((f"another scale, gain {slope[scaled[0]]:.3g} in {called(context, scaled[0])}", scaled))
    swapped = _swapped(demo, dims.tolist())
    if swapped:
        pairs = ", ".join(f"{called(context, d)} looks like recorded {called(context, j)}" for d, j in swapped.items())
        found.append((f"another order: {pairs}", list(swapped)))
    return [_told(text, where, context) for text, where in found]


def _swapped(demo: Pair, dims: list[int]) -> dict[int, int]:
    """Return dimensions that follow another recorded one clearly closer than their own."""
    from scipy.optimize import linear_sum_assignment

    if len(dims) < 2:
        return {}
    alike = np.abs(demo.correlation[np.ix_(dims, dims)].T)
    rows, columns = linear_sum_assignment(-alike)
    moved = {dims[int(i)]: dims[int(j)] for i, j in zip(rows, columns, strict=True) if i != j}
    left = 1.0 - alike**2
    clear = all(
        alike[i, j] >= FOLLOWS >= alike[i, i] and CLEARLY * left[i, j] <= left[i, i]
        for i, j in zip(rows, columns, strict=True)
        if i != j
    )
    return moved if clear else {}


def _told(text: str, dims: list[int], context: Context) -> Finding:
    return Finding(
        "REPLAY028",
        "warning",
        f"reference and recorded actions have {text} in {several(context, dims)}",
        where=called(context, dims[0]) if len(dims) == 1 else context.output,
        detail="Both sides are compared on the same data, so a fault that they share shows only here.",
        evidence={"dimensions": dims},
        remedy="find out whether the dataset's actions are those that the policy was trained with",
    )
