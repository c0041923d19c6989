"""What the explaining measures say of a planted fault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parity.finding import Finding
from parity.replay.measure import Measure, merged
from parity.replay.measures import anchoring, extent, gripper, growth, lag, seams, structure
from parity.replay.model import Judged, Played
from parity.tensor import Array
from replayed import context, played

MEASURES: tuple[Measure, ...] = tuple(m.MEASURE for m in (structure, lag, seams, anchoring, growth, extent, gripper))


def judged(measure: Measure, shown: Played, **given: Any) -> Judged:
    """Return what one measure says of one shard."""
    return measure.judge(measure.observe(shown), context(shown, **given))


def findings(
    reference: Sequence[Array], candidate: Sequence[Array], recorded: Sequence[Array] | None = None, **given: Any
) -> list[Finding]:
    """Return all findings of all measures; ``given`` is of `played`, and ``asked`` of the context."""
    asked = given.pop("asked", {})
    shown = played(reference, candidate, recorded, **given)
    return [f for m in MEASURES for f in judged(m, shown, **asked).findings]


def in_shards(measure: Measure, shards: Sequence[Played], **given: Any) -> Judged:
    """Return what one measure says of several shards, by the reference's limits in the first."""
    return measure.judge(merged(measure, [measure.observe(s) for s in shards]), context(shards[0], **given))


def codes(found: Sequence[Finding], severity: str = "error") -> set[str]:
    return {f.code for f in found if f.severity == severity}


def one(found: Sequence[Finding], code: str) -> Finding:
    """Return the only finding of a code."""
    matching = [f for f in found if f.code == code]
    assert len(matching) == 1, [(f.code, f.title) for f in found]
    return matching[0]
