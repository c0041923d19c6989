"""Whether a fine-tuning changed only what it claims: every tensor outside a pattern must be equal bit by bit.

Names are lined up first (`align`). Where a graph's exporter kept no names, tensors are found by value. Everything
counts here, integers and constants too: a BatchNorm's running statistics move in training mode though all parameters
are frozen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from parity.checkpoint.weight import Weight
from parity.errors import UsageError
from parity.provenance.align import Alignment, align, stripped
from parity.provenance.compare_weights import as_bits
from parity.provenance.find import Finder, asked
from parity.provenance.informative import why_silent
from parity.provenance.pool import Pool, held, numbers_of, views
from parity.provenance.source import only_names

if TYPE_CHECKING:
    from parity.tensor import Array

BLOCK = 1 << 20
RUNNING = re.compile(r"(^|\.)(running_mean|running_var|num_batches_tracked)$")


@dataclass(frozen=True, slots=True)
class Move:
    """A tensor that differs from the base's, and by how much.

    ``largest`` is max |Δ|, ``relative`` that over max |base| (infinite where the base is all zero), over elements that
    are finite on both sides; ``elements`` how many differ.
    """

    name: str
    largest: float
    relative: float
    elements: int
    size: int

    @property
    def running(self) -> bool:
        """Whether it is a running statistic of a BatchNorm."""
        return RUNNING.search(self.name) is not None


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between a fine-tuned file and its base.

    Attributes:
        outside: tensors outside the pattern that moved: there must be none.
        lost, new: names outside the pattern that only the base, or only the fine-tuned file has, or in another shape.
        inside: tensors inside the pattern that moved.
        still: names inside the pattern that did not move.
        equal: names outside the pattern that are equal bit by bit.
        alignment: how the names were lined up.
    """

    outside: tuple[Move, ...]
    lost: tuple[str, ...]
    new: tuple[str, ...]
    inside: tuple[Move, ...]
    still: tuple[str, ...]
    equal: tuple[str, ...]
    alignment: Alignment

    @property
    def kept(self) -> bool:
        """Whether nothing outside the pattern changed."""
        return not (self.outside or self.lost or self.new)

    @property
    def order(self) -> tuple[int, int]:
        """What sorts bases: the fewest changes outside the pattern first, then the most that is equal."""
        return len(self.outside) + len(self.lost) + len(self.new), -len(self.equal)


def changes(
    tuned: Mapping[str, Weight],
    base: Mapping[str, Weight],
    patterns: Sequence[str],
    *,
    graph: bool,
    trees: Sequence[str],
) -> Changes:
    """Return what differs between a fine-tuned weight set and its base.

    Args:
        tuned: the weights of the fine-tuned file.
        base: those it started from.
        patterns: shell-style patterns of the names that were to change, such as ``aux_decoder.*``.
        graph: whether the fine-tuned file is a graph, which leaves out what it does not run and may have lost names.
        trees: the names of both weight sets, which may stand before a tensor's name.

    Raises:
        ArtifactError: a tensor's bytes cannot be read.
    """
    a, b = (_bare(w, trees) for w in (tuned, base))
    alignment = align(a, b)
    pairs, again = list(alignment.pairs), list[tuple[str, str]]()
    unexpected = [a[n] for n in alignment.unexpected] + [a[n] for n, _ in alignment.conflicts]
    missing = [b[n] for n in alignment.missing] + [b[n] for _, n in alignment.conflicts]
    if graph:  # an exporter that lost a name, transposed or split a tensor: its values tell
        unexpected = [w for w in unexpected if why_silent(w) is None]
        again = _by_value(unexpected, b)
        unexpected = [w for w in unexpected if w.name not in dict(again)]
        missing = [w for w in missing if w.name not in {n for _, n in again}]

    def within(name: str, side: int) -> bool:
        return matches(name, patterns) or matches(stripped(name, alignment.strip[side]), patterns)

    moves = [(mine, theirs, moved(a[mine], b[theirs])) for mine, theirs in pairs]
    moves += [(mine, theirs, None) for mine, theirs in again]
    if graph:  # what lost its name and its values can only be told by its shape
        guessed = _by_shape(unexpected, [w for w in missing if within(w.name, 1)])
        moves += [(mine.name, theirs.name, moved(mine, theirs)) for mine, theirs in guessed]
        unexpected = [w for w in unexpected if w.name not in {mine.name for mine, _ in guessed}]
    inner = [within(mine, 0) or within(theirs, 1) for mine, theirs, _ in moves]
    sorted_ = list(zip(moves, inner, strict=True))
    return Changes(
        tuple(m for (_, _, m), i in sorted_ if m and not i),
        () if graph else tuple(w.name for w in missing if not within(w.name, 1)),
        tuple(w.name for w in unexpected if not within(w.name, 0)),
        tuple(m for (_, _, m), i in sorted_ if m and i),
        tuple(mine for (mine, _, m), i in sorted_ if not m and i),
        tuple(mine for (mine, _, m), i in sorted_ if not m and not i),
        alignment,
    )


