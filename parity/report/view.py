"""What the report's files show, worked out once from its plain data: what is worst, how far off, in which words.

Everything here is tolerant: a key that an older report lacks is shown as absent, never guessed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from parity.finding import SEVERITIES
from parity.report.alike import together
from parity.report.figures import number, show, times
from parity.report.replay_view import general_titles, measure_ratio, measures_of, replayed_of
from parity.stages import called

Entry = Mapping[str, Any]

PROFILE_WORDS = {
    "nominal": "ordinary inputs",
    "edge": "extreme inputs",
    "dataset": "recorded observations",
    "worst": "found by the search",
}
VERDICT_WORDS = {
    "PASS": "Everything that was planned was judged, and all of it kept its limits.",
    "FAIL": "This is not the same policy, as far as was asked here: it must not ship.",
    "NOT_JUDGED": "Something that was planned could not be judged. That is no pass: it must not ship.",
}
OVER_BUDGET = "DIFF001"  # the one finding about comparisons that a waiver may touch
_ORDER = {"FAIL": 0, "NOT_JUDGED": 1, "PASS": 2}


def _worst_dimension(comparison: Entry) -> int | None:
    """Return the action dimension that is worst against its limit, else that of the largest |Δ|."""
    index = comparison.get("worst_index")
    last = index[-1] if isinstance(index, list | tuple) and index else None
    found = comparison.get("worst_dimension", last)
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None


def limit_of(comparison: Entry) -> float | None:
    """Return the limit on |Δ| in the dimension that is worst against it (or the smallest there is)."""
    budget = comparison.get("budget") or {}
    for limits in (comparison.get("limit"), budget.get("limit"), budget.get("max_abs")):
        if limits is None:
            continue
        if not isinstance(limits, list | tuple):
            return number(limits)
        dimension = _worst_dimension(comparison)
        if len(limits) > 1 and dimension is not None and dimension < len(limits):
            return number(limits[dimension])
        known = [x for x in map(number, limits) if x is not None]
        return min(known) if known else None
    return None


def ratio_of(comparison: Entry) -> float | None:
    """Return the worst |Δ| over its limit, as the judge stored it, else from ``max_abs`` and the budget."""
    stored = number(comparison.get("limit_ratio"))
    if stored is not None:
        return stored
    difference, limit = number(comparison.get("max_abs")), limit_of(comparison)
    if difference is None or limit is None:
        return None
    if limit == 0:
        return 0.0 if difference == 0 else math.inf
    return difference / limit


def _badness(comparison: Entry) -> tuple[int, float, float, str]:
    def falling(value: float | None) -> float:
        return 1.0 if value is None else -math.inf if math.isnan(value) else -value

    # A missing tensor has no ratio and is worse than any: "None" sorts first among what failed.
    ratio = ratio_of(comparison)
    order = _ORDER.get(str(comparison.get("verdict")), 1)
    first = -math.inf if ratio is None and order == 0 else falling(ratio)
    return order, first, falling(number(comparison.get("max_abs"))), str(comparison.get("id", ""))


def worst_first(comparisons: Iterable[Entry]) -> list[Entry]:
    """Return the comparisons with what failed first, then what was not judged, each by how many limits it is off."""
    return sorted(comparisons, key=_badness)


def worst_of(comparisons: Iterable[Entry]) -> Entry | None:
    """Return the worst comparison, None where there is none."""
    return min(comparisons, key=_badness, default=None)


def place(comparison: Entry) -> str:
    """Return where the worst element lies, in the tensor's own terms where the judge told them, else its index."""
    where = comparison.get("where")
    if where:
        return str(where)
    index = comparison.get("worst_index")
    return f"element {list(index)}" if index else ""


def values_of(comparison: Entry) -> tuple[str, str] | None:
    """Return reference and candidate at the worst element, with as many digits as it takes to tell them apart."""
    values = comparison.get("worst_values")
    if not isinstance(values, list | tuple) or len(values) != 2:
        return None
    for digits in range(4, 17):
        reference, candidate = show(values[0], digits), show(values[1], digits)
        if reference != candidate:
            break
    return reference, candidate


