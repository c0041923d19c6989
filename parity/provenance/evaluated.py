"""Whose weights, where the trainer keeps several sets in one file: what evaluation uses is what must be exported.

diffusion_policy saves raw and averaged weights side by side. An export of the raw ones holds only values that are in
the file, and is still not the policy that was evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from parity.checkpoint.checkpoint import Checkpoint
from parity.checkpoint.weight import Weight
from parity.provenance.match import WeightMatch, match_weights


def match_evaluated(exported: Checkpoint, trained: Checkpoint) -> WeightMatch:
    """Return which of the exported weights are those that evaluation of ``trained`` uses.

    Where none is and another set of the same file holds them all, the outcome says which. Of files that do not tell
    what evaluation uses, all weights count.

    Raises:
        ArtifactError: a tensor's bytes cannot be read.
    """
    given, tree = _set(exported, evaluated_tree(exported)), evaluated_tree(trained)
    match = match_weights(given, _set(trained, tree))
    if tree is None or match.matched == match.total:
        return match
    for other in trained.trees:
        if other != tree:
            found = match_weights(given, _set(trained, other))
            if found.matched == found.total:
                return replace(match, instead=(other, tree))
    return match


def evaluated_tree(checkpoint: Checkpoint) -> str | None:
    """Return the weight set that evaluation uses, None where the checkpoint does not say or does not hold it."""
    tree = None if checkpoint.uses_ema is None else "ema_model" if checkpoint.uses_ema else "model"
    return tree if tree in checkpoint.trees else None


def _set(checkpoint: Checkpoint, tree: str | None) -> Mapping[str, Weight]:
    if tree is None:
        return checkpoint.weights
    return {name: weight for name, weight in checkpoint.weights.items() if weight.tree == tree}
