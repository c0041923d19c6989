"""Pictures of a replay's errors along the chunk and the episode, and of how actions are distributed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from parity.report.axes import heading, legend, panel, reach, ticks_between, widest, x_axis, y_axis
from parity.report.figures import number, show
from parity.report.replay_view import Track, dimension_name, sequence
from parity.report.svg import CANDIDATE, INK, REFERENCE, SOFT, draw, label

if TYPE_CHECKING:
    from markupsafe import Markup

_WIDTH = 8.4  # inches
_ROW, _HIGH = 1.75, 1.25  # inches: the picture less its head, and a panel
_ROOM = 1.5  # of the largest value: above it the lines are named
_STRIP = 0.42  # inches of one dimension among the distributions
STRIPS, FEW_STRIPS = 12, 4  # at most, and where fewer dimensions fail
_COLOURS = {"reference": REFERENCE, "candidate": CANDIDATE, "recorded": SOFT}


@dataclass(frozen=True, slots=True)
class Course:
    """How something runs along an axis: lines by name, as shares (0.1 is 10 %)."""

    title: str
    axis: str
    places: tuple[float, ...]
    lines: tuple[tuple[str, str, tuple[float, ...]], ...]  # name, colour, values
    words: str


def courses_of(track: Track) -> list[Course]:
    """Return the errors by step of the chunk, by phase of the episode, and against what was recorded."""
    found = [
        _along(track, "error", "by_step", "step", "Error by step of the chunk", "step of the chunk", 1.0),
        _along(track, "error", "by_phase", "phase", "Error by phase of the episode", "% of the episode", 100.0),
        _open_loop(track),
    ]
    return [c for c in found if c is not None]


def draw_courses(courses: Sequence[Course], key: str, title: str) -> Markup:
    """Return a panel for each course."""
    height = _ROW + 0.3
    words = " ".join(c.words for c in courses)
    return draw(lambda f: _courses(f, courses), _WIDTH, height, key=key, title=title, words=words, compact=True)


def _along(track: Track, measure: str, name: str, places: str, title: str, axis: str, times: float) -> Course | None:
    shown = track.exhibit(measure, name)
    at, rows = [number(v) for v in sequence(shown.get(places))], [_row(r) for r in sequence(shown.get("rms"))]
    scale = _row(shown.get("scale"))
    if len(at) < 2 or len(at) != len(rows) or any(v is None for v in at) or {len(r) for r in rows} != {len(scale)}:
        return None
    moving = [d for d, s in enumerate(scale) if s > 0 and all(not math.isnan(r[d]) for r in rows)]
    if not moving:
        return None
    shares = {d: [r[d] / scale[d] for r in rows] for d in moving}
    worst = max(moving, key=lambda d: max(shares[d]))
    middle = tuple(statistics.median(shares[d][i] for d in moving) for i in range(len(rows)))
    called = next((line.name for line in track.lines if line.place == worst), f"{track.output}[{worst}]")
    x = tuple(times * (v or 0.0) for v in at)
    peak = max(range(len(x)), key=lambda i: shares[worst][i])
    most = f"{show(100 * shares[worst][peak])} % of how far it moves"
    words = f"{title}: worst in {called}, {most} at {axis} {show(x[peak])}."
    lines = [(called, CANDIDATE, tuple(shares[worst]))]
    if len(moving) > 1:
        lines.append((f"median of {len(moving)} dimensions", INK, middle))
    return Course(title, axis, x, tuple(lines), words)


def _row(value: Any) -> tuple[float, ...]:
    return tuple(math.nan if v is None else v for v in map(number, sequence(value)))


def _open_loop(track: Track) -> Course | None:
    shown = track.exhibit("open_loop", "open_loop_by_step")
    each = [d for d in sequence(track.exhibit("open_loop", "open_loop").get("dimensions")) if isinstance(d, Mapping)]
    spread = [math.sqrt(v) if (v := number(d.get("variance")) or 0.0) > 0 else 0.0 for d in each]
    lines = []
    for side in ("reference", "candidate"):
        rows = [_row(r) for r in sequence(shown.get(side))]
        known = [[v / s for v, s in zip(r, spread, strict=False) if s > 0 and not math.isnan(v)] for r in rows]
        if len(rows) < 2 or not all(known):
            return None
        lines.append((side, _COLOURS[side], tuple(statistics.median(k) for k in known)))
    last = [show(100 * values[-1]) for _, _, values in lines]
    words = f"Off the recorded actions at the last step: reference {last[0]} %, candidate {last[1]} % of their spread."
    title = "Off the recorded actions"
    return Course(title, "step of the chunk", tuple(map(float, range(len(lines[0][2])))), tuple(lines), words)


def _courses(figure: Any, courses: Sequence[Course]) -> None:
    width, height = figure.get_size_inches()
    columns = max(len(courses), 2)
    for i, c in enumerate(courses):
        left, right, top = 0.6 + i * width / columns, (i + 1) * width / columns - 0.1, height - 0.3
        most = max((v for _, _, values in c.lines for v in values if math.isfinite(v)), default=0.0) or 1e-9
        axes = panel(figure, left, top - _HIGH, right, top, reach(c.places, 0.02), (0.0, _ROOM * most))
        heading(axes, label(c.title, 40))
        for place, (name, colour, values) in enumerate(c.lines):
            dashes = {"linestyle": "--"} if place else {}
            marks = {"marker": ".", "markersize": 4} if len(values) <= 24 else {}
            axes.plot(c.places, values, color=colour, linewidth=1.4, label=label(name, 34), **dashes, **marks)
        ticks = [t for t in ticks_between((0.0, 1.1 * most), 4) if t > 0]
        y_axis(axes, ticks, [f"{show(100 * t, 2)} %" for t in ticks], grid=True)
        across = [t for t in ticks_between((c.places[0], c.places[-1]), 8) if t == int(t)]
        x_axis(axes, across, [f"{t:g}" for t in across], title=c.axis)
        axes.legend(loc="upper left", fontsize=7.5, borderpad=0.2, handlelength=1.8)


@dataclass(frozen=True, slots=True)
class Spread:
    """Quantiles of one dimension by side, evenly spaced from the smallest to the largest value."""

    name: str
    units: str
    sides: tuple[tuple[str, tuple[float, ...]], ...]


def spreads_of(track: Track) -> list[Spread]:
    """Return how the worst dimensions are distributed: those that fail, and a few at least."""
    quantiles = track.exhibit("distribution", "distribution").get("quantiles")
    if not isinstance(quantiles, Mapping):
        return []
    sides = {k: [_row(r) for r in sequence(quantiles.get(k))] for k in _COLOURS}
    units = {line.place: line for line in track.lines}
    failing = sum(line.verdict not in ("PASS", "") for line in track.lines)
    order = [line.place for line in track.lines] or list(range(len(sides["reference"])))
    order = order[: min(STRIPS, max(failing, FEW_STRIPS))]
    found = []
    for d in order:
        own = [(k, rows[d]) for k, rows in sides.items() if d < len(rows)]
        good = tuple((k, v) for k, v in own if len(v) >= 5 and all(map(math.isfinite, v)))
        if len(good) > 1:
            line = units.get(d)
            name = line.label if line else str(d)
            found.append(Spread(dimension_name(track.output, name), line.units if line else "", good))
    return found


def spread_words(spreads: Sequence[Spread]) -> str:
    """Return the middle of each side in words."""
    parts = []
    for s in spreads[:6]:
        middle = ", ".join(f"{k} {show(v[len(v) // 2])}" for k, v in s.sides)
        parts.append(f"{s.name}: median {middle}{f' {s.units}' if s.units else ''}")
    return "; ".join(parts) + "."


def draw_spreads(spreads: Sequence[Spread], key: str, title: str) -> Markup:
    """Return a strip for each dimension, each over its own range: all, 90 %, 50 % and the median of each side."""
    height = 0.35 + _STRIP * len(spreads)
    words = spread_words(spreads)
    return draw(lambda f: _strips(f, spreads), _WIDTH, height, key=key, title=title, words=words, compact=True)


def _strips(figure: Any, spreads: Sequence[Spread]) -> None:
    width, height = figure.get_size_inches()
    names = [label(s.name, 36) for s in spreads]
    ends = [(min(v[0] for _, v in s.sides), max(v[-1] for _, v in s.sides)) for s in spreads]
    lows, highs = (
        [show(a) for a, _ in ends],
        [f"{show(b)} {label(s.units, 12)}".rstrip() for (_, b), s in zip(ends, spreads, strict=True)],
    )
    left, right = widest(names) + widest(lows) + 0.1, width - widest(highs) - 0.1
    axes = panel(figure, left, 0.05, right, height - 0.3, (-0.01, 1.01), (len(spreads) - 0.5, -0.5))
    handles: dict[str, Any] = {}
    for y, s in enumerate(spreads):
        low, high = ends[y]
        if y:
            axes.plot([0, 1], [y - 0.5, y - 0.5], color=SOFT, linewidth=0.3)
        for place, (side, values) in enumerate(s.sides):
            at = y + 0.25 * (place - (len(s.sides) - 1) / 2)
            x = [(v - low) / (high - low) if high > low else 0.5 for v in values]
            handles.setdefault(side, _strip(axes, x, at, side))
        axes.text(-0.01, y, lows[y], ha="right", va="center", fontsize=7, color=SOFT)
        axes.text(1.01, y, highs[y], ha="left", va="center", fontsize=7, color=SOFT)
        axes.text(-0.01 - widest(lows) / (right - left) - 0.01, y, names[y], ha="right", va="center", fontsize=8)
    legend(figure, list(handles.values()), left)


def _strip(axes: Any, x: Sequence[float], y: float, side: str) -> Any:
    last = len(x) - 1
    colour = _COLOURS[side]
    for low, high, wide in ((0, last, 0.6), (round(0.05 * last), round(0.95 * last), 1.6)):
        axes.plot([x[low], x[high]], [y, y], color=colour, linewidth=wide, solid_capstyle="butt")
    (line,) = axes.plot(
        [x[round(0.25 * last)], x[round(0.75 * last)]],
        [y, y],
        color=colour,
        linewidth=4,
        solid_capstyle="butt",
        label=side,
    )
    axes.plot([x[last // 2]], [y], color=INK, marker="|", markersize=6, markeredgewidth=1.2, linestyle="none")
    return line
