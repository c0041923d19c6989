"""A report's ``replay``, read as what people are told of it: what was replayed, and each output of each candidate.

Everything here is tolerant: what an older report lacks, or another measure names differently, is absent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from parity.report.figures import ABSENT, number, show

Entry = Mapping[str, Any]

GENERAL = "REPLAY092"  # "it is not the reference's": said after what names a cause
_RANK = {"FAIL": 0, "NOT_JUDGED": 1, "PASS": 2}
_SEVERITY = {"error": 0, "warning": 1, "info": 2}
_LEVEL = "/replay/"  # of the ids of a replay's measures


@dataclass(frozen=True, slots=True)
class Line:
    """One action dimension of one candidate, in its units; numbers as the report has them.

    Attributes:
        place: which dimension.
        label: ``4 (wrist)``.
        name: ``action[4] (wrist)``.
        units: "" where they are not known.
        figures: RMS, p99 and so on, as the measure of errors shows them.
        ratio: worst |value| ÷ limit of its measures, None where nothing limits it.
        verdict: the worst of its measures, "" where there is none.
        covered: whether the reference moves far enough to tell something.
    """

    place: int
    label: str
    name: str
    units: str
    figures: Entry
    ratio: float | None
    verdict: str
    covered: bool

    @property
    def worst(self) -> str:
        """Where it is furthest off: ``episode 12, frame 87``."""
        at = self.figures.get("worst")
        if not isinstance(at, Mapping):
            return ABSENT
        step = at.get("step")
        of = f", step {step}" if isinstance(step, int) and step else ""
        return f"episode {at.get('episode')}, frame {at.get('frame')}{of}"


@dataclass(frozen=True, slots=True)
class Track:
    """One action output of one candidate: its verdict, what is said of it, its dimensions (worst first), exhibits."""

    candidate: str
    output: str
    verdict: str
    counts: Mapping[str, int]
    findings: tuple[Entry, ...]
    lines: tuple[Line, ...]
    shown: Entry
    sampled: bool

    def exhibit(self, measure: str, name: str) -> Entry:
        """Return an exhibit of a measure, empty where there is none."""
        return mapping(mapping(self.shown.get(measure)).get(name))


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was replayed, and what came of it."""

    told: Entry
    tracks: tuple[Track, ...] = field(default=())

    @property
    def words(self) -> str:
        """What was replayed in a few words: ``7,000 frames of 20 episodes, asked every 8 frames``."""
        frames, every = self.told.get("frames"), self.told.get("every")
        if not isinstance(frames, int):
            return "nothing was replayed"
        episodes = len(sequence(self.told.get("episodes")))
        words = f"{show(frames)} frame{'' if frames == 1 else 's'} of "
        words += f"{show(episodes)} episode{'' if episodes == 1 else 's'}"
        return words + (f", asked every {every} frames" if isinstance(every, int) and every > 1 else "")


