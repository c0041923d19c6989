"""What rounding alone does to an output: the floor of each case and action dimension.

``floor[case, dim]`` is the largest of four terms, each of the *reference* and of that case and dimension only:

1. ``float64``: the difference between its float32 and float64 results, where float64 can be had;
2. ``variants``: the spread over legitimate ways to compute the same (graph optimizations off, one thread, inputs one
   unit in the last place up or down);
3. ``rounding``: 8 · 2⁻²⁴ · the largest magnitude of that dimension over the cases of the profile;
4. 2⁻¹²⁶, the smallest normal float32.

An element where (1) or (2) exceeds `UNSTABLE` of the dimension's scale says nothing about a candidate: the reference
itself is not stable there. It is counted, shown and left out; above `UNSTABLE_SHARE` the output is not judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from parity.tensor import Array

ROUNDING = 8 * 2.0**-24
TINY = 2.0**-126
UNSTABLE = 1e-3
UNSTABLE_SHARE = 0.01
MAX_DIMENSIONS = 4096  # a longer last axis (an image, a feature map) is judged as a whole


def by_dimension(values: Array) -> Array:
    """Return ``(..., D)`` as ``(M, D)``: one column per action dimension; ``(M, 1)`` for vectors and very long axes."""
    flat = np.asarray(values)
    return flat.reshape(-1, dimensions_of(flat.shape))


def dimensions_of(shape: tuple[int, ...]) -> int:
    """Return how many action dimensions a tensor of ``shape`` has: its last axis; 1 for vectors and very long axes."""
    wide = len(shape) >= 2 and 0 < shape[-1] <= MAX_DIMENSIONS
    return shape[-1] if wide else 1


def dimension_max(values: Array) -> Array:
    """Return the largest finite magnitude in each action dimension of ``(..., D)``, as float64 ``(D,)``."""
    columns = np.abs(by_dimension(values).astype(np.float64, copy=False))
    if columns.size == 0:
        return np.zeros(columns.shape[-1])
    largest: Array = np.where(np.isfinite(columns), columns, 0.0).max(axis=0)
    return largest


@dataclass(frozen=True, slots=True)
class Floor:
    """The floor of one output in one case, per action dimension, all arrays ``(D,)`` in the output's own units.

    ``float64`` and ``variants`` are None where that term could not be had. ``scale`` is the largest magnitude of each
    dimension over the profile. ``unstable`` of ``elements`` elements are left out of the comparison.
    """

    scale: Array
    float64: Array | None
    variants: Array | None
    unstable: int
    elements: int

    @property
    def rounding(self) -> Array:
        result: Array = ROUNDING * self.scale
        return result

    @property
    def total(self) -> Array:
        """The floor itself: the largest of the terms that apply."""
        terms = [self.rounding, np.full_like(self.scale, TINY)]
        terms += [t for t in (self.float64, self.variants) if t is not None]
        result: Array = np.max(terms, axis=0)
        return result

    @property
    def unstable_share(self) -> float:
        return self.unstable / self.elements if self.elements else 0.0


def floor_of(scale: Array, terms: Mapping[str, Array], elements: int) -> tuple[Floor, Array | None]:
    """Return the floor of one case from element-wise terms, and the mask of the elements that are left out.

    Args:
        scale: largest magnitude per dimension over the profile, ``(D,)``.
        terms: ``float64`` and ``variants``, each shaped as the output, absolute values; either may be missing.
        elements: number of elements of the output.

    A term that is NaN or infinite (the variant overflowed where float32 did not, say) makes its element unstable.
    """
    columns = {name: by_dimension(t).astype(np.float64, copy=False) for name, t in terms.items()}
    if not columns:
        return Floor(scale, None, None, 0, elements), None
    bad = np.zeros(next(iter(columns.values())).shape, dtype=bool)
    for values in columns.values():
        bad |= ~(values <= UNSTABLE * np.maximum(scale, TINY))
    kept = {name: np.where(bad, 0.0, values).max(axis=0, initial=0.0) for name, values in columns.items()}
    unstable = int(bad.sum())
    floor = Floor(scale, kept.get("float64"), kept.get("variants"), unstable, elements)
    return floor, bad if unstable else None
