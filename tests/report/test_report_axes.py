from __future__ import annotations

import math

import pytest

from parity.report.axes import reach, text_width, ticks_between, whole_ticks, widest


def test_a_label_gets_the_room_that_it_takes() -> None:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family="DejaVu Sans", size=8)
    for text in ("left_hip_pitch_joint", "W" * 28, "0.0012", "-1.3e-05", "dimensions 4–7", "GRIPPER", "WAISTmmm", "x"):
        drawn = text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] / 72
        assert 0.93 * drawn < text_width(text) < 1.35 * drawn, text
    assert text_width("関節") == pytest.approx(16 / 72)
    assert widest([]) < widest(["x"]) < widest(["x", "xx"])


@pytest.mark.parametrize(
    ("most", "ticks"), [(1, [1]), (6, [1, 2, 3, 4, 5, 6]), (7, [2, 4, 6]), (23, [5, 10, 15, 20]), (10_000, None)]
)
def test_counts_have_whole_ticks(most: int, ticks: list[int] | None) -> None:
    found = whole_ticks(most)
    assert found == (ticks or [2000, 4000, 6000, 8000, 10_000])


def test_an_axis_reaches_around_its_finite_values() -> None:
    assert reach([0.0, 10.0, math.nan, math.inf]) == (-0.5, 10.5)
    low, high = reach([3.0, 3.0])
    assert low < 3 < high
    assert reach([math.nan]) == reach([]) == (-0.05, 0.05)


def test_ticks_are_round_and_inside() -> None:
    assert ticks_between((-0.9, 1.1), 4) == pytest.approx([-0.5, 0.0, 0.5, 1.0])
