"""Pictures of one of the worst cases: both outputs, and their difference inside (or outside) its limit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from parity.report.axes import heading, legend, panel, reach, ticks_between, widest, x_axis, y_axis, y_title
from parity.report.exhibit import Exhibit, Worst
from parity.report.figures import show
from parity.report.svg import CANDIDATE, INK, LIMIT, LINE, REFERENCE, draw, label

if TYPE_CHECKING:
    from markupsafe import Markup

MAX_PANELS = 6
MAX_DOTS = 64
LEFT = 0.85  # inches beside a panel, for the labels of its axis
_ROW = 2.1  # inches from one row of panels to the next


def title_of(e: Exhibit) -> str:
    """Return what the picture of a worst case shows."""
    if e.steps == 1:
        return "Both outputs by dimension, and their difference inside its limit"
    worst = f", the {MAX_PANELS} worst dimensions" if e.dimensions > MAX_PANELS else ""
    return f"Both outputs over the chunk{worst}, and under each their difference inside its limit"


def draw_worst(e: Exhibit, w: Worst, key: str) -> Markup | None:
    """Return both outputs of the case: lines over the chunk, dots by dimension where it has one step."""
    shown = worst_dimensions(w)
    if not shown:
        return None
    title = f"{title_of(e)}: {e.candidate}, {e.output}, {w.case}"
    if len(w.reference.rows) == 1:
        dots = sorted(shown[:MAX_DOTS])
        words = worst_words(e, w, shown)
        return draw(lambda f: _dots(f, e, w, dots), 8.4, 1.1 + 0.17 * len(dots), key=key, title=title, words=words)
    panels = shown[:MAX_PANELS]
    height = 0.55 + _ROW * math.ceil(len(panels) / 2)
    return draw(lambda f: _lines(f, e, w, panels), 8.4, height, key=key, title=title, words=worst_words(e, w, panels))


def worst_dimensions(w: Worst) -> list[int]:
    """Return the columns of the case, those furthest over their limit (else of the largest |Δ|) first."""
    return sorted(range(len(w.reference.rows[0])), key=lambda d: -_off(w, d))


def _difference(w: Worst, d: int) -> list[float]:
    pairs = zip(w.reference.rows, w.candidate.rows, strict=True)
    return [c[d] - r[d] for r, c in pairs]


def _largest(w: Worst, d: int) -> float:
    return max((abs(x) for x in _difference(w, d) if not math.isnan(x)), default=math.inf)  # NaN alone: worst of all


def _off(w: Worst, d: int) -> float:
    largest, limit = _largest(w, d), _limit(w, d)
    if limit is None:
        return largest
    return largest / limit if limit > 0 else math.inf if largest > 0 else 0.0


def _limit(w: Worst, d: int) -> float | None:
    return None if w.limit is None or not math.isfinite(w.limit[d]) else w.limit[d]


def worst_words(e: Exhibit, w: Worst, shown: list[int]) -> str:
    """Return both outputs in words: where each shown dimension is furthest off, both values there, and its limit."""
    parts = []
    for d in shown[:MAX_PANELS]:
        differences = [0.0 if math.isnan(x) else abs(x) for x in _difference(w, d)]
        t = differences.index(max(differences))
        at = f" at time step {t * w.reference.step_stride}" if e.steps > 1 else ""
        limit = _limit(w, d)
        against = "" if limit is None else f", limit {show(limit)}"
        parts.append(
            f"{e.dimension(d, w.reference.dimension_stride)}{at}: reference {show(w.reference.rows[t][d], 4)}, "
            f"candidate {show(w.candidate.rows[t][d], 4)}, |Δ| {show(differences[t])}{against}"
        )
    return "; ".join(parts) + "."


def _finite(values: list[float]) -> list[float]:
    return [v if math.isfinite(v) else math.nan for v in values]


def _lines(figure: Any, e: Exhibit, w: Worst, panels: list[int]) -> None:
    columns = 2 if len(panels) > 1 else 1
    width, height = figure.get_size_inches()
    steps = [t * w.reference.step_stride for t in range(len(w.reference.rows))]
    for i, d in enumerate(panels):
        left = LEFT + i % columns * width / columns
        right = (i % columns + 1) * width / columns - 0.1
        top = height - 0.5 - i // columns * _ROW
        above = panel(figure, left, top - 0.95, right, top, reach(steps), reach(_both(w, d)))
        below = panel(figure, left, top - 1.55, right, top - 1.05, reach(steps), (-1.0, 1.0))
        heading(above, label(e.dimension(d, w.reference.dimension_stride), 44))
        lines = _outputs_axis(above, steps, w, d)
        difference_axis(below, steps, _finite(_difference(w, d)), _limit(w, d))
        ticks = [t for t in ticks_between((steps[0], steps[-1]), 8) if t == int(t)]
        x_axis(above, ticks, [])
        last = i + columns >= len(panels)
        x_axis(below, ticks, [f"{t:g}" for t in ticks], title="time step" if last else "")
        if i == 0:
            legend(figure, lines, LEFT)


def _both(w: Worst, d: int) -> list[float]:
    return [row[d] for side in (w.reference, w.candidate) for row in side.rows]


def _outputs_axis(axes: Any, steps: list[int], w: Worst, d: int) -> list[Any]:
    reference = _finite([r[d] for r in w.reference.rows])
    candidate = _finite([r[d] for r in w.candidate.rows])
    marks = "." if len(steps) <= 40 else None
    lines = axes.plot(steps, reference, color=REFERENCE, linewidth=2.4, label="reference")
    lines += axes.plot(
        steps, candidate, color=CANDIDATE, linewidth=1.2, linestyle="--", marker=marks, label="candidate"
    )
    ticks = ticks_between(axes.get_ylim(), 4)
    y_axis(axes, ticks, [f"{round(t, 12) + 0.0:g}" for t in ticks])
    return list(lines)


def difference_axis(axes: Any, steps: list[int], difference: list[float], limit: float | None) -> None:
    """Draw a difference inside (or outside) the band of its limit."""
    largest = max((abs(x) for x in [*difference, limit or 0.0] if not math.isnan(x)), default=0.0) or 1.0
    axes.set_ylim(-1.25 * largest, 1.25 * largest)
    if limit is not None:
        axes.axhspan(-limit, limit, color=LIMIT, alpha=0.16, linewidth=0)
        axes.hlines([-limit, limit], *axes.get_xlim(), colors=LIMIT, linewidths=1, linestyles=":")
    axes.hlines([0], *axes.get_xlim(), colors=LINE, linewidths=0.8)
    axes.plot(steps, difference, color=INK, linewidth=1.2)
    y_axis(axes, [-largest, 0, largest], [show(-largest, 2), "0", show(largest, 2)])
    y_title(axes, "Δ", LEFT - 0.2)


def _dots(figure: Any, e: Exhibit, w: Worst, shown: list[int]) -> None:
    labels = [label(e.axis(d, w.reference.dimension_stride), 28) for d in shown]
    margin = widest(labels)
    width, height = figure.get_size_inches()
    middle = margin + 0.6 * (width - margin)
    y, top = (len(shown) - 0.3, -0.7), height - 0.3
    reference, candidate = ([side.rows[0][d] for d in shown] for side in (w.reference, w.candidate))
    left = panel(figure, margin, 0.46, middle - 0.06, top, reach([*reference, *candidate]), y)
    places = list(range(len(shown)))
    marks = {"linestyle": "none", "markeredgewidth": 1.5}
    hollow = {"marker": "o", "markersize": 6.5, "markerfacecolor": "none", "color": REFERENCE}
    named = left.plot(_finite(reference), places, **hollow, **marks, label="reference")
    named += left.plot(
        _finite(candidate), places, color=CANDIDATE, marker="x", markersize=4.9, **marks, label="candidate"
    )
    ticks = ticks_between(left.get_xlim(), 7)
    x_axis(left, ticks, [f"{round(t, 12) + 0.0:g}" for t in ticks], title=f"output {label(e.units)}".strip())
    y_axis(left, places, labels, marks=False, grid=True)
    right = panel(figure, middle + 0.06, 0.46, width - 0.1, top, (-1.0, 1.0), y)
    _differences(right, e, w, shown)
    y_axis(right, [], [])
    legend(figure, named, margin)


def _differences(axes: Any, e: Exhibit, w: Worst, shown: list[int]) -> None:
    """Draw the differences as multiples of their limits: even inside the band, by powers of ten outside of it."""
    differences = [_difference(w, d)[0] for d in shown]
    limits = [_limit(w, d) for d in shown]
    limited = any(x is not None for x in limits)
    values = [_multiple(x, limit) if limited else x for x, limit in zip(differences, limits, strict=True)]
    finite = [abs(v) for v in values if math.isfinite(v)]
    largest = max([*finite, 1.0] if limited else finite, default=0.0) or 1.0
    edge = largest * (1.25 if largest <= 10 else 4)
    values = [math.copysign(edge, v) if math.isinf(v) else v for v in values]
    if limited and largest > 10:
        axes.set_xscale("symlog", linthresh=1, linscale=0.8)
        decade = 10.0 ** math.floor(math.log10(largest))
        ticks = [-decade, -1.0, 0.0, 1.0, decade]
    else:
        ticks = [-largest, 0.0, largest]
    axes.set_xlim(-edge, edge)
    if limited:
        axes.axvspan(-1, 1, color=LIMIT, alpha=0.16, linewidth=0)
        axes.vlines([-1, 1], *axes.get_ylim(), colors=LIMIT, linewidths=1)
    axes.vlines([0], *axes.get_ylim(), colors=LINE, linewidths=0.8)
    axes.plot(values, range(len(shown)), color=INK, marker="D", markersize=3, linestyle="none")
    title = "difference ◆ ÷ its limit (band)" if limited else f"difference ◆ {label(e.units)}".strip()
    x_axis(axes, ticks, [show(t, 2) for t in ticks], title=title)


def _multiple(difference: float, limit: float | None) -> float:
    if limit is None:
        return math.nan
    return difference / limit if limit > 0 else math.copysign(math.inf, difference) if difference else 0.0
