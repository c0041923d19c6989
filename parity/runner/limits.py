"""Names the signal that ended a process and the memory limits it lived under."""

from __future__ import annotations

import signal
from pathlib import Path

_CGROUP_V2 = Path("/sys/fs/cgroup/memory.max")
_CGROUP_V1 = Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")


def signal_name(number: int) -> str:
    """Return a signal's name, such as ``SIGSEGV``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def memory_advice(limit: int | None) -> str:
    """Return what is known about the memory a worker may take, as the end of a message; empty if nothing is."""
    known = []
    if limit:
        known.append(f"limited to {_size(limit)} by memory_limit")
    group = _cgroup_limit()
    if group is not None:
        known.append(f"{_size(group)} allowed to this container")
    machine = _machine()
    if machine is not None:
        known.append(f"{_size(machine)} in this machine")
    return f" ({', '.join(known)})" if known else ""


def _cgroup_limit() -> int | None:
    for path in (_CGROUP_V2, _CGROUP_V1):
        try:
            text = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            continue
        if text.isdigit() and int(text) < 1 << 60:  # version 1 writes a huge number for "no limit"
            return int(text)
    return None


def _machine() -> int | None:
    try:
        first = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()[0].split()
        return int(first[1]) << 10
    except (OSError, IndexError, ValueError):
        return None


def _size(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.0f} MiB"
