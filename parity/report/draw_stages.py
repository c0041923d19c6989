"""Picture of how the error of a loop's state grows from step to step, against its limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from parity.report.axes import heading, panel, ticks_between, widest, x_axis, y_axis
from parity.report.figures import show
from parity.report.stages_view import Course
from parity.report.svg import CANDIDATE, INK, LIMIT, OVER, REFERENCE, draw, label

if TYPE_CHECKING:
    from markupsafe import Markup

_WIDTH, _HEIGHT = 3.5, 2.3  # inches: a phone shows it whole
_LINES = 4
_COLOURS = (CANDIDATE, INK, REFERENCE, OVER)
_DASHES = ("-", "--", ":", "-.")


def draw_courses(courses: Sequence[Course], key: str, title: str) -> Markup | None:
    """Return a line for each state: its worst difference after each step over its limit, on a logarithmic scale.

    None where no difference can be drawn: all are zero, or none is a number.
    """
    lines = [(c.state, points) for c in courses[:_LINES] if (points := _points(c))]
    if not lines:
        return None
    words = " ".join(c.words for c in courses[:_LINES])
    return draw(lambda f: _paint(f, lines), _WIDTH, _HEIGHT, key=key, title=title, words=words)


def _points(course: Course) -> list[tuple[int, float]]:
    """Return step and log10 of the ratio to the limit, where that is a number above zero."""
    known = [(s.step, s.ratio) for s in course.steps if s.ratio is not None]
    return [(k, math.log10(r)) for k, r in known if math.isfinite(r) and r > 0]


def _paint(figure: Any, lines: Sequence[tuple[str, list[tuple[int, float]]]]) -> None:
    every = [y for _, points in lines for _, y in points]
    low, high = math.floor(min([*every, 0.0]) - 0.1), math.ceil(max([*every, 0.0]) + 0.3)
    last = max(k for _, points in lines for k, _ in points)
    ticks = list(range(low, high + 1, max(1, math.ceil((high - low) / 5))))
    names = [_power(t) for t in ticks]
    axes = panel(figure, widest(names) + 0.1, 0.5, _WIDTH - 0.15, _HEIGHT - 0.3, (0.5, last + 0.5), (low, high))
    heading(axes, "worst |Δ| ÷ limit")
    axes.plot([0.5, last + 0.5], [0, 0], color=LIMIT, linewidth=1.2, linestyle="--", label="limit")
    for (state, points), colour, dashes in zip(lines, _COLOURS, _DASHES, strict=False):
        x, y = [k for k, _ in points], [v for _, v in points]
        marks = {"marker": ".", "markersize": 5} if len(points) <= 40 else {}
        axes.plot(x, y, color=colour, linestyle=dashes, linewidth=1.4, label=label(state, 16), **marks)
        over = [(k, v) for k, v in points if v > 0]
        if over and len(points) <= 40:
            axes.plot(*zip(*over, strict=True), color=OVER, linestyle="none", marker=".", markersize=7)
    y_axis(axes, ticks, names, grid=True)
    few = [float(k) for k in range(1, last + 1)]
    across = few if last <= 10 else [t for t in ticks_between((1, last), 6) if t == int(t)]
    x_axis(axes, across, [f"{t:g}" for t in across], title="denoising step")
    axes.legend(loc="best", fontsize=7.5, borderpad=0.2, handlelength=2.2)


def _power(exponent: int) -> str:
    return show(10.0**exponent, 1) if -3 <= exponent <= 5 else f"1e{exponent}"
