"""A policy trained on real episodes of a Unitree G1 (LeRobot v2.1, 26 joints, 30 fps), and ways to get it wrong."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch

from parity.dataset.registry import open_dataset

STEPS, WIDTH, HIDDEN = 8, 26, 192
Change = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (obs, action) to action


class Policy(torch.nn.Module):
    """From the state ``(B, 26)`` to a chunk of absolute joint positions ``(B, 8, 26)``; the normalizers are inside."""

    def __init__(self, state: np.ndarray, action: np.ndarray) -> None:
        super().__init__()
        for name, values in (("state", state), ("action", action)):
            std = values.std(0)
            self.register_buffer(f"{name}_mean", torch.tensor(values.mean(0)))
            self.register_buffer(f"{name}_std", torch.tensor(np.where(std > 1e-3, std, 1.0).astype(np.float32)))
        layers = [torch.nn.Linear(WIDTH, HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, HIDDEN), torch.nn.Tanh()]
        self.body = torch.nn.Sequential(*layers, torch.nn.Linear(HIDDEN, STEPS * WIDTH))

    def normalized(self, obs: torch.Tensor) -> torch.Tensor:
        """Return the chunk before un-normalization, ``(B, 8, 26)``."""
        return self.body((obs - self.state_mean) / self.state_std).reshape(-1, STEPS, WIDTH)

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        return self.normalized(obs) * self.action_std + self.action_mean


class Changed(torch.nn.Module):
    """The policy with its actions, or what it is shown, changed."""

    def __init__(
        self, policy: Policy, after: Change | None, before: Callable[[torch.Tensor], torch.Tensor] | None
    ) -> None:
        super().__init__()
        self.policy, self.after, self.before = policy, after, before

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        action = self.policy(self.before(obs) if self.before else obs)
        return self.after(obs, action) if self.after else action


@dataclass(frozen=True)
class Trained:
    """The policy, and what it was trained on: states and actions of whole episodes."""

    policy: Policy
    dataset: Path
    names: tuple[str, ...]


def train(corpus: Path, episodes: int = 30, steps: int = 250) -> Trained:
    """Return the policy after a few seconds of training on the first episodes."""
    path = corpus / "lerobot_datasets/v21_g1_inspire_100ep"
    dataset = open_dataset(path)
    found = [dataset.episode(e.index, ["observation.state", "action"]) for e in dataset.episodes[:episodes]]
    state = np.concatenate([f["observation.state"] for f in found])
    chunks = np.concatenate([_chunks(f["action"]) for f in found])
    torch.manual_seed(0)
    policy = Policy(state, chunks[:, 0])
    optimizer = torch.optim.Adam(policy.parameters(), lr=2e-3)
    goal = (torch.tensor(chunks) - policy.action_mean) / policy.action_std
    given = torch.tensor(state)
    for _ in range(steps):
        rows = torch.randint(len(given), (512,))
        loss = ((policy.normalized(given[rows]) - goal[rows]) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return Trained(policy.eval(), path, dataset.features["action"].names)


def _chunks(action: np.ndarray) -> np.ndarray:
    at = np.minimum(np.arange(len(action))[:, None] + np.arange(STEPS), len(action) - 1)
    return action[at]


def export(
    trained: Trained,
    path: Path,
    after: Change | None = None,
    before: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Path:
    """Write the policy, changed, as ONNX with any batch; its bytes are its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls this exporter old
        torch.onnx.export(
            Changed(trained.policy, after, before),
            (torch.zeros(2, WIDTH),),
            str(path),
            input_names=["obs"],
            output_names=["action"],
            opset_version=17,
            dynamic_axes={"obs": {0: "batch"}, "action": {0: "batch"}},
            dynamo=False,
        )
    model = onnx.load(path)
    model.doc_string = path.name
    onnx.save(model, path)
    return path


def script(trained: Trained, path: Path) -> Path:
    """Write the policy as TorchScript, the reference."""
    torch.jit.save(torch.jit.trace(trained.policy, torch.zeros(2, WIDTH)), str(path))
    return path
