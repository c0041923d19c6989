"""How the names of an exported file of weights line up with those of its checkpoint, and the rename that mends them."""

from __future__ import annotations

from typing import Any

from parity.checkpoint.weight import Weight
from parity.finding import Finding
from parity.provenance.align import WRAPPERS, Alignment, align, renamed_by_value
from parity.provenance.origin import Candidate
from parity.provenance.source import Source, only_names
from parity.provenance.words import LISTED, NAMED, listed

NAMES = "PROV017"
# Files that a loader reads by name. A graph brings its weights with it, whatever they are called.
LOADED_BY_NAME = ("checkpoint", "safetensors", "npz", "folder")


def names_finding(exported: Source, best: Candidate) -> Finding | None:
    """Return how the names of two files line up; None where they do so exactly, or nobody will look.

    Raises:
        ArtifactError: a tensor's bytes cannot be read.
    """
    kinds = {exported.checkpoint.artifact.kind, best.source.checkpoint.artifact.kind}
    if not kinds <= set(LOADED_BY_NAME) or best.outcome.relation == "NOT_JUDGED" or best.tree not in best.source.sets:
        return None
    if len(exported.sets) > 1 and best.tree not in exported.sets:
        return None
    mine = _exported_set(exported, best.tree)
    theirs = {n: w for n, w in best.source.sets[best.tree].items() if n in best.source.checkpoint.weights}
    theirs = _bare(theirs, best.tree)
    found = align(mine, theirs)
    if (found.complete and found.strip == ("", "")) or (best.outcome.relation == "FOREIGN" and not found.pairs):
        return None
    renames = renamed_by_value([mine[n] for n in found.unexpected], [theirs[n] for n in found.missing])
    return Finding(
        NAMES,
        "info" if found.complete else "warning",
        _said(found, len(renames)),
        where=next(iter((*found.unexpected, *found.missing, *(a for a, _ in found.conflicts))), ""),
        evidence=_evidence(found, renames, mine, theirs),
        remedy=_remedy(found, renames),
    )


def _exported_set(exported: Source, tree: str) -> dict[str, Weight]:
    weights = exported.checkpoint.weights
    sets = {w.tree for w in weights.values()}
    wanted = tree if tree in sets else next(iter(exported.sets)) if len(exported.sets) == 1 else None
    chosen = dict(weights) if wanted is None else {n: w for n, w in weights.items() if w.tree == wanted}
    return _bare(chosen, wanted or "")


def _bare(weights: dict[str, Weight], tree: str) -> dict[str, Weight]:
    """Return weights by their names inside their set; ``model`` at the top may as well be a wrapper's name."""
    container = tree not in WRAPPERS or tree.endswith("state_dict")
    nested = all(n.startswith(f"state_dicts.{tree}.") for n in weights)
    return only_names(weights, tree) if container or nested else weights


def _said(found: Alignment, renamed: int) -> str:
    told = []
    for prefix, whose in zip(found.strip, ("exported", "checkpoint's"), strict=True):
        told += [f"{prefix!r} stripped from the {whose} names"] if prefix else []
    counts = (
        (found.missing, "of the checkpoint's tensors {is_} missing"),
        (found.unexpected, "{is_} unexpected"),
        ([a for a, _ in found.conflicts], "{has} another shape"),
    )
    for names, what in counts:
        if names:
            one = len(names) == 1
            words = what.format(is_="is" if one else "are", has="has" if one else "have")
            told.append(f"{len(names)} {words} ({listed(names)})")
    verb = "holds" if renamed == 1 else "hold"
    told += [f"{renamed} of them {verb} the same values under another name"] if renamed else []
    return f"Names: {len(found.pairs)} line up; {'; '.join(told)}."


def _evidence(
    found: Alignment, renames: list[tuple[str, str]], mine: dict[str, Weight], theirs: dict[str, Weight]
) -> dict[str, Any]:
    return {
        "strip": list(found.strip),
        "pairs": len(found.pairs),
        "missing": list(found.missing[:LISTED]),
        "unexpected": list(found.unexpected[:LISTED]),
        "conflicts": [[a, list(mine[a].shape), b, list(theirs[b].shape)] for a, b in found.conflicts[:LISTED]],
        "rename": [list(r) for r in found.renames[:LISTED]],
        "same_values": [list(r) for r in renames[:LISTED]],
    }


def _remedy(found: Alignment, renames: list[tuple[str, str]]) -> str:
    told = [f"strip {p!r}" for p in found.strip if p]
    told += [f"rename {old or '(nothing)'} to {new or '(nothing)'} ({n})" for old, new, n in found.renames[:NAMED]]
    if not found.renames:
        told += [f"rename {a} to {b}" for a, b in renames[:NAMED]]
    return "; ".join(told) or "load strictly, so that a name that does not fit is an error"
