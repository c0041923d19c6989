"""Names of features, one spelling for all sources."""

from __future__ import annotations

SHORT = {"state": "observation.state", "actions": "action"}


def canonical(name: str) -> str:
    """Return the name under which the feature is matched across sources."""
    dotted = name.replace("/", ".")
    return SHORT.get(dotted, dotted)
