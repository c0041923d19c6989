"""Which weights of a checkpoint are the policy: the set that evaluation uses, and the statistics that go with it.

Trainers keep several sets in one file: raw and averaged weights (diffusion_policy), actor and critic (rsl_rl), the
observation normalizer apart from the network (rsl_rl 2). The choice follows what the checkpoint itself says; where it
says nothing, the user has to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from parity.checkpoint.checkpoint import Checkpoint
from parity.checkpoint.weight import Weight
from parity.errors import UsageError
from parity.finding import Finding

TREE, LEFT_OUT = "CONVERT001", "CONVERT002"
_OBS_STATISTICS = re.compile(r"(^|_)obs_norm|^obs_rms|^running_mean_std")


@dataclass(frozen=True, slots=True)
class Choice:
    """The weights that are written, by the names they get; which set they are, why, and how many were left out."""

    tree: str
    weights: Mapping[str, Weight]
    reason: str
    left_out: Mapping[str, int]
    evaluated: str | None = None  # the set that evaluation uses, where it is another

    def findings(self, where: str) -> list[Finding]:
        """Return what was taken, and what was not."""
        taken = Finding(
            TREE,
            "warning" if self.evaluated else "info",
            f"took {_words(self.tree)}: {self.reason}"
            + (f"; evaluation uses {self.evaluated}" if self.evaluated else ""),
            where=where,
            evidence={"tree": self.tree, "tensors": len(self.weights)},
        )
        if not self.left_out:
            return [taken]
        listed = ", ".join(f"{n} of {_words(t)}" for t, n in self.left_out.items())
        left = Finding(LEFT_OUT, "info", f"left out: {listed}", where=where, evidence={"left_out": dict(self.left_out)})
        return [taken, left]


def choose(checkpoint: Checkpoint, asked: str | None) -> Choice:
    """Return the weights to write: of the tree ``asked`` for, else of the one that evaluation uses.

    Raises:
        UsageError: there is no such tree, or nothing says which of several is the policy's.
    """
    names = checkpoint.trees
    if asked is not None:
        if asked not in names:
            raise UsageError(
                f"--tree {asked}: {checkpoint.artifact.path} has no such weight set",
                expected=", ".join(_words(n) for n in names),
            )
        tree, reason = asked, "asked for with --tree"
    else:
        tree, reason = _evaluated(checkpoint)
    extra = [t for t in names if t != tree and _OBS_STATISTICS.search(t) and "privileged" not in t]
    if checkpoint.layout == "rsl_rl 2" and extra:
        reason += f", with the observation normalizer that lies beside it ({', '.join(extra)})"
    else:
        extra = []
    weights = _renamed(checkpoint, tree)
    for key, weight in checkpoint.weights.items():
        if weight.tree in extra:
            weights[key] = weight
    uses = None if checkpoint.uses_ema is None else "ema_model" if checkpoint.uses_ema else "model"
    left = {t: sum(w.tree == t for w in checkpoint.weights.values()) for t in names if t not in (tree, *extra)}
    return Choice(tree, weights, reason, left, uses if uses in names and uses != tree else None)


def _evaluated(checkpoint: Checkpoint) -> tuple[str, str]:
    names = checkpoint.trees
    ema = checkpoint.uses_ema
    if ema and "ema_model" not in names:
        raise UsageError(
            f"{checkpoint.artifact.path}: evaluation uses averaged weights (training.use_ema), and there are none here",
            expected="a weight set called ema_model",
            remedy="take the checkpoint that the training run wrote; --tree model takes the raw weights on purpose",
        )
    if ema:
        return "ema_model", "evaluation uses the averaged weights (training.use_ema is true)"
    if ema is False and "model" in names:
        return "model", "evaluation uses the raw weights (training.use_ema is false)"
    if len(names) == 1:
        return names[0], "the only weight set"
    if checkpoint.layout.startswith("rsl_rl"):
        tree = "actor_state_dict" if "actor_state_dict" in names else "model_state_dict"
        return tree, "the actor is what runs on the robot" if tree == "actor_state_dict" else "the policy's own weights"
    named = [n for n in names if n]
    if len(named) == 1:
        return named[0], "the only weight set with a name"
    raise UsageError(
        f"{checkpoint.artifact.path}: nothing says which weight set is the policy's",
        expected=f"one of {', '.join(_words(n) for n in names)}",
        remedy="name it with --tree (the averaged one where evaluation used averaged weights)",
    )


def _renamed(checkpoint: Checkpoint, tree: str) -> dict[str, Weight]:
    """Return the weights of a tree by the names of the policy's own state dict: without what leads to the tree."""
    found: dict[str, Weight] = {}
    for key, weight in checkpoint.weights.items():
        if weight.tree == tree:
            short = key.removeprefix("state_dicts.")
            found[short.removeprefix(f"{tree}.") if tree else key] = weight
    return found


def _words(tree: str) -> str:
    return tree or "what lies at the top"
