"""Which faults of structure explain a difference: rotations first, then the order, then each dimension by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from parity.replay.causes.affine import Fit, Pair, simplest
from parity.replay.causes.normalization import Statistics, told_from
from parity.replay.causes.order import layout, reordered
from parity.replay.causes.rotation import rotations, unit_groups
from parity.replay.model import Context
from parity.replay.said import moving
from parity.tensor import Array

What = Literal["rotation", "order", "normalization", "sign", "units", "range", "offset", "gain"]


@dataclass(frozen=True, slots=True)
class Suspect:
    """A named fault: of which dimensions, the fit of each, what it leaves of each (mean square), and its words."""

    what: What
    dims: tuple[int, ...]
    left: Mapping[int, float]
    fits: Mapping[int, Fit] = field(default_factory=dict)
    text: str = ""
    still: bool = False  # the reference does not move in these dimensions, which are not covered


def explain(
    pair: Pair, rows: Array, over: Sequence[int], context: Context, statistics: Sequence[Statistics]
) -> list[Suspect]:
    """Return what explains the dimensions that are over their limit; those that nothing explains are in none of them.

    Args:
        pair: moments of both sides.
        rows: some rows ``[R, C]`` of both, ``(M, 2D)``.
        over: the dimensions that are over their limit.
        context: limits and names.
        statistics: of the action, those that are known.
    """
    dims = len(context.names)
    moves = moving(context)
    noise = np.where(np.isfinite(context.limits), context.limits / 10, 0.0) ** 2
    finite = rows[np.isfinite(rows).all(axis=1)]
    r, c = finite[:, :dims], finite[:, dims:]
    found: list[Suspect] = []
    open_dims = [d for d in over if moves[d]]
    for rotated in rotations(r, c, open_dims):
        left = {d: rotated.share * float(pair.apart[d]) for d in rotated.dims}
        found.append(Suspect("rotation", rotated.dims, left, text=rotated.text))
        open_dims = [d for d in open_dims if d not in rotated.dims]
    moved = reordered(pair, open_dims, noise)
    if moved:
        known = layout(moved, unit_groups(r))
        what: What = "rotation" if known.startswith(("a quaternion", "a 6D")) else "order"
        order = tuple(sorted(moved))
        found.append(Suspect(what, order, {d: f.left for d, f in moved.items()}, moved, known))
        open_dims = [d for d in open_dims if d not in moved]
    in_place = {d: f for d in open_dims if (f := simplest(pair, d, d, float(noise[d]))) is not None}
    found += _by_kind(in_place, [d for d in np.flatnonzero(moves).tolist() if d in over], statistics)
    return found + _still(pair, [d for d in over if not moves[d]], noise)


def _by_kind(fitted: Mapping[int, Fit], informative: Sequence[int], statistics: Sequence[Statistics]) -> list[Suspect]:
    for s in statistics:
        text = told_from(fitted, informative, s)
        if text:
            dims = tuple(sorted(fitted))
            return [Suspect("normalization", dims, {d: fitted[d].left for d in dims}, fitted, text)]
    groups: dict[tuple[What, str], list[int]] = {}
    for d, f in sorted(fitted.items()):
        kind: What = "gain" if f.kind == "gain" or f.kind == "affine" else f.kind
        groups.setdefault((kind, f.text), []).append(d)
    return [
        Suspect(kind, tuple(ds), {d: fitted[d].left for d in ds}, {d: fitted[d] for d in ds}, text)
        for (kind, text), ds in groups.items()
    ]


def _still(pair: Pair, dims: Sequence[int], noise: Array) -> list[Suspect]:
    """Where the reference does not move only an offset can be told, and that nothing else was seen."""
    fitted = {}
    for d in dims:
        left = max(float(pair.rr[d, d] + pair.cc[d, d] - 2 * pair.rc[d, d]), 0.0)
        if left <= max(float(noise[d]), 0.02 * float(pair.apart[d])):
            by = float(pair.mean_c[d] - pair.mean_r[d])
            fitted[d] = Fit("offset", d, 1.0, by, 1, left, left / float(pair.apart[d]))
    if not fitted:
        return []
    return [Suspect("offset", tuple(fitted), {d: f.left for d, f in fitted.items()}, fitted, still=True)]
