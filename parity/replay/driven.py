"""How each side is driven: how many observations it sees, which of its actions are executed, at which rate.

What the user says under ``[replay]`` comes first, then what the side's own artifact says, then what the policy's other
artifacts say: an exported graph rarely tells of its window, and is driven as the policy it was made from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from parity.contract.disagree_policy import steps
from parity.contract.disagree_robot import robot_facts
from parity.contract.model import Contract, Window
from parity.errors import UsageError
from parity.replay.model import Timing

FIELDS = ("n_obs_steps", "horizon", "chunk_size", "n_action_steps")


@dataclass(frozen=True, slots=True)
class Told:
    """How one side is driven, and what had to be assumed.

    Attributes:
        timing: as it is replayed.
        steps: how many actions it gives at once.
        start: why ``timing.first`` is what it is; "" where nothing says it, so that it was assumed.
        wanted: actions that are to be executed, where they are more than there are.
        unsaid: nothing says how many actions are executed: all that it gives.
        momentum: of an ensembling that is not replayed (LeRobot before 2.0).
        own: what the side's own artifact says against the user, by field.
    """

    timing: Timing
    steps: int
    start: str = ""
    wanted: int | None = None
    unsaid: bool = False
    momentum: float | None = None
    own: Mapping[str, Any] | None = None


def told_of(contract: Contract, steps_out: int, settings: Mapping[str, Any], otherwise: Contract | None = None) -> Told:
    """Return how a side is driven that gives ``steps_out`` actions at once, and what had to be assumed.

    Args:
        contract: of the side itself.
        steps_out: ``H`` of its action output.
        settings: what the user says, by the names of `Timing`; ``ensemble`` False for none.
        otherwise: of the policy that all sides are, for what the side's own does not say.

    Raises:
        UsageError: the user's ``first`` is no step of the chunk.
    """
    window, known = _window(contract, otherwise), [c for c in (contract, otherwise) if c is not None]
    n_obs = settings.get("n_obs_steps") or steps(window, "n_obs_steps") or 1
    ensemble, momentum = _ensemble(settings, known, steps_out)
    said = 1 if ensemble is not None else settings.get("n_action_steps") or steps(window, "n_action_steps")
    first, why = _first(settings, window, known, steps_out, n_obs, said)
    left = max(1, steps_out - first)
    rate = settings.get("control_hz") or _rate(contract)
    timing = Timing(n_obs, first, min(said or left, left), ensemble, rate)
    wanted = said if said is not None and said > left else None
    own = {n: v for n, v in _own(contract).items() if settings.get(n) not in (None, v)}
    return Told(timing, steps_out, why, wanted, said is None and steps_out > 1, momentum, own)


def _window(contract: Contract, otherwise: Contract | None) -> Window:
    """Return the window: each field from the contract, else from the other one; references count as unsaid."""
    found = {}
    for name in FIELDS:
        own = steps(contract.window, name)
        found[name] = own if own is not None or otherwise is None else steps(otherwise.window, name)
    return Window(**found)


def _own(contract: Contract) -> dict[str, Any]:
    """Return what an artifact itself says of how it is driven, by the names of `Timing`."""
    said = {n: steps(contract.window, n) for n in ("n_obs_steps", "n_action_steps")}
    own: dict[str, Any] = {n: v for n, v in said.items() if v is not None}
    rate, (coefficient, _) = _rate(contract), _ensembling(contract)
    own |= {} if rate is None else {"control_hz": rate}
    return own if coefficient is None else own | {"ensemble": coefficient}


def _rate(contract: Contract) -> float | None:
    rate = robot_facts(contract).get("control_rate")
    hertz = float(rate[0]) if rate else 0.0
    return hertz if math.isfinite(hertz) and hertz > 0 else None


def _ensemble(settings: Mapping[str, Any], known: list[Contract], steps_out: int) -> tuple[float | None, float | None]:
    """Return the coefficient of temporal ensembling, and a momentum that stands in its place."""
    given = settings.get("ensemble")
    if given is False or steps_out < 2:
        return None, None
    if given is not None:
        return float(given), None
    return next((e for e in map(_ensembling, known) if e != (None, None)), (None, None))


def _ensembling(contract: Contract) -> tuple[float | None, float | None]:
    """Return ``temporal_ensemble_coeff`` and ``temporal_ensemble_momentum`` of a LeRobot configuration.

    Source: lerobot/policies/act/configuration_act.py; the momentum is what lerobot had until September 2024.
    """
    config = contract.metadata.get("config")
    config = config if isinstance(config, Mapping) else {}
    values = (config.get(f"temporal_ensemble_{n}") for n in ("coeff", "momentum"))
    numbers = [float(v) if isinstance(v, int | float) and math.isfinite(v) else None for v in values]
    return numbers[0], numbers[1]


def _first(
    settings: Mapping[str, Any], window: Window, known: list[Contract], given: int, n_obs: int, count: int | None
) -> tuple[int, str]:
    """Return which of the ``given`` steps is executed first, and what says so ("" where nothing does).

    Diffusion policies predict a horizon whose first ``n_obs_steps - 1`` steps lie in the past; all others (ACT, VLA,
    UMI) begin with the current step. What has the length of the executed part is that already.
    """
    if settings.get("first") is not None:
        first = int(settings["first"])
        if first >= given:
            raise UsageError(f"[replay] first = {first}: the policy gives {given} actions, 0 to {given - 1}")
        return first, "[replay] first"
    past = next((p for c in known if (p := _past(c, n_obs)) is not None), None)
    horizon = steps(window, "horizon")
    if given == 1 or not past:
        return 0, "the output begins with the current step"
    if given == count:
        return 0, "the output is the executed part"
    if given == horizon:
        return min(past, given - 1), f"the output is the whole horizon, of which {past} steps lie in the past"
    if count is not None and given == count + past:
        return past, f"the output is the executed part after {past} steps in the past"
    if horizon is not None and given == horizon - past:
        return 0, "the output is the horizon from the current step on"
    return (past, "") if count is None or given >= count + past else (0, "")


def _past(contract: Contract, n_obs: int) -> int | None:
    """Return how many steps of the predicted horizon lie in the past; None where the kind of policy is not known.

    Sources: lerobot/policies/diffusion/modeling_diffusion.py `generate_actions` (``n_obs_steps - 1``); diffusion_policy
    ``predict_action``: likewise for images, and for low-dimensional observations where ``oa_step_convention`` is set,
    else ``n_obs_steps``; universal_manipulation_interface's Timm policies begin with the current step.
    """
    kind = contract.policy
    if kind is None:
        return None
    if kind.lower() == "diffusion":
        return n_obs - 1
    if not (kind.startswith("Diffusion") and kind.endswith("Policy")) or "Timm" in kind:
        return 0
    config = contract.metadata.get("config")
    convention = config.get("oa_step_convention") if isinstance(config, Mapping) else None
    return n_obs if "Lowdim" in kind and convention is not True else n_obs - 1
