"""Which tensors of a checkpoint are inside an exported file, exactly.

Counted from the exported side: each of its informative weights either has a partner with the same values or not. A
normalizer's statistics are counted apart, since an export folds them (``std + eps``) and a missing normalizer is
another fault than foreign weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from parity.checkpoint.weight import Weight
from parity.finding import Finding
from parity.provenance.compare_weights import (
    How,
    cosine,
    is_folded_std,
    is_informative,
    is_weight_like,
    same_values,
    squeezed,
)
from parity.provenance.rebuilt import folded_biases, is_folded_bias, is_folded_weight, recurrent_weights

NAMED = 3  # how many unmatched weights a sentence names
NEAREST = 8  # how many weights of the same shape are asked how near they are


@dataclass(frozen=True, slots=True)
class Partner:
    """An exported weight, the source's weight that it was compared with, and what was found.

    ``how`` is None where the values differ; ``source`` is None where no weight of the source has its shape. ``cosine``
    is that of the values where they differ.
    """

    exported: str
    source: str | None
    how: How | None = None
    cosine: float | None = None


@dataclass(frozen=True, slots=True)
class WeightMatch:
    """The outcome for all exported weights. ``weights`` and ``statistics`` (of a normalizer) are disjoint.

    ``instead``: the weight set of the source that holds them all, and the one that evaluation uses and they were
    compared with; None where that is not so.
    """

    weights: tuple[Partner, ...]
    statistics: tuple[Partner, ...]
    instead: tuple[str, str] | None = None

    @property
    def total(self) -> int:
        """Number of informative exported weights, without a normalizer's statistics."""
        return len(self.weights)

    @property
    def matched(self) -> int:
        """Number of exported weights whose values are in the source, bit by bit or after rounding."""
        return sum(p.how is not None for p in self.weights)

    @property
    def rounded(self) -> int:
        """How many of the matched ones match only after rounding to a lower precision class."""
        return sum(p.how == "rounded" for p in self.weights)

    @property
    def folded(self) -> int:
        """How many of the matched ones are the source's weights with a BatchNorm folded in."""
        return sum(p.how == "folded" for p in self.weights)

    @property
    def unmatched(self) -> tuple[Partner, ...]:
        """The exported weights whose values are not in the source."""
        return tuple(p for p in self.weights if p.how is None)

    @property
    def statistics_matched(self) -> int:
        """Number of the exported normalizer's constants that are in the source, as they are or folded."""
        return sum(p.how is not None for p in self.statistics)

    @property
    def one_sentence(self) -> str:
        """The outcome in words, such as ``0 of 8 weights match: another checkpoint``."""
        if not self.total:
            return "the exported file holds no weights that could be compared"
        counted = f"{self.matched} of {self.total} weights match"
        changed = [(self.rounded, "after rounding"), (self.folded, "with a BatchNorm folded in")]
        told = ", ".join(f"{n} {how}" for n, how in changed if n)
        counted += f" ({told})" if told else ""
        if self.matched == self.total:
            differing = len(self.statistics) - self.statistics_matched
            return counted + (f"; {differing} of the normalizer's constants differ" if differing else "")
        if self.instead is not None:
            return f"{counted}: these are the weights of {self.instead[0]}, and evaluation uses {self.instead[1]}"
        if self.matched == 0:
            fitting = sum(p.source is not None for p in self.unmatched)
            return counted + (": another checkpoint" if fitting * 2 >= self.total else ": another architecture")
        named = [_described(p) for p in self.unmatched[:NAMED]]
        more = len(self.unmatched) - len(named)
        verb = "differ" if len(self.unmatched) > 1 else "differs"
        listed = ", ".join(name for name, _ in named) + (f" and {more} more" if more else "")
        cosines = [c for _, c in named if c]
        return f"{counted}; {listed} {verb}" + (f" ({', '.join(cosines)})" if cosines else "")

    def finding(self) -> Finding | None:
        """Return the outcome as a finding; None where all weights match."""
        if self.total and self.matched == self.total:
            return None
        gone = self.matched == 0 and self.total > 0
        return Finding(
            "WEIGHT001" if self.total else "WEIGHT003",
            "error" if self.total else "info",
            self.one_sentence[:1].upper() + self.one_sentence[1:] + ".",
            where=self.unmatched[0].exported if self.unmatched else "",
            evidence={
                "matched": self.matched,
                "rounded": self.rounded,
                "total": self.total,
                "unmatched": [{"exported": p.exported, "source": p.source, "cosine": p.cosine} for p in self.unmatched],
            },
            remedy="export again from the checkpoint that is meant"
            if gone
            else "look at how these weights were exported",
        )


