"""What was tested against what, for the first screen of `report.html`: names, hashes, precision, versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from parity.report.figures import ABSENT, show
from parity.report.glance import glances
from parity.report.view import Entry, ratio_of

_LIBRARIES = ("torch", "onnxruntime", "openvino", "numpy")
_MAX_FILES = 4


@dataclass(frozen=True, slots=True)
class Side:
    """The reference or one candidate at a glance; ``verdict`` is empty for the reference."""

    role: str
    name: str
    files: tuple[tuple[str, str], ...]
    ran: str
    verdict: str
    margin: str


def sides_of(report: Entry) -> list[Side]:
    """Return the reference and then every candidate."""
    name = reference_name(report)
    ran = _joined(_ran(report, name, ""), _fact(report, name, "precision"))
    sides = [Side("reference", name, _files(report, name), ran, "", "")]
    for g in glances(report):
        ratio = ratio_of(g.worst) if g.worst else None
        sides.append(
            Side(
                role="candidate",
                name=g.name,
                files=_files(report, g.name),
                ran=_joined(_ran(report, g.name, g.runner), g.precision, g.tally),
                verdict=g.verdict,
                margin="" if ratio is None else f"{show(ratio, 2)} × the limit at worst",
            )
        )
    return sides


def reference_name(report: Entry) -> str:
    """Return the name of the reference's side, a dash where no comparison and no artifact tells it."""
    for c in report["comparisons"]:
        if c.get("reference"):
            return str(c["reference"])
    candidates = {str(c.get("name")) for c in report["candidates"]}
    others = [str(a["side"]) for a in report["artifacts"] if a.get("side") and str(a["side"]) not in candidates]
    return others[0] if others else ABSENT


def _joined(*parts: str) -> str:
    return " · ".join(p for p in parts if p and p != ABSENT)


def _files(report: Entry, side: str) -> tuple[tuple[str, str], ...]:
    found = [
        (PurePath(str(a.get("path"))).name, str(a["sha256"])[:12] if a.get("sha256") else "no hash")
        for a in report["artifacts"]
        if str(a.get("side")) == side
    ]
    more = len(found) - _MAX_FILES
    return (*found[:_MAX_FILES], (f"{more} more", "see What was tested")) if more > 0 else tuple(found)


def _measured(report: Entry, side: str) -> Mapping[str, Any]:
    environment = report["release"].get("environment")
    sides = environment.get("sides") if isinstance(environment, Mapping) else None
    found = sides.get(side) if isinstance(sides, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _fact(report: Entry, side: str, key: str) -> str:
    facts = report.get("facts")
    found = facts.get(side) if isinstance(facts, Mapping) else None
    return str(found[key]) if isinstance(found, Mapping) and found.get(key) else ""


def _ran(report: Entry, side: str, runner: str) -> str:
    """Return what a side ran with: its runtime's version, provider and device, as its own worker told them."""
    told = _measured(report, side)
    versions = [f"{n} {told[n]}" for n in _LIBRARIES if told.get(n)][:1]
    if not versions:
        environment = report["release"].get("environment")
        libraries = environment.get("libraries") if isinstance(environment, Mapping) else None
        version = libraries.get(runner) if isinstance(libraries, Mapping) else None
        versions = [f"{runner} {version}" if version else runner]
    elif runner and not versions[0].startswith(runner):
        versions = [runner, *versions]
    where = [str(told[k]) for k in ("provider", "device") if told.get(k)][:1]
    return ", ".join(v for v in [*versions, *where] if v)
