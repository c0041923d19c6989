"""Checks the options of a runner's table, so that a misspelt one is an error and not ignored."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from parity.errors import UsageError
from parity.runner.base import RunnerSpec

_COMMON = ("cwd", "load_timeout_s")  # options of every runner


def check_options(spec: RunnerSpec, known: Sequence[str]) -> None:
    """Raise `UsageError` for an option that the runner does not know, naming the nearest that it does."""
    for option in spec.options:
        if option in known or option in _COMMON:
            continue
        near = difflib.get_close_matches(option, [*known, *_COMMON], 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UsageError(
            f"{spec.name}: the runner {spec.runner!r} has no option {option!r}{hint}",
            expected=", ".join([*known, *_COMMON]),
        )
