"""The statistics of a dataset's frames, as one more source beside those that are stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from parity.dataset.registry import open_dataset
from parity.errors import UsageError
from parity.finding import Finding
from parity.stats import against_findings as causes_of
from parity.stats.against_data import UNTOUCHED, against_data
from parity.stats.agree import RELATIVE, Agreement, Source, is_metadata
from parity.stats.choose import Given
from parity.stats.gap import USED
from parity.stats.model import NormStats
from parity.stats.names import canonical, names_of
from parity.stats.recompute import Recomputed, recompute
from parity.stats.stored import UNCOVERED, rows
from parity.stats.tell import DRIFT, RECOMPUTED, STORED, compared_with_nothing

NOT_FINITE, COUNT = "STATS048", causes_of.COUNT  # of `parity.stats.against_data`
STATISTICS = {
    causes_of.CANCELLED: ("std",),
    causes_of.MEAN_STD: ("mean", "std"),
    causes_of.NARROW: ("min", "max"),
    causes_of.WIDE: ("min", "max"),
}
Report = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Computed:
    """A dataset's statistics, computed from its frames, and what is wrong with its index."""

    recomputed: Recomputed
    findings: tuple[Finding, ...]
    averaged: NormStats | None = None

    def rows(self, found: Agreement) -> list[dict[str, Any]]:
        """Return what each other source stores beside what the data gives, as JSON."""
        data = next(s for s in found.sources if s.stats is self.recomputed.stats)
        names = names_of(self.recomputed.stats)
        shares = {names[n]: s for n, s in self.recomputed.summaries.items()}
        return list(rows([s for s in found.sources if s is not data], data, shares))

    def against(self, found: Agreement) -> list[Finding]:
        """Return what is wrong with each other source in the light of the data, with the cause where it can be told.

        A fault in a statistic that the source's policy does not use is told as an info. That no feature of a source is
        in the data is not told of one that was compared with nothing at all: that is said already.
        """
        said = {found.sources[i].label for i in compared_with_nothing(found)}
        told: list[Finding] = []
        for source in found.sources:
            if source.stats is self.recomputed.stats or source.stats.kind == RELATIVE:
                continue
            for f in against_data(source.stats, self.recomputed, self.averaged).findings:
                severity = f.severity if f.code == NOT_FINITE or _used(source, f) else "info"
                about = {} if f.code == NOT_FINITE else {"source": source.label}
                told.append(replace(f, severity=severity, evidence={**about, **f.evidence}))
        return [f for i, f in enumerate(told) if f not in told[:i] and not (f.code == UNTOUCHED and f.where in said)]


def _used(source: Source, finding: Finding) -> bool:
    """Whether a source's policy uses the statistics that a finding is about; so where its mode is not known."""
    mode = source.modes.get(finding.where.partition("[")[0])
    if mode is None or mode == "LINEAR" or mode not in USED or finding.code == COUNT:
        return True
    named = STATISTICS.get(finding.code, tuple(finding.evidence))
    return bool(set(named) & set(USED[mode]))


def untold(found: Agreement, generic: Sequence[Finding], causes: Sequence[Finding]) -> list[Finding]:
    """Return the findings of a comparison with the data without those of which ``causes`` say the same, and more.

    An error is told by an error only: a conflict with the data never becomes a warning.
    """
    labels = {s.label for s in found.sources if s.stats.kind != RECOMPUTED}
    said = [(f.severity, f.evidence.get("source"), _feature(f)) for f in causes]
    told = {
        "error": {about[1:] for about in said if about[0] == "error"},
        "warning": {about[1:] for about in said if about[0] != "info"},
    }
    kept = []
    for finding in generic:
        about = _about(finding, labels) if finding.code in (DRIFT, STORED, UNCOVERED) else set()
        if not about or not about <= told[finding.severity]:
            kept.append(finding)
    return kept


def _about(finding: Finding, labels: set[str]) -> set[tuple[str, str]]:
    """Return which sources and feature a finding holds against the data; none where it is between two sources."""
    if "pairs" not in finding.evidence:
        return {(finding.evidence["source"], finding.evidence["feature"])}
    both = [[p[k] for k in ("a", "b") if p[k] in labels] for p in finding.evidence["pairs"]]
    return {(one[0], _feature(finding)) for one in both} if all(len(one) == 1 for one in both) else set()


def _feature(finding: Finding) -> str:
    return finding.where.partition("[")[0]


def computed(dataset: str, given: Sequence[Given], report: Report | None = None) -> Computed:
    """Return the statistics of a dataset's frames, of those features that a source has too, or of all.

    Raises:
        ArtifactError: the dataset cannot be read.
        UsageError: it has no feature that can be read.
    """
    opened = open_dataset(Path(dataset))
    known = {n for g in given for s in g.sets for n in names_of(s).values()}
    arrays = [n for n in opened.arrays if not is_metadata(canonical(n))]
    arrays = [n for n in arrays if canonical(n) in known] or arrays
    if not arrays:
        raise UsageError(f"{dataset}: it has no feature that is kept as an array", expected="observation.state or so")
    if report:
        report("frames", 0, opened.episodes.frames)
    found = recompute(opened, arrays)
    if report:
        report("frames", opened.episodes.frames, opened.episodes.frames)
    place = Path(dataset).resolve()
    pooled = [s for g in given for s in g.sets if s.path.resolve() == place and s.facts.get("averaged_quantiles")]
    return Computed(found, opened.findings, pooled[0] if pooled else None)
