"""Pictures of how far an output is off: by time step and action dimension, and as a distribution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from parity.report.axes import legend, panel, text_width, whole_ticks, widest, x_axis, y_axis, y_title
from parity.report.exhibit import Distribution, Exhibit, Grid
from parity.report.figures import show
from parity.report.svg import FILL, INK, LIMIT, OVER, PAPER, SOFT, draw, label

if TYPE_CHECKING:
    from markupsafe import Markup

MAX_BARS = 64
_FEW = 240  # cells that are few enough to hold their numbers
_LOWEST = 1e-6  # of the limit: below it all is one colour
_WIDTH = 5.6  # inches
PAD = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.6}  # behind a number that may lie on the limit's line


def title_of(e: Exhibit) -> str:
    """Return what the picture of the errors shows."""
    what = "|Δ| as a multiple of its limit" if e.ratios else f"|Δ|{f' in {e.units}' if e.units else ''}"
    by = "dimension" if e.steps == 1 else "time step and dimension" if e.dimensions > 1 else "time step"
    return f"Worst {what}, by {by}"


def draw_errors(e: Exhibit, key: str) -> Markup | None:
    """Return the worst error over all cases: bars by dimension where there is one time step, else a heatmap of both."""
    grid = e.ratios or e.errors
    if grid is None or not grid.cells():
        return None
    title, words = f"{title_of(e)}: {e.candidate}, {e.output}", error_words(e, grid)
    if e.steps == 1:
        shown = _bars_shown(grid)
        return draw(
            lambda f: _bars(f, e, grid, shown), _WIDTH, 0.9 + 0.16 * len(shown), key=key, title=title, words=words
        )
    height = min(7.5, max(2.2, 1.0 + (0.22 if len(grid.rows[0]) <= 24 else 0.14) * len(grid.rows[0])))
    return draw(lambda f: _heatmap(f, e, grid), _WIDTH, height, key=key, title=title, words=words)


def error_words(e: Exhibit, grid: Grid) -> str:
    """Return the numbers of the picture in words: the worst, how many are over the limit, the worst dimensions."""
    cells = grid.cells()
    if not any(v for v, _, _ in cells):
        return f"Over {e.cases:,} cases there is no difference at all."
    value, step, dimension = max(cells, key=lambda cell: cell[0])
    unit = " × the limit" if e.ratios else f" {e.units}".rstrip()
    at = e.dimension(dimension, grid.dimension_stride)
    if e.steps > 1:
        at += f" at time step {step * grid.step_stride}"
    parts = [f"Over {e.cases:,} cases the worst is {show(value, 2)}{unit}, in {at}"]
    if e.ratios:
        over = sum(v > 1 for v, _, _ in cells)
        parts.append(f"{over:,} of {len(cells):,} {'bars' if e.steps == 1 else 'cells'} are over the limit")
    worst: dict[int, float] = {}
    for v, _, d in cells:
        worst[d] = max(v, worst.get(d, 0.0))
    first = sorted(worst.items(), key=lambda p: -p[1])[:6]
    named = [f"{e.dimension(d, grid.dimension_stride)} {show(v, 2)}" for d, v in first]
    if len(worst) > 1:
        parts.append(f"Worst of each: {'; '.join(named)}{' and so on' if len(worst) > 6 else ''}")
    return ". ".join(parts) + "."


def _bars_shown(grid: Grid) -> list[int]:
    row = grid.rows[0]
    worst = sorted(range(len(row)), key=lambda d: -math.inf if math.isnan(row[d]) else row[d], reverse=True)
    return sorted(worst[:MAX_BARS])


def _decades(low: float, high: float, most: int = 7) -> list[int]:
    first, last = math.ceil(low - 1e-9), math.floor(high + 1e-9)
    stride = max(1, math.ceil((last - first) / most))
    return [k for k in range(first, last + 1) if k % stride == 0]


def power(k: int) -> str:
    """Return 10 to the power ``k`` as the label of an axis."""
    return f"{10.0**k:g}" if -3 <= k <= 4 else f"1e{k:+d}"


def _bounds(values: list[float], limited: bool) -> tuple[float, float]:
    """Return the log10 bounds of an axis that shows ``values``, and the limit at 1 where there is one."""
    logs = [math.log10(max(v, _LOWEST * 1e-3 if limited else 1e-300)) for v in values if 0 < v < math.inf]
    if limited:
        logs += [-1.0, 0.25]
    if not logs:
        return -1.0, 1.0
    low, high = min(logs), max(logs)
    return math.floor(low - 0.15), high + max(0.12 * (high - low), 0.2)


def _bars(figure: Any, e: Exhibit, grid: Grid, shown: list[int]) -> None:
    values = [grid.rows[0][d] for d in shown]
    labels = [label(e.axis(d, grid.dimension_stride), 28) for d in shown]
    low, high = _bounds(values, e.ratios is not None)
    right = high + 0.1 * (high - low)
    left = widest(labels)
    width, height = figure.get_size_inches()
    top = height - (0.22 if e.ratios else 0.05)  # the word "limit" stands above its line
    axes = panel(figure, left, 0.46, width - 0.2, top, (low, right), (len(shown) - 0.4, -0.9))
    ends = [low if v <= 0 or math.isnan(v) else high if v == math.inf else max(math.log10(v), low) for v in values]
    over = [bool(e.ratios) and v > 1 for v in values]
    for chosen, style in (
        (False, {"facecolors": FILL, "edgecolors": "none"}),
        (True, {"facecolors": "none", "edgecolors": OVER, "hatch": "/////", "linewidths": 0.8}),
    ):
        bars = [(y, end) for y, end in enumerate(ends) if over[y] is chosen and end > low]
        _rectangles(axes, [(low, y - 0.36, end, y + 0.36) for y, end in bars], style)
    inch = (right - low) / (width - 0.2 - left)  # in powers of ten
    for y, (v, end) in enumerate(zip(values, ends, strict=True)):
        said = "not compared" if math.isnan(v) else show(v, 2)
        start = end + 0.01 * (high - low)
        crossed = e.ratios and start < 0 < start + inch * text_width(said, 7)
        axes.text(start, y, said, va="center", ha="left", fontsize=7, **({"bbox": PAD} if crossed else {}))
    if e.ratios:
        axes.plot([0, 0], [0, 1], transform=axes.get_xaxis_transform(), color=LIMIT, linewidth=1.6)
        axes.text(0, -0.95, "limit", va="bottom", ha="center", fontsize=8, color=LIMIT, weight="bold")
    ticks = _decades(low, right)
    more = len(grid.rows[0]) - len(shown)
    unit = "÷ limit" if e.ratios else label(e.units)
    title = f"worst |Δ| {unit}".strip() + (f"; the {more} smallest are left out" if more else "")
    x_axis(axes, ticks, [power(k) for k in ticks], title=title, grid=True)
    y_axis(axes, range(len(shown)), labels, marks=False)


def _rectangles(axes: Any, boxes: list[tuple[float, float, float, float]], style: Any) -> None:
    """Draw boxes (left, lower, right, upper) as one artist."""
    from matplotlib.collections import PolyCollection

    corners = [[(a, b), (c, b), (c, d), (a, d)] for a, b, c, d in boxes]
    if corners:
        axes.add_collection(PolyCollection(corners, **style), autolim=False)


def _heatmap(figure: Any, e: Exhibit, grid: Grid) -> None:
    import numpy as np

    values = np.array(grid.rows, dtype=np.float64).T  # (D, T)
    low, high = _bounds([v for v in values.ravel().tolist() if v == v], e.ratios is not None)
    if e.ratios:
        low = max(low, math.log10(_LOWEST))
    with np.errstate(divide="ignore"):
        logs = np.clip(np.log10(values), low, high)
    rows, columns = values.shape
    size = 8 if rows <= 24 else 6.5
    shown = range(0, rows, math.ceil(rows / 46))
    labels = [label(e.axis(d, grid.dimension_stride), 28) for d in shown]
    left = widest(labels, size)
    width, height = figure.get_size_inches()
    right = width - (0.85 if e.ratios else 0.95)
    axes = panel(figure, left, 0.46, right, height - 0.04, (-0.5, columns - 0.5), (rows - 0.5, -0.5))
    axes.imshow(np.ma.masked_invalid(logs), aspect="auto", interpolation="none", cmap="cividis", vmin=low, vmax=high)
    if e.ratios:
        _outline(axes, values > 1)
    if rows * columns <= _FEW and columns <= 16:
        for (d, t), v in np.ndenumerate(values):
            if not math.isnan(v):
                light = (logs[d, t] - low) / (high - low) > 0.55
                axes.text(t, d, _tiny(v), ha="center", va="center", fontsize=6, color="#010101" if light else "#fefefe")
    pooled = f", {grid.step_stride} steps in each column" if grid.step_stride > 1 else ""
    steps = range(0, columns, math.ceil(columns / 12))
    x_axis(axes, steps, [str(t * grid.step_stride) for t in steps], title=f"time step{pooled}", line=False)
    y_axis(axes, shown, labels, line=False, size=size)
    _scale(panel(figure, right + 0.1, 0.46, right + 0.22, height - 0.04, (0, 1), (low, high)), e)


def _scale(axes: Any, e: Exhibit) -> None:
    """Draw what the colours of the heatmap mean, and where the limit is among them."""
    import numpy as np

    low, high = axes.get_ylim()
    ramp = np.linspace(0, 1, 64)[:, None]
    axes.imshow(ramp, aspect="auto", origin="lower", extent=(0, 1, low, high), cmap="cividis")
    ticks = _decades(low, high)
    if e.ratios:
        ticks = sorted({*ticks, 0})
        axes.plot([0, 1], [0, 0], color="#fefefe", linewidth=3)
        axes.plot([0, 1], [0, 0], color="#010101", linewidth=1.4)
    y_axis(axes, ticks, ["1 = limit" if k == 0 and e.ratios else power(k) for k in ticks], line=False, right=True)
    if not e.ratios:
        y_title(axes, f"worst |Δ| {label(e.units)}".strip(), widest(map(power, ticks)), right=True)


def _tiny(value: float) -> str:
    """Return a number in at most five characters."""
    if value == 0 or not math.isfinite(value) or 0.01 <= value < 1000:
        return show(value, 2)
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _outline(axes: Any, over: Any) -> None:
    """Draw a line around the cells over the limit, dark in light, so that it shows on every colour and without any."""
    import numpy as np
    from matplotlib.collections import LineCollection

    padded = np.pad(over, 1)
    upright = np.argwhere(padded[:, 1:] != padded[:, :-1])  # between a cell and its left neighbour, rows padded by one
    flat = np.argwhere(padded[1:] != padded[:-1])  # between a cell and the one above, columns padded by one
    lines = [[(c - 0.5, r - 0.5), (c - 0.5, r - 1.5)] for r, c in upright.tolist()]
    lines += [[(c - 1.5, r - 0.5), (c - 0.5, r - 0.5)] for r, c in flat.tolist()]
    if lines and len(lines) <= 4000:
        axes.add_collection(LineCollection(lines, colors="#fefefe", linewidths=2.6, clip_on=False), autolim=False)
        axes.add_collection(LineCollection(lines, colors="#010101", linewidths=1.1, clip_on=False), autolim=False)


def draw_distribution(e: Exhibit, key: str) -> Markup | None:
    """Return the distribution of the errors beside those of floors and limits, on a log axis."""
    if e.distribution is None or not sum(e.distribution.error) + e.distribution.zero:
        return None
    shown = e.distribution
    return draw(
        lambda f: _histogram(f, e, shown),
        _WIDTH,
        2.9,
        key=key,
        title=f"Errors against floors and limits: {e.candidate}, {e.output}",
        words=distribution_words(e, shown),
    )


def distribution_words(e: Exhibit, d: Distribution) -> str:
    """Return the ranges of errors, floors and limits in words."""
    unit = f" {e.units}" if e.units else ""
    parts = []
    for name, counts in (("error", d.error), ("floor", d.floor), ("limit", d.limit)):
        filled = [i for i, n in enumerate(counts) if n > 0]
        if filled:
            low, high = 10 ** d.edges[filled[0]], 10 ** d.edges[filled[-1] + 1]
            parts.append(f"{int(sum(counts)):,} {name}s between {show(low, 2)} and {show(high, 2)}{unit}")
    if d.zero:
        parts.append(f"{d.zero:,} errors are exactly 0 and not drawn")
    return "; ".join(parts) + ". One count for each case and dimension."


def _histogram(figure: Any, e: Exhibit, d: Distribution) -> None:
    most = max(*d.error, *d.floor, *d.limit, 1)
    counts = whole_ticks(most)
    labels = [f"{n:,}" for n in counts]
    left = widest(labels) + 0.22
    width, height = figure.get_size_inches()
    # Empty bins draw no line along the axis.
    x, y = (d.edges[0], d.edges[-1]), (0.006 * most, most * 1.05)
    axes = panel(figure, left, 0.46, width - 0.25, height - 0.3, x, y)
    named = [axes.stairs(d.floor, d.edges, color=SOFT, linewidth=1.3, linestyle=":", label="floor: rounding alone")]
    axes.stairs(d.error, d.edges, color=FILL, fill=True, alpha=0.55)
    named.append(axes.stairs(d.error, d.edges, color=INK, linewidth=0.9, label="error: worst |Δ|"))
    if any(d.limit):
        named.append(axes.stairs(d.limit, d.edges, color=LIMIT, linewidth=1.8, linestyle="--", label="limit"))
    ticks = _decades(d.edges[0], d.edges[-1], 9)
    unit = f", {label(e.units)}" if e.units else ""
    x_axis(axes, ticks, [power(k) for k in ticks], title=f"per case and dimension{unit}")
    y_axis(axes, counts, labels, line=False, grid=True)
    y_title(axes, "cases × dimensions", left - 0.18)
    legend(figure, named, left)
