"""Progress in a log: how far each side is, and the time that is left at its pace."""

from __future__ import annotations

import pytest

from parity.cli import progress


@pytest.mark.parametrize(
    ("done", "total", "elapsed", "said"),
    [
        (0, 100, 5.0, ""),
        (9, 100, 60.0, ""),
        (10, 100, 10.0, ", about 90 s left"),
        (50, 100, 600.0, ", about 10 min left"),
        (100, 100, 600.0, ""),
    ],
)
def test_time_left_at_the_pace_so_far(done: int, total: int, elapsed: float, said: str) -> None:
    assert progress.time_left(done, total, elapsed) == said


def test_lines_are_few_and_say_what_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 1.0, 20.0, 21.0, 40.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.progress() as report:
        for done in (1, 40, 41, 80):
            report("reference", done, 100)
    assert capsys.readouterr().err.splitlines() == [
        "reference: 40 of 100 cases, about 30 s left",
        "reference: 80 of 100 cases, about 10 s left",
    ]
