"""Reads ahead: the next blocks are decoded while those before are worked on."""

from __future__ import annotations

from collections.abc import Iterator
from queue import Queue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")
AHEAD = 2  # items that wait, so that memory stays that of a few


def ahead(items: Iterator[T], count: int = AHEAD) -> Iterator[T]:
    """Yield the items in order, up to ``count`` of them made in another thread before they are asked for.

    What making an item raises is raised here, at its place. Leaving early stops the thread.
    """
    waiting: Queue[tuple[T | None, BaseException | None]] = Queue(count)
    left = Event()

    def make() -> None:
        try:
            for item in items:
                waiting.put((item, None))
                if left.is_set():
                    return
            raise StopIteration
        except BaseException as e:
            waiting.put((None, e))

    thread = Thread(target=make, daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        left.set()
        while thread.is_alive():  # whoever puts is let go
            if not waiting.empty():
                waiting.get()
            thread.join(0.001)
