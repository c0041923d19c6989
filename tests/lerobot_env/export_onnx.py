"""Exports a LeRobot folder to ONNX in the training environment's interpreter: raw observations (and noise) to actions.

    python export_onnx.py FOLDER OUT.onnx [FOLDER OUT.onnx …]

Pre- and post-processing are the folder's own and part of the graph. Inputs are called as the folder calls its features,
``(1, ...)``; where the policy draws noise, ``noise`` is one more. The output is ``action``, ``(1, steps, A)``. Needs
lerobot 0.4 and onnx.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies import factory
from lerobot.policies.utils import populate_queues


class Exported(torch.nn.Module):
    """A policy with its processors, as one function of tensors."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        config = PreTrainedConfig.from_pretrained(folder, local_files_only=True)
        config.device = "cpu"
        policy = factory.get_policy_class(config.type)
        self.policy = policy.from_pretrained(folder, config=config, local_files_only=True).eval()
        override = {"device_processor": {"device": "cpu"}}
        made = factory.make_pre_post_processors(config, pretrained_path=folder, preprocessor_overrides=override)
        self.before, self.after = made
        self.names = list(config.input_features)
        self.config = config

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        batch = self.before(dict(zip(self.names, tensors, strict=False)))
        if self.config.type != "diffusion":
            return self.after(self.policy.predict_action_chunk(batch))
        self.policy.reset()
        kept = {k: v for k, v in batch.items() if k in self.policy._queues and k != "action"}
        self.policy._queues = populate_queues(self.policy._queues, kept)
        return self.after(self.policy.predict_action_chunk(kept, noise=tensors[-1]))


def main(folder: str, out: str) -> None:
    """Export the policy in ``folder`` to ``out`` with opset 17, and assert that it stayed in eval mode."""
    exported = Exported(folder).eval()
    config: Any = exported.config
    sizes = [tuple(config.input_features[n].shape) for n in exported.names]
    names = list(exported.names)
    if config.type == "diffusion":
        sizes.append((config.horizon, *config.output_features["action"].shape))
        names.append("noise")
    example = tuple(torch.zeros(1, *s) for s in sizes)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            exported,
            example,
            out,
            input_names=names,
            output_names=["action"],
            opset_version=17,
            dynamo=False,
        )
    assert not any(m.training for m in exported.modules())
    assert Path(out).is_file()


if __name__ == "__main__":
    for i in range(1, len(sys.argv), 2):
        main(*sys.argv[i : i + 2])
