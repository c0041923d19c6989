"""Exported tensors that hold a source's values in another shape: axes merged or split, or zeros put behind them.

Compilers store a weight as its hardware reads it. What their file does not say of the shape before is found here by the
values alone: all of them, in the source's own order or that of its transpose.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from parity.checkpoint.weight import Weight
from parity.provenance.compare_weights import How, is_informative, same_values, squeezed
from parity.provenance.parts import MANTISSA, MIN_BITS_OF_EQUAL, fitted
from parity.provenance.pool import COARSEST, FAINT, Pool, numbers, probe

if TYPE_CHECKING:
    from parity.tensor import Array

PROBES = 16


def reshaped_from(exported: Weight, pool: Pool) -> tuple[str, How] | None:
    """Return the source whose values the exported tensor holds in another shape, and how; None where there is none.

    Raises:
        ArtifactError: a tensor's bytes cannot be read.
    """
    if not _tells(exported):
        return None
    axes = sorted(exported.shape)
    for source in pool.of_size(exported.size):
        if source.quantization is not None or sorted(source.shape) == axes:
            continue  # of the same axes: it was asked before
        for mine, theirs in product(_orders(exported), _orders(source)):
            if _alike(exported, mine, source, theirs):
                how = same_values(_in_a_row(exported, mine), _in_a_row(source, theirs))
                if how is not None:
                    return source.name, how
    return None


def _tells(weight: Weight) -> bool:
    """Whether a tensor has enough bits that no other holds its values by chance."""
    return weight.quantization is None and weight.size * MANTISSA.get(weight.dtype, 0) >= MIN_BITS_OF_EQUAL


def _orders(weight: Weight) -> list[Array]:
    """Return the tensor's array, and for a matrix its transpose; no element is copied."""
    array = weight.array
    return [array, array.T] if array.ndim == 2 else [array]


def _in_a_row(weight: Weight, array: Array) -> Weight:
    return replace(weight, shape=(weight.size,), load=lambda: array.reshape(-1))


def _alike(a: Weight, first: Array, b: Weight, second: Array) -> bool:
    """Whether a few elements agree up to the coarsest rounding."""
    at = np.linspace(0, a.size - 1, PROBES).astype(np.int64)
    x, y = numbers(first.flat[at], a.dtype), numbers(second.flat[at], b.dtype)
    with np.errstate(all="ignore"):
        return bool((np.abs(x - y) <= COARSEST * np.abs(y) + FAINT).all())


def padded_from(exported: Weight, pool: Pool) -> tuple[str, How] | None:
    """Return the source that the exported tensor holds with zeros behind it, and how; None where there is none.

    Raises:
        ArtifactError: a tensor's bytes cannot be read.
    """
    kept = _without_zeros(exported) if _tells(exported) else None
    if kept is None or not _tells(kept) or not is_informative(kept):
        return None
    seen = probe(kept)
    for source in pool.alike(kept, seen):
        how = fitted(kept, source)
        if how is not None:
            shape = ", ".join(map(str, exported.shape))
            return f"{source.name} (padded with zeros to {shape})", how
    return None


def _without_zeros(weight: Weight) -> Weight | None:
    """Return a tensor without the slices at the ends of its axes that are all zero; None where there are none."""
    array = weight.array
    if all(array.take(-1, axis=axis).any() for axis in range(array.ndim)):  # as with most
        return None
    filled, ends = array != 0, []
    for axis, length in enumerate(weight.shape):
        others = tuple(i for i in range(len(weight.shape)) if i != axis)
        places = np.flatnonzero(filled.any(axis=others))
        ends.append(int(places[-1]) + 1 if places.size else length)
    if tuple(ends) == weight.shape:
        return None
    part: Array = weight.array[tuple(slice(n) for n in ends)]
    shape = squeezed(tuple(ends))
    return replace(weight, shape=shape, load=lambda: part.reshape(shape))
