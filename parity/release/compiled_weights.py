"""Whether an OM holds the weights of the reference, where `[weights]` does not ask whose they are."""

from __future__ import annotations

from collections.abc import Iterator

from parity.artifact import Artifact
from parity.errors import ParityError
from parity.finding import Finding
from parity.provenance.origin import trace
from parity.provenance.relation import Outcome
from parity.provenance.source import read_source
from parity.provenance.tell import MADE, sentence
from parity.provenance.tell_om import folded_by_compiler, layers
from parity.provenance.words import LISTED
from parity.release.explain import WITH_WEIGHTS
from parity.release.sides import Side

OTHER_WEIGHTS = "OM044"


def trusted_weights(reference: Side) -> Artifact | None:
    """Return the artifact that holds the reference's weights, as far as that is known."""
    return reference.checkpoint.artifact if reference.checkpoint is not None else reference.artifact


def of_the_reference(shipped: Artifact, kept: Artifact | None, given: str) -> Iterator[Finding]:
    """Yield whether an OM holds the reference's weights, which ``kept`` holds; nothing where that holds none."""
    if kept is None or kept.kind not in WITH_WEIGHTS:
        return
    try:
        found = trace(shipped.path, [kept.path])
    except ParityError as e:
        yield Finding(
            OTHER_WEIGHTS,
            "warning",
            f"Whether the OM holds the reference's weights could not be told: {e.message.rstrip('.')}.",
            where=given,
            remedy="name the checkpoint in [weights], or as `checkpoint` of the reference",
        )
        return
    outcome = found.best.outcome
    if outcome.relation == "NOT_JUDGED":
        return
    exported = read_source(shipped).checkpoint
    folded = folded_by_compiler(exported)
    others = [f for f in outcome.missing if f.source is not None and f.exported not in folded]
    yield Finding(
        MADE if outcome.relation == "MATCH" else OTHER_WEIGHTS,
        "info" if outcome.relation == "MATCH" else "error" if others else "warning",
        sentence(found),
        where=(others or outcome.missing)[0].exported if outcome.missing else given,
        evidence={
            **found.best.as_json(),
            "others": [f.exported for f in others[:LISTED]],
            "layers": layers(exported, [f.exported for f in outcome.missing[:LISTED]]),
        },
        remedy="" if outcome.relation == "MATCH" else _remedy(outcome, bool(others)),
    )


def _remedy(outcome: Outcome, others: bool) -> str:
    if others:
        return "compile again from the reference, or judge it against the checkpoint that it was made from"
    return f"{len(outcome.missing)} constants have no partner of their shape: the compiler may have computed them"
