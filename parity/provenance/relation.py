"""How an exported file stands to one weight set of one checkpoint: MATCH, PARTIAL, STALE or FOREIGN.

Counted from the exported side, over the tensors that say whose they are. MATCH: all found, at least one. PARTIAL: at
least half. STALE: fewer, every exported matrix has a partner of its shape, and the median cosine over matrices (two
axes > 1, at least 256 elements) is at least 0.2. FOREIGN: otherwise. NOT_JUDGED: no tensor says anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal

import numpy as np

from parity.checkpoint.weight import Weight
from parity.provenance.find import Asked, Finder, Found, common_tail, flat, rest
from parity.provenance.folds import weight_norms
from parity.provenance.pool import Pool, held, numbers, views
from parity.provenance.rebuilt import recurrent_weights

if TYPE_CHECKING:
    from parity.tensor import Array

Relation = Literal["MATCH", "PARTIAL", "STALE", "FOREIGN", "NOT_JUDGED"]
RANK: dict[Relation, int] = {"MATCH": 0, "PARTIAL": 1, "STALE": 2, "FOREIGN": 3, "NOT_JUDGED": 4}
# Measured: retrained from scratch <= 0.02, stale 0.42 to 0.999 (docs/benchmarks.md has those of the corpus).
STALE_COSINE = 0.2
MATRIX = 256  # elements from which a matrix says something by its direction
SAMPLED = 48  # places along each axis at which a partner is chosen among several of one shape
MAX_TRIED = 64


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one weight set is to the exported file: the relation, and where each exported tensor was found."""

    relation: Relation
    found: tuple[Found, ...]
    cosine: float | None = None

    @property
    def total(self) -> int:
        """Number of exported tensors that say whose they are."""
        return len(self.found)

    @property
    def matched(self) -> int:
        """How many are there as they are: moved, split, joined or rounded, but not computed."""
        return sum(f.how in ("exact", "rounded") for f in self.found)

    @property
    def folded(self) -> int:
        """How many were computed from several tensors of the set."""
        return sum(f.how == "folded" for f in self.found)

    @property
    def rounded(self) -> int:
        """How many of the matched ones are so after rounding to a lower precision class."""
        return sum(f.how == "rounded" for f in self.found)

    @property
    def missing(self) -> tuple[Found, ...]:
        """The exported tensors that are not there."""
        return tuple(f for f in self.found if f.how is None)


def relate(exported: Sequence[Asked], pool: Pool) -> Outcome:
    """Return what a weight set is to the exported tensors.

    Raises:
        ArtifactError: a tensor's bytes cannot be read.
    """
    finder = Finder(pool)
    found = [finder.find(one) for one in exported]
    hits = sum(f.how is not None for f in found)
    if not found:
        return Outcome("NOT_JUDGED", ())
    if hits == len(found):
        return Outcome("MATCH", tuple(found))
    nearest = _Nearest(pool)
    for i, (one, what) in enumerate(zip(exported, found, strict=True)):
        if what.how is None:
            found[i] = nearest.of(one)
    if 2 * hits >= len(found):
        return Outcome("PARTIAL", tuple(found))
    return _stale_or_foreign(exported, found)


def _stale_or_foreign(exported: Sequence[Asked], found: Sequence[Found]) -> Outcome:
    pairs = [f for one, f in zip(exported, found, strict=True) if is_matrix(one.weight)]
    cosines = [1.0 if f.how is not None else f.cosine for f in pairs]
    if not cosines or any(f.how is None and f.source is None for f in pairs):
        return Outcome("FOREIGN", tuple(found))
    middle = median([0.0 if c is None else c for c in cosines])
    return Outcome("STALE" if middle >= STALE_COSINE else "FOREIGN", tuple(found), middle)


def is_matrix(weight: Weight) -> bool:
    """Whether a tensor's direction says something: two axes longer than 1, and 256 elements."""
    return sum(n > 1 for n in weight.shape) >= 2 and math.prod(weight.shape) >= MATRIX


class _Nearest:
    """Finds the tensor of a weight set that comes nearest to an exported one of its shape."""

    def __init__(self, pool: Pool) -> None:
        rebuilt = [*recurrent_weights(pool.all), *weight_norms(pool.all)]
        self._rebuilt: dict[tuple[int, ...], list[Weight]] = {}
        for weight in map(held, rebuilt):
            self._rebuilt.setdefault(tuple(sorted(weight.shape)), []).append(weight)
        self._pool = pool
        self._options: dict[tuple[tuple[int, ...], bool], tuple[list[Weight], Array]] = {}

    def of(self, what: Asked) -> Found:
        """Return the nearest by cosine; no source where none has the exported tensor's shape.

        A normalizer's statistics are near to statistics only, weights to weights.

        Where several have it, the nearest is chosen on every other element and measured on the rest: the best of many
        unrelated ones looks better than it is on the elements that it was chosen by.
        """
        options, samples = self._of_shape(what.plain)
        if not options:
            return Found(what.name, None)
        if len(options) == 1:
            return Found(what.name, None, options[0].name, _cosine(what.all, flat(options[0])))
        with np.errstate(all="ignore"):
            near = np.nan_to_num(samples @ _unit(_sample(what.plain)), nan=-2.0)
        alike = np.array([common_tail(what.name, o.name) for o in options])
        chosen = options[int(np.lexsort((-alike, -near))[0])]
        return Found(what.name, None, chosen.name, _cosine(what.rest, rest(chosen)))

    def _of_shape(self, exported: Weight) -> tuple[list[Weight], Array]:
        """Return what may be near a tensor of this shape, in its shape, and a sample of each ``(N, elements)``."""
        shape, key = exported.shape, (exported.shape, exported.statistics)
        if key not in self._options:
            sources = [w for w in self._pool.of_shape(exported) if w.quantization is None]
            sources = [w for w in sources if w.statistics == exported.statistics]
            sources += self._rebuilt.get(tuple(sorted(shape)), [])
            options = [v for w in sources[:MAX_TRIED] for v in views(w, shape)]
            samples = np.stack([_unit(_sample(o)) for o in options]) if len(options) > 1 else np.empty((0, 0))
            self._options[key] = options, samples
        return self._options[key]


def _sample(weight: Weight) -> Array:
    """Return some thousand elements at even places of the last axis, taken without reading the whole tensor."""
    array, steps = weight.array, []
    for n in weight.shape[:-1]:
        steps.append(max(1, n // SAMPLED))
    steps.append(2 * max(1, (weight.shape or (1,))[-1] // (2 * SAMPLED)))
    part = array[tuple(slice(None, None, s) for s in steps[-array.ndim :])] if array.ndim else array.reshape(1)
    return numbers(np.asarray(part), weight.dtype).astype(np.float32).reshape(-1)


def _unit(x: Array) -> Array:
    with np.errstate(all="ignore"):
        unit: Array = x / np.sqrt(float(x @ x))
    return unit


def _cosine(x: Array, y: Array) -> float | None:
    """Return the cosine of two float32 vectors, summed in blocks so that rounding stays below 1e-6; None: undefined."""
    dot = xx = yy = 0.0
    with np.errstate(all="ignore"):
        for i in range(0, x.size, 1 << 14):
            u, v = x[i : i + (1 << 14)], y[i : i + (1 << 14)]
            dot, xx, yy = dot + float(u @ v), xx + float(u @ u), yy + float(v @ v)
    if not (0 < xx < np.inf and 0 < yy < np.inf) or not math.isfinite(dot):
        return None
    return max(-1.0, min(1.0, dot / math.sqrt(xx * yy)))
