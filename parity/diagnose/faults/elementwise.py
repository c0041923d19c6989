"""What the families that act on one dimension alone share: ``candidate = gain · reference + offset``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from parity.tensor import Array


@dataclass(frozen=True, slots=True)
class Moments:
    """Means and central second moments per dimension, each ``(D,)``, of reference ``r`` and candidate ``c``."""

    mean_r: Array
    mean_c: Array
    var_r: Array
    var_c: Array
    cov: Array

    @property
    def slope(self) -> Array:
        """Least-squares gain with a free offset; 0 where the reference does not move."""
        slope: Array = np.divide(self.cov, self.var_r, out=np.zeros_like(self.cov), where=self.var_r > 0)
        return slope


def moments(r: Array, c: Array) -> Moments:
    """Return the moments of two ``(M, D)`` arrays."""
    mean_r, mean_c = r.mean(axis=0), c.mean(axis=0)
    dr, dc = r - mean_r, c - mean_c
    return Moments(mean_r, mean_c, (dr * dr).mean(axis=0), (dc * dc).mean(axis=0), (dr * dc).mean(axis=0))


@dataclass(frozen=True, slots=True)
class Fit:
    """Which dimensions a family explains, with the gain and offset of each (all the same length)."""

    where: tuple[int, ...]
    gain: tuple[float, ...]
    offset: tuple[float, ...]


class Elementwise(Protocol):
    """A family of faults of one dimension.

    ``freedom`` is the number of parameters fitted per dimension: where two families fit equally well the one with fewer
    is named, and with equally many neither is. ``contains`` names the families that are special cases of this one.
    """

    @property
    def kind(self) -> str: ...

    @property
    def freedom(self) -> int: ...

    def fit(self, m: Moments) -> tuple[Array, Array]:
        """Return gain and offset per dimension, ``(D,)`` each."""
        ...

    def sentence(self, fit: Fit, names: Sequence[str], noun: str) -> str:
        """Return the cause in one sentence without its full stop."""
        ...

    def parameters(self, fit: Fit) -> dict[str, Any]:
        """Return the numbers that reproduce the fault."""
        ...


def listed(names: Sequence[str], noun: str) -> str:
    """Return ``joint 3``, ``joints 3 and 9`` or ``joints 1, 2 and 5``; more than eight are cut short."""
    if len(names) == 1:
        return names[0]
    short = [n.removeprefix(noun + " ") for n in names]
    if len(short) > 8:
        return f"{len(short)} {noun}s ({', '.join(short[:6])}, …)"
    return f"{noun}s {', '.join(short[:-1])} and {short[-1]}"


def number(value: float) -> str:
    """Return a number as people write it: three digits, no trailing zeros."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def numbers(values: Sequence[float]) -> str:
    """Return one number where all print the same, else all of them in order (more than eight cut short)."""
    texts = [number(v) for v in values]
    if len(set(texts)) == 1:
        return texts[0]
    return ", ".join(texts[:8]) + (", …" if len(texts) > 8 else "")
