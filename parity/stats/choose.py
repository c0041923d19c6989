"""Which of several sets of statistics in one source is compared: the one that fits the others best, or the one named.

A base model holds a set for each robot that it was trained on, a checkpoint one for each dataset. Using the wrong one
runs and acts badly, so what fits best is always looked for, and said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from parity.errors import UsageError
from parity.finding import Finding
from parity.stats.agree import RANK, agree, choice_of
from parity.stats.model import NormStats

BEST, BETTER = "STATS079", "STATS080"
SEPARATOR = "::"


@dataclass(frozen=True, slots=True)
class Given:
    """One source as the user gave it: all that was read from it, and the set that the user named, if any."""

    sets: tuple[NormStats, ...]
    named: str | None = None

    @property
    def offers(self) -> tuple[NormStats, ...]:
        """The sets that are there for choice; empty where there is nothing to choose."""
        named = tuple(s for s in self.sets if choice_of(s) is not None)
        return named if len({choice_of(s) for s in named}) > 1 else ()


def split(source: str) -> tuple[str, str | None]:
    """Return path and name of ``PATH::NAME``; the name is None where none is given."""
    path, mark, name = source.rpartition(SEPARATOR)
    return (path, name) if mark and path and name else (source, None)


def choose(given: Sequence[Given]) -> tuple[list[NormStats], list[Finding]]:
    """Return the statistics to be compared, in the order given, and what is to be said about the choice.

    Raises:
        UsageError: a set was named that is not there.
    """
    chosen: list[NormStats] = []
    findings: list[Finding] = []
    for i, one in enumerate(given):
        offers = one.offers
        if one.named is not None:
            picked = _named(one, one.named)
        elif offers:
            best = _best(offers, _others(given, i))
            picked = best or offers[0]
            findings.append(_chosen(picked, offers, fits=best is not None))
        else:
            chosen += one.sets
            continue
        chosen += [s for s in one.sets if choice_of(s) in (choice_of(picked), None)]
        better = _best(offers, _others(given, i)) if one.named is not None else None
        if better is not None and _apart(picked, _others(given, i)) == "CONFLICT" != _apart(better, _others(given, i)):
            findings.append(_better(picked, better))
    return chosen, findings


def _others(given: Sequence[Given], i: int) -> list[NormStats]:
    """Return what the sets of one source are held against: the other sources in which there is nothing to choose."""
    told = [[_named(g, g.named)] if g.named is not None else [] if g.offers else list(g.sets) for g in given]
    return [s for j, sets in enumerate(told) if j != i for s in sets]


def _named(given: Given, name: str) -> NormStats:
    for one in given.sets:
        if choice_of(one) == name:
            return one
    there = [c for s in given.sets if (c := choice_of(s))]
    raise UsageError(
        f"{given.sets[0].path}: no set of statistics is called {name!r}",
        expected=f"one of {', '.join(there[:20])}" if there else "a source that holds several sets",
    )


def _best(offers: Sequence[NormStats], others: Sequence[NormStats]) -> NormStats | None:
    """Return the set with the narrowest gaps to the others; None where it can be compared with none."""
    scored = [(score, -i, s) for i, s in enumerate(offers) if (score := _score(s, others)) is not None]
    return min(scored, key=lambda t: (t[0], -t[1]))[2] if scored else None


def _score(one: NormStats, others: Sequence[NormStats]) -> tuple[int, float] | None:
    """Return how far a set is from the others: its worst verdict, then the sum of its widest gaps."""
    compared = [p.comparison for o in others for p in agree([one, o]).pairs if p.comparison.verdict]
    if not compared:
        return None
    gaps = [1.0 if c.max_gap is None else min(c.max_gap, 1.0) for c in compared]
    return max(RANK.index(c.verdict or "SAME") for c in compared), sum(gaps) / len(gaps)


def _apart(one: NormStats, others: Sequence[NormStats]) -> str | None:
    score = _score(one, others)
    return None if score is None else RANK[score[0]]


def _chosen(picked: NormStats, offers: Sequence[NormStats], *, fits: bool) -> Finding:
    names = [str(choice_of(s)) for s in offers]
    why = "fits the other sources best and is compared" if fits else "is looked at, the first of them"
    return Finding(
        BEST,
        "info",
        f"{picked.path} holds {len(offers)} sets of statistics; {choice_of(picked)} {why}.",
        where=picked.label,
        evidence={"sets": names[:50], "best": choice_of(picked)},
        remedy=f"check that this is the set that is used, or name that one: PATH{SEPARATOR}NAME",
    )


def _better(picked: NormStats, better: NormStats) -> Finding:
    return Finding(
        BETTER,
        "error",
        f"{choice_of(picked)} of {picked.path} is used, but {choice_of(better)} fits the other sources.",
        where=picked.label,
        evidence={"used": choice_of(picked), "best": choice_of(better)},
        remedy=f"select {choice_of(better)}, if that is the robot that the policy drives",
    )