def _described(partner: Partner) -> tuple[str, str]:
    if partner.source is None:
        return partner.exported, "no weight of its shape"
    return partner.exported, "" if partner.cosine is None else f"cosine {partner.cosine:.2f}"


def match_weights(exported: Mapping[str, Weight], source: Mapping[str, Weight]) -> WeightMatch:
    """Return which of the exported weights hold values of the source, and for the others how near they come.

    Equal means bit by bit, where 2-d ones may be transposed, axes of length 1 are ignored and the gates of recurrent
    layers may be in ONNX's order; or after rounding the source's values to the exported precision class, or with a
    BatchNorm of the source folded in (both counted apart). Names are not needed, but the partner of the same
    name is tried first. Tensors without information (one element, constant, integers) do not count.

    Raises:
        ArtifactError: a tensor's bytes cannot be read.
    """
    plain = [w for w in source.values() if is_weight_like(w)]
    by_shape = _by_shape(plain)
    rebuilt = _by_shape([*recurrent_weights(source)])
    biases = _by_shape([*folded_biases(source)])
    weights, statistics = [], []
    for weight in exported.values():
        if not is_informative(weight):
            continue
        shape = _shape_key(weight)
        candidates = _ordered(weight, by_shape.get(shape, []))
        if weight.statistics:
            statistics.append(_partner(weight, candidates, is_folded_std))
            continue
        whole = [*candidates, *_ordered(weight, rebuilt.get(shape, []))]
        partner = _partner(weight, whole, is_folded_weight if biases else None)
        if partner.how is None:
            folded = next((b for b in biases.get(shape, []) if is_folded_bias(weight, b)), None)
            partner = partner if folded is None else Partner(weight.name, folded.name, "folded")
        weights.append(partner)
    return WeightMatch(tuple(weights), tuple(statistics))


def _shape_key(weight: Weight) -> tuple[int, ...]:
    return tuple(sorted(squeezed(weight.shape)))


def _by_shape(weights: Sequence[Weight]) -> dict[tuple[int, ...], list[Weight]]:
    found: dict[tuple[int, ...], list[Weight]] = {}
    for weight in weights:
        found.setdefault(_shape_key(weight), []).append(weight)
    return found


def _ordered(weight: Weight, candidates: Sequence[Weight]) -> list[Weight]:
    """Return the candidates that have the weight's shape or its transpose, those of the most alike name first."""
    fitting = [
        c
        for c in candidates
        if squeezed(c.shape) in (squeezed(weight.shape), squeezed(weight.shape)[::-1]) and not _other_part(weight, c)
    ]
    return sorted(fitting, key=lambda c: -_common_tail(weight.name, c.name))


def _other_part(weight: Weight, candidate: Weight) -> bool:
    return candidate.statistics and not weight.statistics


def _common_tail(a: str, b: str) -> int:
    n = 0
    for x, y in zip(reversed(a), reversed(b), strict=False):
        if x != y:
            break
        n += 1
    return n


def _partner(
    weight: Weight, candidates: Sequence[Weight], is_folded: Callable[[Weight, Weight], bool] | None
) -> Partner:
    for candidate in candidates:
        how = same_values(weight, candidate)
        if how is not None:
            return Partner(weight.name, candidate.name, how)
    if is_folded is not None:
        for candidate in sorted(candidates, key=lambda c: "var" in c.name.rpartition(".")[2]):
            if is_folded(weight, candidate):
                return Partner(weight.name, candidate.name, "folded")
    if not candidates:
        return Partner(weight.name, None)
    near = [(cosine(weight, c), c.name) for c in candidates[:NEAREST]]
    best, name = max(near, key=lambda n: -2.0 if n[0] is None else n[0])
    return Partner(weight.name, name, None, best)
