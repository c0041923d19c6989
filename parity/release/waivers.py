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
        else:
            text = f"{waiver.reason} ({waiver.owner}, until {waiver.until})"
            for i in hits:
                kept[i] = replace(kept[i], waived=text)
    return kept, complaints


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
