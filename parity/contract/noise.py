"""The initial noise of a diffusion policy, which its configuration does not list, as an input that can be given."""

from __future__ import annotations

from dataclasses import replace

from parity.contract.model import Contract
from parity.tensor import TensorSpec

NOISE = "noise"  # the name under which the torch runner hands it to lerobot's sampler


def with_noise(contract: Contract) -> Contract:
    """Return the contract of a LeRobot diffusion policy with ``noise`` ``(B, horizon, A)`` as an input.

    Any other contract comes back as it is, and so does one whose horizon is not known.
    """
    horizon, action = contract.window.horizon, contract.output("action")
    draws = contract.kind == "lerobot" and contract.policy == "diffusion" and contract.sampler is not None
    listed = any(t.role == "noise" for t in contract.inputs)
    if not draws or listed or not isinstance(horizon, int) or action is None or not action.shape:
        return contract
    noise = TensorSpec(NOISE, ("batch", horizon, action.shape[-1]), "float32", "noise")
    return replace(contract, inputs=(*contract.inputs, noise))
