"""Every candidate at a glance: how many comparisons and measures, how they ended, and which of them is worst."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from parity.report.figures import ABSENT, show, times
from parity.report.replay_view import badness, in_units, measure_ratio, measured_at, measures_of, tally_of
from parity.report.view import (
    PROFILE_WORDS,
    Entry,
    off_where,
    ratio_of,
    tally,
    tally_words,
    worst_first,
    worst_of,
)
from parity.stages import called


@dataclass(frozen=True, slots=True)
class Glance:
    """One candidate at a glance. ``worst`` is its worst comparison, None where it has none; ``replay`` its measures."""

    name: str
    runner: str
    precision: str
    verdict: str
    reasons: tuple[str, ...]
    counts: Mapping[str, int]
    worst: Entry | None
    replay: tuple[Entry, ...] = ()

    @property
    def tally(self) -> str:
        if not self.replay:
            return tally_words(self.counts)
        compared = [tally_words(self.counts)] if self.worst else []
        return "; ".join([*compared, f"replayed: {tally_of(self.replay)}"])

    @property
    def words(self) -> str:
        """What is worst: of the comparisons, else of what was measured in a replay."""
        if self.worst:
            return off_where(self.worst)
        m = min(self.replay, key=badness, default=None)
        if m is None:
            return "nothing was compared"
        ratio = times(measure_ratio(m))
        value = in_units(m.get("value"), str(m.get("units") or ""))
        return f"replayed, {measured_at(m)}: {value}{f', {ratio}' if ratio else ''}"


def glances(report: Entry) -> list[Glance]:
    """Return every candidate at a glance, in the report's order."""
    by_name: dict[str, list[Entry]] = {}
    for comparison in report.get("comparisons") or []:
        by_name.setdefault(str(comparison.get("candidate")), []).append(comparison)
    replayed: dict[str, list[Entry]] = {}
    for measure in measures_of(report):
        replayed.setdefault(str(measure.get("candidate")), []).append(measure)
    out = []
    for candidate in report.get("candidates") or []:
        mine = by_name.get(str(candidate.get("name")), [])
        out.append(
            Glance(
                name=str(candidate.get("name") or ""),
                runner=str(candidate.get("runner") or ABSENT),
                precision=str(candidate.get("precision") or ABSENT),
                verdict=str(candidate.get("verdict") or "NOT_JUDGED"),
                reasons=tuple(str(r) for r in candidate.get("reasons") or ()),
                counts=tally(mine),
                worst=worst_of(mine),
                replay=tuple(replayed.get(str(candidate.get("name")), ())),
            )
        )
    return out


def outputs_of(report: Entry, candidate: str, *, stages: bool = False) -> list[tuple[str, str, dict[str, int], Entry]]:
    """Return level, output, tally and worst comparison of each output of a candidate, in order of appearance.

    With ``stages`` those of its stages too, the states of a loop as one.
    """
    groups: dict[tuple[str, str], list[Entry]] = {}
    for c in report.get("comparisons") or []:
        if str(c.get("candidate")) == candidate and (stages or not c.get("stage")):
            name = called(str(c.get("output")), c.get("stage"))
            groups.setdefault((str(c.get("level")), name), []).append(c)
    return [(level, name, tally(found), worst_first(found)[0]) for (level, name), found in groups.items()]


def profiles_of(report: Entry, candidate: str, level: str, stage: str, output: str) -> list[dict[str, str]]:
    """Return one output's comparisons by profile: what the profile is, how many, the worst of them, how they ended."""
    key = (candidate, level, stage, output)
    groups: dict[str, list[Entry]] = {}
    for c in report.get("comparisons") or []:
        if (str(c.get("candidate")), str(c.get("level")), str(c.get("stage") or ""), str(c.get("output"))) == key:
            groups.setdefault(str(c.get("profile") or ABSENT), []).append(c)
    out = []
    for name, found in groups.items():
        worst = worst_first(found)[0]
        words = f"{name}: {PROFILE_WORDS[name]}" if name in PROFILE_WORDS else name
        figures = {"max_abs": show(worst.get("max_abs")), "ratio": show(ratio_of(worst), 2)}
        out.append({"profile": words, "tally": tally_words(tally(found)), "case": str(worst.get("case")), **figures})
    return out
