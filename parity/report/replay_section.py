"""The section of `report.html` on recorded data: what was replayed, and what came of each output of each candidate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parity.report import draw_overlay, draw_replay
from parity.report.draw_overlay import Stretch, closer, stretch_of
from parity.report.figures import number, show
from parity.report.replay_tables import coverage_shown, details_of, played_terms
from parity.report.replay_view import GENERAL, Entry, Line, Replayed, Track, mapping, measures_of, replayed_of, tally_of

MAX_DRAWN, WHOLE = 8, 3  # tracks with pictures, of each verdict, and with all of them: each costs up to 100 kB
MAX_TRACKS = 60
FIRST_ROWS, EXAMPLES = 8, 2  # of a table, before the rest is folded: at most, and where nothing fails
ALL_ROWS = 640  # of all tables of dimensions together: a page stays below 2 MB
SAID = 8


def replay_shown(report: Entry) -> dict[str, Any] | None:
    """Return what the template shows of the report's ``replay``; None where nothing was replayed."""
    replayed = replayed_of(report)
    if replayed is None:
        return None
    ordered = sorted(replayed.tracks, key=lambda t: ("FAIL", "NOT_JUDGED", "PASS").index(t.verdict))
    shown = ordered[:MAX_TRACKS]
    rows = max(FIRST_ROWS, min(64, ALL_ROWS // max(len(shown), 1)))
    drawn = {id(t): i for passing in (False, True) for i, t in enumerate(_drawn(shown, passing=passing))}
    return {
        "words": f"{replayed.words}; {tally_of(measures_of(report))}.",
        "played": played_terms(replayed),
        "coverage": coverage_shown(replayed),
        "tracks": [_track(replayed, t, f"r{i}", drawn.get(id(t)), rows) for i, t in enumerate(shown)],
        "more": len(ordered) - len(shown),
    }


def _drawn(tracks: Sequence[Track], *, passing: bool) -> list[Track]:
    return [t for t in tracks if (t.verdict == "PASS") is passing][:MAX_DRAWN]


def _track(replayed: Replayed, t: Track, key: str, drawn: int | None, most: int) -> dict[str, Any]:
    """Return one track; ``drawn`` is its place among those of its verdict with pictures, None where it has none."""
    name = t.candidate if len({x.output for x in replayed.tracks}) == 1 else f"{t.candidate} / {t.output}"
    lines = [_line(line) for line in t.lines[:most]]
    failing = sum(line.verdict not in ("PASS", "") for line in t.lines)
    first = min(max(failing, EXAMPLES), FIRST_ROWS)
    return {
        "name": name,
        "verdict": t.verdict,
        "tally": _tally(t),
        "said": _said(t),
        "sampled": t.sampled,
        "united": any(line.units for line in t.lines),
        "rows": lines[:first],
        "folded": lines[first:],
        "more": len(t.lines) - len(lines),
        "figures": [] if drawn is None else _figures(t, key, whole=drawn < WHOLE),
        "details": details_of(t, max(FIRST_ROWS, most // 2) if most < ALL_ROWS // 10 else most),
    }


def _tally(t: Track) -> str:
    parts = [f"{sum(t.counts.values()):,} measures"]
    words = {"FAIL": "failed", "NOT_JUDGED": "not judged"}
    return ", ".join([*parts, *(f"{t.counts[k]:,} {w}" for k, w in words.items() if t.counts.get(k))])


def _said(t: Track) -> list[dict[str, str]]:
    """Return the sentences about a track: causes first; the general one only where there is no other error."""
    errors = [f for f in t.findings if f.get("severity") == "error"]
    named = any(f.get("code") != GENERAL for f in errors)
    chosen = [f for f in t.findings if not (named and f.get("code") == GENERAL)][:SAID]
    return [
        {"severity": str(f.get("severity")), "code": str(f.get("code")), "words": str(f.get("title"))} for f in chosen
    ]


def _line(line: Line) -> dict[str, str]:
    f = line.figures
    interval = f.get("bias_interval")
    ends = [show(v) for v in interval] if isinstance(interval, list | tuple) and len(interval) == 2 else []
    holes = sum(int(number(f.get(k)) or 0) for k in ("nan", "inf", "inf_both"))
    return {
        "dimension": line.label,
        "units": line.units,
        "rms": show(f.get("rmse")),
        "p99": show(f.get("p99_abs")),
        "max": show(f.get("max_abs")),
        "bias": show(f.get("bias")),
        "interval": f"{ends[0]} … {ends[1]}" if ends and set(ends) != {show(f.get("bias"))} else "",
        "limit": show(f.get("limit")),
        "moves": show(f.get("scale")),
        "ratio": show(line.ratio, 2),
        "verdict": line.verdict,
        "note": "" if line.covered else "hardly moves: not covered",
        "holes": f"{holes:,} not finite" if holes else "",
        "worst": line.worst,
    }


def _figures(t: Track, key: str, *, whole: bool) -> list[dict[str, Any]]:
    overlay = mapping(mapping(t.shown.get("overlay")).get("overlay"))
    worst, typical = (stretch_of(t.output, mapping(overlay.get(k))) for k in ("worst", "typical"))
    if t.verdict == "PASS":
        return _overlay(t, worst or typical, f"{key}w", "An example", panels=2)
    title, panels = "The episode that is furthest off for how far it moves", draw_overlay.PANELS if whole else 2
    found = _overlay(t, worst, f"{key}w", title, panels)
    if whole:
        found += _overlay(t, typical, f"{key}t", "A typical episode: the first", panels=2, folded=True)
    courses, spreads = draw_replay.courses_of(t), draw_replay.spreads_of(t)
    if courses:
        title = "Where in the chunk and in the episode"
        note = "RMS of the error, of how far the reference moves; off the recorded actions: of their spread."
        svg = draw_replay.draw_courses(courses, f"{key}c", f"{title}: {t.candidate}, {t.output}")
        found.append({"svg": svg, "title": title, "note": note, "folded": False})
    if spreads:
        title = "How actions are distributed"
        note = "Thin: all of them; thicker: 90 % and 50 %; the mark is the median. Each row has its own scale."
        if len(spreads) < len(t.lines):
            note += f" The {len(spreads)} worst of {len(t.lines)} dimensions."
        svg = draw_replay.draw_spreads(spreads, f"{key}d", f"{title}: {t.candidate}, {t.output}")
        found.append({"svg": svg, "title": title, "note": note, "folded": False})
    return found


def _overlay(
    t: Track, stretch: Stretch | None, key: str, title: str, panels: int, *, folded: bool = False
) -> list[dict[str, Any]]:
    if stretch is None:
        return []
    stretch = closer(stretch)
    last = stretch.first + stretch.frames - 1
    note = f"Episode {stretch.episode}, frames {stretch.first} to {last}; under each its difference and the limit."
    svg = draw_overlay.draw_overlay(stretch, key, f"{title}: {t.candidate}, {t.output}", panels)
    return [{"svg": svg, "title": title, "note": note, "folded": folded}]
