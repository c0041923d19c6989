"""A conditional 1-D UNet as diffusion policies use it, 17 M parameters: one denoising step ``(B, 16, 2)``."""

from __future__ import annotations

import torch
from torch import nn


class Block(nn.Module):
    """Convolution, group norm, Mish; the condition shifts and scales the channels (FiLM)."""

    def __init__(self, channels_in: int, channels: int, condition: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv1d(channels_in, channels, 5, padding=2), nn.GroupNorm(8, channels), nn.Mish())
        self.second = nn.Sequential(nn.Conv1d(channels, channels, 5, padding=2), nn.GroupNorm(8, channels), nn.Mish())
        self.film = nn.Sequential(nn.Mish(), nn.Linear(condition, 2 * channels))
        self.skip = nn.Conv1d(channels_in, channels, 1) if channels_in != channels else nn.Identity()

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        scale, bias = self.film(condition).unsqueeze(-1).chunk(2, dim=1)
        return self.second(self.first(x) * scale + bias) + self.skip(x)


class Unet(nn.Module):
    """Noise prediction from a noisy trajectory, a time step and an observation."""

    def __init__(self, action: int = 2, observation: int = 32, widths: tuple[int, ...] = (128, 256, 512)) -> None:
        super().__init__()
        condition = 128 + observation
        self.time = nn.Sequential(nn.Linear(128, 512), nn.Mish(), nn.Linear(512, 128))
        pairs = list(zip((action, *widths), widths, strict=False))
        self.down = nn.ModuleList(nn.ModuleList([Block(a, b, condition), Block(b, b, condition)]) for a, b in pairs)
        self.shrink = nn.ModuleList(nn.Conv1d(w, w, 3, 2, 1) for w in widths[:-1])
        last = widths[-1]
        self.middle = nn.ModuleList([Block(last, last, condition), Block(last, last, condition)])
        rising = list(zip(widths[::-1], widths[-2::-1], strict=False))
        self.up = nn.ModuleList(nn.ModuleList([Block(2 * a, b, condition), Block(b, b, condition)]) for a, b in rising)
        self.grow = nn.ModuleList(nn.ConvTranspose1d(b, b, 4, 2, 1) for _, b in rising)
        self.out = nn.Sequential(
            nn.Conv1d(widths[0], widths[0], 5, padding=2), nn.Mish(), nn.Conv1d(widths[0], action, 1)
        )
        self.register_buffer("frequency", torch.exp(-torch.arange(64) * 0.1462))

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, observation: torch.Tensor) -> torch.Tensor:
        angle = timestep.float().unsqueeze(-1) * self.frequency
        condition = torch.cat([self.time(torch.cat([angle.sin(), angle.cos()], dim=-1)), observation], dim=-1)
        x, kept = sample.transpose(1, 2), []
        for i, (first, second) in enumerate(self.down):
            x = second(first(x, condition), condition)
            kept.append(x)
            if i < len(self.shrink):
                x = self.shrink[i](x)
        for block in self.middle:
            x = block(x, condition)
        for (first, second), grow in zip(self.up, self.grow, strict=True):
            x = grow(second(first(torch.cat([x, kept.pop()], dim=1), condition), condition))
        return self.out(x).transpose(1, 2)


def build() -> nn.Module:
    """Return the UNet with fixed random weights, in eval mode."""
    torch.manual_seed(0)
    return Unet().eval()
