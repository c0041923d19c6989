"""A checked statement about a policy, an artifact or a comparison.

Every finding has a stable code; `docs/findings.md` lists them all and a test keeps that table complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement that was checked: what was seen, the evidence, and what to do.

    Attributes:
        code: stable code, letters then three digits, such as ``PREC001``.
        severity: ``error`` blocks a release (unless waived), ``warning`` and ``info`` do not.
        title: one sentence in plain words, with the numbers that matter.
        where: the tensor, feature, file or field concerned, such as ``observation.state[6]``.
        detail: more sentences, where they help.
        evidence: JSON-able values that anyone can check.
        remedy: what to do about it.
        candidate: name of the candidate concerned, None for the release as a whole.
        waived: reason, owner and date of the waiver that applies, else None.
    """

    code: str
    severity: Severity
    title: str
    where: str = ""
    detail: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    remedy: str = ""
    candidate: str | None = None
    waived: str | None = None

    def for_candidate(self, name: str | None) -> Finding:
        """Return the same finding about the candidate called ``name``."""
        return replace(self, candidate=name)

    def as_json(self) -> dict[str, Any]:
        """Return the finding as in the public JSON schema, version 1."""
        return {
            "code": self.code,
            "severity": self.severity,
            "where": self.where,
            "candidate": self.candidate,
            "title": self.title,
            "detail": self.detail,
            "evidence": dict(self.evidence),
            "remedy": self.remedy,
            "waived": self.waived,
        }


def by_severity(findings: list[Finding]) -> list[Finding]:
    """Return the findings with errors first, then by code and place (a stable order for reports)."""
    return sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), f.code, f.candidate or "", f.where))
