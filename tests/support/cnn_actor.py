"""Actors that look at images: a small network of rsl_rl's layout made here, and rsl_rl's own where it is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

ACTIONS, HIDDEN = 3, [16, 12]
ACTIVATIONS = {"elu": nn.ELU, "relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "mish": nn.Mish, "lrelu": nn.LeakyReLU}


@dataclass(frozen=True)
class Setup:
    """One actor: the length of its flat observation, ``(channels, rows, columns)`` of its images, its ``cnn_cfg``."""

    flat: int
    images: Mapping[str, tuple[int, int, int]]
    cnn_cfg: Mapping[str, Any]
    normalized: bool = True
    activation: str = "elu"
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def agent(self) -> dict[str, Any]:
        """The training run's configuration, as Isaac Lab writes it beside the checkpoint."""
        table = {"class_name": "CNNModel", "hidden_dims": HIDDEN, "activation": self.activation, **self.more}
        return {"seed": 0, "actor": {**table, "obs_normalization": self.normalized, "cnn_cfg": dict(self.cnn_cfg)}}


PLAIN = Setup(5, {"depth": (1, 14, 17)}, {"output_channels": [4, 6], "kernel_size": [5, 3], "stride": [2, 1]})
SETUPS = {
    "plain": PLAIN,
    "every setting": Setup(
        7,
        {"depth": (2, 23, 31)},
        {
            "output_channels": [4, 6, 5],
            "kernel_size": 3,
            "stride": [1, 2, 1],
            "dilation": [1, 1, 2],
            "padding": "zeros",
            "norm": ["batch", "layer", "none"],
            "activation": "relu",
            "max_pool": [True, False, True],
        },
        activation="tanh",
    ),
    "two images, pooled as a whole": Setup(
        9,
        {"rear": (1, 18, 20), "front": (3, 16, 17)},
        {
            "front": {
                "output_channels": [4],
                "kernel_size": 3,
                "padding": "reflect",
                "activation": "gelu",
                "global_pool": "avg",
            },
            "rear": {
                "output_channels": [3, 5],
                "kernel_size": [3, 4],
                "stride": 2,
                "padding": "circular",
                "max_pool": [False, True],
                "activation": "mish",
                "global_pool": "max",
            },
        },
        normalized=False,
    ),
    "images alone": Setup(
        0,
        {"depth": (1, 12, 14)},  # 14 columns lose two: a padding of -1
        {"output_channels": [4], "kernel_size": [3], "stride": 3, "padding": "replicate"},
        normalized=False,
    ),
}


class OwnActor(nn.Module):
    """As rsl_rl 5 lays it out; ``forward`` takes the flat observation, then the images, as its exports do."""

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        self.flat = setup.flat
        single = not all(isinstance(v, dict) for v in setup.cnn_cfg.values())
        encoders = {}
        width = setup.flat
        for image, shape in setup.images.items():
            cfg = setup.cnn_cfg if single else setup.cnn_cfg[image]
            encoders[image] = _encoder(cfg, shape)
            width += encoders[image](torch.zeros(1, *shape)).shape[1]
        if setup.normalized:
            self.obs_normalizer = OwnNormalizer(setup.flat)
        kind = ACTIVATIONS[setup.activation]
        first, second = HIDDEN
        self.mlp = nn.Sequential(
            nn.Linear(width, first), kind(), nn.Linear(first, second), kind(), nn.Linear(second, ACTIONS)
        )
        self.cnns = nn.ModuleDict(encoders)

    def forward(self, flat: torch.Tensor, *images: torch.Tensor) -> torch.Tensor:
        seen = self.obs_normalizer(flat) if hasattr(self, "obs_normalizer") else flat
        features = [encoder(image) for encoder, image in zip(self.cnns.values(), images, strict=True)]
        return self.mlp(torch.cat([seen, *features], dim=-1))


