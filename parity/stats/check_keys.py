"""Keys: a feature to be normalized whose statistics are missed is silently the identity in most frameworks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from parity.contract.lerobot_processor import STATE_FILE_MISSING
from parity.finding import Finding, Severity
from parity.stats.model import Declared, FeatureStats
from parity.stats.names import spelling
from parity.stats.subject import LISTED, READ, Subject, is_metadata

MISSING = "STATS001"
OTHER_NAME = "STATS002"
INCOMPLETE = "STATS003"
ORPHANS = "STATS004"
METADATA = "STATS005"

PROCESSORS = "lerobot_processor"
LOUD = frozenset({"diffusion_policy"})  # these fail where statistics are missing, and normalize nothing in silence


def key_findings(subject: Subject) -> Iterator[Finding]:
    """Yield features that miss their statistics, statistics that miss their feature, and metadata among features."""
    yield from _metadata(subject)
    if not subject.declared:
        return
    claimed = {d.key for d in subject.declared}
    mended: set[str] = set()
    said: set[tuple[str, str]] = set()
    for stored, declared in _sides(subject):
        orphans = [key for key in stored if key not in claimed]
        for feature in declared:
            for finding in _feature(subject, feature, stored, orphans):
                mended |= {str(finding.evidence.get("stored"))}
                if (finding.code, finding.where) not in said:
                    said.add((finding.code, finding.where))
                    yield finding
    yield from _orphans(subject, claimed | mended)


def _sides(subject: Subject) -> list[tuple[Mapping[str, FeatureStats], tuple[Declared, ...]]]:
    """Return the tables of statistics with the features that are looked up in each.

    A table of which the reader says that its file is missing is left out. Of a processor file on its own only its own
    side is known.
    """
    stats = subject.stats
    if not stats.outputs and stats.kind != PROCESSORS:
        return [(stats.features, subject.declared)]
    sides = [
        (stats.features, tuple(d for d in subject.declared if not d.output)),
        (stats.outputs, tuple(d for d in subject.declared if d.output)),
    ]
    lone = stats.kind == PROCESSORS and stats.path.suffix == ".json"
    if lone or any(f.code == STATE_FILE_MISSING for f in stats.findings):
        return [(stored, declared) for stored, declared in sides if stored]
    return sides


def _feature(
    subject: Subject, feature: Declared, stored: Mapping[str, FeatureStats], orphans: list[str]
) -> Iterator[Finding]:
    found = stored.get(feature.key)
    mode = feature.mode if found is None or found.mode is None else found.mode
    if mode is None or not READ.get(mode, ("any",)):
        return
    if found is not None:
        missing = [name for name in READ.get(mode, ()) if name not in found.values]
        if missing:
            yield _incomplete(feature, found, mode, missing, loud=subject.stats.era in LOUD)
        return
    severity: Severity = "warning" if subject.stats.era in LOUD else "error"
    happens = "its framework fails when it runs" if subject.stats.era in LOUD else "silently the identity"
    near = meant_for(feature.key, orphans) or meant_for(feature.name, orphans)
    if near is None and feature.type == "VISUAL":
        near = _shortened(feature.key, orphans)
    place = subject.stats.path.name
    if near is not None:
        yield Finding(
            OTHER_NAME,
            severity,
            f"{feature.name} is to be normalized by {mode}, but its statistics are stored under {near!r}: {happens}",
            where=feature.name,
            detail=f"Its framework looks it up under {feature.key!r} and finds nothing.",
            evidence={"feature": feature.name, "looked_up": feature.key, "stored": near, "mode": mode, "file": place},
            remedy=f"rename the key {near!r} to {feature.key!r} in the statistics, or train again with a version that "
            "writes it so",
        )
        return
    yield Finding(
        MISSING,
        severity,
        f"{feature.name} is to be normalized by {mode}, but there are no statistics for it: {happens}",
        where=feature.name,
        evidence={
            "feature": feature.name,
            "looked_up": feature.key,
            "mode": mode,
            "stored": list(stored)[:LISTED],
            "file": place,
        },
        remedy="save the policy again with its dataset's statistics",
    )


def _incomplete(feature: Declared, found: FeatureStats, mode: str, missing: list[str], *, loud: bool) -> Finding:
    return Finding(
        INCOMPLETE,
        "warning" if loud else "error",
        f"{feature.name} is to be normalized by {mode}, which reads {' and '.join(READ[mode])}; there is "
        f"{', '.join(found.values) or 'nothing'}",
        where=feature.name,
        evidence={"feature": feature.name, "mode": mode, "missing": missing, "statistics": list(found.values)},
        remedy="save the policy again with statistics that hold what its mode reads",
    )


def meant_for(name: str, keys: Iterable[str]) -> str | None:
    """Return the one key that was meant for a feature: another spelling, or a dataset's name before it; else None."""
    wanted = spelling(name)
    fitting = [key for key in keys if spelling(key) == wanted or _prefixed(key, name)]
    return fitting[0] if len(fitting) == 1 else None


def _prefixed(key: str, name: str) -> bool:
    """Whether a key is a feature's under another name before it: ``robot/action``, ``so100.action``."""
    return key.endswith(f"/{name}") or (key.endswith(f".{name}") and not key.startswith(("observation.", "next.")))


def _shortened(name: str, keys: Iterable[str]) -> str | None:
    """Return the one key that lacks the end of a camera's name, or has more of one: ``images`` for ``images.wrist``."""
    wanted = spelling(name)
    fitting = [k for k in keys if wanted.startswith(f"{spelling(k)}_") or spelling(k).startswith(f"{wanted}_")]
    return fitting[0] if len(fitting) == 1 else None


def _orphans(subject: Subject, claimed: set[str]) -> Iterator[Finding]:
    every = [*subject.stats.features, *(k for k in subject.stats.outputs if k not in subject.stats.features)]
    orphans = [key for key in every if key not in claimed and not is_metadata(key)]
    if orphans:
        yield Finding(
            ORPHANS,
            "info",
            f"statistics are stored that no feature of the policy takes: {', '.join(orphans[:LISTED])}",
            where=orphans[0],
            evidence={"orphans": orphans[:LISTED], "count": len(orphans)},
            remedy="nothing, where the dataset has more than the policy uses",
        )


def _metadata(subject: Subject) -> Iterator[Finding]:
    """Yield the metadata columns that are declared as features, or lie in a file that holds features only (openpi)."""
    declared = [
        d for d in subject.declared if is_metadata(d.name) and d.mode is not None and READ.get(d.mode, ("any",))
    ]
    for feature in declared:
        yield Finding(
            METADATA,
            "error",
            f"{feature.name} counts rows or episodes and is normalized as a feature of the policy ({feature.mode})",
            where=feature.name,
            evidence={"feature": feature.name, "mode": feature.mode},
            remedy="take it out of the policy's features and train again",
        )
    if subject.stats.era in ("openpi", "rlinf"):
        there = [k for k in subject.stats.features if is_metadata(k)]
        if there:
            yield Finding(
                METADATA,
                "warning",
                f"metadata columns have normalization statistics: {', '.join(there[:LISTED])}",
                where=there[0],
                detail="openpi normalizes every key that it finds in the data. These count rows and episodes.",
                evidence={"columns": there[:LISTED], "count": len(there)},
                remedy="remove them from the file",
            )
