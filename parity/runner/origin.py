"""Where recorded outputs come from, as `parity capture` noted it: told wherever they are judged.

CAPT020  outputs of a device, recorded there by the script of a bundle
CAPT021  outputs that another tool wrote: nothing says which inputs they answer
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from parity.finding import Finding

_PARTS = (("device", ""), ("soc", ""), ("cann", "CANN "), ("driver", "driver "), ("runtime", ""), ("provider", ""))
_LONGEST = 200


def captured_of(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what `parity capture` noted in a trace's meta; empty where it did not make the trace."""
    found = meta.get("captured")
    return found if isinstance(found, Mapping) else {}


def told_origin(captured: Mapping[str, Any]) -> str:
    """Return device, chip, versions of CANN and driver, as far as the recording tells them."""
    origin = captured.get("origin")
    said = origin if isinstance(origin, Mapping) else {}
    parts = [f"{words}{str(said[key])[:_LONGEST]}" for key, words in _PARTS if said.get(key)]
    said_once = [p for p in dict.fromkeys(parts) if not any(p in other for other in parts if other != p)]
    return ", ".join(said_once) or "an unknown device"


def stand_in_of(environment: Mapping[str, Any]) -> str | None:
    """Return what only played the runtime of a device and computed this, or what was recorded; None for all else."""
    if environment.get("stand_in"):
        return str(environment.get("device"))[:_LONGEST]
    recorded = environment.get("recorded")
    captured = captured_of(recorded) if isinstance(recorded, Mapping) else {}
    origin = captured.get("origin")
    return told_origin(captured) if isinstance(origin, Mapping) and origin.get("stand_in") else None


def repeated_of(meta: Mapping[str, Any]) -> dict[str, float]:
    """Return the outputs that changed on the device when one case ran twice, by how much."""
    found = captured_of(meta).get("repeated")
    pairs = found.items() if isinstance(found, Mapping) else ()
    return {str(n): float(g) for n, g in pairs if isinstance(g, int | float) and not isinstance(g, bool) and g > 0}


def unchecked_of(captured: Mapping[str, Any]) -> list[str]:
    """Return what could not be checked on the device, in words."""
    origin = captured.get("origin")
    found = origin.get("unchecked") if isinstance(origin, Mapping) else None
    return [str(text)[:_LONGEST] for text in found[:20]] if isinstance(found, list) else []


def answered_of(captured: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return how many cases a recording answers, and how many were asked; None where it does not say."""
    cases = captured.get("cases")
    found = (cases.get("answered"), cases.get("asked")) if isinstance(cases, Mapping) else (None, None)
    return (int(found[0]), int(found[1])) if all(isinstance(n, int) for n in found) else None  # type: ignore[arg-type]


def origin_findings(environment: Mapping[str, Any], where: str, candidate: str | None) -> Iterator[Finding]:
    """Yield where recorded outputs come from; nothing where they were not captured."""
    recorded = environment.get("recorded")
    captured = captured_of(recorded) if isinstance(recorded, Mapping) else {}
    if not captured:
        return
    about: dict[str, Any] = {"where": where, "evidence": dict(captured), "candidate": candidate}
    when, device = str(captured.get("recorded"))[:_LONGEST], told_origin(captured)
    if captured.get("verified") is not True:
        tool = str(captured.get("tool"))[:_LONGEST]
        yield Finding(
            "CAPT021",
            "warning",
            f"{where} holds outputs that {tool} wrote ({when}): which inputs they answer is not verified.",
            remedy="run `parity bundle` on the device: its results say by hash what they answer",
            **about,
        )
    else:
        yield Finding(
            "CAPT020",
            "info",
            f"{where} was recorded on {device}, {when}; every case has the hash of what was asked, but without a key "
            "this does not prove where it was computed.",
            remedy="nothing, where you trust who brought it back",
            **about,
        )