def mapping(value: Any) -> Entry:
    """Return ``value`` where it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: Any) -> Sequence[Any]:
    """Return ``value`` where it is a list, else an empty one."""
    return value if isinstance(value, list | tuple) else ()


def replayed_of(report: Entry) -> Replayed | None:
    """Return the replay of a report, None where nothing was replayed."""
    told = report.get("replay")
    if not isinstance(told, Mapping) or not told.get("dataset"):
        return None
    rows: dict[tuple[str, str], list[Entry]] = {}
    for m in measures_of(report):
        rows.setdefault((str(m.get("candidate")), str(m.get("output"))), []).append(m)
    said: dict[str, list[Entry]] = {}
    for f in report.get("findings") or []:
        if str(f.get("code")).startswith("REPLAY") and f.get("candidate") and not f.get("waived"):
            said.setdefault(str(f["candidate"]), []).append(f)
    sampled = {str(s) for s in sequence(told.get("sampled"))}
    tracks = []
    for candidate, outputs in mapping(told.get("candidates")).items():
        for output, shown in mapping(outputs).items():
            own = rows.get((candidate, output), [])
            known = list(mapping(outputs))
            findings = [f for f in said.get(candidate, []) if len(known) == 1 or _of(f, output, known)]
            tracks.append(
                Track(
                    candidate=str(candidate),
                    output=str(output),
                    verdict=min((str(m.get("verdict")) for m in own), key=_rank, default="NOT_JUDGED"),
                    counts=_tally(own),
                    findings=tuple(sorted(findings, key=_first)),
                    lines=_lines(str(output), own, mapping(shown)),
                    shown=mapping(shown),
                    sampled=bool(sampled & {"reference", candidate}),
                )
            )
    return Replayed(told, tuple(tracks))


def general_titles(report: Entry) -> list[str]:
    """Return the sentences that a candidate failed in its replay, where a cause is named for it too."""
    errors = [f for f in report.get("findings") or [] if f.get("severity") == "error" and not f.get("waived")]
    replay = [f for f in errors if str(f.get("code")).startswith("REPLAY")]
    named = {str(f.get("candidate")) for f in replay if f.get("code") != GENERAL}
    return [str(f.get("title")) for f in replay if f.get("code") == GENERAL and str(f.get("candidate")) in named]


def measures_of(report: Entry) -> list[Entry]:
    """Return the measures of a replay."""
    return [m for m in report.get("measures") or [] if _LEVEL in str(m.get("id"))]


def tally_of(measures: Iterable[Entry]) -> str:
    """Return how many measures there are and how they ended: ``54 measures, 2 fail``."""
    counts = _tally(measures)
    total = sum(counts.values())
    words = f"{total:,} measure{'' if total == 1 else 's'}"
    if not total:
        return "nothing measured"
    if counts["PASS"] == total:
        return f"{words}, all pass" if total > 1 else f"{words}, it passes"
    failed, open_ = counts["FAIL"], total - counts["FAIL"] - counts["PASS"]
    parts = [f"{failed:,} fail{'s' if failed == 1 else ''}"] * bool(failed)
    return ", ".join([words, *parts, *[f"{open_:,} not judged"] * bool(open_)])


def measure_ratio(measure: Entry) -> float | None:
    """Return |value| ÷ limit of a measure, None where it has no limit or no value, or where both are 0."""
    value, limit = number(measure.get("value")), number(measure.get("limit"))
    if value is None or limit is None or math.isinf(limit):
        return None
    if math.isnan(value) or math.isnan(limit):
        return math.nan
    if limit <= 0:
        return None if value == 0 else math.inf
    return abs(value) / limit


def badness(measure: Entry) -> tuple[int, float, str]:
    """Return what sorts measures: what failed first, then what was not judged, each by how many limits it is off."""
    ratio = measure_ratio(measure)
    off = -math.inf if number(measure.get("value")) is None else 1.0 if ratio is None else -ratio
    return _rank(str(measure.get("verdict"))), -math.inf if math.isnan(off) else off, str(measure.get("id"))


def measured_at(measure: Entry) -> str:
    """Return which figure of what a measure is: ``max_abs of action[4] (wrist)``."""
    return f"{measure.get('name')} of {dimension_name(measure.get('output'), measure.get('dimension'))}"


def dimension_name(output: Any, label: Any) -> str:
    """Return a dimension as ``action[4] (wrist)`` from its label ``4 (wrist)``; the output where it is None."""
    if label is None:
        return str(output)
    place, gap, name = str(label).partition(" ")
    return f"{output}[{place}]{gap}{name}"


def in_units(value: Any, units: str, digits: int = 3) -> str:
    """Return a number with its units."""
    return f"{show(value, digits)} {units}".rstrip()


def _rank(verdict: str) -> int:
    return _RANK.get(verdict, 1)


def _tally(measures: Iterable[Entry]) -> dict[str, int]:
    counts = {"PASS": 0, "FAIL": 0, "NOT_JUDGED": 0}
    for m in measures:
        verdict = str(m.get("verdict"))
        counts[verdict if verdict in counts else "NOT_JUDGED"] += 1
    return counts


def _of(finding: Entry, output: str, known: Sequence[str]) -> bool:
    """Whether a finding is about this output: about no other one that is known."""
    where = str(finding.get("where") or "")
    own = [name for name in known if where == name or where.startswith(f"{name}[")]
    return not own or output in own


def _first(finding: Entry) -> tuple[int, bool]:
    return _SEVERITY.get(str(finding.get("severity")), 0), finding.get("code") == GENERAL


def _lines(output: str, measures: Sequence[Entry], shown: Entry) -> tuple[Line, ...]:
    own: dict[str, list[Entry]] = {}
    for m in measures:
        if m.get("dimension") is not None:
            own.setdefault(str(m["dimension"]), []).append(m)
    found = [
        _line(output, e, own.get(str(e.get("name")), []))
        for e in sequence(mapping(shown.get("error")).get("error"))
        if isinstance(e, Mapping)
    ]
    return tuple(sorted(found, key=_worse))


def _line(output: str, e: Entry, measures: Sequence[Entry]) -> Line:
    ratios = [r for r in map(measure_ratio, measures) if r is not None]
    place = e.get("dimension")
    return Line(
        place=place if isinstance(place, int) else 0,
        label=str(e.get("name")),
        name=dimension_name(output, e.get("name")),
        units=str(e.get("units") or ""),
        figures=e,
        ratio=max(ratios, key=lambda r: math.inf if math.isnan(r) else r, default=None),
        verdict=min((str(m.get("verdict")) for m in measures), key=_rank, default=""),
        covered=bool(e.get("covered", True)),
    )


def _worse(line: Line) -> tuple[int, float, int]:
    """Return what sorts lines: what failed first, by how far off it is for a dimension that moves so far."""
    error, scale = number(line.figures.get("rmse")), number(line.figures.get("scale"))
    holes = sum(number(line.figures.get(k)) or 0 for k in ("nan", "inf"))
    off = math.inf if holes or error is None else error / scale if scale else error and math.inf
    return (3 if not line.verdict else _rank(line.verdict)), -off, line.place