def metric_units(comparison: Entry) -> str:
    """Return the units of ``max_abs`` and its like, with a space before; empty where they are not known.

    An early version left the metrics of a budget with a ``scale`` in the graph's numbers, and had no ``graph``.
    """
    left = (comparison.get("budget") or {}).get("scale") is not None and "graph" not in comparison
    return "" if left or not comparison.get("units") else f" {comparison['units']}"


def far_off(comparison: Entry) -> str:
    """Return how far off a comparison is: the difference, how many limits that is, and both values there."""
    if number(comparison.get("max_abs")) is None:
        return str(comparison.get("reason") or "nothing could be compared")
    units = f" {comparison['units']}" if comparison.get("units") else ""
    words = f"max|Δ| {show(comparison.get('max_abs'))}{metric_units(comparison)}"
    limit, ratio = limit_of(comparison), ratio_of(comparison)
    if ratio is not None:
        words += f", {times(ratio)}" + ("" if limit is None else f" of {show(limit)}{units}")
        index, dimension = comparison.get("worst_index"), comparison.get("worst_dimension")
        if index and dimension is not None and index[-1] != dimension:
            words += f" in dimension {dimension}"  # the largest |Δ| is elsewhere, where the limit is wider
    values = values_of(comparison)
    return words + (f"; reference {values[0]}, candidate {values[1]}" if values else "")


def off_where(comparison: Entry) -> str:
    """Return `far_off` with the place of the worst element, in one sentence."""
    at = place(comparison)
    return f"{far_off(comparison)}, at {at}" if at else far_off(comparison)


def headline(report: Entry) -> str:
    """Return what stands beside the verdict: the likely cause, else the first reason, else the margin that is left."""
    if report.get("cause"):
        return str(report["cause"])
    reasons = report.get("reasons") or []
    if report.get("verdict") != "PASS" and reasons:
        return str(reasons[0])
    comparisons = report.get("comparisons") or []
    if report.get("verdict") != "PASS":
        return "no reason was recorded"
    parts, measures = [], report.get("measures") or []
    if measures and not comparisons and replayed_of(report) is None:
        return str(measures[0].get("reason") or f"all {len(measures):,} measures keep their limits")
    if comparisons or not measures_of(report):
        ratios = [r for r in map(ratio_of, comparisons) if r is not None]
        parts.append(f"all {len(comparisons):,} comparisons keep their limits{_margin(ratios)}")
    return "; ".join([*parts, *_kept_in_replay(report)])


def _margin(ratios: Sequence[float]) -> str:
    return f", the worst at {times(max(ratios))}" if ratios else ""


def _kept_in_replay(report: Entry) -> list[str]:
    replayed, measures = replayed_of(report), measures_of(report)
    if replayed is None or not measures:
        return []
    ratios = [r for r in map(measure_ratio, measures) if r is not None]
    frames = f"{show(replayed.told.get('frames'))} replayed frames"
    return [f"all {len(measures):,} measures of {frames} keep their limits{_margin(ratios)}"]


def waived_outputs(report: Entry) -> set[tuple[str, str]]:
    """Return the (candidate, output) whose going over budget is waived: shown as failed, but blocking nothing."""
    waived = [f for f in report.get("findings") or [] if f.get("waived") and f.get("severity") == "error"]
    return {(str(f.get("candidate")), str(f.get("where"))) for f in waived if str(f.get("code")) == OVER_BUDGET}


def excused(entry: Entry, waived: set[tuple[str, str]]) -> bool:
    """Whether a comparison or measure failed by going over budget, and that is waived. Nothing else can be."""
    fault = entry.get("fault", None if "case" in entry else "budget")  # a measure can only go over its budget
    failed = entry.get("verdict") == "FAIL" and fault == "budget"
    place = called(str(entry.get("output")), entry.get("stage"))
    return failed and (str(entry.get("candidate")), place) in waived


def case_notes(report: Entry) -> dict[str, str]:
    """Return how cases were made, such as "obs[3] at its upper end", by case id; `nominal` ones are all made alike."""
    told = [c for c in report.get("cases") or [] if c.get("note") and c.get("profile") != "nominal"]
    return {str(c.get("id")): str(c["note"]) for c in told}


