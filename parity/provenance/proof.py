"""A fine-tuned file against the checkpoints that it may have started from: what moved outside of what it claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from parity.errors import ArtifactError, UsageError
from parity.provenance.only import Changes, changes, checked
from parity.provenance.origin import Candidate, Progress, none_readable, speaking
from parity.provenance.pool import Pool
from parity.provenance.relation import relate
from parity.provenance.source import GRAPHS, Source, only_names, read_source


@dataclass(frozen=True, slots=True)
class Proof:
    """One weight set of a base: the candidate of the JSON, and what differs."""

    candidate: Candidate
    changes: Changes


@dataclass(frozen=True, slots=True)
class Proofs:
    """The outcome for one fine-tuned file.

    Attributes:
        tuned: the fine-tuned file.
        patterns: what it claims to have changed.
        groups: for each base the weight sets that must all hold; one group for each where the files' sets differ.
        unreadable: the bases that could not be read, and why.
    """

    tuned: Source
    patterns: tuple[str, ...]
    groups: tuple[tuple[Proof, ...], ...]
    unreadable: tuple[tuple[str, ArtifactError], ...] = ()

    @property
    def best(self) -> tuple[Proof, ...]:
        """The base of which least moved outside the pattern: its weight sets, the worst first."""
        best = min(self.groups, key=lambda g: (sum(p.changes.order[0] for p in g), sum(p.changes.order[1] for p in g)))
        return tuple(sorted(best, key=lambda p: p.changes.order, reverse=True))


def prove(
    tuned: str | Path,
    bases: Sequence[str | Path],
    patterns: Sequence[str],
    progress: Progress = lambda done, all_: None,
) -> Proofs:
    """Return what differs between a fine-tuned file and each of the checkpoints that it may have started from.

    Raises:
        ArtifactError: the fine-tuned file, or every base, cannot be read.
        UsageError: no tensor is inside a pattern.
    """
    source = read_source(tuned)
    if source.checkpoint.artifact.kind == "om":
        raise UsageError(
            f"{tuned}: an OM holds its weights rounded: that the others are equal bit by bit cannot be told from it",
            remedy="ask --only of the file that was compiled, and `parity provenance` whether the OM is from that",
        )
    groups: list[tuple[Proof, ...]] = []
    unreadable: list[tuple[str, ArtifactError]] = []
    for i, path in enumerate(bases):
        try:
            with np.errstate(all="ignore"):  # as in `trace`
                groups += _groups(source, read_source(path), patterns)
        except ArtifactError as e:
            unreadable.append((str(path), e))
        progress(i + 1, len(bases))
    if not groups:
        raise unreadable[0][1] if len(unreadable) == 1 else none_readable(unreadable)
    return Proofs(source, tuple(patterns), tuple(groups), tuple(unreadable))


def _groups(tuned: Source, base: Source, patterns: Sequence[str]) -> list[tuple[Proof, ...]]:
    common = [t for t in tuned.sets if t in base.sets]
    if common:
        return [tuple(_proof(tuned, base, t, t, patterns) for t in common)]
    return [(_proof(tuned, base, mine, theirs, patterns),) for mine in tuned.sets for theirs in base.sets]


def _proof(tuned: Source, base: Source, mine: str, theirs: str, patterns: Sequence[str]) -> Proof:
    weights, others = tuned.sets[mine], base.sets[theirs]
    graph = tuned.checkpoint.artifact.kind in GRAPHS
    trees = tuple(t for t in dict.fromkeys((mine, theirs)) if t)
    found = changes(weights, others, patterns, graph=graph, trees=trees)
    short = {**only_names(only_names(weights, mine), theirs)}
    checked(found, patterns, [*short, *only_names(only_names(others, theirs), mine)])
    inside = {*(m.name for m in found.inside), *found.still}
    outcome = relate(speaking({n: w for n, w in short.items() if n not in inside})[0], Pool(others))
    if outcome.relation == "MATCH" and not found.kept:  # what moved tells nothing by itself, and moved all the same
        outcome = replace(outcome, relation="PARTIAL")
    return Proof(Candidate(base, theirs, outcome), found)
