"""Extensions by Python entry point: found, put in order and loaded, one error for whatever keeps one from loading.

A group is ``parity.contracts``, ``parity.stats``, ``parity.datasets`` or ``parity.runners``; what its objects must fit
is the `Protocol` beside each registry.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from parity.errors import ParityError, UsageError


@cache
def points(group: str) -> dict[str, EntryPoint]:
    """Return what is registered in a group, by name and in the order of names; nothing of it is loaded.

    Raises:
        UsageError: two packages registered different things under one name: which of them would run is not said.
    """
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=group), key=lambda p: (p.name, p.value)):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise UsageError(
                f"{point.name!r} of {group} is registered twice: as {other.value} and as {point.value}",
                remedy="uninstall one of the two packages, or have its author give it another name",
            )
    return found


@cache
def loaded(group: str, name: str, what: str, error: type[ParityError] = UsageError) -> Any:
    """Return the object that is registered as ``name``, of which there must be one; ``what`` it is called in messages.

    Raises:
        ParityError: of the class ``error``: it cannot be loaded.
    """
    point = points(group)[name]
    try:
        return point.load()
    except Exception as e:  # whatever a third party's module does when it is imported
        raise error(
            f"the {what} {point.name!r} ({point.value}) cannot be loaded: {type(e).__name__}: {e}",
            remedy="mend or uninstall the package that brings it",
        ) from e


@cache
def ranked(group: str, what: str) -> tuple[Any, ...]:
    """Return all readers of a group in the order in which they are asked: by ``rank``, equal ones by name.

    Raises:
        UsageError: one of them cannot be loaded, or has no rank.
    """
    found = {name: loaded(group, name, what) for name in points(group)}
    for name, reader in found.items():
        if not isinstance(getattr(reader, "rank", None), int):
            raise UsageError(
                f"the {what} {name!r} ({points(group)[name].value}) has no `rank`, so it is not known when to ask it",
                expected="an object with a number `rank`, lowest asked first",
                remedy="mend or uninstall the package that brings it",
            )
    return tuple(sorted(found.values(), key=lambda r: r.rank))
