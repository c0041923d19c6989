"""Which tensors of which checkpoint are inside an exported file: every weight set is asked, the best one named."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from parity.checkpoint.weight import Weight
from parity.errors import ArtifactError
from parity.provenance.compare_weights import squeezed
from parity.provenance.find import Asked, asked
from parity.provenance.informative import why_silent
from parity.provenance.pool import Pool, held
from parity.provenance.relation import RANK, Outcome, relate
from parity.provenance.source import WHOLE, Source, only_names, read_source

Progress = Callable[[int, int], None]
QUANTIZED = 64  # integers of 8 bits from which on a constant is taken for weights


@dataclass(frozen=True, slots=True)
class Candidate:
    """One weight set of one checkpoint, and what it is to the exported file.

    ``unused`` are the statistics of its normalizer, of which none is in the exported file; () where some are.
    """

    source: Source
    tree: str
    outcome: Outcome
    unused: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[Any, ...]:
        """What sorts candidates: the nearest relation first, then by how many tensors were found, and how near."""
        o = self.outcome
        return RANK[o.relation], -(o.matched + o.folded), -o.matched, -(o.cosine if o.cosine is not None else -2.0)

    def as_json(self) -> dict[str, Any]:
        """Return the candidate as the JSON of `parity provenance` has it."""
        o = self.outcome
        return {
            "checkpoint": self.source.name,
            "tree": self.tree,
            "relation": o.relation,
            "matched": o.matched,
            "folded": o.folded,
            "total": o.total,
            "rounded": o.rounded,
            "cosine": o.cosine,
            "step": self.source.step,
            "epoch": self.source.epoch,
        }


@dataclass(frozen=True, slots=True)
class Trace:
    """The outcome for one exported file.

    Attributes:
        exported: what was asked about.
        candidates: every weight set of every readable checkpoint, in the order given.
        silent: how many exported tensors were left out, by reason.
        unreadable: the checkpoints that could not be read, and why.
    """

    exported: Source
    candidates: tuple[Candidate, ...]
    silent: Mapping[str, int]
    unreadable: tuple[tuple[str, ArtifactError], ...] = ()

    @property
    def best(self) -> Candidate:
        """The candidate that comes nearest; the first given of several equal ones."""
        return min(self.candidates, key=lambda c: c.order)

    @property
    def ties(self) -> tuple[Candidate, ...]:
        """The other candidates that come as near as the best."""
        best = self.best
        return tuple(c for c in self.candidates if c is not best and c.order == best.order)


def speaking(weights: Mapping[str, Weight]) -> tuple[list[Asked], Counter[str]]:
    """Return the tensors that say whose they are, and how many of the others there are, by reason.

    A constant that a compiler stored in a way that is not known, such as integers without their scale, is asked for all
    the same, and found nowhere.

    Raises:
        ArtifactError: a tensor's bytes cannot be read.
    """
    found, silent = [], Counter[str]()
    with np.errstate(all="ignore"):
        for weight in map(held, weights.values()):
            try:
                why = why_silent(weight)
            except ArtifactError:
                if not weight.compiled:
                    raise
                why = None
                weight = _unknown(weight)
            if why is not None and quantized_without_scale(weight):
                why, weight = None, _unknown(weight)
            if why is None:
                found.append(asked(weight))
            else:
                silent[why] += 1
    return found, silent


def quantized_without_scale(weight: Weight) -> bool:
    """Whether a compiler's constant is weights as integers, of which it does not say what numbers they stand for."""
    small = weight.dtype in ("int8", "int4")
    return weight.compiled and small and weight.quantization is None and weight.size >= QUANTIZED


def _unknown(weight: Weight) -> Weight:
    return replace(weight, shape=(2,), dtype="float32", load=lambda: np.full(2, np.nan, np.float32))


