"""Processes that a test starts and ends: whether one is gone, and signals that are heard.

What was started under nohup, or in the background of a script, ignores some signals from birth.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def heard(number: signal.Signals, handler: Any = signal.SIG_DFL) -> Iterator[None]:
    """Within the context the signal is handled so here, and a child that is started does not ignore it."""
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def gone(pid: int) -> bool:
    """Whether a process has ended, collected or not by whoever adopted it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z"