def _bare(sentence: Any) -> str:
    return str(sentence).strip().rstrip(".").lower()


def other_reasons(report: Entry, *, told: bool = False) -> list[str]:
    """Return the reasons that say more than the headline; with ``told`` those that no finding says too.

    That a replay failed is no more than what the cause says that was named for it.
    """
    known = {_bare(headline(report)), *map(_bare, general_titles(report))}
    if told:
        known |= {_bare(f.get("title")) for f in report.get("findings") or []}
    names = tuple(f"{c.get('name')}: " for c in report.get("candidates") or [])
    out = []
    for reason in map(str, report.get("reasons") or []):
        own = next((reason.removeprefix(n) for n in names if reason.startswith(n)), reason)
        if _bare(reason) not in known and _bare(own) not in known:
            out.append(reason)
    return out


def said(finding: Entry, report: Entry) -> str:
    """Return a finding in one sentence, with its place unless the sentence names it or there is but one candidate."""
    title, where = str(finding.get("title")), str(finding.get("where") or "")
    only = len(report.get("candidates") or []) == 1
    parts = [] if only or not finding.get("candidate") else [str(finding["candidate"])]
    if where and not _names(title, where):
        parts.append(where)
    return f"{', '.join(parts)}: {title}" if parts else title


def _names(title: str, where: str) -> bool:
    """Whether a sentence begins with a place, or names an element of an output such as ``action[4] (wrist)``."""
    return title.lower().startswith(where.lower()) or ("[" in where and where in title)


def untold(reasons: Iterable[str], report: Entry) -> list[str]:
    """Return those of a candidate's reasons that no finding says too."""
    known = {_bare(f.get("title")) for f in report.get("findings") or []}
    return [r for r in reasons if _bare(r) not in known]


def findings_of(report: Entry, *, waived: bool = False) -> list[Entry]:
    """Return the findings that stand (or those that are waived), errors first, the cause before all.

    Warnings that say the same of several candidates are one.
    """
    order: dict[str, int] = {s: i for i, s in enumerate(SEVERITIES)}
    chosen = [f for f in report.get("findings") or [] if bool(f.get("waived")) is waived]
    cause = _bare(headline(report))
    ordered = sorted(chosen, key=lambda f: (order.get(str(f.get("severity")), 0), _bare(f.get("title")) != cause))
    return together(ordered, len(report.get("candidates") or []))


def tally(entries: Iterable[Entry]) -> dict[str, int]:
    """Return how many entries have each verdict."""
    counts = {"PASS": 0, "FAIL": 0, "NOT_JUDGED": 0}
    for entry in entries:
        counts[str(entry.get("verdict"))] = counts.get(str(entry.get("verdict")), 0) + 1
    return counts


def tally_words(counts: Mapping[str, int]) -> str:
    """Return a tally in words: ``408 passed, 4 failed``."""
    words = {"PASS": "passed", "FAIL": "failed", "NOT_JUDGED": "not judged"}
    return ", ".join(f"{n:,} {words.get(v, v)}" for v, n in counts.items() if n) or "nothing compared"


def compared_words(report: Entry) -> str:
    """Return how the comparisons ended, in words; where there are none but measures, how those did.

    Nothing where only recorded data were replayed: that is told with what was replayed.
    """
    comparisons, measures = report.get("comparisons") or [], report.get("measures") or []
    if not comparisons and replayed_of(report) is not None:
        return ""
    if comparisons or not measures:
        return tally_words(tally(comparisons))
    return f"{len(measures):,} measure{'' if len(measures) == 1 else 's'}: {tally_words(tally(measures))}"


def reproduce(report: Entry) -> list[str]:
    """Return the commands that repeat this run: those that the run recorded, else the general ones."""
    import shlex

    recorded = report.get("reproduce")
    if isinstance(recorded, list) and recorded:
        return [str(line) for line in recorded]
    lines = ["parity run parity.toml"]
    worst = worst_of(report.get("comparisons") or [])
    if worst is not None and worst.get("verdict") != "PASS":
        lines.append(f"parity run parity.toml --partial -k {shlex.quote(str(worst.get('case')))}")
    return [*lines, "parity run --from report.json"]
