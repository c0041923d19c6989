"""All that `parity stats` says about some sources: what is wrong with each, who agrees with whom, stored against data.

The same question is asked of a release's ``[stats]``; both get the same plain data, in the public JSON schema.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from parity.errors import ArtifactError, UsageError
from parity.finding import Finding, by_severity
from parity.stats.against_data import UNTOUCHED
from parity.stats.agree import MAX_SOURCES, Agreement, Source, agree, worst_of
from parity.stats.check import check_stats, contract_of
from parity.stats.choose import Given, choose, split
from parity.stats.computed import computed, untold
from parity.stats.formula import FORMULAS
from parity.stats.model import FeatureStats, NormStats
from parity.stats.registry import read_stats
from parity.stats.stored import coverage_findings
from parity.stats.tell import NOTHING, RECOMPUTED, agreement_findings, pair_json
from parity.verdict import Verdict

Report = Callable[[str, int, int], None]
UNJUDGED = (NOTHING, UNTOUCHED)  # findings that say that something was to be compared and could not be


def survey(
    sources: Sequence[str], dataset: str | None = None, *, strict: bool = False, report: Report | None = None
) -> dict[str, Any]:
    """Return the JSON of `parity stats`, schema version 1.

    Args:
        sources: artifacts with statistics, each as a path or ``PATH::NAME`` of one set in it.
        dataset: a dataset from which the statistics are computed again, as one more source.
        strict: whether a warning fails what passes.
        report: called with what is done, how much of it, and of how much.

    Raises:
        ArtifactError: a source cannot be read or holds no statistics.
        UsageError: a source is given twice, a set that is not there, or too many.
    """
    if not sources and dataset is None:
        raise UsageError("no source of statistics was given", remedy="give a policy, a dataset or a statistics file")
    given = _read(sources, report)
    given += [] if dataset is None else _stored_in(dataset, given)
    again = None if dataset is None else computed(dataset, given, report)
    chosen, findings = choose([*given, *([Given((again.recomputed.stats,))] if again else [])])
    if len(chosen) > MAX_SOURCES:
        raise UsageError(f"{len(chosen)} sources of statistics", expected=f"at most {MAX_SOURCES}")
    found = agree(chosen, lambda done, total: report("pairs of sources", done, total) if report else None)
    data = again.recomputed.stats if again else next((s.stats for s in found.sources if s.data), None)
    findings += [f for s in chosen if s.kind != RECOMPUTED for f in checked(s, None if data is s else data)]
    beside = [] if again is None else again.rows(found)
    told = [*agreement_findings(found), *coverage_findings(beside)]
    if again is not None:
        causes = again.against(found)
        told = [*untold(found, told, causes), *causes, *again.findings]
    findings += told
    return document(found, by_severity(findings), beside, strict=strict)


def _read(sources: Sequence[str], report: Report | None) -> list[Given]:
    given: list[Given] = []
    seen: set[tuple[Path, str | None]] = set()
    for i, source in enumerate(sources, 1):
        path, name = (source, None) if Path(source).exists() else split(source)
        place = (Path(path).resolve(), name)
        if place in seen:
            raise UsageError(f"{source}: given twice", remedy="give each source once")
        seen.add(place)
        given.append(Given(read_stats(path), name))
        if report:
            report("sources", i, len(sources))
    return given


def _stored_in(dataset: str, given: Sequence[Given]) -> list[Given]:
    """Return what a dataset itself stores, as one more source, unless it was given or there is nothing."""
    place = Path(dataset).resolve()
    if any(s.path.resolve() == place for g in given for s in g.sets):
        return []
    try:
        return [Given(read_stats(dataset))]
    except ArtifactError:
        return []  # its frames are what counts


def checked(stats: NormStats, data: NormStats | None = None) -> list[Finding]:
    """Return what is wrong with one source, each finding with the source that it is about.

    Args:
        stats: the source.
        data: statistics of the data that it describes, where there are any.
    """
    found = check_stats(stats, contract=contract_of(stats), data=data, formulas=FORMULAS)
    return [replace(f, evidence={"source": stats.label, **f.evidence}) for f in found]


def document(
    found: Agreement, findings: Sequence[Finding], beside: Sequence[Mapping[str, Any]] = (), *, strict: bool = False
) -> dict[str, Any]:
    """Return the plain data of a survey, with its verdict; ``beside`` is what is stored beside what the data gives."""
    verdict = verdict_of(findings, strict=strict)
    blocking = ("error", "warning") if strict else ("error",)
    return {
        "schema": 1,
        "verdict": str(verdict),
        "reasons": [] if verdict is Verdict.PASS else [f.title for f in findings if f.severity in blocking],
        "strict": strict,
        "sources": [source_json(found, i) for i in range(len(found.sources))],
        "matrix": matrix(found),
        "agreement": [pair_json(found, p) for p in found.pairs if p.comparison.verdict],
        **({"recomputed": list(beside)} if beside else {}),
        "findings": [f.as_json() for f in findings],
    }


def verdict_of(findings: Sequence[Finding], *, strict: bool = False) -> Verdict:
    """Return FAIL for an error finding (``strict``: or a warning), else NOT_JUDGED or PASS.

    NOT_JUDGED where a source was not compared: it has nothing in common with the others, or with the dataset's frames.
    """
    failing = [f for f in findings if f.severity == "error" or (strict and f.severity == "warning")]
    if any(f.code not in UNJUDGED for f in failing):
        return Verdict.FAIL
    return Verdict.NOT_JUDGED if failing else Verdict.PASS


def matrix(found: Agreement) -> list[list[str | None]]:
    """Return the worst verdict of every two sources, None where they have nothing in common."""
    n = len(found.sources)
    return [
        [None if i == j else worst_of(p.comparison.verdict for p in found.between(i, j)) for j in range(n)]
        for i in range(n)
    ]


def source_json(found: Agreement, i: int) -> dict[str, Any]:
    """Return what there is to say about one source."""
    source = found.sources[i]
    taken = next((t for t in found.taken if t.source == i), None)
    return {
        "path": str(source.stats.path),
        "label": source.label,
        "kind": source.stats.kind,
        "era": source.stats.era,
        "features": [feature_json(source, n) for n in source.features],
        "taken_from": None if taken is None else {"source": found.sources[taken.origin].label, "equal": taken.equal},
        "odd_in": [n for n, j in found.odd.items() if j == i],
    }


def feature_json(source: Source, name: str) -> dict[str, Any]:
    """Return one feature of a source: its stored key, shape, mode, and which statistics it has."""
    stats: FeatureStats = source.features[name]
    shape: Mapping[str, tuple[int, ...]] = {n: np.shape(v) for n, v in stats.values.items()}
    return {
        "name": name,
        "key": stats.name,
        "shape": list(next(iter(shape.values()), ())),
        "mode": source.modes[name],
        "statistics": list(shape),
        "count": stats.count,
    }
