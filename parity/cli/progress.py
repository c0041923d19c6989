"""Progress on long work: bars on a terminal, plain lines elsewhere, always on stderr, nothing for short work."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

QUIET_S = 2.0  # seconds of work before anything is shown
LINE_EVERY_S = 15.0


@contextmanager
def progress(what: str = "cases") -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function ``(side, done, total)`` that shows how far each side is; ``what`` is counted."""
    if sys.stderr.isatty():
        with _bars() as report:
            yield report
    else:
        yield _lines(what)


def _lines(what: str) -> Callable[[str, int, int], None]:
    started = time.monotonic()
    last: dict[str, float] = {}

    def report(side: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - started > QUIET_S and now - last.get(side, started) > LINE_EVERY_S:
            last[side] = now
            left = time_left(done, total, now - started)
            print(f"{side}: {done} of {total}{what and f' {what}'}{left}", file=sys.stderr, flush=True)

    return report


def time_left(done: int, total: int, elapsed_s: float) -> str:
    """Return ``, about 3 min left`` at the pace so far; nothing before the first tenth, where a guess would mislead."""
    if done <= 0 or done >= total or 10 * done < total:
        return ""
    left = elapsed_s * (total - done) / done
    return f", about {left:.0f} s left" if left < 100 else f", about {left / 60:.0f} min left"


@contextmanager
def _bars() -> Iterator[Callable[[str, int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bars = Progress(*columns, console=Console(stderr=True), transient=True)
    tasks: dict[str, int] = {}

    def report(side: str, done: int, total: int) -> None:
        if side not in tasks:
            tasks[side] = bars.add_task(side, total=total)
        bars.update(tasks[side], completed=done)  # type: ignore[arg-type]

    with bars:
        yield report
