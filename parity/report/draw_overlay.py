"""Pictures of what was executed in one episode: reference, candidate and what was recorded, dimension by dimension."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from parity.report.axes import heading, legend, panel, reach, ticks_between, x_axis, y_axis
from parity.report.draw_worst import LEFT, difference_axis
from parity.report.figures import number, show
from parity.report.replay_view import dimension_name, in_units, sequence
from parity.report.svg import CANDIDATE, REFERENCE, SOFT, draw, label

if TYPE_CHECKING:
    from markupsafe import Markup

PANELS = 4
MOST = 2_000  # frames that are read of a report
_WINDOW = 160  # of them that are drawn, around where it is furthest off: more cannot be told apart
_ROW = 2.1  # inches from one row of panels to the next


@dataclass(frozen=True, slots=True)
class Strand:
    """One action dimension over an episode, NaN where there is no number; ``recorded`` is empty where nothing was."""

    name: str
    units: str
    limit: float | None
    reference: tuple[float, ...]
    candidate: tuple[float, ...]
    recorded: tuple[float, ...]

    @property
    def difference(self) -> list[float]:
        """Candidate less reference."""
        return [c - r for r, c in zip(self.reference, self.candidate, strict=True)]

    @property
    def over(self) -> bool:
        """Whether it is over its limit somewhere, or has a number on one side only."""
        if any(math.isnan(r) != math.isnan(c) for r, c in zip(self.reference, self.candidate, strict=True)):
            return True
        return self.limit is not None and any(abs(d) > self.limit for d in self.difference)

    def part(self, start: int, stop: int) -> Strand:
        """Return some of its frames."""
        sides = (side[start:stop] for side in (self.reference, self.candidate, self.recorded))
        return Strand(self.name, self.units, self.limit, *sides)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Part of an episode: ``first`` is the frame of its first number, ``seams`` are those where a new chunk begins."""

    episode: int
    first: int
    strands: tuple[Strand, ...]
    seams: tuple[int, ...] = ()

    @property
    def frames(self) -> int:
        """How many frames it has."""
        return len(self.strands[0].reference)


def stretch_of(output: str, shown: Mapping[str, Any]) -> Stretch | None:
    """Return a part of the exhibit "overlay" that can be drawn, None where it is not as it should be."""
    strands = [_strand(output, d) for d in sequence(shown.get("dimensions")) if isinstance(d, Mapping)]
    good = tuple(s for s in strands if s is not None)
    first, episode = shown.get("first"), shown.get("episode")
    if not good or len({len(s.reference) for s in good}) != 1:
        return None
    seams = tuple(f for f in sequence(shown.get("seams")) if isinstance(f, int))
    return Stretch(episode if isinstance(episode, int) else 0, first if isinstance(first, int) else 0, good, seams)


