"""Gain, offset, sign, units and range of a dimension, from moments of reference and candidate.

The counterfactual is ``R∘fault = gain * R + offset``. What it leaves is a mean square, computed from the moments alone:
``var C - 2 gain cov + gain² var R + (mean C - gain mean R - offset)²``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from parity.replay.model import State
from parity.tensor import Array

DEGREES = 180.0 / np.pi
LEFT = 0.02  # a named fault leaves at most this share of the difference, and of the motion, unexplained
CLEARLY = 10.0  # a share this many times larger than another is clearly larger
FEWEST = 16  # rows below which two parameters fit anything

Kind = Literal["sign", "units", "range", "offset", "gain", "affine"]
FIXED: tuple[tuple[Kind, float, float, str], ...] = (
    ("sign", -1.0, 0.0, "the sign is flipped"),
    ("units", DEGREES, 0.0, "degrees instead of radians: gain 57.2958"),
    ("units", 1 / DEGREES, 0.0, "radians instead of degrees: gain 1/57.2958"),
    ("range", -1.0, 1.0, "inverted: 1 - g instead of g"),
    ("range", 2.0, -1.0, "[-1, 1] instead of [0, 1]: 2g - 1"),
    ("range", -2.0, 1.0, "inverted and [-1, 1] instead of [0, 1]: 1 - 2g"),
    ("range", 0.5, 0.5, "[0, 1] instead of [-1, 1]: (g + 1) / 2"),
    ("range", -0.5, 0.5, "inverted and [0, 1] instead of [-1, 1]: (1 - g) / 2"),
    ("range", 255.0, 0.0, "[0, 255] instead of [0, 1]: 255 g"),
    ("range", 1 / 255.0, 0.0, "[0, 1] instead of [0, 255]: g / 255"),
    ("range", 127.5, 127.5, "[0, 255] instead of [-1, 1]: 127.5 (g + 1)"),
    ("range", 1 / 127.5, -1.0, "[-1, 1] instead of [0, 255]: g / 127.5 - 1"),
    ("range", 100.0, 0.0, "[0, 100] instead of [0, 1]: 100 g"),
    ("range", 1 / 100.0, 0.0, "[0, 1] instead of [0, 100]: g / 100"),
    ("range", -1.0, 255.0, "inverted: 255 - g instead of g"),
    ("range", -1.0, 100.0, "inverted: 100 - g instead of g"),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """Moments of two sides: rows, means ``(D,)``, covariances ``(D, D)`` (``rc[i, j]``: R_i, C_j)."""

    n: int
    mean_r: Array
    mean_c: Array
    rr: Array
    cc: Array
    rc: Array

    @property
    def apart(self) -> Array:
        """The mean square of ``C - R`` in each dimension, ``(D,)``."""
        spread = np.diag(self.rr) + np.diag(self.cc) - 2 * np.diag(self.rc)
        apart: Array = np.maximum(spread, 0.0) + (self.mean_c - self.mean_r) ** 2
        return apart

    @property
    def correlation(self) -> Array:
        """Each dimension of the reference with each of the candidate, ``(D, D)``; 0 where one is still."""
        size = np.sqrt(np.outer(np.diag(self.rr), np.diag(self.cc)))
        result: Array = np.divide(self.rc, size, out=np.zeros_like(self.rc), where=size > 1e-300)
        return np.clip(result, -1.0, 1.0)


def pair_of(moments: State) -> Pair:
    """Return the moments of rows ``[R, C]``, ``(M, 2D)``, as a pair."""
    n = int(moments["n"][0])
    mean, cross = moments["mean"], moments["cross"] / max(n, 1)
    d = len(mean) // 2
    return Pair(n, mean[:d], mean[d:], cross[:d, :d], cross[d:, d:], cross[:d, d:])


@dataclass(frozen=True, slots=True)
class Fit:
    """A fault of one dimension: ``gain * R[source] + offset``.

    ``left`` is the mean square that it leaves, ``share`` the same against the smallest of difference and motion of
    both sides, ``freedom`` how many parameters were fitted; ``text`` says it in words where the numbers do not.
    """

    kind: Kind
    source: int
    gain: float
    offset: float
    freedom: int
    left: float
    share: float
    text: str = ""


def fits(pair: Pair, d: int, source: int) -> list[Fit]:
    """Return every family's fit of ``C[d]`` to ``R[source]``; unchanged too, where that is another dimension."""
    mr, mc = float(pair.mean_r[source]), float(pair.mean_c[d])
    vr, vc, cov = float(pair.rr[source, source]), float(pair.cc[d, d]), float(pair.rc[source, d])
    whole = min(float(pair.apart[d]), vr, vc)
    if whole <= 0:
        return []
    tried: list[tuple[Kind, float, float, int, str]] = [(k, a, b, 0, text) for k, a, b, text in FIXED]
    tried += [("offset", 1.0, mc - mr, 1, ""), ("offset", -1.0, mc + mr, 1, "the sign is flipped")]
    gain, slope = (cov + mr * mc) / (vr + mr * mr), cov / vr
    tried += [("gain", gain, 0.0, 1, ""), ("affine", slope, mc - slope * mr, 2, "")]
    if source != d:
        tried.append(("gain", 1.0, 0.0, 0, ""))
    result = []
    for kind, a, b, freedom, text in tried:
        left = max(vc - 2 * a * cov + a * a * vr, 0.0) + (mc - a * mr - b) ** 2
        result.append(Fit(kind, source, a, b, freedom, left, left / whole, text))
    return result


def simplest(pair: Pair, d: int, source: int, noise: float) -> Fit | None:
    """Return the fault with the fewest parameters of those that explain a dimension about as well as the best does.

    ``noise`` is the mean square that rounding may leave: faults that leave less are equally good.
    """
    tried = fits(pair, d, source) if pair.n >= FEWEST else []
    enough = CLEARLY * max(min((f.left for f in tried), default=0.0), noise)
    good = [f for f in tried if f.share <= LEFT and f.left <= enough]
    return min(good, key=lambda f: (f.freedom, f.left), default=None)
