"""Findings that say the same of several candidates, told once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Entry = Mapping[str, Any]

_SAME = ("code", "severity", "where", "title", "detail", "remedy", "waived")
_NAMED = 6  # candidates that are named


def together(findings: Iterable[Entry], candidates: int) -> list[Entry]:
    """Return the findings, those alike but for the candidate as one whose ``candidate`` names them all.

    Errors stay apart: each of them blocks a candidate of its own. Evidence is that of the first one; where the others'
    differs, ``evidence_of`` says whose it is.
    """
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for place, f in enumerate(findings):
        apart = f.get("severity") == "error" or not f.get("candidate")
        key = (str(place),) if apart else tuple(str(f.get(k)) for k in _SAME)
        groups.setdefault(key, []).append(f)
    return [_joined(group, candidates) if len(group) > 1 else group[0] for group in groups.values()]


def _joined(group: list[Entry], candidates: int) -> Entry:
    names = list(dict.fromkeys(str(f["candidate"]) for f in group))
    told = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    alike = all(f.get("evidence") == group[0].get("evidence") for f in group)
    whose = {} if alike else {"evidence_of": names[0]}
    return {**group[0], "candidate": f"all {candidates} candidates" if len(names) == candidates else told, **whose}
