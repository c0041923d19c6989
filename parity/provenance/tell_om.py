"""What is peculiar to an OM whose weights are traced: what its compiler computed, and what rounding hides."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from parity.checkpoint.checkpoint import Checkpoint
from parity.errors import ArtifactError
from parity.finding import Finding
from parity.om.reading import open_om
from parity.om.uses import uses
from parity.provenance.origin import Trace, quantized_without_scale
from parity.provenance.words import LISTED, listed

UNEXPLAINED, ASKED_BACKWARDS, UNREAD, LAYERS = "OM045", "OM046", "OM048", "OM049"
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
    if kinds[0] == "om" and best.outcome.relation == "PARTIAL":
        yield from _layers(exported, [f.exported for f in best.outcome.missing])
    if kinds[0] == "om":
        yield from _unread(exported, [f.exported for f in best.outcome.missing])
    if kinds[1] == "om" and best.outcome.relation != "MATCH" and _holds_more(found):
        yield Finding(
            ASKED_BACKWARDS,
            "warning",
            f"{best.source.name} is an OM: its weights are rounded to a lower class, and no export is made from those.",
            where=best.source.name,
            remedy=f"ask the other way round: parity provenance {best.source.name} {found.exported.name}",
        )


def layers(checkpoint: Checkpoint, names: Sequence[str]) -> dict[str, str]:
    """Return, by constant, the layer of the source model that it goes into; empty where the OM does not tell.

    Raises:
        ArtifactError: it can no longer be read.
    """
    return uses(open_om(checkpoint.artifact.path), names) if checkpoint.artifact.kind == "om" else {}


def _layers(exported: Checkpoint, names: Sequence[str]) -> Iterator[Finding]:
    """Yield a finding that says in which layers the tensors are that were not found."""
    found = layers(exported, names)
    if found:
        yield Finding(
            LAYERS,
            "info",
            f"What was not found goes into {listed(list(dict.fromkeys(found.values())))}.",
            where=next(iter(found.values())),
            evidence={"layers": dict(list(found.items())[:LISTED])},
            remedy="look at how these layers were trained, exported or compiled",
        )


def _unread(exported: Checkpoint, names: Sequence[str]) -> Iterator[Finding]:
    """Yield a finding where constants were not found because they could not be read."""
    why: dict[str, str] = {}
    for name in names:
        if quantized_without_scale(exported.weights[name]):
            why[name] = f"{name} is weights as {exported.weights[name].dtype}, without the scale that they stand for"
            continue
        try:
            exported.weights[name].load()
        except ArtifactError as e:
            why[name] = e.message
    if why:
        first = next(iter(why))
        yield Finding(
            UNREAD,
            "warning",
            f"{len(why)} of the tensors that were not found cannot be read: {why[first]}.",
            where=first,
            evidence={"unread": dict(list(why.items())[:LISTED])},
            remedy="judge them by the outputs; compile without compressed or external weights to have them read",
        )


def _holds_more(found: Trace) -> bool:
    """Whether the exported file holds floats of a higher class than the OM that was given as its checkpoint."""
    order = {"float16": 0, "bfloat16": 0, "float32": 1, "float64": 2}
    mine, theirs = (
        [order.get(w.dtype, 0) for w in c.weights.values() if w.size > 1]
        for c in (found.exported.checkpoint, found.best.source.checkpoint)
    )
    return bool(mine and theirs) and max(mine) > min(theirs)
