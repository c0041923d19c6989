"""Exports the network of a LeRobot folder alone to ONNX, without its processors: normalized in, normalized out.

    python export_network.py FOLDER OUT.onnx

Inputs are called as the folder calls its features, with the time axis ``(1, n_obs_steps, ...)`` where the policy has
one; where it draws noise, ``noise`` is one more. The output is ``action``: the whole trajectory ``(1, horizon, A)``
of a diffusion policy, the chunk ``(1, chunk, A)`` of another. Needs lerobot 0.4 and onnx.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies import factory


class Network(torch.nn.Module):
    """A policy's network as a function of normalized tensors."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        config = PreTrainedConfig.from_pretrained(folder, local_files_only=True)
        config.device = "cpu"
        policy = factory.get_policy_class(config.type)
        self.policy = policy.from_pretrained(folder, config=config, local_files_only=True).eval()
        self.names, self.config = list(config.input_features), config

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        batch = dict(zip(self.names, tensors, strict=False))
        if self.config.type != "diffusion":
            return self.policy.model(batch)[0]
        model = self.policy.diffusion
        condition = model._prepare_global_conditioning(batch)
        return model.conditional_sample(1, global_cond=condition, noise=tensors[-1])


def main(folder: str, out: str) -> None:
    """Export the network in ``folder`` to ``out`` with opset 17, and assert that it stayed in eval mode."""
    exported = Network(folder).eval()
    config: Any = exported.config
    timed = (config.n_obs_steps,) if config.type == "diffusion" else ()
    sizes = [(*timed, *config.input_features[n].shape) for n in exported.names]
    names = list(exported.names)
    if config.type == "diffusion":
        sizes.append((config.horizon, *config.output_features["action"].shape))
        names.append("noise")
    example = tuple(torch.zeros(1, *s) for s in sizes)
    options: dict[str, Any] = {"input_names": names, "output_names": ["action"], "opset_version": 17, "dynamo": False}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(exported, example, out, **options)
    assert not any(m.training for m in exported.modules())
    assert Path(out).is_file()


if __name__ == "__main__":
    main(*sys.argv[1:])
