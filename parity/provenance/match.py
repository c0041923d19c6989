"""Whether the weights of one file are those of another, in words: what `compare` asks of its two sides.

Tensors are matched as in `parity provenance` (`origin`), and counted from the exported side. A normalizer's statistics
are counted apart: a missing normalizer is another fault than foreign weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from parity.artifact import Artifact
from parity.checkpoint.checkpoint import read_checkpoint
from parity.finding import Finding
from parity.provenance.compare_weights import is_informative
from parity.provenance.evaluated import evaluated_tree, not_evaluated
from parity.provenance.find import Asked, Found
from parity.provenance.origin import Candidate, Trace, candidates_of, speaking
from parity.provenance.relation import Relation
from parity.provenance.source import GRAPHS, WHOLE, Source, source_of
from parity.provenance.words import NAMED, listed


@dataclass(frozen=True, slots=True)
class WeightMatch:
    """The outcome for all exported tensors that say whose they are.

    Attributes:
        weights: the weights, and where in the source each was found.
        statistics: the same of a normalizer's statistics.
        relation: as `parity provenance` has it; over both.
        instead: the weight set of the source that they are from, and the one that evaluation uses and they were
            compared with; None where that is not so.
        silent: which of the files holds no weights to compare, where one does not: ``exported`` or ``other``.
    """

    weights: tuple[Found, ...]
    statistics: tuple[Found, ...] = ()
    relation: Relation = "NOT_JUDGED"
    instead: tuple[str, str] | None = None
    silent: Literal["exported", "other"] = "exported"

    @property
    def total(self) -> int:
        """Number of exported weights that say whose they are, without a normalizer's statistics."""
        return len(self.weights)

    @property
    def matched(self) -> int:
        """Number of exported weights that are the source's: as they are, after rounding, or computed from them."""
        return sum(f.how is not None for f in self.weights)

    @property
    def rounded(self) -> int:
        """How many of the matched ones match only after rounding to a lower precision class."""
        return sum(f.how == "rounded" for f in self.weights)

    @property
    def folded(self) -> int:
        """How many of the matched ones were computed from several of the source's, such as with a BatchNorm."""
        return sum(f.how == "folded" for f in self.weights)

    @property
    def unmatched(self) -> tuple[Found, ...]:
        """The exported weights that are not the source's."""
        return tuple(f for f in self.weights if f.how is None)

    @property
    def statistics_matched(self) -> int:
        """Number of the exported normalizer's constants that are in the source, as they are or folded."""
        return sum(f.how is not None for f in self.statistics)

    @property
    def one_sentence(self) -> str:
        """The outcome in words, such as ``0 of 8 weights match: another checkpoint``."""
        if not self.total:
            return f"the {self.silent} file holds no weights that could be compared"
        counted = f"{self.matched} of {self.total} weights match"
        changed = [(self.rounded, "after rounding"), (self.folded, _computed(self.weights))]
        told = ", ".join(f"{n} {how}" for n, how in changed if n)
        counted += f" ({told})" if told else ""
        if self.matched == self.total:
            differing = len(self.statistics) - self.statistics_matched
            return counted + (f"; {differing} of the normalizer's constants differ" if differing else "")
        if self.instead is not None:
            return f"{counted}: these are the weights of {self.instead[0]}, and evaluation uses {self.instead[1]}"
        if self.matched == 0:
            fitting = sum(f.source is not None for f in self.unmatched)
            return counted + (": another checkpoint" if fitting * 2 >= self.total else ": another architecture")
        near = [_nearness(f) for f in self.unmatched[:NAMED]]
        verb = "differ" if len(self.unmatched) > 1 else "differs"
        cosines = [n for n in near if n]
        return f"{counted}; {listed([f.exported for f in self.unmatched])} {verb}" + (
            f" ({', '.join(cosines)})" if cosines else ""
        )

    def finding(self) -> Finding | None:
        """Return the outcome as a finding; None where all match."""
        if self.total and self.matched == self.total:
            return self._other_normalizer()
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
                "unmatched": _evidence(self.unmatched),
            },
            remedy="export again from the checkpoint that is meant"
            if gone
            else "look at how these weights were exported",
        )

    def _other_normalizer(self) -> Finding | None:
        """The weights of one run with the statistics of another. A normalizer on one side only is WEIGHT004's."""
        others = [f for f in self.statistics if f.how is None and f.source is not None]
        if not others:
            return None
        return Finding(
            "WEIGHT005",
            "error",
            f"{self.one_sentence}.",
            where=others[0].exported,
            evidence={"constants": _evidence(others)},
            remedy="find out which statistics the weights were trained with, and export with those",
        )


