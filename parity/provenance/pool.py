"""The tensors of one weight set, arranged so that the partner of an exported tensor is found without trying them all.

Each tensor has a probe: a few elements at places that no transposition moves (the diagonal and the far corner). A
tensor whose probe differs by more than the coarsest rounding cannot be a partner, whatever the rest of it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from parity.checkpoint.weight import Weight
from parity.provenance.compare_weights import is_weight_like, rounded_to, squeezed

if TYPE_CHECKING:
    from parity.tensor import Array

PROBES = 8
COARSEST = 2.0**-7  # relative, of an element after rounding to bfloat16 (half a step is 2^-9 of a power of two)
FAINT = 1.2e-7  # what float16 makes zero of, or what a converter makes of it
MAX_AXES_PERMUTED = 5
Key = tuple[int, ...]


def held(weight: Weight) -> Weight:
    """Return a weight whose values are read once and kept; its shape has no axes of length 1."""
    kept: list[Array] = []

    def load() -> Array:
        if not kept:
            kept.append(weight.load().reshape(squeezed(weight.shape)))
        return kept[0]

    if weight.quantization is not None:  # its axis counts those of length 1 too
        return weight
    return replace(weight, shape=squeezed(weight.shape), load=load)


def numbers(raw: Array, dtype: str) -> Array:
    """Return raw elements as float64: bfloat16 comes as its bits."""
    if dtype == "bfloat16":
        raw = (raw.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return raw.astype(np.float64)


def numbers_of(weight: Weight, raw: Array | None = None) -> Array:
    """Return a weight's values as float64, in its shape; or those of ``raw``, elements of it as they are stored.

    Raises:
        ArtifactError: its bytes cannot be read.
    """
    if raw is not None:
        return numbers(raw, weight.dtype)
    return np.asarray(weight.as_float(), dtype=np.float64)


def as_stored(values: Array, dtype: str) -> Array:
    """Return float64 numbers after rounding to the class of ``dtype``: what an export to it would hold."""
    if dtype == "bfloat16":
        return rounded_to(values.astype(np.float32), "bfloat16").astype(np.float64)
    return values if dtype == "float64" else rounded_to(values, np.dtype(dtype).type).astype(np.float64)


def probe(weight: Weight) -> Array:
    """Return ``(PROBES,)`` elements of a tensor, as float64, that stand where no transposition moves them."""
    at = _places(weight.shape)
    if weight.quantization is not None:
        return np.asarray(weight.as_float(), dtype=np.float64)[at].reshape(-1)
    return numbers(np.asarray(weight.array[at]).reshape(-1), weight.dtype)


@lru_cache(maxsize=4096)
def _places(shape: Key) -> tuple[Array, ...]:
    diagonal = np.linspace(0, min(shape, default=1) - 1, PROBES - 1).astype(np.int64)
    return tuple(np.append(diagonal, n - 1) for n in shape)


@lru_cache(maxsize=4096)
def _orders(given: Key, wanted: Key) -> tuple[tuple[int, ...], ...]:
    """Return the orders of a shape's axes that make another shape, the unchanged one first."""
    if len(given) > MAX_AXES_PERMUTED:
        return (tuple(range(len(given))),) if given == wanted else ()
    return tuple(o for o in permutations(range(len(given))) if tuple(given[i] for i in o) == wanted)


def views(source: Weight, shape: Key) -> Iterable[Weight]:
    """Yield the source in each order of its axes that has ``shape``: as it is first."""
    if len(source.shape) != len(shape):
        return
    for order in _orders(source.shape, shape):
        if order == tuple(range(len(shape))):
            yield source
        else:
            yield replace(source, shape=shape, load=partial(_transposed, source, order))


def _transposed(source: Weight, order: tuple[int, ...]) -> Array:
    return source.array.transpose(order)


@dataclass(frozen=True, slots=True)
class Corner:
    """A source and where in it a number was found: ``offset`` along ``axis``, 0 on the other axes."""

    source: Weight
    axis: int
    offset: int