class OwnNormalizer(nn.Module):
    """EmpiricalNormalization of rsl_rl."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("_mean", torch.randn(1, width))
        self.register_buffer("_var", torch.rand(1, width) + 0.5)
        self.register_buffer("_std", self._var.sqrt())
        self.register_buffer("count", torch.tensor(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self._mean) / (self._std + 1e-2)


def _encoder(cfg: Mapping[str, Any], shape: tuple[int, int, int]) -> nn.Sequential:
    """Return an encoder of rsl_rl's layout; the padding is half of what the kernel takes away, as it is with it."""
    channels, parts, frame = shape[0], [], torch.zeros(1, *shape)

    def at(name: str, i: int, default: Any) -> Any:
        value = cfg.get(name, default)
        return value[i] if isinstance(value, list) else value

    for i, out in enumerate(cfg["output_channels"]):
        kernel, stride, dilation = at("kernel_size", i, None), at("stride", i, 1), at("dilation", i, 1)
        pads, mode = (0, 0), cfg.get("padding", "none")
        if mode != "none":  # so that an image of n pixels becomes one of n // stride
            sides = frame.shape[2:]
            pads = tuple(-(-(stride * (n // stride) - n - stride + dilation * (kernel - 1) + 1) // 2) for n in sides)
        mode = "zeros" if mode == "none" else mode
        parts.append(nn.Conv2d(channels, out, kernel, stride, pads, dilation, padding_mode=mode))
        frame = parts[-1](frame)
        if at("norm", i, "none") == "batch":
            parts.append(nn.BatchNorm2d(out))
        elif at("norm", i, "none") == "layer":
            parts.append(nn.LayerNorm(list(frame.shape[1:])))
        parts.append(ACTIVATIONS[cfg.get("activation", "elu")]())
        if at("max_pool", i, False):
            parts.append(nn.MaxPool2d(3, 2, 1))
            frame = parts[-1](frame)
        channels = out
    pools = {"max": [nn.AdaptiveMaxPool2d(1)], "avg": [nn.AdaptiveAvgPool2d(1)]}
    return nn.Sequential(*parts, *pools.get(cfg.get("global_pool", "none"), []), nn.Flatten())


def own_actor(setup: Setup) -> OwnActor:
    """Return the actor with fixed random weights, its norms included, in eval mode."""
    torch.manual_seed(0)
    return unsettled(OwnActor(setup)).eval()


def rsl_rl_actor(setup: Setup) -> Any:
    """Return rsl_rl's own, of 4.0 or later, with fixed random weights; call it through `rsl_rl_call`."""
    from rsl_rl.models import CNNModel

    torch.manual_seed(0)
    groups = [*setup.images, *(["policy"] if setup.flat else [])]
    model = CNNModel(
        rsl_rl_observation(observations(setup, 8)),
        {"actor": groups},
        "actor",
        ACTIONS,
        hidden_dims=HIDDEN,
        activation=setup.activation,
        obs_normalization=setup.normalized,
        cnn_cfg=dict(setup.cnn_cfg),
    )
    if setup.normalized:
        model.train()
        model.update_normalization(rsl_rl_observation(observations(setup, 8)))
    return unsettled(model).eval()


def rsl_rl_observation(inputs: Sequence[torch.Tensor] | Mapping[str, torch.Tensor]) -> Any:
    """Return the observation as rsl_rl takes it; the flat one is its group ``policy``."""
    from tensordict import TensorDict

    held = {"policy" if k == "obs" else k: v for k, v in dict(inputs).items()}
    return TensorDict(held, batch_size=[next(iter(held.values())).shape[0]])


def unsettled(module: nn.Module) -> nn.Module:
    """Give norms values that a run would have given them: as made, they do nothing."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-0.5, 0.5)
            part.running_var.uniform_(0.5, 2)
        if isinstance(part, nn.BatchNorm2d | nn.LayerNorm):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.uniform_(part.bias, -0.5, 0.5)
    return module


def observations(setup: Setup, count: int) -> dict[str, torch.Tensor]:
    """Return ``count`` observations: ``obs`` ``(count, flat)`` where there is one, then the images by name."""
    draws = torch.Generator().manual_seed(3)
    flat = {"obs": torch.randn(count, setup.flat, generator=draws) * 3 + 1} if setup.flat else {}
    return flat | {k: torch.rand(count, *shape, generator=draws) for k, shape in setup.images.items()}


def saved(weights: Mapping[str, torch.Tensor], folder: Path, agent: Any = None) -> Path:
    """Save a checkpoint as rsl_rl 4 and later do, and the configuration beside it where one is given."""
    path = folder / "model_10.pt"
    torch.save({"actor_state_dict": dict(weights), "critic_state_dict": {"mlp.0.weight": torch.ones(2, 2)}}, path)
    if agent is not None:
        (folder / "params").mkdir(exist_ok=True)
        (folder / "params" / "agent.yaml").write_text(yaml.safe_dump(agent), encoding="utf-8")
    return path
