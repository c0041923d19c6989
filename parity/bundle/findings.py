"""What `parity capture` has to say of what came back. The codes are listed in `docs/findings.md`."""

from __future__ import annotations

from typing import Any

from parity.finding import Finding

OTHER_ARTIFACT, OTHER_CASE, MISSING, TWICE, UNKNOWN = "CAPT001", "CAPT002", "CAPT003", "CAPT004", "CAPT005"
TAMPERED, STRAY, OTHER_OUTPUT, OTHER_BUNDLE, MIXED = "CAPT006", "CAPT007", "CAPT008", "CAPT009", "CAPT010"
UNTOLD, ROUNDED, OTHER_SCRIPT = "CAPT011", "CAPT012", "CAPT013"

_REMEDY = {
    OTHER_ARTIFACT: "run the bundle of the artifact that is judged, and bring its results back",
    OTHER_CASE: "run the bundle again, unchanged, and bring its results back",
    MISSING: "bring back the results of every case",
    TWICE: "import each case once",
    UNKNOWN: "import what this release's bundle gave",
    TAMPERED: "copy the results again; if they still differ they were changed after they were written",
    STRAY: "take the zip as the script wrote it, without packing it again",
    OTHER_OUTPUT: "bring back every output that the policy declares, as the device gives it",
    OTHER_BUNDLE: "bring the results of this bundle back, or name their own with --bundle",
    MIXED: "import the results of one device and one runtime; record others as a candidate of their own",
    UNTOLD: "run `parity bundle` on the device instead: its results say by hash what they answer",
    OTHER_SCRIPT: "run the script as it came in the bundle",
    ROUNDED: "let the tool write .npy or .bin",
}


class Refused(Exception):
    """Something that came back is not what it has to be; `capture` collects these and writes nothing."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.title)
        self.finding = finding


def error(code: str, title: str, where: str = "", **evidence: Any) -> Finding:
    """Return a finding that keeps results from being imported."""
    return Finding(code, "error", title, where=where, evidence=evidence, remedy=_REMEDY[code])


def warning(code: str, title: str, where: str = "", **evidence: Any) -> Finding:
    """Return a finding that travels with what is imported."""
    return Finding(code, "warning", title, where=where, evidence=evidence, remedy=_REMEDY[code])
