"""The picture of how a stored range covers the data: where the data's values come to lie when they are normalized."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from parity.report.axes import panel, widest, x_axis, y_axis
from parity.report.figures import number
from parity.report.svg import FILL, LIMIT, OVER, SOFT, draw, label

if TYPE_CHECKING:
    from markupsafe import Markup

REACH = 2.0  # of normalized values; what lies further out is drawn at the edge
MAX_DIMENSIONS = 64
_ROW = 0.22  # inches
_WIDTH = 3.3  # a phone shows it whole


def draw_coverage(row: Mapping[str, Any], outside: Sequence[float], key: str, words: str) -> Markup | None:
    """Return the picture of one feature of one source, None where it cannot be told where its values come to lie.

    A bar holds the middle 98 % of the data, a line all of it, both normalized; beside them stands the share outside.
    """
    found = row.get("normalized")
    if not isinstance(found, Mapping) or not outside:
        return None
    inner, outer = _spans(found, "q01", "q99"), _spans(found, "min", "max")
    count = min(len(outside), MAX_DIMENSIONS)
    if not outer or len(outer) < count:
        return None
    expected = number(row.get("expected")) or 0.0
    height = count * _ROW + 0.75
    labels = [str(i) for i in range(count)]
    shares = [f"{outside[i]:.1%} outside" if outside[i] > expected + 0.005 else "" for i in range(count)]

    def paint(figure: Any) -> None:
        left, right = widest(labels) + 0.1, widest(shares) + 0.1
        axes = panel(figure, left, 0.5, _WIDTH - right, height - 0.15, (-REACH, REACH), (count - 0.5, -0.5))
        axes.vlines([-1, 1], 0, 1, transform=axes.get_xaxis_transform(), colors=LIMIT, linewidth=1.2)
        x_axis(
            axes, [-2, -1, 0, 1, 2], ["≤ -2", "-1", "0", "1", "≥ 2"], title="normalized value of the data", grid=True
        )
        y_axis(axes, list(range(count)), labels)
        for i in range(count):
            _bar(axes, i, outer[i], SOFT, 0.08)
            if inner and i < len(inner):
                _bar(axes, i, inner[i], OVER if outside[i] > expected + 0.05 else FILL, 0.5)
        y_axis(axes, list(range(count)), shares, line=False, marks=False, right=True)

    title = f"{label(row.get('feature'), 60)} as {label(row.get('source'), 60)} normalizes it"
    return draw(paint, _WIDTH, height, key=key, title=title, words=words)


def _spans(found: Mapping[str, Any], low: str, high: str) -> list[tuple[float, float]]:
    ends = [found.get(low), found.get(high)]
    if not all(isinstance(e, list) for e in ends):
        return []
    return [(_near(a), _near(b)) for a, b in zip(*ends, strict=False)]


def _near(value: Any) -> float:
    found = number(value)
    return 0.0 if found is None or found != found else max(-REACH, min(REACH, found))


def _bar(axes: Any, place: int, ends: tuple[float, float], colour: str, height: float) -> None:
    low, high = sorted(ends)
    axes.barh(place, max(high - low, 0.01), left=low, height=height, color=colour, linewidth=0)
