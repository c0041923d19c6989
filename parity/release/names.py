"""Names in `parity.toml` that nothing is called by: they would silently have no effect."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from parity.errors import UsageError
from parity.release.config import Config


def budgeted(config: Config) -> list[tuple[str, str]]:
    """Return each output that a budget is for, with the table that says so."""
    return [(f"[budgets.{c}.{o}]", o) for c, tables in config.budgets.items() for o in tables]


def refuse_unknown(named: Iterable[tuple[str, str]], known: Sequence[str]) -> None:
    """Refuse a name that is not among ``known``.

    Args:
        named: place and name.
        known: what there is.

    Raises:
        UsageError: such a name, with the nearest known one.
    """
    for place, name in named:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"{place}: there is no {name!r}{hint}", expected=", ".join(known))
