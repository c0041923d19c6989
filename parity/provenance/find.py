"""Where in a weight set each exported tensor comes from: as it is, in parts, or computed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from parity.checkpoint.weight import Weight
from parity.provenance.compare_weights import squeezed
from parity.provenance.folds import Folds
from parity.provenance.parts import fitted, joined_from, split_of
from parity.provenance.pool import Pool, probe
from parity.provenance.reshaped import padded_from, reshaped_from

if TYPE_CHECKING:
    from parity.tensor import Array

How = Literal["exact", "rounded", "folded"]


@dataclass(frozen=True)
class Asked:
    """An exported tensor that says whose it is, with its probe."""

    name: str
    weight: Weight
    seen: Array

    @cached_property
    def plain(self) -> Weight:
        """The tensor as numbers without axes of length 1: as it is, or integers as what they stand for."""
        weight = self.weight
        if weight.quantization is None:
            return weight
        values = np.asarray(weight.as_float(), dtype=np.float32).reshape(squeezed(weight.shape))
        return Weight(weight.name, values.shape, "float32", lambda: values)

    @cached_property
    def all(self) -> Array:
        """All elements, flat, as float32."""
        return flat(self.plain)

    @cached_property
    def rest(self) -> Array:
        """The elements at odd places of the last axis, flat, as float32."""
        return rest(self.plain)


def flat(weight: Weight) -> Array:
    """Return all elements of a tensor, flat, as float32."""
    return np.ascontiguousarray(weight.as_float(), dtype=np.float32).reshape(-1)


def rest(weight: Weight) -> Array:
    """Return the elements of a tensor at odd places of its last axis, flat, as float32."""
    return np.ascontiguousarray(weight.as_float()[..., 1::2], dtype=np.float32).reshape(-1)


@dataclass(frozen=True, slots=True)
class Found:
    """An exported tensor and what it was found to be.

    ``how``: ``exact`` bit by bit, ``rounded`` to a lower precision class, ``folded`` where it was computed from several
    tensors; None where it is not there. ``source`` names the checkpoint's tensors, ``cosine`` how near the nearest is
    where ``how`` is None.
    """

    exported: str
    how: How | None
    source: str | None = None
    cosine: float | None = None


def asked(weight: Weight) -> Asked:
    """Return an exported tensor ready to be looked for. It must be `held`."""
    return Asked(weight.name, weight, probe(weight))


class Finder:
    """Looks for exported tensors in one weight set."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._folds = Folds(pool)

    def find(self, what: Asked) -> Found:
        """Return where the exported tensor comes from; the one of the most alike name where several hold its values.

        Raises:
            ArtifactError: a tensor's bytes cannot be read.
        """
        for source in sorted(self.pool.alike(what.weight, what.seen), key=lambda w: -common_tail(what.name, w.name)):
            how = fitted(what.weight, source)
            if how is not None:
                return Found(what.name, how, source.name)
        for source in self._folds.rearranged(what.weight, what.seen):
            how = fitted(what.weight, source)
            if how is not None:
                return Found(what.name, how, source.name)
        computed = self._folds.of(what.weight, what.plain, what.seen)
        if computed is not None:
            return Found(what.name, "folded", computed)
        parts = split_of(what.weight, self.pool) or joined_from(what.weight, self.pool)
        parts = parts or reshaped_from(what.weight, self.pool) or padded_from(what.weight, self.pool)
        return Found(what.name, None) if parts is None else Found(what.name, parts[1], parts[0])


def common_tail(a: str, b: str) -> int:
    """Return how many of the last characters two names share."""
    n = 0
    for x, y in zip(reversed(a), reversed(b), strict=False):
        if x != y:
            break
        n += 1
    return n
