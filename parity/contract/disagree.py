"""Where artifacts that should describe one policy contradict each other: every point, with both values.

What one of them does not say (None) is no disagreement; `only_one_says` lists it.
"""

from __future__ import annotations

from collections.abc import Sequence

from parity.contract.disagree_policy import policy_disagreements
from parity.contract.disagree_robot import CONCEPTS, robot_disagreements, robot_facts
from parity.contract.disagree_tensors import tensor_disagreements
from parity.contract.disagreement import ONLY_ONE_SAYS, Disagreement, Sides
from parity.contract.model import Contract
from parity.contract.recurrent import keeps_state, state_pairs, without_state
from parity.finding import Finding

__all__ = ["Disagreement", "disagreements", "disagreements_of", "only_one_says"]


def disagreements(a: Contract, b: Contract) -> list[Disagreement]:
    """Return every point in which ``b`` contradicts ``a``: tensors first, then window, sampler and robot."""
    if keeps_state(a) != keeps_state(b):  # the one's state is inside, the other's goes in and out: the same policy
        a, b = (c if keeps_state(c) else without_state(c, state_pairs(c)) for c in (a, b))
    sides = Sides(a, b)
    return [*tensor_disagreements(sides), *policy_disagreements(sides), *robot_disagreements(sides)]


def disagreements_of(contracts: Sequence[Contract]) -> list[Disagreement]:
    """Return the disagreements of every contract with the first, which is taken for the reference."""
    return [d for other in contracts[1:] for d in disagreements(contracts[0], other)]


def only_one_says(a: Contract, b: Contract) -> list[Finding]:
    """Return at most one finding per artifact: what it alone says, so that nothing confirms it."""
    sides = Sides(a, b)
    found = []
    for mine, other, label in ((a, b, sides.names[0]), (b, a, sides.names[1])):
        alone = sorted(_said(mine) - _said(other))
        if alone:
            found.append(
                Finding(
                    code=ONLY_ONE_SAYS,
                    severity="info",
                    title=f"only {label} says: {', '.join(alone)}",
                    where=str(mine.path),
                    evidence={"only": alone, "silent": str(other.path)},
                )
            )
    return found


def _said(contract: Contract) -> set[str]:
    """Return the names of the things that the contract says at all."""
    window, sampler = contract.window, contract.sampler
    said = {f for f in ("n_obs_steps", "horizon", "chunk_size", "n_action_steps") if getattr(window, f) is not None}
    facts = robot_facts(contract)
    said |= {CONCEPTS[name].words for name in facts}
    tensors = [*contract.inputs, *contract.outputs]
    parts = {
        "input shapes": any(t.shape is not None for t in contract.inputs),
        "output shapes": any(t.shape is not None for t in contract.outputs),
        "element names": any(t.elements for t in tensors),
        "ranges": any(t.range for t in tensors),
        "units": any(t.units for t in tensors),
        "normalization modes": bool(contract.normalization.modes),
        "sampler": sampler is not None,
    }
    return said | {name for name, there in parts.items() if there}
