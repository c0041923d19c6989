"""Axes of the report's pictures: placed in inches, with nothing drawn but what a picture asks for.

matplotlib's own axes make an object of five artists for each tick and lay a figure out by drawing it twice. Here an
axis is one line, one row of marks and its labels, and margins follow from the labels' lengths: a picture costs a
third or less. A reader's browser has fonts of its own, so that a text's width is an estimate either way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any
from unicodedata import east_asian_width

from parity.report.svg import LINE, SOFT

SMALL = 8.0  # points: the labels of ticks
_TITLE = 9.0
_MARK = 3.0  # points: the length of a tick
_NARROW, _BROAD = frozenset("fijlrtI.,:;'|!()[] -/"), frozenset("mwMW@%")


def text_width(text: str, size: float = SMALL) -> float:
    """Return about how many inches ``text`` takes in ``size`` points: never much less, in any of the page's fonts."""
    ems = sum(
        0.4 if c in _NARROW else 1.0 if c in _BROAD or east_asian_width(c) in "WF" else 0.72 if c.isupper() else 0.64
        for c in text
    )
    return ems * size / 72


def widest(texts: Iterable[str], size: float = SMALL) -> float:
    """Return the inches that the widest of ``texts`` takes beside an axis, with its mark."""
    return max((text_width(t, size) for t in texts), default=0.0) + (_MARK + 4) / 72


def panel(figure: Any, left: float, bottom: float, right: float, top: float, x: Any, y: Any) -> Any:
    """Return empty axes between these places of ``figure`` (inches from its lower left), showing ``x`` and ``y``."""
    width, height = figure.get_size_inches()
    box = (left / width, bottom / height, (right - left) / width, (top - bottom) / height)
    axes = figure.add_axes(box, xlim=x, ylim=y)
    axes.set_axis_off()
    return axes


def x_axis(
    axes: Any,
    places: Sequence[float],
    labels: Sequence[str],
    *,
    title: str = "",
    line: bool = True,
    grid: bool = False,
) -> None:
    """Draw the lower side of ``axes`` with its ticks, their labels (none where ``labels`` is empty) and its title."""
    across = axes.get_xaxis_transform()
    if line:
        axes.plot([0, 1], [0, 0], transform=axes.transAxes, color=SOFT, linewidth=0.8, clip_on=False)
    _marks(axes, places, [0.0] * len(places), across, marker=3)
    below = across + _shift(axes, 0, -_MARK - 3)
    for place, text in zip(places, labels, strict=False):
        axes.text(place, 0, text, transform=below, ha="center", va="top", fontsize=SMALL)
    if grid:
        axes.vlines(places, 0, 1, transform=across, colors=LINE, linewidth=0.5, zorder=0.5)
    if title:
        lower = axes.transAxes + _shift(axes, 0, -_MARK - (14 if labels else 3))
        axes.text(0.5, 0, title, transform=lower, ha="center", va="top", fontsize=_TITLE)


def y_axis(
    axes: Any,
    places: Sequence[float],
    labels: Sequence[str],
    *,
    line: bool = True,
    marks: bool = True,
    grid: bool = False,
    right: bool = False,
    size: float = SMALL,
) -> None:
    """Draw the left (or right) side of ``axes`` with its ticks and their labels."""
    at, away, align = (1.0, 1, "left") if right else (0.0, -1, "right")
    along = axes.get_yaxis_transform()
    if line:
        axes.plot([at, at], [0, 1], transform=axes.transAxes, color=SOFT, linewidth=0.8, clip_on=False)
    if marks:
        _marks(axes, [at] * len(places), places, along, marker=int(right))
    beside = along + _shift(axes, away * ((_MARK if marks else 0) + 3), 0)
    for place, text in zip(places, labels, strict=False):
        axes.text(at, place, text, transform=beside, ha=align, va="center_baseline", fontsize=size)
    if grid:
        axes.hlines(places, 0, 1, transform=along, colors=LINE, linewidth=0.5, zorder=0.5)


def whole_ticks(most: float) -> list[int]:
    """Return at most six whole numbers, evenly spaced from 1 or above up to ``most``: a count's ticks."""
    step = next(s for s in (m * 10**k for k in range(16) for m in (1, 2, 5)) if most / s <= 6)
    return [step * i for i in range(1, int(most // step) + 1)]


def ticks_between(limits: tuple[float, float], count: int) -> list[float]:
    """Return about ``count`` round numbers between ``limits``."""
    from matplotlib.ticker import MaxNLocator

    low, high = limits
    return [float(t) for t in MaxNLocator(count).tick_values(low, high) if low <= t <= high]


def reach(values: Iterable[float], margin: float = 0.05) -> tuple[float, float]:
    """Return the limits of an axis that shows the finite ones of ``values`` with some room around them."""
    finite = [v for v in values if math.isfinite(v)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    room = margin * (high - low) or margin * abs(high) or margin
    return low - room, high + room


def y_title(axes: Any, title: str, away: float, *, right: bool = False) -> None:
    """Write the title of the left (or right) side, ``away`` inches from it."""
    at, sign, align = (1.0, 1, "left") if right else (0.0, -1, "right")
    place = axes.transAxes + _shift(axes, sign * away * 72, 0)
    axes.text(at, 0.5, title, transform=place, rotation=90, ha=align, va="center", fontsize=_TITLE)


def heading(axes: Any, text: str) -> None:
    """Write ``text`` above the left end of ``axes``."""
    axes.text(0, 1, text, transform=axes.transAxes + _shift(axes, 0, 5), ha="left", va="bottom", fontsize=_TITLE)


def legend(figure: Any, handles: Sequence[Any], left: float) -> None:
    """Name ``handles`` (artists with a label) in one row at the upper side, from ``left`` inches on."""
    x = left / figure.get_size_inches()[0]
    place = {"loc": "upper left", "bbox_to_anchor": (x, 1), "borderaxespad": 0, "borderpad": 0.2}
    figure.legend(handles=list(handles), ncols=len(handles), **place)


def _marks(axes: Any, x: Sequence[float], y: Sequence[float], transform: Any, marker: int) -> None:
    axes.plot(
        x,
        y,
        transform=transform,
        linestyle="none",
        marker=marker,
        markersize=_MARK,
        markeredgewidth=0.8,
        color=SOFT,
        clip_on=False,
    )


def _shift(axes: Any, x: float, y: float) -> Any:
    """Return a transform by ``x`` and ``y`` points."""
    from matplotlib.transforms import ScaledTranslation

    return ScaledTranslation(x / 72, y / 72, axes.get_figure().dpi_scale_trans)
