"""The precision class of a candidate: declared, and checked against what its graph computes in."""

from __future__ import annotations

from collections.abc import Iterator

from parity.compare.budget import CLASSES, coarser
from parity.errors import UsageError
from parity.finding import Finding
from parity.release.facts import Facts
from parity.release.sides import Side

VERIFIED = ("onnxruntime", "torch")  # runners that compute in the class their graph says


def found_class(side: Side, facts: Facts) -> str | None:
    """Return the lowest class seen, by the reader in the graph or by the runner at run time; None if neither knows."""
    behind = side.behind.contract if side.behind is not None else None
    said = [c.precision for c in (side.contract, behind) if c is not None]
    seen = [p for p in (*said, facts.precision) if p is not None]
    known = [p for p in seen if p in CLASSES]
    return max(known, key=CLASSES.index) if known else (seen[0] if seen else None)


def judged_class(side: Side, reference: Side, reference_facts: Facts) -> str:
    """Return the class in which ``side`` is judged: as declared, else the reference's, else float32.

    Raises:
        UsageError: the declared class is none that parity knows.
    """
    declared = side.declared or reference.declared or found_class(reference, reference_facts) or "float32"
    if declared == "float64":
        return "float32"
    if declared not in CLASSES:
        raise UsageError(f"{side.name}: precision {declared!r} is no precision class", expected=", ".join(CLASSES))
    return declared


def verified(side: Side) -> bool:
    """Whether ``side``, or every stage of it, computes in the class that its graph says."""
    return all(s.spec.runner in VERIFIED for s in (side.staged.sides if side.staged is not None else (side,)))


def precision_findings(
    side: Side, facts: Facts, judged: str, reference: Side, reference_facts: Facts
) -> Iterator[Finding]:
    """Yield PREC001 for an undeclared lower class, PREC002 for a declared one that the graph does not have, PREC004
    where this machine's int8 arithmetic is coarser than that of others.

    A class declared for the reference alone is the candidate's default, so it has to be the reference's own.
    """
    found = found_class(side, facts)
    if side.declared is None and coarser(judged, found or "float32"):
        yield from _inherited(side, judged, reference, found_class(reference, reference_facts))
    if coarser(found, judged):
        yield Finding(
            "PREC001",
            "error",
            f"The graph computes in {found}, which was not declared (judged as {judged}).",
            where=side.spec.path,
            evidence={"found": found, "declared": side.declared, "judged": judged},
            remedy=f'export in {judged}, or declare it: precision = "{found}"',
            candidate=side.name,
        )
    elif found is not None and coarser(judged, found) and side.declared is not None:
        if verified(side):
            yield Finding(
                "PREC002",
                "error",
                f"Declared {judged}, but the graph computes in {found}: the looser budget of {judged} is not earned.",
                where=side.spec.path,
                evidence={"found": found, "declared": side.declared},
                remedy=f'declare precision = "{found}", or convert the graph to {judged}',
                candidate=side.name,
            )
        else:
            yield _unverified(side, judged)
    elif found is None and side.declared is not None and judged != "float32":
        yield _unverified(side, judged)
    if found == "int8" and facts.environment.get("int8_saturates"):
        yield Finding(
            "PREC004",
            "info",
            "This CPU has no VNNI: int8 products of signed weights may saturate here, and not on the robot's CPU.",
            where=side.spec.path,
            evidence={"cpu": "x86 without VNNI"},
            remedy="quantize with reduce_range=True or unsigned weights (QUInt8), or judge on the CPU of the robot",
            candidate=side.name,
        )


def _inherited(side: Side, judged: str, reference: Side, found: str | None) -> Iterator[Finding]:
    """Yield PREC002 where the reference does not compute in the class that makes the candidate's budget looser."""
    if found is None:
        yield _unverified(reference, judged, side.name)
    elif coarser(judged, found):
        yield Finding(
            "PREC002",
            "error",
            f"The reference is declared {judged}, but computes in {found}: the looser budget is not earned.",
            where=reference.spec.path,
            evidence={"found": found, "declared": reference.declared},
            remedy=f'declare precision = "{found}" for the reference, and a lower class for the candidate that has it',
            candidate=side.name,
        )


def _unverified(side: Side, judged: str, candidate: str | None = None) -> Finding:
    return Finding(
        "PREC003",
        "info",
        f"Precision {judged} is declared, not verified: runner {side.spec.runner!r} has its own arithmetic.",
        where=side.spec.path,
        evidence={"declared": side.declared},
        candidate=candidate or side.name,
    )
