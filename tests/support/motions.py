"""Actions as robots make them, from random waypoints or a real dataset, and a policy that was trained on them."""

from __future__ import annotations

import numpy as np

from parity.tensor import Array

ARM = 6  # joints; a gripper (0 closed, 1 open) is the last dimension


def demonstrations(seed: int, episodes: int = 12, length: int = 150, joints: int = ARM) -> list[Array]:
    """Return ``(T, joints + 1)`` each: minimum-jerk moves between waypoints, in radians, at rest in between."""
    rng = np.random.default_rng(seed)
    rest = rng.uniform(-1, 1, joints)
    reach = rng.uniform(0.2, 0.8, joints)
    made = []
    for _ in range(episodes):
        size = int(length * rng.uniform(0.8, 1.2))
        legs = np.sort(rng.choice(np.arange(10, size - 10, 12), 4, replace=False))
        points = rest + reach * rng.normal(0, 1, (6, joints))
        points[0] = rest
        path = np.concatenate([_legs(points[:, j], legs, size)[:, None] for j in range(joints)], axis=1)
        path += 0.002 * np.cumsum(rng.normal(0, 1, path.shape), axis=0) / 3
        gripper = np.where((np.arange(size) > legs[1]) & (np.arange(size) < legs[3]), 0.03, 0.97)
        gripper = np.convolve(np.pad(gripper, 2, mode="edge"), np.ones(5) / 5, mode="valid")
        made.append(np.concatenate([path, gripper[:, None]], axis=1))
    return made


def _legs(points: Array, starts: Array, size: int) -> Array:
    path = np.full(size, points[0])
    for a, b, start in zip(points[:-1], points[1:], starts, strict=False):
        s = np.clip((np.arange(size) - start) / 30.0, 0, 1)
        path += (b - a) * (10 * s**3 - 15 * s**4 + 6 * s**5)
    return path


def policy(demos: list[Array], horizon: int, seed: int = 0, error: float = 0.02) -> list[Array]:
    """Return chunks ``(T, H, D)`` of each episode: what was shown, off by a few percent that grow along the chunk."""
    rng = np.random.default_rng(seed)
    spread = np.concatenate(demos).std(axis=0)
    chunks = []
    for demo in demos:
        t = len(demo)
        ahead = np.minimum(np.arange(t)[:, None] + np.arange(horizon)[None], t - 1)
        white = rng.normal(0, 1, (t + 14, demo.shape[1]))
        smooth = np.stack([np.convolve(w, np.ones(15) / np.sqrt(15), mode="valid") for w in white.T], axis=1)
        wobble = rng.normal(0, 0.2, (t, 1, demo.shape[1])) * np.arange(horizon)[None, :, None] / max(horizon, 1)
        chunks.append(demo[ahead] + error * spread * (smooth[:, None] + wobble))
    return chunks


def g1_actions(path: object, episodes: int = 30) -> tuple[list[Array], list[Array]]:
    """Return actions and states of real episodes, each ``(T, 26)``: arms in radians, hands 0 to 1, at 30 Hz."""
    from parity.dataset.registry import open_dataset

    dataset = open_dataset(str(path))
    found = [dataset.episode(e.index, ["action", "observation.state"]) for e in dataset.episodes[:episodes]]
    return [f["action"].astype(np.float64) for f in found], [f["observation.state"].astype(np.float64) for f in found]
