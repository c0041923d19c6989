"""What happens when the process is told to end from outside, as by a CI system that cancels a job."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(BaseException):
    """The process was told to end (SIGTERM, SIGHUP). Not an `Exception`: nothing on the way may take it for a fault."""


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Make SIGTERM and SIGHUP unwind, so that policies, programs and temporary folders do not stay behind.

    A signal that is ignored (`nohup`) or handled by whoever called stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def told(number: int, frame: object) -> None:
        for taken in held:
            signal.signal(taken, signal.SIG_IGN)  # a second one must not cut the unwinding short
        raise Terminated(signal.Signals(number).name)

    held = [s for s in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(s) is signal.SIG_DFL]
    for number in held:
        signal.signal(number, told)
    try:
        yield
    finally:
        for number in held:
            signal.signal(number, signal.SIG_DFL)
