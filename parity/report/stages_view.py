"""What the report tells of policies in stages: each stage alone and chained, and the error by step of the loop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from parity.report.figures import number, show, times
from parity.report.view import Entry, ratio_of, tally, worst_of
from parity.stages import parts_of

SAID = ("STAGE010", "STAGE011", "STAGE012", "STAGE013")


@dataclass(frozen=True, slots=True)
class Way:
    """All comparisons of one stage in one way: ``alone`` or ``chained``."""

    counts: Mapping[str, int]
    worst: Entry | None

    @property
    def verdict(self) -> str:
        if not sum(self.counts.values()):
            return ""
        return "FAIL" if self.counts["FAIL"] else "NOT_JUDGED" if self.counts["NOT_JUDGED"] else "PASS"

    @property
    def value(self) -> str:
        """The value that is worst."""
        return parts_of(str(self.worst.get("output")))[1] if self.worst else ""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of one candidate."""

    name: str
    alone: Way
    chained: Way


@dataclass(frozen=True, slots=True)
class Step:
    """All comparisons of one state after one step of the loop; a figure is None where nothing could be compared."""

    step: int
    gap: float | None
    ratio: float | None
    way: Way


@dataclass(frozen=True, slots=True)
class Course:
    """How the error of one state goes through the loop."""

    state: str
    steps: tuple[Step, ...]

    @property
    def growth(self) -> float | None:
        """By which factor the largest |Δ| grows per step, from the first with an error; None where that is not told."""
        known = [(s.step, s.gap) for s in self.steps if s.gap is not None and math.isfinite(s.gap) and s.gap > 0]
        if len(known) < 2:
            return None
        (first, low), (last, high) = known[0], known[-1]
        return float((high / low) ** (1.0 / (last - first)))

    @property
    def over_from(self) -> int | None:
        """The first step after which the state fails."""
        return next((s.step for s in self.steps if s.way.verdict == "FAIL"), None)

    @property
    def words(self) -> str:
        """The course in one sentence."""
        first, last = self.steps[0], self.steps[-1]
        if all(s.gap is None for s in self.steps):
            return f"{self.state}: nothing could be compared."
        if all(s.gap == 0 for s in self.steps):
            return f"{self.state} is the same after every step."
        grown = f", × {self.growth:.3g} per step" if self.growth is not None else ""
        ends = f"{times(first.ratio) or 'not judged'} after step {first.step}"
        if last is not first:
            ends += f", {times(last.ratio) or 'not judged'} after step {last.step}"
        over = f"; over from step {self.over_from} on" if self.over_from is not None else ""
        return f"{self.state}: {ends} (|Δ| {show(first.gap)} → {show(last.gap)}{grown}){over}."


@dataclass(frozen=True, slots=True)
class StagedCandidate:
    """One candidate in stages; ``said`` are the sentences that name where its error enters."""

    name: str
    verdict: str
    stages: tuple[Stage, ...]
    courses: tuple[Course, ...]
    said: tuple[str, ...]


def staged_of(report: Entry) -> list[StagedCandidate]:
    """Return every candidate of which stages were compared, in the report's order."""
    by_name: dict[str, list[Entry]] = {}
    for c in report.get("comparisons") or []:
        if c.get("stage"):
            by_name.setdefault(str(c.get("candidate")), []).append(c)
    found = []
    for candidate in report.get("candidates") or []:
        name = str(candidate.get("name"))
        if name in by_name:
            verdict = str(candidate.get("verdict") or "NOT_JUDGED")
            rows = by_name[name]
            found.append(StagedCandidate(name, verdict, _stages(rows), _courses(rows), _said(report, name)))
    return found


def _said(report: Entry, name: str) -> tuple[str, ...]:
    own = [f for f in report.get("findings") or [] if f.get("candidate") == name and f.get("code") in SAID]
    return tuple(str(f.get("title")) for f in own)


def _stages(rows: Sequence[Entry]) -> tuple[Stage, ...]:
    names = dict.fromkeys(str(r.get("stage")) for r in rows)
    found = []
    for name in names:
        ways = {}
        for way in ("alone", "chained"):
            own = [r for r in rows if str(r.get("stage")) == name and parts_of(str(r.get("output")))[0] == way]
            ways[way] = Way(tally(own), worst_of(own))
        found.append(Stage(name, ways["alone"], ways["chained"]))
    return tuple(found)


def _courses(rows: Sequence[Entry]) -> tuple[Course, ...]:
    by_state: dict[str, dict[int, list[Entry]]] = {}
    for row in rows:
        _, state, step = parts_of(str(row.get("output")))
        if step is not None:
            by_state.setdefault(state, {}).setdefault(step, []).append(row)
    return tuple(
        Course(state, tuple(_step(k, own) for k, own in sorted(steps.items()))) for state, steps in by_state.items()
    )


def _step(step: int, rows: Sequence[Entry]) -> Step:
    broken = any(not_finite(r) for r in rows)
    gaps, ratios = [number(r.get("max_abs")) for r in rows], [ratio_of(r) for r in rows]
    figures = (math.nan, math.nan) if broken else (_largest(gaps), _largest(ratios))
    return Step(step, *figures, Way(tally(rows), worst_of(rows)))


def not_finite(row: Entry) -> bool:
    """Whether a comparison has NaN or infinite elements: its other figures are of the rest."""
    return any(number(row.get(k)) for k in ("nan_mismatches", "inf_mismatches", "inf_both"))


def ratio_shown(row: Entry) -> str:
    """Return the ratio to the limit as people read it, NaN where elements are not finite."""
    return "NaN" if not_finite(row) else show(ratio_of(row), 2)


def _largest(values: Sequence[float | None]) -> float | None:
    """Return the largest of what is known; NaN where one is not a number, which is worse than any."""
    known = [v for v in values if v is not None]
    if any(math.isnan(v) for v in known):
        return math.nan
    return max(known, default=None)
