"""What limits that passed would have caught: the smallest fault of each kind that they would have failed.

Worked out from the stored outputs, in closed form where there is one; nothing is run. Arrays are ``(N, T, D)``: N cases
(and whatever else is pooled), T time steps, D action dimensions. A fault is one made to a candidate that passed: an
offset or a gain on one dimension, its sign flipped, two dimensions swapped, a dimension or a whole chunk shifted in
time (the step at its end repeated). Two rules say what fails: a limit on every difference (`Limits`), or on sums of
squares pooled over all cases (`Pool`, int8).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from parity.tensor import Array

SHIFTS = (1, 2, 4, 8)  # steps, tried until one is caught


class Rule(Protocol):
    """What fails. Every figure is exact for the arrays given: a fault a little above it fails, a little below does not.

    ``ratio`` figures are how far beyond (above 1) or within what is allowed a faulty candidate is.
    """

    @property
    def reference(self) -> Array: ...

    @property
    def candidate(self) -> Array: ...

    def offset(self) -> Array:
        """Return the smallest offset on each dimension that fails whatever its sign, ``(D,)``; inf where none does."""

    def gain(self) -> Array:
        """Return the smallest g for which ``(1 ± g)`` on a dimension fails with either sign, ``(D,)``, likewise."""

    def ratios(self, changed: Array) -> Array:
        """Return the ratio of each dimension alone where it is as in ``changed`` ``(N, T, D)``, ``(D,)``."""

    def swaps(self) -> Array:
        """Return the ratio where dimensions d and j are swapped, symmetric ``(D, D)``; the diagonal means nothing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Every |Δ| must keep the limit of its case and dimension.

    ``limit`` is ``(N, D)``, above 0, may be infinite; ``kept`` ``(N, T, D)`` marks the elements that are judged, all
    where it is None. All numbers are finite.
    """

    reference: Array
    candidate: Array
    limit: Array
    kept: Array | None = None

    def offset(self) -> Array:
        error, limit = self.candidate - self.reference, self.limit[:, None, :]
        return np.maximum(self._smallest(limit - error), self._smallest(limit + error))

    def gain(self) -> Array:
        error, limit = self.candidate - self.reference, self.limit[:, None, :]
        size, error = np.abs(self.candidate), np.sign(self.candidate) * error
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            up, down = (np.where(size > 0, (limit + way * error) / size, np.inf) for way in (-1.0, 1.0))
        return np.maximum(self._smallest(up), self._smallest(down))

    def ratios(self, changed: Array) -> Array:
        return self._largest(np.abs(changed - self.reference) / self.limit[:, None, :])

    def swaps(self) -> Array:
        width = self.reference.shape[-1]
        one = np.zeros((width, width))  # [d, j]: dimension d holds what j should
        for d in range(width):
            gap = np.abs(self.candidate - self.reference[:, :, d, None]) / self.limit[:, None, d, None]
            kept = None if self.kept is None else self.kept[:, :, d, None]
            one[d] = (gap if kept is None else np.where(kept, gap, 0.0)).max(axis=(0, 1), initial=0.0)
        return np.maximum(one, one.T)

    def _smallest(self, values: Array) -> Array:
        kept = values if self.kept is None else np.where(self.kept, values, np.inf)
        found: Array = np.maximum(kept.min(axis=(0, 1), initial=np.inf), 0.0)
        return found

    def _largest(self, values: Array) -> Array:
        kept = values if self.kept is None else np.where(self.kept, values, 0.0)
        found: Array = kept.max(axis=(0, 1), initial=0.0)
        return found


@dataclass(frozen=True, slots=True)
class Pool:
    """Sums of squares of Δ over all cases must keep ``whole`` over all dimensions, and ``each`` ``(D,)`` of it alone.

    ``each`` is infinite where a dimension is not judged by itself. The candidate keeps both.
    """

    reference: Array
    candidate: Array
    whole: float
    each: Array

    def offset(self) -> Array:
        error = self.candidate - self.reference
        return self._root(float(error.shape[0] * error.shape[1]), error.sum(axis=(0, 1)))

    def gain(self) -> Array:
        error = self.candidate - self.reference
        return self._root((self.candidate**2).sum(axis=(0, 1)), (error * self.candidate).sum(axis=(0, 1)))

    def ratios(self, changed: Array) -> Array:
        squares = ((changed - self.reference) ** 2).sum(axis=(0, 1))
        own = self._squares()
        found: Array = np.sqrt(np.maximum((own.sum() - own + squares) / self.whole, squares / self.each))
        return found

    def swaps(self) -> Array:
        own = self._squares()
        width = own.size
        one = np.stack([((self.candidate - self.reference[:, :, d, None]) ** 2).sum(axis=(0, 1)) for d in range(width)])
        whole = own.sum() - own[:, None] - own[None, :] + one + one.T
        alone = one / self.each[:, None]
        found: Array = np.sqrt(np.maximum(np.maximum(whole, 0.0) / self.whole, np.maximum(alone, alone.T)))
        return found

    def _squares(self) -> Array:
        squares: Array = ((self.candidate - self.reference) ** 2).sum(axis=(0, 1))
        return squares

    def _root(self, a: Array | float, b: Array) -> Array:
        """Return x > 0 where ``own + 2·b·x·(±1) + a·x²`` reaches what the dimension may have, for both signs."""
        own = self._squares()
        room = np.maximum(np.minimum(self.whole - (own.sum() - own), self.each) - own, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = (np.abs(b) + np.sqrt(b * b + a * room)) / a
        return np.where(np.isfinite(found), found, np.inf)


@dataclass(frozen=True, slots=True)
class Caught:
    """What a rule would have caught, per action dimension; ``swaps`` is ``(D, D)``, None for a single dimension.

    ``shift`` gives for each dimension the steps and the ratio of the first shift of it that is caught, or of the
    largest that was tried; ``chunk`` the same for all dimensions at once. Both None where T is 1.
    """

    offset: Array
    gain: Array
    sign: Array
    swaps: Array | None
    shift: tuple[tuple[int, float], ...] | None
    chunk: tuple[int, float] | None


def sensitivity(rule: Rule) -> Caught:
    """Return what ``rule`` would have caught."""
    steps, width = rule.reference.shape[1:]
    shift, chunk = _shifts(rule, steps) if steps > 1 else (None, None)
    return Caught(
        rule.offset(), rule.gain(), rule.ratios(-rule.candidate), rule.swaps() if width > 1 else None, shift, chunk
    )


def _shifts(rule: Rule, steps: int) -> tuple[tuple[tuple[int, float], ...], tuple[int, float]]:
    """Return the first shift that is caught both ways (early and late), for each dimension and for the whole chunk."""
    width = rule.reference.shape[-1]
    shift: list[tuple[int, float]] = [(0, 0.0)] * width
    chunk = (0, 0.0)
    for k in (k for k in SHIFTS if k < steps):
        early, late = (rule.ratios(move(rule.candidate, way)) for way in (k, -k))
        either = np.minimum(early, late)
        shift = [old if old[1] > 1.0 else (k, float(r)) for old, r in zip(shift, either, strict=True)]
        if not chunk[1] > 1.0:
            chunk = (k, float(min(early.max(), late.max())))
        if chunk[1] > 1.0 and all(r > 1.0 for _, r in shift):
            break
    return tuple(shift), chunk


def move(values: Array, steps: int) -> Array:
    """Return ``(N, T, D)`` moved ``steps`` earlier (later where negative), the step at the end (start) repeated."""
    length = values.shape[1]
    order = np.clip(np.arange(length) + steps, 0, length - 1)
    return np.take(values, order, axis=1)


def as_json(caught: Caught, names: tuple[str, ...] | None, informative: Array, number: Callable[[float], Any]) -> Any:
    """Return the figures of every dimension as plain data; ``number`` makes a float one of the report."""
    return [_dimension(caught, d, names, bool(informative[d]), number) for d in range(caught.offset.size)]


def _dimension(
    caught: Caught, d: int, names: tuple[str, ...] | None, informative: bool, number: Callable[[float], Any]
) -> dict[str, Any]:
    def finite(value: float) -> Any:
        return number(value) if np.isfinite(value) else None

    swap = None
    if caught.swaps is not None:
        ratios = caught.swaps[d].tolist()
        others = [j for j in range(len(ratios)) if j != d]
        least = min(others, key=ratios.__getitem__)
        missed = [j for j in others if not ratios[j] > 1.0]
        swap = {"caught": not missed, "with": least, "ratio": number(ratios[least]), "missed": missed}
    shift = None
    if caught.shift is not None:
        steps, ratio = caught.shift[d]
        shift = {"caught": ratio > 1.0, "steps": steps, "ratio": number(ratio)}
    return {
        "dimension": d,
        "name": None if names is None else names[d],
        "informative": informative,
        "offset": finite(caught.offset[d]),
        "gain": finite(caught.gain[d]),
        "sign": {"caught": bool(caught.sign[d] > 1.0), "ratio": number(caught.sign[d])},
        "swap": swap,
        "shift": shift,
    }
