"""Waivers: one error finding, shown and waived, with a reason, an owner and a date. Never NOT_JUDGED, NaN or shape."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

from parity.finding import Finding
from parity.release.config import WaiverTable

NEVER = "GATE"  # a comparison that says nothing cannot be waived into one that does


def apply_waivers(
    findings: Sequence[Finding], waivers: Sequence[WaiverTable], today: dt.date
) -> tuple[list[Finding], list[Finding]]:
    """Return the findings with waivers applied, and an error finding for each waiver without effect."""
    kept = list(findings)
    complaints: list[Finding] = []
    for waiver in waivers:
        hits = [i for i, f in enumerate(kept) if _fits(waiver, f)]
        if waiver.finding.startswith(NEVER):
            complaints.append(_without_effect(waiver, f"{waiver.finding} cannot be waived"))
        elif waiver.until < today:
            complaints.append(_without_effect(waiver, f"it expired on {waiver.until}"))
        elif not hits:
            complaints.append(_without_effect(waiver, "it matches no error finding"))
        elif len(hits) > 1:
            complaints.append(
                _without_effect(waiver, f"it matches {len(hits)} findings, and waives one: {_told(kept, hits)}")
            )
        else:
            text = f"{waiver.reason} ({waiver.owner}, until {waiver.until})"
            kept[hits[0]] = replace(kept[hits[0]], waived=text)
    return kept, complaints


def _told(findings: Sequence[Finding], hits: Sequence[int]) -> str:
    return "; ".join(f'candidate = "{findings[i].candidate}", where = "{findings[i].where}"' for i in hits[:4])


def _fits(waiver: WaiverTable, finding: Finding) -> bool:
    return (
        finding.severity == "error"
        and finding.code == waiver.finding
        and waiver.candidate in (None, finding.candidate)
        and waiver.where in (None, finding.where)
    )


def _without_effect(waiver: WaiverTable, why: str) -> Finding:
    return Finding(
        "WAIVE001",
        "error",
        f"The waiver of {waiver.finding} by {waiver.owner} has no effect: {why}.",
        where=waiver.where or "",
        evidence={"finding": waiver.finding, "until": str(waiver.until), "reason": waiver.reason},
        remedy="remove the waiver, or mend what it names",
    )
