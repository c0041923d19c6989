"""What was found about several sources of statistics, in words: a finding for everything that somebody should know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from parity.finding import Finding, by_severity
from parity.stats.agree import Agreement, Pair, Taken, worst_of
from parity.stats.gap import CONFLICT_GAP, SAME_GAP, Comparison

TAKEN, CONFLICT, DRIFT, ODD, ALONE, SHAPES, MODES, UNUSED, NOTHING, STORED = (
    "STATS070",
    "STATS071",
    "STATS072",
    "STATS073",
    "STATS074",
    "STATS075",
    "STATS076",
    "STATS077",
    "STATS078",
    "STATS081",
)
RECOMPUTED = "recomputed"
LISTED = 50


def agreement_findings(found: Agreement) -> list[Finding]:
    """Return what is to be said about who agrees with whom, the most severe first."""
    told = [*_features(found), *_odd(found), *_taken(found), *_alone(found), *_nothing(found)]
    return by_severity(told)


def _features(found: Agreement) -> Iterator[Finding]:
    for name in dict.fromkeys(p.feature for p in found.pairs):
        mine = [p for p in found.pairs if p.feature == name]
        apart = [p for p in mine if p.comparison.verdict == "CONFLICT"]
        wrong = [p for p in apart if _with_data(found, p)]
        if wrong:
            yield _wrong(found, name, wrong)
        told = {i for p in wrong for i in (p.a, p.b)}
        # What is not as the data conflicts with what is: said once.
        if between := [p for p in apart if p not in wrong and len(told & {p.a, p.b}) != 1]:
            yield _apart(found, name, CONFLICT, between)
        drifted = [p for p in mine if p.comparison.verdict == "DRIFT"]
        for some in ([p for p in drifted if _with_data(found, p) is with_data] for with_data in (False, True)):
            if some:
                yield _apart(found, name, DRIFT, some)
        yield from _unjudged(found, name, mine)
        yield from _modes(found, name, mine)
        unused = [p for p in mine if (u := p.comparison.unused) and u.gap > CONFLICT_GAP]
        if unused and worst_of(p.comparison.verdict for p in unused) != "CONFLICT":
            yield _unused(found, max(unused, key=_unused_gap))


def _unused_gap(pair: Pair) -> float:
    return pair.comparison.unused.gap if pair.comparison.unused else 0.0


def _apart(found: Agreement, name: str, code: str, pairs: Sequence[Pair]) -> Finding:
    """Return the finding that sources differ in a feature, by its widest gap."""
    pair = max(pairs, key=_gap)
    a, b = (found.sources[i].label for i in (pair.a, pair.b))
    odd = found.odd.get(name)
    others = f" (and {len(pairs) - 1} more pairs)" if len(pairs) > 1 else ""
    words = "are of other data" if code == CONFLICT else "are of slightly other data"
    title = f"The statistics of {name} in {a} and {b} {words}{others}: {words_of(pair.comparison)}."
    if code == CONFLICT and odd is not None:
        title = (
            f"The statistics of {name} in {found.sources[odd].label} are of other data than those of the others, "
            f"which agree: {words_of(pair.comparison, turned=odd == pair.b)}."
        )
    remedy = (
        "find out which of them belongs to the weights, and deploy that one"
        if code == CONFLICT
        else "nothing, if the data grew a little since; else take the statistics that the policy was trained with"
    )
    worst = pair.comparison.worst
    return Finding(
        code,
        "error" if code == CONFLICT else "warning",
        title,
        where=name if worst is None else f"{name}[{','.join(map(str, worst.index))}]",
        evidence={"pairs": [pair_json(found, p) for p in pairs[:LISTED]], "limit": [SAME_GAP, CONFLICT_GAP]},
        remedy=remedy,
    )


def _with_data(found: Agreement, pair: Pair) -> bool:
    """Whether one of the two was computed from the data itself."""
    return any(found.sources[i].stats.kind == RECOMPUTED for i in (pair.a, pair.b))


def _wrong(found: Agreement, name: str, pairs: Sequence[Pair]) -> Finding:
    """Return the finding that stored statistics are not those of the data."""
    pair = max(pairs, key=_gap)
    turned = found.sources[pair.a].stats.kind == RECOMPUTED
    label = found.sources[pair.b if turned else pair.a].label
    others = f" (and {len(pairs) - 1} more sources)" if len(pairs) > 1 else ""
    said = words_of(pair.comparison, turned=turned)
    worst = pair.comparison.worst
    return Finding(
        STORED,
        "error",
        f"The statistics of {name} in {label}{others} are not those of the data: {said}.",
        where=name if worst is None else f"{name}[{','.join(map(str, worst.index))}]",
        detail="The second value is computed from the data.",
        evidence={"pairs": [pair_json(found, p) for p in pairs[:LISTED]], "limit": [SAME_GAP, CONFLICT_GAP]},
        remedy="compute them again from the frames that the policy was trained on, or give that dataset",
    )


def _gap(pair: Pair) -> float:
    return float("inf") if pair.comparison.max_gap is None else pair.comparison.max_gap


def words_of(comparison: Comparison, *, turned: bool = False) -> str:
    """Return the widest gap in words, such as ``q99 of dimension 6 is 39.25 and 13.59, 0.65 of the range apart``.

    ``turned`` puts the second source's value first.
    """
    worst = comparison.worst
    if worst is None:
        return comparison.reason
    place = f"dimension {worst.index[0]}" if len(worst.index) == 1 else f"element {list(worst.index)}"
    how = {"low": "what becomes -1", "high": "what becomes 1"}.get(worst.statistic, worst.statistic)
    first, second = (worst.b, worst.a) if turned else (worst.a, worst.b)
    return f"{how} of {place} is {first:.5g} and {second:.5g}, {in_ranges(worst.gap)} apart"


def in_ranges(gap: float) -> str:
    """Return a gap in words: a part of the range, or how many times the range."""
    return (
        f"{gap:.2g} of the range" if gap < 1 else f"{gap:,.3g} times the range" if gap < 1e3 else "far over the range"
    )


def pair_json(found: Agreement, pair: Pair) -> dict[str, Any]:
    """Return one entry of ``agreement``: who, which feature, the widest gap and the verdict."""
    c, worst = pair.comparison, pair.comparison.worst
    return {
        "a": found.sources[pair.a].label,
        "b": found.sources[pair.b].label,
        "feature": pair.feature,
        "max_gap": None if worst is None else worst.gap,
        "verdict": c.verdict,
        "statistic": None if worst is None else worst.statistic,
        "index": None if worst is None else list(worst.index),
        "values": None if worst is None else [_number(worst.a), _number(worst.b)],
        "judged": list(c.judged),
        "equal": c.equal or None,
        "reason": c.reason,
    }


def _number(value: float) -> float | str:
    return value if abs(value) < float("inf") else {True: "Infinity", False: "-Infinity"}.get(value > 0, "NaN")


def _unjudged(found: Agreement, name: str, pairs: Sequence[Pair]) -> Iterator[Finding]:
    for pair in pairs:
        c = pair.comparison
        if c.verdict is None and "not normalized" not in c.reason:
            a, b = (found.sources[i].label for i in (pair.a, pair.b))
            yield Finding(
                SHAPES,
                "warning",
                f"The statistics of {name} in {a} and {b} cannot be compared: {c.reason}.",
                where=name,
                evidence=pair_json(found, pair),
                remedy="give sources that hold the same statistics of it",
            )


def _modes(found: Agreement, name: str, pairs: Sequence[Pair]) -> Iterator[Finding]:
    modes: dict[str, str] = {}
    for i in dict.fromkeys(i for p in pairs for i in (p.a, p.b)):
        mode = found.sources[i].modes.get(name)
        if mode is not None:
            modes[found.sources[i].label] = mode
    if len(set(modes.values())) > 1:
        said = ", ".join(f"{mode} in {label}" for label, mode in list(modes.items())[:4])
        wrong = any(p.comparison.verdict == "CONFLICT" for p in pairs)
        yield Finding(
            MODES,
            "error" if wrong else "warning",
            f"{name} is normalized in several ways: {said}.",
            where=name,
            evidence={"modes": modes},
            remedy="use the mode that the policy was trained with",
        )


def _unused(found: Agreement, pair: Pair) -> Finding:
    gap = pair.comparison.unused
    assert gap is not None
    a, b = (found.sources[i].label for i in (pair.a, pair.b))
    mode = found.sources[pair.a].modes[pair.feature] or found.sources[pair.b].modes[pair.feature]
    return Finding(
        UNUSED,
        "info",
        f"{gap.statistic} of {pair.feature} differs between {a} and {b} by {gap.gap:.2g} of the range; {mode} does not "
        "use it.",
        where=pair.feature,
        evidence={"statistic": gap.statistic, "gap": gap.gap, "index": list(gap.index), "mode": mode},
    )


def _odd(found: Agreement) -> Iterator[Finding]:
    for i in sorted(set(found.odd.values())):
        names = [n for n, j in found.odd.items() if j == i]
        label = found.sources[i].label
        if found.sources[i].stats.kind == RECOMPUTED:
            continue  # the others agree on what is not so
        yield Finding(
            ODD,
            "warning",
            f"{label} is the odd one out: in {_some(names)} the others agree with each other, and not with it.",
            where=label,
            evidence={"features": names},
            remedy="replace its statistics by those of the others, unless it is the one that the weights belong to",
        )


def _taken(found: Agreement) -> Iterator[Finding]:
    for taken in found.taken:
        yield Finding(
            TAKEN,
            "info",
            f"The statistics of {found.sources[taken.source].label} are {words_of_taken(found, taken)}.",
            where=found.sources[taken.source].label,
            evidence={
                "from": found.sources[taken.origin].label,
                "equal": taken.equal,
                "features": list(taken.features),
            },
        )


def words_of_taken(found: Agreement, taken: Taken) -> str:
    """Return where statistics come from, such as ``those of data/pusht, rounded to float32``."""
    how = "bit for bit" if taken.equal == "bits" else "rounded to float32"
    return f"those of {found.sources[taken.origin].label}, {how}"


def _alone(found: Agreement) -> Iterator[Finding]:
    for i in sorted(set(found.alone.values())):
        names = [n for n, j in found.alone.items() if j == i]
        label = found.sources[i].label
        yield Finding(
            ALONE,
            "info",
            f"Only {label} has {_some(names)}: compared with nothing.",
            where=label,
            evidence={"features": names},
        )


def _nothing(found: Agreement) -> Iterator[Finding]:
    yield from _lone(found)
    for i in compared_with_nothing(found):
        label, names = found.sources[i].label, list(found.sources[i].features)
        yield Finding(
            NOTHING,
            "error",
            f"Nothing in {label} could be compared with another source: it has {_some(names) or 'no features'}.",
            where=label,
            evidence={"features": names},
            remedy="give sources of the same robot, or rename the features",
        )


def _lone(found: Agreement) -> Iterator[Finding]:
    """Yield that nothing was judged, where the only source is what the data gives, or has no feature."""
    if len(found.sources) != 1:
        return
    (source,) = found.sources
    if source.features and source.stats.kind != RECOMPUTED:
        return
    why = "has nothing to hold its frames against" if source.features else "has no feature that a policy takes or gives"
    yield Finding(
        NOTHING,
        "error",
        f"Nothing was judged: {source.label} {why}, and there is no other source.",
        where=source.label,
        evidence={"features": list(source.features)},
        remedy="give the statistics that the policy uses as a source, too",
    )


def compared_with_nothing(found: Agreement) -> list[int]:
    """Return the places of the sources of which not one feature could be compared, where there are several."""
    if len(found.sources) < 2:
        return []
    judged = {i for p in found.pairs if p.comparison.verdict for i in (p.a, p.b)}
    return [i for i in range(len(found.sources)) if i not in judged]


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
