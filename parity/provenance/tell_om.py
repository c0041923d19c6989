"""What is peculiar to an OM whose weights are traced: what its compiler computed, and what rounding hides."""

from __future__ import annotations

import re
from collections.abc import Iterator

from parity.checkpoint.checkpoint import Checkpoint
from parity.finding import Finding
from parity.om.reading import open_om
from parity.provenance.origin import Trace
from parity.provenance.words import LISTED, listed

UNEXPLAINED, ASKED_BACKWARDS = "OM045", "OM046"
_HOST = re.compile(r"_(filter|bias)_host$")  # what ConvBatchnormFusionPass calls what it folded


def folded_by_compiler(checkpoint: Checkpoint) -> frozenset[str]:
    """Return the names of an OM's constants into which its compiler folded a BatchNorm or a scale.

    Raises:
        ArtifactError: it can no longer be read.
    """
    if checkpoint.artifact.kind != "om":
        return frozenset()
    constants = open_om(checkpoint.artifact.path).constants
    return frozenset(n for n, c in constants.items() if c.folded or _HOST.search(n))


def om_findings(found: Trace) -> Iterator[Finding]:
    """Yield what is to be said where an OM is among what was asked about."""
    exported, best = found.exported.checkpoint, found.best
    kinds = exported.artifact.kind, best.source.checkpoint.artifact.kind
    if kinds[0] == "om" and best.outcome.relation in ("PARTIAL", "STALE"):
        folded = folded_by_compiler(exported)
        names = [f.exported for f in best.outcome.missing if f.exported in folded]
        if names:
            yield Finding(
                UNEXPLAINED,
                "info",
                f"{len(names)} of the tensors that were not found have something folded in by the compiler, and "
                f"nothing in {best.source.name} gives them: {listed(names)}.",
                where=names[0],
                evidence={"folded": names[:LISTED]},
                remedy="give the training checkpoint with its BatchNorm layers, where the one given has none",
            )
    if kinds[1] == "om" and best.outcome.relation != "MATCH" and _holds_more(found):
        yield Finding(
            ASKED_BACKWARDS,
            "warning",
            f"{best.source.name} is an OM: its weights are rounded to a lower class, and no export is made from those.",
            where=best.source.name,
            remedy=f"ask the other way round: parity provenance {best.source.name} {found.exported.name}",
        )


def _holds_more(found: Trace) -> bool:
    """Whether the exported file holds floats of a higher class than the OM that was given as its checkpoint."""
    order = {"float16": 0, "bfloat16": 0, "float32": 1, "float64": 2}
    mine, theirs = (
        [order.get(w.dtype, 0) for w in c.weights.values() if w.size > 1]
        for c in (found.exported.checkpoint, found.best.source.checkpoint)
    )
    return bool(mine and theirs) and max(mine) > min(theirs)
