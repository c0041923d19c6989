"""Whose statistics: several sources against each other, feature by feature."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from parity.stats.gap import Comparison, compare
from parity.stats.model import FeatureStats, NormStats
from parity.stats.names import canonical, names_of
from parity.stats.names import is_metadata as is_index

# Columns that count rows or tell of the reward: no policy takes them, and they differ from one recording to the next.
METADATA = frozenset({"discount", "success", "reward", "done"})
RELATIVE = "relative_actions"  # of actions relative to the state: comparable among themselves only
RANK = ("SAME", "DRIFT", "CONFLICT")
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
MAX_SOURCES = 64


@dataclass(frozen=True, slots=True)
class Source:
    """One source as it is compared: by canonical name its features, as its policy uses them, and their modes."""

    stats: NormStats
    features: Mapping[str, FeatureStats]
    modes: Mapping[str, str | None]

    @property
    def label(self) -> str:
        return self.stats.label

    @property
    def data(self) -> bool:
        """Whether it describes data rather than what a policy uses."""
        return self.stats.kind == "recomputed" or "dataset" in self.stats.kind


@dataclass(frozen=True, slots=True)
class Pair:
    """One feature of two sources, by their places in the list of sources."""

    a: int
    b: int
    feature: str
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class Taken:
    """What a source's statistics were taken from: the other's place, ``bits`` or ``float32``, and which features."""

    source: int
    origin: int
    equal: str
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Several sources compared.

    Attributes:
        sources: in the order given.
        pairs: every feature of every two sources that both have, in the order of the sources, then by name.
        alone: features that one source only has, with its place.
        taken: where each source's statistics come from, where another one holds the same numbers.
        odd: for a feature, the place of the one source that conflicts with all others, which agree among each other.
    """

    sources: tuple[Source, ...]
    pairs: tuple[Pair, ...]
    alone: Mapping[str, int]
    taken: tuple[Taken, ...]
    odd: Mapping[str, int]

    def between(self, a: int, b: int) -> list[Pair]:
        """Return the pairs of two sources, in either order."""
        return [p for p in self.pairs if {p.a, p.b} == {a, b}]


def as_source(stats: NormStats) -> Source:
    """Return a source as it is compared.

    Where the way in and the way out are stored apart, an action is what comes out and all else what goes in.
    """
    names = names_of(stats)
    features: dict[str, FeatureStats] = {}
    for table in (stats.outputs, stats.features):
        for key, found in table.items():
            name = names[key]
            apart = table is stats.outputs and key in stats.features and not is_action(name)
            if name not in features and not apart and not is_metadata(name):
                features[name] = found
    declared = {canonical(d.name): d.mode for d in stats.declared}
    modes = {n: f.mode or declared.get(n) for n, f in features.items()}
    return Source(stats, dict(sorted(features.items())), modes)


def is_action(name: str) -> bool:
    """Whether a canonical name is of something that the policy gives."""
    return name.split(".", 1)[0] == "action"


def is_metadata(name: str) -> bool:
    """Whether a canonical name is of a column that counts rows or tells of the reward."""
    return is_index(name) or name in METADATA or name.startswith(("next.", "annotation."))


def agree(sources: Sequence[NormStats], report: Callable[[int, int], None] | None = None) -> Agreement:
    """Return who agrees with whom. Sets of the same file are not compared with each other.

    Args:
        sources: at most `MAX_SOURCES`.
        report: called with the number of pairs of sources compared, and of all.
    """
    found = tuple(as_source(s) for s in sources)
    todo = [(i, j) for i, j in combinations(range(len(found)), 2) if comparable(found[i].stats, found[j].stats)]
    pairs: list[Pair] = []
    for done, (i, j) in enumerate(todo, 1):
        a, b = found[i], found[j]
        pairs += [Pair(i, j, n, compare_feature(a, b, n)) for n in a.features if n in b.features]
        if report:
            report(done, len(todo))
    return Agreement(found, tuple(pairs), _alone(found), tuple(_taken(found, pairs)), _odd(pairs))


def compare_feature(a: Source, b: Source, name: str) -> Comparison:
    """Return how far two sources are apart in a feature that both have."""
    return compare(a.features[name], b.features[name], (a.modes[name], b.modes[name]))