def _evidence(found: Sequence[Found]) -> list[dict[str, Any]]:
    return [{"exported": f.exported, "source": f.source, "cosine": f.cosine} for f in found]


def _computed(weights: Sequence[Found]) -> str:
    """Return how folded weights were computed: BatchNorms are named ``norm.*``."""
    sources = [f.source or "" for f in weights if f.how == "folded"]
    norms = all(s.endswith("*") and not s.endswith("lora_*") for s in sources)
    return "with a BatchNorm folded in" if norms else "computed from several"


def _nearness(found: Found) -> str:
    if found.source is None:
        return "no weight of its shape"
    return "" if found.cosine is None else f"cosine {found.cosine:.2f}"


def match_sides(reference: Artifact, candidate: Artifact) -> WeightMatch:
    """Return whether the weights of a candidate are those of the reference.

    Counted from the candidate; from the reference where that alone is a graph: a checkpoint also holds what only
    training needs, such as a critic.

    Raises:
        ArtifactError: a file cannot be read.
    """
    trained, exported = (source_of(read_checkpoint(a)) for a in (reference, candidate))
    # An OM holds what its source holds, rounded: never the other way round.
    if (reference.kind in GRAPHS and candidate.kind not in GRAPHS) or candidate.kind != reference.kind == "om":
        trained, exported = exported, trained
    return match_evaluated(exported, trained)


def match_evaluated(exported: Source, trained: Source) -> WeightMatch:
    """Return which of the exported weights are those of ``trained``.

    Where a file tells which of its weight sets evaluation uses, only that one counts.

    Raises:
        ArtifactError: a tensor's bytes cannot be read.
    """
    mine = evaluated_tree(exported.checkpoint)
    weights = {n: w for n, w in exported.checkpoint.weights.items() if mine is None or w.tree == mine}
    questions, silent = speaking(weights)
    if not questions:
        return WeightMatch(())
    if any(not q.weight.statistics for q in questions) and not _any_weight(trained):
        return WeightMatch((), silent="other")
    found = candidates_of(questions, trained, many=mine is None and len(exported.sets) > 1)
    traced = Trace(exported, tuple(found), silent)
    best, used = traced.best, evaluated_tree(trained.checkpoint)
    if used is not None and used not in best.tree.split(WHOLE):
        best = next(c for c in found if c.tree == used)
    those, apart = _weights_and_statistics(questions, best)
    return WeightMatch(those, apart, best.outcome.relation, _instead(traced, questions))


def _any_weight(source: Source) -> bool:
    return any(not w.statistics and is_informative(w) for w in source.checkpoint.weights.values())


def _weights_and_statistics(questions: Sequence[Asked], of: Candidate) -> tuple[tuple[Found, ...], tuple[Found, ...]]:
    both = list(zip(questions, of.outcome.found, strict=True))
    return tuple(f for q, f in both if not q.weight.statistics), tuple(f for q, f in both if q.weight.statistics)


def _instead(found: Trace, questions: Sequence[Asked]) -> tuple[str, str] | None:
    """Return the set that holds all exported weights where evaluation uses another."""
    sets = not_evaluated(found)
    weights, _ = _weights_and_statistics(questions, found.best)
    return sets if all(f.how is not None for f in weights) else None
