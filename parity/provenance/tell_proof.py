"""What moved between a fine-tuned file and its base, in words and as findings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from parity.finding import Finding, by_severity
from parity.provenance.only import Changes, Move
from parity.provenance.proof import Proof, Proofs
from parity.provenance.tell import document, place, unreadable_finding
from parity.provenance.words import LISTED, NAMED, finding_on, listed
from parity.verdict import Verdict

MOVED, RUNNING, KEYS, STILL, KEPT, NOTHING = "PROV020", "PROV021", "PROV022", "PROV023", "PROV024", "PROV025"


def proof_verdict(found: Proofs) -> Verdict:
    """Return PASS where nothing outside the pattern changed, NOT_JUDGED where nothing there tells anything, or FAIL."""
    best = found.best
    if not all(p.changes.kept for p in best):
        return Verdict.FAIL
    judged = any(p.candidate.outcome.relation == "MATCH" for p in best)
    return Verdict.PASS if judged else Verdict.NOT_JUDGED


def proof_findings(found: Proofs) -> list[Finding]:
    """Return what was found about a fine-tuned file, the most severe first."""
    told = [unreadable_finding(n, e.message) for n, e in found.unreadable]
    if proof_verdict(found) is Verdict.NOT_JUDGED:
        told.append(_nothing(found))
    for proof in found.best:
        told += [f for f in _of(proof, found.patterns) if f is not None]
    return by_severity(told)


def _of(proof: Proof, patterns: Sequence[str]) -> list[Finding | None]:
    c = proof.changes
    running = [m for m in c.outside if m.running]
    return [
        _kept(proof, patterns),
        _moved(proof, [m for m in c.outside if not m.running], patterns),
        _running(proof, running),
        _keys(proof),
        _still(c, patterns),
    ]


def claim(patterns: Sequence[str]) -> str:
    """Return the patterns in words."""
    return " and ".join(f"`{p}`" for p in patterns)


def moves(found: Sequence[Move]) -> list[dict[str, Any]]:
    """Return moves as JSON-able evidence, the largest first."""
    return [
        {
            "name": m.name,
            "max_abs": m.largest,
            "rel": m.relative if math.isfinite(m.relative) else "Infinity",
            "elements": m.elements,
            "of": m.size,
        }
        for m in _largest_first(found)[:LISTED]
    ]


def _largest_first(found: Sequence[Move]) -> list[Move]:
    return sorted(found, key=lambda m: -m.largest)


def _tensors(n: int) -> str:
    return f"{n} tensor{'' if n == 1 else 's'}"


def _share(relative: float) -> str:
    return f"{relative:.2g} of its largest" if math.isfinite(relative) else "from all zero"


def _kept(proof: Proof, patterns: Sequence[str]) -> Finding | None:
    c = proof.changes
    if not c.kept or proof.candidate.outcome.relation != "MATCH":
        return None
    return Finding(
        KEPT,
        "info",
        f"Only {claim(patterns)} changed: {_tensors(len(c.inside))} moved there, all {len(c.equal)} others are equal "
        f"bit by bit to {place(proof.candidate)}.",
        evidence={"equal": len(c.equal), "inside": moves(c.inside)},
    )


def _moved(proof: Proof, found: Sequence[Move], patterns: Sequence[str]) -> Finding | None:
    return _outside(
        MOVED,
        found,
        f"{len(found)} of {len(found) + len(proof.changes.equal)} tensors outside {claim(patterns)} moved against "
        f"{place(proof.candidate)}",
        "freeze them (requires_grad = False) and give the optimizer only what is to change, or claim them too",
    )


def _running(proof: Proof, found: Sequence[Move]) -> Finding | None:
    return _outside(
        RUNNING,
        found,
        f"{len(found)} running statistics of BatchNorm outside the pattern moved against {place(proof.candidate)}, as "
        "they do in training mode whatever is frozen",
        "put the frozen part into eval mode (.eval()) after every .train(), and train again",
    )


def _outside(code: str, found: Sequence[Move], said: str, remedy: str) -> Finding | None:
    if not found:
        return None
    ordered = _largest_first(found)
    told = listed([f"{m.name} (max |Δ| {m.largest:.3g}, {_share(m.relative)})" for m in ordered])
    return Finding(
        code, "error", f"{said}: {told}.", where=ordered[0].name, evidence={"moved": moves(found)}, remedy=remedy
    )


def _keys(proof: Proof) -> Finding | None:
    c = proof.changes
    if not c.lost and not c.new:
        return None
    told = [f"{len(n)} {what} ({', '.join(n[:NAMED])})" for n, what in ((c.lost, "lost"), (c.new, "new")) if n]
    return Finding(
        KEYS,
        "error",
        f"Outside the pattern the tensors are not those of {place(proof.candidate)}: {' and '.join(told)}.",
        where=(c.lost or c.new)[0],
        evidence={
            "lost": list(c.lost[:LISTED]),
            "new": list(c.new[:LISTED]),
            "strip": list(c.alignment.strip),
            "renames": [list(r) for r in c.alignment.renames[:LISTED]],
        },
        remedy=_rename(c) or "give the checkpoint that this was fine-tuned from, or claim these tensors too",
    )


def _rename(c: Changes) -> str:
    told = [f"{old or '(nothing)'} to {new or '(nothing)'}" for old, new, _ in c.alignment.renames[:NAMED]]
    return f"rename {', '.join(told)}: then they line up" if told else ""


def _still(c: Changes, patterns: Sequence[str]) -> Finding | None:
    total = len(c.still) + len(c.inside)
    trained = bool(c.inside)
    return finding_on(
        STILL,
        c.still,
        f"{len(c.still)} of {total} tensors inside {claim(patterns)} did not move: {listed(c.still)}.",
        "" if trained else "nothing was trained: look at what the optimizer was given, and which file was saved",
        key="still",
        severity="info" if trained else "warning",
    )


def _nothing(found: Proofs) -> Finding:
    return Finding(
        NOTHING,
        "error",
        f"No tensor outside {claim(found.patterns)} tells anything: nothing is proved.",
        evidence={"patterns": list(found.patterns)},
        remedy="claim less: name the module that was fine-tuned",
    )


def proof_json(found: Proofs, findings: Sequence[Finding], verdict: Verdict) -> dict[str, Any]:
    """Return the JSON of `parity provenance --only`: as without, and under ``only`` what moved."""
    candidates = [p.candidate for group in found.groups for p in group]
    return {
        **document(found.tuned.name, found.best[0].candidate, candidates, findings, verdict),
        "only": {
            "patterns": list(found.patterns),
            "sets": [
                {
                    "tree": p.candidate.tree,
                    "outside": moves(p.changes.outside),
                    "inside": moves(p.changes.inside),
                    "still": list(p.changes.still[:LISTED]),
                    "lost": list(p.changes.lost[:LISTED]),
                    "new": list(p.changes.new[:LISTED]),
                    "equal": len(p.changes.equal),
                }
                for p in found.best
            ],
        },
    }
