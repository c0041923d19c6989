"""Whose weights a candidate holds, where `parity.toml` says which checkpoints a release may be made from.

Asked while the release is executed and kept with the facts, so that the suites and a later judging see the same answer.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from parity.artifact import Artifact, digest
from parity.errors import ParityError, UsageError
from parity.finding import Finding
from parity.provenance.origin import trace
from parity.provenance.tell import RAW, SILENT, as_json, findings_of, verdict_of
from parity.release.config import Config
from parity.release.facts import Facts
from parity.release.sides import Side

UNJUDGED = "GATE014"
MAX_CHECKPOINTS = 10_000


@dataclass(frozen=True, slots=True)
class Weighing:
    """Which candidates' weights are to be found in which checkpoints."""

    checkpoints: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()


def weighing(config: Config, root: Path) -> Weighing:
    """Return what ``[weights]`` asks for, its patterns resolved against the folder of `parity.toml`.

    Raises:
        UsageError: a pattern that no file has: a mistyped path must not let weights pass unseen.
    """
    table = config.weights
    if table is None:
        return Weighing()
    patterns = [table.checkpoints] if isinstance(table.checkpoints, str) else table.checkpoints
    found: list[str] = []
    for pattern in patterns:
        place = Path(pattern).expanduser()
        hits = sorted(glob.glob(str(root / place), recursive=True))  # noqa: PTH207  the pattern may be absolute
        if not hits:
            raise UsageError(f"[weights] checkpoints: no file is called {pattern!r}", remedy="check the path")
        found += [h for h in hits if h not in found]
    if len(found) > MAX_CHECKPOINTS:
        raise UsageError(f"[weights] checkpoints: {len(found)} files", expected=f"at most {MAX_CHECKPOINTS}")
    names = table.candidates or [c.name for c in config.candidate]
    return Weighing(tuple(found), tuple(names))


def weigh(side: Side, checkpoints: Sequence[str]) -> dict[str, Any]:
    """Return whose weights a candidate holds, as `parity provenance --json` has it; or the problem that kept it."""
    if side.shipped is None:
        return {"problem": f"{side.name} is no file whose weights can be read"}
    try:
        found = trace(side.shipped.path, checkpoints)
    except ParityError as e:
        return {"problem": e.message}
    best = found.best.source.checkpoint.artifact
    document = as_json(found, findings_of(found), verdict_of(found.best))
    return {**document, "best": {**document["best"], "sha256": _sha256(best)}}


def _sha256(artifact: Artifact) -> str | None:
    try:
        return digest(artifact)[0]
    except (ParityError, OSError):
        return None


def weight_findings(asked: Weighing, facts: Facts, candidate: str) -> Iterator[Finding]:
    """Yield what is to be said of a candidate's weights; what could not be judged, and raw weights, are errors here."""
    if candidate not in asked.candidates:
        return
    if facts.weights is None or "problem" in facts.weights:
        yield unjudged(candidate, (facts.weights or {}).get("problem", "the run was interrupted before"))
        return
    for told in facts.weights["findings"]:
        finding = Finding(**told).for_candidate(candidate)
        if finding.code == SILENT:
            yield unjudged(candidate, finding.title)
        else:
            yield replace(finding, severity="error") if finding.code == RAW else finding


def unjudged(candidate: str, why: str) -> Finding:
    """Return the finding that whose weights a candidate holds could not be judged."""
    return Finding(
        UNJUDGED,
        "error",
        f"Whose weights these are could not be judged: {why.rstrip('.')}.",
        where=candidate,
        remedy="give artifacts whose weights can be read, or leave this candidate out of [weights] candidates",
        candidate=candidate,
    )