def closer(stretch: Stretch) -> Stretch:
    """Return the frames around where the first dimension is furthest off, few enough to be drawn."""
    gaps = [-1.0 if math.isnan(d) else abs(d) for d in stretch.strands[0].difference]
    start = max(0, min(gaps.index(max(gaps)) - _WINDOW // 2, stretch.frames - _WINDOW))
    parts = tuple(s.part(start, start + _WINDOW) for s in stretch.strands)
    first = stretch.first + start
    return Stretch(
        stretch.episode, first, parts, tuple(f for f in stretch.seams if first <= f < first + len(parts[0].reference))
    )


def _strand(output: str, d: Mapping[str, Any]) -> Strand | None:
    reference, candidate, recorded = (_values(d.get(k)) for k in ("reference", "candidate", "recorded"))
    length = max(len(reference), len(candidate))
    if not length:
        return None
    reference, candidate = (side or (math.nan,) * length for side in (reference, candidate))
    if len(reference) != len(candidate):
        return None
    limit = number(d.get("limit"))
    name, units = dimension_name(output, d.get("name")), str(d.get("units") or "")
    return Strand(name, units, limit, reference, candidate, recorded if len(recorded) == length else ())


def _values(value: Any) -> tuple[float, ...]:
    found = (number(v) for v in sequence(value)[:MOST])
    return tuple(math.nan if v is None or not math.isfinite(v) else v for v in found)


def overlay_words(stretch: Stretch) -> str:
    """Return the picture in words: where each dimension is furthest off, and both values there."""
    parts = []
    for s in stretch.strands[:PANELS]:
        gaps = [-1.0 if math.isnan(d) else abs(d) for d in s.difference]
        if max(gaps) < 0:
            parts.append(f"{s.name} has no number on both sides")
            continue
        at = gaps.index(max(gaps))
        limit = "" if s.limit is None else f", limit {show(s.limit)}"
        values = f"reference {show(s.reference[at], 4)}, candidate {in_units(s.candidate[at], s.units, 4)}"
        parts.append(f"{s.name} at frame {stretch.first + at}: {values}, |Δ| {show(gaps[at])}{limit}")
    return f"Episode {stretch.episode}, frames {stretch.first} to {stretch.first + stretch.frames - 1}: " + (
        "; ".join(parts) + "."
    )


def draw_overlay(stretch: Stretch, key: str, title: str, panels: int = PANELS) -> Markup:
    """Return a panel for each of the first dimensions: the actions above, their difference and its limit below."""
    over = [s for s in stretch.strands if s.over]
    shown = (over or stretch.strands[:2])[:panels]
    height = 0.45 + _ROW * math.ceil(len(shown) / 2)
    words = overlay_words(stretch)
    return draw(lambda f: _panels(f, stretch, shown), 8.4, height, key=key, title=title, words=words, compact=True)


def _panels(figure: Any, stretch: Stretch, shown: Sequence[Strand]) -> None:
    columns = 2 if len(shown) > 1 else 1
    width, height = figure.get_size_inches()
    frames = [stretch.first + i for i in range(stretch.frames)]
    x = reach(frames, 0.02)
    for i, s in enumerate(shown):
        left = LEFT + i % columns * width / columns
        right = (i % columns + 1) * width / columns - 0.1
        top = height - 0.5 - i // columns * _ROW
        above = panel(figure, left, top - 0.95, right, top, x, reach([*s.reference, *s.candidate, *s.recorded]))
        below = panel(figure, left, top - 1.55, right, top - 1.05, x, (-1.0, 1.0))
        heading(above, label(s.name + (f", {s.units}" if s.units else ""), 48))
        lines = _actions(above, frames, s)
        if 1 < len(stretch.seams) <= _WINDOW // 2:
            lines.append(_seams(above, stretch.seams))
        difference_axis(below, frames, s.difference, s.limit)
        ticks = [t for t in ticks_between((frames[0], frames[-1]), 6) if t == int(t)]
        x_axis(above, ticks, [])
        last = i + columns >= len(shown)
        x_axis(below, ticks, [f"{t:g}" for t in ticks], title=f"frame of episode {stretch.episode}" if last else "")
        if i == 0:
            legend(figure, lines, LEFT)


def _seams(axes: Any, frames: Sequence[int]) -> Any:
    """Draw a mark above each frame: all of them one line with gaps, which takes a tenth of what markers take."""
    places = [x for f in frames for x in (f, f, math.nan)]
    heights = [1.0, 1.045, math.nan] * len(frames)
    style = {"color": SOFT, "linewidth": 0.8, "label": "above: a new chunk"}
    (marks,) = axes.plot(places, heights, transform=axes.get_xaxis_transform(), clip_on=False, **style)
    return marks


def _actions(axes: Any, frames: list[int], s: Strand) -> list[Any]:
    lines = []
    if s.recorded:
        style = {"color": SOFT, "linewidth": 1.0, "linestyle": ":", "label": "recorded"}
        lines += axes.plot(frames, s.recorded, **style)
    wide = {"color": REFERENCE, "linewidth": 2.2, "label": "reference"}
    lines += axes.plot(frames, s.reference, **wide)
    thin = {"color": CANDIDATE, "linewidth": 1.1, "linestyle": "--", "label": "candidate"}
    lines += axes.plot(frames, s.candidate, **thin)
    ticks = ticks_between(axes.get_ylim(), 4)
    y_axis(axes, ticks, [f"{round(t, 12) + 0.0:g}" for t in ticks])
    return [*lines[-2:], *lines[:-2]]
