"""Actions left in normalized units, or un-normalized twice: the gain and offset of known statistics, nothing fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from parity.tensor import Array, Range


@dataclass(frozen=True, slots=True)
class Statistics:
    """What turns normalized into physical values, ``physical = gain · normalized + offset``, ``(D,)`` each.

    ``source`` names the file and key they were read from.
    """

    gain: tuple[float, ...]
    offset: tuple[float, ...]
    source: str


def statistics_of(given: Range, dims: int) -> Statistics | None:
    """Return the un-normalization that a range of an action implies; None where its size is not ``dims``.

    MEAN_STD: gain = std, offset = mean. MIN_MAX and QUANTILES map -1..1: gain = half the width, offset = the middle.
    """
    first, second = np.asarray(given.first, dtype=float), np.asarray(given.second, dtype=float)
    if first.shape != (dims,) or second.shape != (dims,):
        return None
    gain, offset = (second, first) if given.kind == "mean_std" else ((second - first) / 2, (second + first) / 2)
    return Statistics(tuple(gain.tolist()), tuple(offset.tolist()), given.source)


def statistics_of_scale(scale: Sequence[float], offset: Sequence[float], source: str) -> Statistics | None:
    """Return the un-normalization of ``normalized = physical * scale + offset``; None where that has none."""
    if len(scale) != len(offset) or not all(scale):
        return None
    gain = tuple(1 / s for s in scale)
    return Statistics(gain, tuple(-o * g for o, g in zip(offset, gain, strict=True)), source)


def transforms(r: Array, statistics: Statistics) -> list[tuple[str, str, Array]]:
    """Return (name, sentence, transformed reference) of each way in which known statistics can be misapplied."""
    gain, offset = np.asarray(statistics.gain), np.asarray(statistics.offset)
    if gain.shape != (r.shape[-1],) or not np.all(np.isfinite(gain) & (gain != 0) & np.isfinite(offset)):
        return []
    source = statistics.source
    missing = f"the candidate's actions are not un-normalized (gain and offset of {source} are missing)"
    twice = f"the candidate's actions are un-normalized once more (with gain and offset of {source})"
    return [("missing", missing, (r - offset) / gain), ("twice", twice, r * gain + offset)]
