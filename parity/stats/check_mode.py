"""Modes: one that is not known, one that two places declare differently, and a normalizer that was never fitted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

import numpy as np

from parity.finding import Finding
from parity.stats.check_shape import padding
from parity.stats.check_sides import Formula
from parity.stats.subject import READ, Entry, Subject

MODES_DISAGREE = "STATS022"
UNKNOWN_MODE = "STATS023"
FEW = "STATS025"
NEVER_FITTED = "STATS026"

ENOUGH = 100  # samples


def mode_findings(subject: Subject, formulas: Mapping[str, Formula]) -> Iterator[Finding]:
    """Yield features whose mode is not known or contradicts what is declared, and statistics of hardly any data.

    Args:
        subject: the statistics.
        formulas: by era: which modes there are. Of an era that is not there, any mode that is known at all may be.
    """
    said: set[tuple[str, str]] = set()
    for entry in subject.entries():
        formula = formulas.get(entry.era or "")
        modes = frozenset(READ) if formula is None else formula.modes
        for finding in (_unknown(entry, modes), _disagrees(entry), *_fitted(subject, entry)):
            if finding is not None and (finding.code, finding.where) not in said:
                said.add((finding.code, finding.where))
                yield finding


def _unknown(entry: Entry, modes: Set[str]) -> Finding | None:
    if entry.mode is None or entry.mode in modes:
        return None
    who = f"{entry.era} does not have" if entry.mode in READ else "is not known"
    return Finding(
        UNKNOWN_MODE,
        "error",
        f"{entry.name} is normalized by {entry.mode}, a mode that {who}",
        where=entry.name,
        evidence={"mode": entry.mode, "known": sorted(modes), "era": entry.era},
        remedy="use one of the known modes, or a version that knows this one",
    )


def _disagrees(entry: Entry) -> Finding | None:
    applied, declared = entry.stats.mode, None if entry.declared is None else entry.declared.mode
    if applied is None or declared is None or applied == declared:
        return None
    return Finding(
        MODES_DISAGREE,
        "error",
        f"{entry.name} is normalized by {applied}, its policy declares {declared}",
        where=entry.name,
        detail="What is stored with the statistics is what runs; the policy's configuration says how it was trained.",
        evidence={"applied": applied, "declared": declared},
        remedy="find out with which mode the policy was trained, and correct the other",
    )


def _fitted(subject: Subject, entry: Entry) -> Iterator[Finding]:
    if subject.stats.era is None or entry.is_metadata:  # what only describes data may be small
        return
    found = entry.values("mean", "std")
    if found is not None and entry.mode == "MEAN_STD" and found[0].size > 1 and not padding(entry):
        mean, std = found
        if not mean.any() and bool((std == 1).all()):
            yield Finding(
                NEVER_FITTED,
                "warning",
                f"the normalizer of {entry.name} was never fitted: all means are 0 and all standard deviations 1",
                where=entry.name,
                evidence={"elements": int(np.size(mean)), "count": entry.stats.count},
                remedy="take the normalizer that was saved with the weights, after training",
            )
            return
    count = entry.stats.count
    if count is not None and count < ENOUGH and entry.mode != "IDENTITY":
        yield Finding(
            FEW,
            "warning",
            f"the statistics of {entry.name} are of {count} sample{'' if count == 1 else 's'}",
            where=entry.name,
            detail="A normalizer that goes on learning when the policy runs looks like this, and one that was not "
            "loaded.",
            evidence={"count": count, "enough": ENOUGH},
            remedy="take the statistics that were saved with the weights, and do not let them change",
        )
