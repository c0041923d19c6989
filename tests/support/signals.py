"""Signals that are heard: what was started under nohup, or in the background of a script, ignores some from birth."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def heard(number: signal.Signals, handler: Any = signal.SIG_DFL) -> Iterator[None]:
    """Within the context the signal is handled so here, and a child that is started does not ignore it."""
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
