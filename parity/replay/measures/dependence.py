"""Whether the candidate depends on the same features as the reference: each changed in turn, at the same frames.

An output that does not move when an input does is not connected to it. Besides: the same observation twice, and after
another history, gives the same output where nothing is random and no state is left over.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from parity.finding import Finding
from parity.replay import dependence_findings as tell
from parity.replay.depends import FEWEST, Dependence, crossed, dependence, informative, sampled, unmoved
from parity.replay.feature_words import dimensions
from parity.replay.measure import Gates
from parity.replay.model import Context, Judged, Played, Row, State
from parity.replay.reaction import Reaction, by_feature, largest, merged, reactions
from parity.tensor import Array

REPEAT, HISTORY = "[repeat]", "[history]"


class _Dependence:
    """Measure "dependence"."""

    name = "dependence"
    rank = 50
    gates: Gates = "asked"  # but where observations were changed: policies that keep state are not asked so

    def observe(self, played: Played) -> State:
        return reactions(played)

    def merge(self, earlier: State, later: State) -> State:
        return merged(earlier, later)

    def judge(self, state: State, context: Context) -> Judged:
        found = by_feature(state)
        again = {name: found.pop(name) for name in (REPEAT, HISTORY) if name in found}
        rows, findings = _unchanged(again, context)
        noise = again.get(REPEAT)
        if not found or (context.sampled and (noise is None or noise.frames < FEWEST)):
            return Judged(tuple(rows), (*findings, tell.not_probed(sorted(map(str, state["observed"])), context)))
        told = {name: _told(name, r, noise, found, context) for name, r in found.items()}
        more, causes = _features(found, told, context)
        if not more and not context.sampled:
            more = [Row("dependence", None, "NOT_JUDGED", reason=_silent(found, context))]
        shown = {"dependence": _shown(state, found, told, context)}
        return Judged((*rows, *more), (*findings, *causes), shown)


def _told(
    name: str, reaction: Reaction, noise: Reaction | None, found: dict[str, Reaction], context: Context
) -> Dependence:
    if not context.sampled or noise is None:
        return dependence(reaction, context)
    tests = sum(len(r.kinds) for r in found.values()) * len(context.names)
    return sampled(reaction, noise, tests, context)


def _features(
    found: dict[str, Reaction], told: dict[str, Dependence], context: Context
) -> tuple[list[Row], list[Finding]]:
    """Return a row for each feature that moves one of the sides, and what is named.

    One wrong feature changes where the policy works, and so how far it moves with the others: only where nothing else
    is wrong the most unlike one is named.
    """
    rows, silent = [], []
    pairs = [] if context.sampled else crossed(found, context)
    findings = [tell.crossed(a, b, found, context) for a, b in pairs]
    for name, reaction in found.items():
        what = told[name]
        lost = int(reaction.lost_candidate[:, 0].sum())
        if lost:
            findings.append(tell.not_finite(name, reaction, context))
        elif what.ignored.any():
            findings.append(tell.ignored(name, reaction, what, context))
        elif what.extra.any():
            findings.append(tell.extra(name, reaction, what, context))
        elif not what.reference.any():
            silent.append(name)
            continue
        rows.append(_row(name, reaction, what, context))
    if silent:
        findings.append(tell.independent(silent, bool(rows), context))
    unlike = [name for name in found if told[name].different.any()]
    if unlike and all(f.severity != "error" for f in findings):
        findings.append(tell.different(unlike, found, told, context))
    if all(not told[name].reference.any() for name in found) and not any(r.verdict == "FAIL" for r in rows):
        rows = []
    return rows, findings


def _row(name: str, reaction: Reaction, what: Dependence, context: Context) -> Row:
    dims = np.flatnonzero(what.reference)
    value = float(np.median(what.gain[dims])) if dims.size else None
    if not reaction.lost_candidate[:, 0].any() and not what.ignored.any() and not what.extra.any():
        reason = f"{name} moves both sides, in {dimensions(context, dims.tolist())}"
        return Row(f"dependence on {name}", value, "PASS", n=reaction.frames, reason=reason)
    if reaction.lost_candidate[:, 0].any():
        reason, value = tell.lost_words(name, reaction), None
    elif what.ignored.any():
        reason = tell.ignored_words(name, reaction, what, context)
    else:
        reason, value = tell.extra_words(name, reaction, what, context), None
    finite = value is None or np.isfinite(value)
    return Row(f"dependence on {name}", value if finite else None, "FAIL", n=reaction.frames, reason=reason)


def _unchanged(again: dict[str, Reaction], context: Context) -> tuple[list[Row], list[Finding]]:
    """Return rows and findings of observations that were given again, as they were."""
    rows, findings = [], []
    for name, reaction in again.items():
        kind = name.strip("[]")
        if context.sampled:
            if kind == "repeat":
                findings += tell.frozen(reaction, context)
            continue
        row, finding = _again(kind, reaction, context)
        rows.append(row)
        findings += [finding] if finding else []
    return rows, findings


def _again(kind: str, reaction: Reaction, context: Context) -> tuple[Row, Finding | None]:
    trusted, tested = reaction.largest
    limit, usable = unmoved(context), informative(context)
    if reaction.lost_candidate[:, 0].any():
        finding: Finding | None = tell.not_finite(kind, reaction, context)
        return Row(kind, None, "FAIL", n=reaction.frames, reason=tell.lost_words(kind, reaction)), finding
    if not (usable & (trusted >= 0)).any():
        silent = "no action dimension that the reference moves in is finite"
        return Row(kind, None, "NOT_JUDGED", n=reaction.frames, reason=silent), None
    moved, own = usable & (trusted > limit), usable & (tested > limit)
    only = own & ~moved
    dims = np.flatnonzero(only if only.any() else own if own.any() else usable)
    most = largest(reaction, reaction.top_candidate, dims.tolist(), context.scale)
    at, reason, finding = most.dimension, "", None
    if own.any():
        reason = tell.again_words(most, context)
        finding = tell.again(kind, most, bool(only.any()), reason)
    elif kind == "repeat" and moved.any():
        dims = np.flatnonzero(moved)
        finding = tell.unsteady(largest(reaction, reaction.top_reference, dims.tolist(), context.scale), context)
    verdict: Literal["PASS", "FAIL"] = "FAIL" if only.any() else "PASS"
    units = context.units[at]
    return Row(kind, most.size, verdict, float(limit[at]), None, units, reaction.frames, at, reason), finding


def _silent(found: dict[str, Reaction], context: Context) -> str:
    if not informative(context).any():
        return "the reference moves in no dimension by more than 4 limits"
    return f"none of {', '.join(found)} moves the reference: nothing tells whether the candidate is connected to them"


def _shown(state: State, found: dict[str, Reaction], told: dict[str, Dependence], context: Context) -> dict[str, Any]:
    """Return the table of features and dimensions: how far each moved on both sides, and what that is called."""
    usable = informative(context)
    rows = [
        {
            "feature": name,
            "dimension": int(d),
            "reference": _number(reaction.largest[0][d]),
            "candidate": _number(reaction.largest[1][d]),
            "gain": _number(told[name].gain[d]),
            "says": _says(told[name], d) if usable[d] else "not covered: the reference hardly moves here",
        }
        for name, reaction in found.items()
        for d in range(len(context.names))
    ]
    return {"rows": rows, "not_changed": sorted(set(map(str, state["observed"])) - set(found))}


def _says(what: Dependence, d: int) -> str:
    if what.ignored[d]:
        return "moves the reference only"
    if what.extra[d]:
        return "moves the candidate only"
    if not what.reference[d]:
        return "not covered: does not move the reference"
    return "moves both, differently" if what.different[d] else "moves both"


def _number(value: Array | float) -> float | None:
    number = float(value)
    return number if np.isfinite(number) and number >= 0 else None


MEASURE = _Dependence()
