"""Which of the numbers that an rsl_rl actor's last layer gives are the action that a robot executes.

All are the mean, but where the spread hangs on the observation: there the last layer gives the means, then as many
spreads. Such weights hold no spread of their own, but neither do those of an actor that has none: the training run's
configuration or the user tells.

Source: rsl_rl 3.3.0 ``modules/actor_critic.py`` and 4.0.1 ``models/mlp_model.py`` (``state_dependent_std``), 5.5.1
``modules/distribution.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from parity.contract.actor import SPREADS, Actor, Weights, actions_spec, weight_sets
from parity.errors import ArtifactError, UsageError

ASKED = "state_dependent_std"  # the keyword argument, called as rsl_rl calls it
PLAIN, HALVED = "GaussianDistribution", "HeteroscedasticGaussianDistribution"


def with_mean(
    actor: Actor, weights: Weights, given: dict[str, Any], tables: Sequence[Mapping[str, Any]], path: Path
) -> Actor:
    """Return the actor with the means as its actions; what the user says of them is taken out of ``given``.

    Args:
        actor: as its weights show it.
        weights: all tensors of the checkpoint.
        given: the user's keyword arguments, such as ``state_dependent_std = true``.
        tables: what the configurations beside the checkpoint say of actors; the first that says something counts.
        path: of the checkpoint, for messages.

    Raises:
        ArtifactError: a configuration names a distribution whose mean parity does not know, or means that cannot be.
        UsageError: the user says what cannot be.
    """
    asked = given.pop(ASKED, None)
    if asked is not None and type(asked) is not bool:
        raise UsageError(f"kwargs: {ASKED} is {asked!r:.60}", expected="true or false")
    if asked is None and not any(n in held for _, held in weight_sets(weights) for n in SPREADS):
        asked = next((told for t in tables if (told := _told(t, path)) is not None), None)
    if not asked:
        return actor
    width = actor.outputs[0].shape[-1] if actor.outputs[0].shape else None
    if not isinstance(width, int) or width % 2:
        raise ArtifactError(
            f"{path}: its last layer gives {width} numbers, which are not means and as many spreads",
            remedy=f"say `kwargs = {{{ASKED} = false}}` if all are means",
        )
    mean = {"op": "slice", "from": 0, "to": width // 2}
    return replace(
        actor,
        what=f"{actor.what}, of which the first {width // 2} are the means",
        steps=(*actor.steps, mean),
        outputs=(actions_spec(width // 2), *actor.outputs[1:]),
    )


def _told(table: Mapping[str, Any], path: Path) -> bool | None:
    """Return whether a configuration says that the spread hangs on the observation; None where it says nothing."""
    if isinstance(table.get(ASKED), bool):
        return bool(table[ASKED])
    cfg = table.get("distribution_cfg")
    name = cfg.get("class_name") if isinstance(cfg, dict) else None
    if not isinstance(name, str):
        return None
    kind = name.replace(":", ".").rpartition(".")[2]
    if kind not in (PLAIN, HALVED):
        raise ArtifactError(
            f"{path}: its actions are those of {name!r:.80}, whose mean parity does not know",
            expected=f"{PLAIN} or {HALVED}",
            remedy=f"write a function that builds the policy; or, if its means are the last layer's, say `{ASKED}`",
        )
    return kind == HALVED