def trace(
    exported: str | Path, checkpoints: Sequence[str | Path], progress: Progress = lambda done, all_: None
) -> Trace:
    """Return which tensors of which checkpoint are inside an exported file; nothing is executed.

    Args:
        exported: ONNX, OM, TorchScript, ``.pt2``, a checkpoint, safetensors, ``.npz`` or a LeRobot folder.
        checkpoints: where they may come from, each of the same kinds. One that is unreadable is noted.
        progress: called with how many checkpoints were read, of how many.

    Raises:
        ArtifactError: the exported file, or every checkpoint, cannot be read.
    """
    source = read_source(exported)
    # Not the statistics beside a LeRobot folder's weights: its processors' files hold those of no use to it, too.
    questions, silent = speaking(source.checkpoint.weights)
    candidates: list[Candidate] = []
    unreadable: list[tuple[str, ArtifactError]] = []
    for i, path in enumerate(checkpoints):
        try:
            candidates += candidates_of(questions, read_source(path), many=len(source.sets) > 1)
        except ArtifactError as e:
            unreadable.append((str(path), e))
        progress(i + 1, len(checkpoints))
    if not candidates:
        raise unreadable[0][1] if len(unreadable) == 1 else none_readable(unreadable)
    return Trace(source, tuple(candidates), dict(silent), tuple(unreadable))


def none_readable(unreadable: Sequence[tuple[str, ArtifactError]]) -> ArtifactError:
    """Return the error that none of the checkpoints given can be read, with the first reason."""
    first = unreadable[0][1]
    return ArtifactError(
        f"none of the {len(unreadable)} checkpoints can be read; the first: {first.message}",
        expected=first.expected,
        remedy=first.remedy,
    )


def candidates_of(questions: Sequence[Asked], source: Source, *, many: bool = False) -> list[Candidate]:
    """Return a candidate for each weight set of a checkpoint; all together first, where only that answers.

    Args:
        questions: the exported tensors that say whose they are.
        source: the checkpoint.
        many: whether the exported file has several sets of its own.

    Raises:
        ArtifactError: a tensor's bytes cannot be read.
    """
    sets = dict(source.sets)
    found = []
    with np.errstate(all="ignore"):  # weights may hold anything, and what is not finite matches nothing
        for tree, weights in sets.items():
            outcome = relate(questions, Pool(weights))
            found.append(Candidate(source, tree, outcome, _unused(source, tree, questions, outcome)))
        if len(sets) > 1 and all(c.outcome.relation != "MATCH" for c in found):
            together = tuple(sets) if many else _side_by_side(found)
            if together:
                pool = Pool({n: w for tree in together for n, w in sets[tree].items()})
                found.insert(0, Candidate(source, WHOLE.join(together), relate(questions, pool)))
    return found


def _side_by_side(found: Sequence[Candidate]) -> tuple[str, ...]:
    """Return the weight sets that hold all exported tensors between them, such as encoder and actor; () where none do.

    Sets of the same network, such as raw and averaged weights, are no answer: an export that took some tensors from one
    and some from the other is of neither.
    """
    missing = set(range(found[0].outcome.total))
    chosen: list[Candidate] = []
    for candidate in sorted(found, key=lambda c: c.order):
        here = {i for i, f in enumerate(candidate.outcome.found) if f.how is not None} & missing
        if here:
            chosen.append(candidate)
            missing -= here
    mixed = any(_same_network(a, b) for a, b in combinations(chosen, 2))
    return () if missing or mixed else tuple(c.tree for c in chosen)


def _same_network(a: Candidate, b: Candidate) -> bool:
    """Whether one set was used where the other has a tensor of the same name and shape that was not."""
    names, used = [], []
    for c in (a, b):
        names.append({n: squeezed(w.shape) for n, w in only_names(c.source.sets[c.tree], c.tree).items()})
        first = [f.source.partition(" and ")[0].partition("[")[0] for f in c.outcome.found if f.how and f.source]
        used.append({n.removeprefix(f"state_dicts.{c.tree}.").removeprefix(f"{c.tree}.") for n in first})
    common = {n for n, shape in names[0].items() if math.prod(shape) > 1 and names[1].get(n) == shape}
    return bool((used[0] ^ used[1]) & common)


def _unused(source: Source, tree: str, questions: Sequence[Asked], outcome: Outcome) -> tuple[str, ...]:
    """Return the names of the set's statistics, if it has any that tell something and none of them was found.

    Where the weights are others, so is the normalizer, and nothing is said; nor where the exported file has another.
    """
    found = zip(questions, outcome.found, strict=True)
    if outcome.relation not in ("MATCH", "PARTIAL") or any(q.weight.statistics and f.how is None for q, f in found):
        return ()
    statistics = [w for w in source.statistics(tree) if why_silent(w) is None]
    used = " ".join(f.source or "" for f in outcome.found if f.how is not None)
    if not statistics or any(w.name in used for w in statistics):
        return ()
    return tuple(w.name for w in statistics)
