"""What the artifacts themselves say about why a candidate differs: cheap, read without running anything."""

from __future__ import annotations

from collections.abc import Sequence

from parity.compare.budget import coarser
from parity.contract.disagree import disagreements
from parity.contract.model import Contract
from parity.diagnose.explanation import Explanation
from parity.finding import Finding
from parity.provenance.match import WeightMatch
from parity.provenance.normalizer import normalizer_finding

# A fit of these kinds is so particular that chance or another checkpoint cannot make it.
PARTICULAR = frozenset({"sign", "swap", "permutation", "offset", "lag", "slice", "units", "unnormalization", "gain"})
WEIGHTS, NORMALIZER, STATISTICS, PRECISION, OPSET = "WEIGHT001", "WEIGHT004", "WEIGHT005", "DIAG012", "DIAG013"
INTERFACE = frozenset({"INSP001", "INSP002", "INSP004", "INSP005", "INSP013"})
NAMED = 3  # how many explanations the one line names


def static_findings(
    reference: Contract | None, candidate: Contract | None, weights: WeightMatch | None = None
) -> list[Finding]:
    """Return what the files say that may explain a difference, without a candidate's name.

    Weights that do not match (``WEIGHT001``), a normalizer on one side only (``WEIGHT004``) or with other constants
    (``WEIGHT005``), points in which the two contracts contradict each other (``INSP…``), a lower precision class
    (``DIAG012``) and another opset (``DIAG013``).
    A contract or match that is None is not known.
    """
    found = [weights.finding()] if weights else []
    if reference is not None and candidate is not None:
        found.append(normalizer_finding(reference, candidate))
        found += [d.as_finding() for d in disagreements(reference, candidate)]
        found += [_precision(reference, candidate), _opset(reference, candidate)]
    return [f for f in found if f is not None]


def _precision(reference: Contract, candidate: Contract) -> Finding | None:
    if not coarser(candidate.precision, reference.precision):
        return None
    return Finding(
        PRECISION,
        "info",
        f"The candidate computes in {candidate.precision}, the reference in {reference.precision}.",
        where=str(candidate.path),
        evidence={"reference": reference.precision, "candidate": candidate.precision},
        remedy="declare the candidate's precision class if it is meant",
    )


def _opset(reference: Contract, candidate: Contract) -> Finding | None:
    a, b = reference.metadata.get("opset"), candidate.metadata.get("opset")
    if a is None or b is None or a == b:
        return None
    return Finding(
        OPSET,
        "info",
        f"The candidate uses opset {b}, the reference opset {a}: some operations are defined differently.",
        where=str(candidate.path),
        evidence={"reference": a, "candidate": b},
        remedy="export both with the same opset to see whether the difference stays",
    )


def likely_cause(findings: Sequence[Finding], explanations: Sequence[Explanation]) -> str | None:
    """Return the likely cause in one line, to stand before the numbers; None where nothing explains the difference.

    The order in which they speak:

    1. A structural fault that explains the outputs (`fit_structure` names one only at 0.99 and without a rival): that
       the candidate *is* the reference but for a swap cannot be true of another checkpoint, whatever its weights look
       like after folding or quantizing.
    2. A normalizer on one side only, while at least half of the weights match or none can be compared.
    3. Weights that do not match: another checkpoint, or the few that differ; a normalizer with other constants.
    4. What a fit says that other faults could have made too: a constant output, gain and offset.
    5. Inputs and outputs that disagree.
    6. A lower precision class. Another opset alone is no cause.
    """
    particular = [e.sentence for e in explanations if e.kind in PARTICULAR]
    if particular:
        return _joined([e.sentence for e in explanations])
    by_code = {f.code: f for f in reversed(findings)}
    weights, normalizer = by_code.get(WEIGHTS), by_code.get(NORMALIZER)
    if normalizer and (weights is None or _share(weights) >= 0.5):
        return _line(normalizer.title.partition(":")[0])
    if weights or STATISTICS in by_code:
        return _line((weights or by_code[STATISTICS]).title)
    if explanations:
        return _joined([e.sentence for e in explanations])
    interface = [f for f in findings if f.code in INTERFACE and f.severity == "error"]
    if interface:
        return _joined([_line(f.title) for f in interface])
    return _line(by_code[PRECISION].title) if PRECISION in by_code else None


def _share(weights: Finding) -> float:
    total = weights.evidence.get("total") or 0
    return float(weights.evidence.get("matched", 0)) / total if total else 0.0


def _line(title: str) -> str:
    """Return a finding's title as the continuation of a line: no full stop, small first letter unless a name."""
    bare = title.strip().removesuffix(".")
    first = bare.split(" ", 1)[0]
    return bare[:1].lower() + bare[1:] if first in ("The", "A", "An", "None") else bare


def _joined(sentences: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(sentences))
    more = len(distinct) - NAMED
    return "; ".join(distinct[:NAMED]) + (f"; and {more} more" if more > 0 else "")