class Pool:
    """The tensors of one weight set that an exported tensor may have come from.

    Args:
        weights: the set, with a normalizer's statistics.
    """

    def __init__(self, weights: Mapping[str, Weight]) -> None:
        self.all = dict(weights)
        self.weights = [held(w) for w in weights.values() if is_weight_like(w) and w.size and "float8" not in w.dtype]
        self.by_name = {w.name: w for w in self.weights}
        self._lines: dict[str, tuple[Array, Array]] = {}
        self._corners: dict[str, dict[float, list[Weight]]] = {}

    @cached_property
    def _groups(self) -> dict[Key, tuple[list[Weight], Array]]:
        return grouped(self.weights)

    def alike(self, exported: Weight, seen: Array) -> list[Weight]:
        """Return the sources of the exported tensor's shape (axes in any order) whose probes agree with ``seen``."""
        return agreeing(self._groups, exported, seen)

    def of_shape(self, exported: Weight) -> list[Weight]:
        """Return the sources of the exported tensor's shape, their axes in any order."""
        return self._groups.get(tuple(sorted(squeezed(exported.shape))), ([], np.empty((0, PROBES))))[0]

    def of_size(self, size: int) -> list[Weight]:
        """Return the sources of so many elements."""
        return self._sizes.get(size, [])

    @cached_property
    def _sizes(self) -> dict[int, list[Weight]]:
        found: dict[int, list[Weight]] = {}
        for weight in self.weights:
            found.setdefault(weight.size, []).append(weight)
        return found

    def starting_with(self, number: float, dtype: str) -> list[Weight]:
        """Return the sources whose first element, rounded to ``dtype``, is ``number``."""
        if dtype not in self._corners:
            found: dict[float, list[Weight]] = {}
            first = np.array([p[0] for p in (probe(w) for w in self.weights)])
            for weight, value in zip(self.weights, as_stored(first, dtype), strict=True):
                found.setdefault(float(value), []).append(weight)
            self._corners[dtype] = found
        return self._corners[dtype].get(number, [])

    def with_edge(self, number: float, dtype: str) -> list[Corner]:
        """Return where a part that starts with ``number`` could begin: on the edges of the sources."""
        if dtype not in self._lines:
            edges = [as_stored(_edge(w, axis), dtype) for w, axis in self._edges]
            values = np.concatenate([*edges, np.empty(0)])
            order = np.argsort(values, kind="stable")
            self._lines[dtype] = values[order], order
        values, order = self._lines[dtype]
        low, high = np.searchsorted(values, number, "left"), np.searchsorted(values, number, "right")
        found = []
        for place in order[low : min(high, low + 256)]:
            which = int(np.searchsorted(self._starts, place, "right")) - 1
            weight, axis = self._edges[which]
            found.append(Corner(weight, axis, int(place - self._starts[which])))
        return found

    @cached_property
    def _edges(self) -> list[tuple[Weight, int]]:
        return [(w, axis) for w in self.weights if w.quantization is None for axis in range(len(w.shape))]

    @cached_property
    def _starts(self) -> Array:
        return np.concatenate([[0], np.cumsum([w.shape[axis] for w, axis in self._edges])]).astype(np.int64)


def _edge(weight: Weight, axis: int) -> Array:
    at = tuple(slice(None) if i == axis else 0 for i in range(len(weight.shape)))
    return numbers(np.asarray(weight.array[at]), weight.dtype)


def grouped(weights: Sequence[Weight]) -> dict[Key, tuple[list[Weight], Array]]:
    """Return weights with their probes ``(N, PROBES)`` by shape, whatever the order of the axes."""
    found: dict[Key, list[Weight]] = {}
    for weight in weights:
        found.setdefault(tuple(sorted(squeezed(weight.shape))), []).append(weight)
    return {key: (group, np.stack([probe(w) for w in group])) for key, group in found.items()}


def agreeing(
    groups: Mapping[Key, tuple[list[Weight], Array]], exported: Weight, seen: Array, step: float = 0.0
) -> list[Weight]:
    """Return those of a group with the exported tensor's shape whose probes agree, up to the coarsest rounding.

    ``step`` is half a step of the exported tensor's integers.
    """
    group, probes = groups.get(tuple(sorted(squeezed(exported.shape))), ([], np.empty((0, PROBES))))
    if exported.quantization is not None or not group:
        return list(group)
    with np.errstate(all="ignore"):
        near = np.abs(probes - seen) <= COARSEST * np.abs(probes) + FAINT + 2 * step
        near |= (np.isnan(probes) & np.isnan(seen)) | ~np.isfinite(seen)
    return [group[i] for i in np.flatnonzero(near.all(axis=1))]
