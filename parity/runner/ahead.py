"""Workers started before they are needed: a runtime takes seconds to import, which the preparing of a release can hide.

A spare worker has loaded its runtime and nothing else; it opens what it is asked to open like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from parity.errors import ParityError
from parity.runner.process import Process

_NOWHERE = Path("/")  # lies under no work folder: `stop_under` must not find a spare worker
_spare: list[tuple[tuple[str, str | None, str | None], Process]] = []  # script, interpreter, working directory


@contextmanager
def started_ahead(script: str, pythons: Iterable[str | None], cwd: str | None) -> Iterator[None]:
    """Start ``worker/<script>`` in ``cwd`` once under each interpreter; those that nobody took end with the context.

    An interpreter that cannot be started is passed over: whoever needs it will say so.
    """
    own = []
    for python in pythons:
        try:
            own.append(((script, python, cwd), Process(script, python, _NOWHERE, cwd, {})))
        except ParityError:
            continue
    _spare.extend(own)
    try:
        yield
    finally:
        for entry in own:
            if entry in _spare:
                _spare.remove(entry)
                entry[1].close()


def take(script: str, python: str | None, cwd: str | None, folder: Path) -> Process | None:
    """Return a living spare worker that was started just so, now at work in ``folder``; None if there is none."""
    for entry in list(_spare):
        key, process = entry
        if key != (script, python, cwd):
            continue
        try:
            _spare.remove(entry)
        except ValueError:  # another thread took it
            continue
        if process.alive:
            process.folder = folder
            return process
        process.close()
    return None