def worst_of(verdicts: Iterable[str | None]) -> str | None:
    """Return the worst of several verdicts; None where there is none."""
    known = [v for v in verdicts if v is not None]
    return max(known, key=RANK.index, default=None)


def comparable(a: NormStats, b: NormStats) -> bool:
    """Whether two sources should agree: not where one file offers both for choice, or one is of relative actions."""
    if (a.kind == RELATIVE) != (b.kind == RELATIVE):
        return False
    return a.path != b.path or choice_of(a) is None or choice_of(a) == choice_of(b)


def choice_of(stats: NormStats) -> str | None:
    """Return the name under which a source offers these statistics beside others (a dataset, an asset, a robot)."""
    named = [stats.facts[k] for k in ("dataset", "asset", "embodiment") if stats.facts.get(k)]
    return str(named[0]) if named else None


def _alone(sources: Sequence[Source]) -> dict[str, int]:
    if len(sources) < 2:
        return {}
    holders: dict[str, list[int]] = {}
    for i, source in enumerate(sources):
        for name in source.features:
            holders.setdefault(name, []).append(i)
    return {n: h[0] for n, h in sorted(holders.items()) if len(h) == 1}


def _odd(pairs: Sequence[Pair]) -> dict[str, int]:
    """Return by feature the source that conflicts with every other, where at least two others agree with each other."""
    by_feature: dict[str, list[Pair]] = {}
    for pair in pairs:
        if pair.comparison.verdict:
            by_feature.setdefault(pair.feature, []).append(pair)
    found: dict[str, int] = {}
    for name, mine in by_feature.items():
        conflicts = [{p.a, p.b} for p in mine if p.comparison.verdict == "CONFLICT"]
        agreeing = [p for p in mine if p.comparison.verdict != "CONFLICT"]
        every = set.intersection(*conflicts) if conflicts else set()
        if len(every) == 1 and agreeing and not any(every & {p.a, p.b} for p in agreeing):
            found[name] = every.pop()
    return dict(sorted(found.items()))


def _taken(sources: Sequence[Source], pairs: Sequence[Pair]) -> Iterable[Taken]:
    """Yield for each source the one that holds the same numbers, where all telling features of both are equal."""
    for i, source in enumerate(sources):
        if source.stats.kind == "recomputed":
            continue
        best: Taken | None = None
        for j, other in enumerate(sources):
            mine = [p for p in pairs if {p.a, p.b} == {i, j} and _telling(source, other, p.feature)]
            if not mine or not all(p.comparison.equal for p in mine) or not _may_come_from(source, other, i, j, mine):
                continue
            equal = "bits" if all(p.comparison.equal == "bits" for p in mine) else "float32"
            taken = Taken(i, j, equal, tuple(p.feature for p in mine))
            if best is None or _order(sources, taken) > _order(sources, best):
                best = taken
        if best is not None:
            yield best


def _may_come_from(source: Source, other: Source, i: int, j: int, pairs: Sequence[Pair]) -> bool:
    """Whether the numbers went from ``other`` to ``source``: data, then what is not rounded, then what is given first.

    Statistics that float32 holds are not where those come from that it does not hold.
    """
    if source.data != other.data:
        return other.data
    names = [p.feature for p in pairs]
    exact = [all(_in_float32(s.features[n]) for n in names) for s in (source, other)]
    return j < i if exact[0] == exact[1] else exact[0]


def _order(sources: Sequence[Source], taken: Taken) -> tuple[bool, int, bool, int]:
    return sources[taken.origin].data, len(taken.features), taken.equal == "bits", -taken.origin


def _in_float32(stats: FeatureStats) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        return all(
            np.array_equal(np.asarray(v, np.float64), np.asarray(v, np.float32), equal_nan=True)
            for v in stats.values.values()
        )


def _telling(a: Source, b: Source, name: str) -> bool:
    """Whether equal statistics say where they come from: not those of ImageNet, nor zeros and ones."""
    one, two = a.features[name].values, b.features[name].values
    return any(n in two and not _common(n, np.asarray(v, np.float64).reshape(-1)) for n, v in one.items())


def _common(statistic: str, values: np.ndarray) -> bool:
    usual = IMAGENET.get(statistic)
    if usual is not None and values.size == len(usual) and np.allclose(values, usual, atol=1e-6):
        return True
    return bool(np.all((values == 0) | (np.abs(values) == 1) | ~np.isfinite(values)))