def _by_value(weights: Sequence[Weight], base: Mapping[str, Weight]) -> list[tuple[str, str]]:
    """Return each tensor with what of the base it holds or was computed from, of those that were found."""
    finder = Finder(Pool(base))
    found = [finder.find(asked(held(w))) for w in weights]
    return [(f.exported, f.source.partition(" and ")[0]) for f in found if f.source is not None and f.how is not None]


def _by_shape(unexpected: Sequence[Weight], missing: Sequence[Weight]) -> list[tuple[Weight, Weight]]:
    """Return each tensor with the one, and only one, of its shape that it may have been, in the shape that it has."""
    found = []
    for weight in map(held, unexpected):
        options = [v for w in map(held, missing) for v in list(views(w, weight.shape))[:1]]
        if len(options) == 1:
            found.append((weight, options[0]))
    return found


def _bare(weights: Mapping[str, Weight], trees: Sequence[str]) -> dict[str, Weight]:
    found = dict(weights)
    for tree in trees:
        found = only_names(found, tree)
    return found


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name is one of those that patterns mean; a bare module's name means all below it."""
    return any(fnmatchcase(name, p) or name.startswith(p.rstrip(".") + ".") for p in patterns)


def checked(found: Changes, patterns: Sequence[str], names: Sequence[str]) -> None:
    """Refuse a pattern that no tensor has.

    Raises:
        UsageError: nothing is inside the pattern: whatever is proved is not what was meant.
    """
    a = found.alignment
    for pattern in patterns:
        short = [stripped(n, p) for n in names for p in a.strip]
        if not any(matches(n, [pattern]) for n in (*names, *short)):
            heads = sorted({n.partition(".")[0] for n in short})[:8]
            raise UsageError(
                f"--only {pattern!r}: no tensor is called so",
                expected=f"a pattern such as '{heads[0]}.*'; names begin with {', '.join(heads)}" if heads else None,
            )


def moved(mine: Weight, theirs: Weight) -> Move | None:
    """Return how far a tensor is from the base's; None where all bits are the same.

    Raises:
        ArtifactError: a tensor's bytes cannot be read.
    """
    a, b = mine.array, theirs.array
    if a.dtype == b.dtype and mine.dtype == theirs.dtype and np.array_equal(as_bits(a), as_bits(b)):
        return None
    x, y = (numbers_of(w).reshape(-1) for w in (mine, theirs))
    differ = ~((x == y) | (np.isnan(x) & np.isnan(y)))
    both = np.isfinite(x) & np.isfinite(y)
    gap, size = _largest(np.where(both, x - y, 0.0)), _largest(np.where(np.isfinite(y), y, 0.0))
    relative = gap / size if size else (float("inf") if gap else 0.0)
    return Move(mine.name, gap, relative, int(differ.sum()), x.size)


def _largest(values: Array) -> float:
    return float(np.abs(values).max(initial=0.0))
