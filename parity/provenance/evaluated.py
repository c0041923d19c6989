"""Whose weights, where the trainer keeps several sets in one file: what evaluation uses is what must be exported.

diffusion_policy saves raw and averaged weights side by side. An export of the raw ones holds only values that are in
the file, and is still not the policy that was evaluated.
"""

from __future__ import annotations

from collections.abc import Sequence

from parity.checkpoint.checkpoint import Checkpoint
from parity.provenance.origin import Candidate, Trace
from parity.provenance.source import WHOLE


def evaluated_tree(checkpoint: Checkpoint) -> str | None:
    """Return the weight set that evaluation uses, None where the checkpoint does not say or does not hold it."""
    tree = None if checkpoint.uses_ema is None else "ema_model" if checkpoint.uses_ema else "model"
    return tree if tree in checkpoint.trees else None


def not_evaluated(found: Trace) -> tuple[str, str] | None:
    """Return the weight set that was exported and the one that evaluation uses; None where they are the same.

    Nothing is said where the weights are of neither, or where both sets hold the same as far as the file goes.
    """
    best = found.best
    used = evaluated_tree(best.source.checkpoint)
    if used is None or best.outcome.relation not in ("MATCH", "PARTIAL") or used in best.tree.split(WHOLE):
        return None
    return None if _holds(used, best, found.ties) else (best.tree, used)


def _holds(tree: str, best: Candidate, ties: Sequence[Candidate]) -> bool:
    return any(c.tree == tree and c.source is best.source for c in ties)
