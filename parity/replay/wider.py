"""The ranges that what was shown is held against: what the dataset visits, and what the policy was made for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from parity.replay.extent import Extent
from parity.replay.model import Context
from parity.tensor import Array, Range

DEVIATIONS = 3.0  # a range of mean and standard deviation goes this far on both sides


@dataclass(frozen=True, slots=True)
class Wider:
    """A range of one feature, element by element, ``(E,)``.

    ``visited``: by the dataset's own frames; ``hard``: nothing lies outside, by its maker's word; ``spread``: a guess
    from a mean and a standard deviation, which a few outliers make wide.
    """

    low: Array
    high: Array
    words: str
    source: str
    visited: bool = False
    hard: bool = False
    spread: bool = False


def wider_ranges(extent: Extent, context: Context) -> tuple[Wider, ...]:
    """Return what is known: the dataset's own range (``visited`` of the options) first, then the policy's.

    Images are held against the dataset only: what scale their pixels have before normalization is not known here.
    """
    found = []
    size = len(extent.low)
    visited = (context.options.get("visited") or {}).get(extent.feature)
    if visited is not None:
        low, high = (np.asarray(v, np.float64).reshape(-1) for v in visited)
        if len(low) == len(high) == size:
            found.append(Wider(low, high, "range that the dataset visits,", "the dataset", True, True))
    image = any(f".image{s}" in f".{extent.feature}" for s in ("", "s"))
    given = None if image else context.ranges.get(extent.feature)
    made = None if given is None else _made_for(given, size)
    return (*found, made) if made else tuple(found)


def _made_for(given: Range, size: int) -> Wider | None:
    try:
        first, second = (
            np.broadcast_to(np.reshape(np.asarray(v, np.float64), given.shape), given.shape or (1,)).reshape(-1)
            for v in (given.first, given.second)
        )
    except ValueError:
        return None
    if len(first) not in (1, size) or len(first) != len(second):
        return None
    first, second = (np.broadcast_to(v, (size,)) for v in (first, second))
    if given.kind == "min_max":
        return Wider(first, second, "allowed", given.source, hard=True)
    if given.kind == "quantiles":
        return Wider(first, second, "usual (1 % to 99 %)", given.source)
    low, high = first - DEVIATIONS * second, first + DEVIATIONS * second
    return Wider(low, high, f"usual (mean ± {DEVIATIONS:.0f} std)", given.source, spread=True)


def share(extent: Extent, wider: Wider) -> Array:
    """Return which share of the wider range was shown, ``(E,)``; NaN where that is a point, or one is not known."""
    width = wider.high - wider.low
    common = np.minimum(extent.high, wider.high) - np.maximum(extent.low, wider.low)
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.maximum(common, 0.0) / width
    known: Array = np.where(np.isfinite(width) & (width > 0), part, np.nan)
    return known


def outside(extent: Extent, wider: Wider) -> Array:
    """Return how far what was shown goes beyond the range, in its widths, ``(E,)``; NaN as for `share`."""
    width = wider.high - wider.low
    past = np.maximum(wider.low - extent.low, extent.high - wider.high)
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.maximum(past, 0.0) / width
    known: Array = np.where(np.isfinite(width) & (width > 0), part, np.nan)
    return known
