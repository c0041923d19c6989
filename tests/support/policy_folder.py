"""A LeRobot policy folder around the MLP of `models`, and the same policy as one graph that normalizes inside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper
from safetensors.numpy import save_file

from models import ACTION, OBS, mlp

KEY = "observation.state"


def statistics(seed: int = 3) -> dict[str, np.ndarray]:
    """Return mean and std of observation and action by the names of a processor's state file."""
    rng = np.random.default_rng(seed)
    sizes = {KEY: OBS, "action": ACTION}
    made = {f"{n}.mean": rng.normal(0, 30, k).astype(np.float32) for n, k in sizes.items()}
    return made | {f"{n}.std": rng.uniform(2, 20, k).astype(np.float32) for n, k in sizes.items()}


def policy_folder(
    folder: Path, stats: dict[str, np.ndarray] | None = None, *, edit: Any = None, legacy: bool = False
) -> Path:
    """Write the folder; ``edit`` gets pre- and postprocessor as JSON before they are written."""
    folder.mkdir(parents=True, exist_ok=True)
    stats = statistics() if stats is None else stats
    features = {KEY: {"type": "STATE", "shape": [OBS]}, "action": {"type": "ACTION", "shape": [ACTION]}}
    modes = {"STATE": "MEAN_STD", "ACTION": "MEAN_STD"}
    config = {"type": "act", "n_obs_steps": 1, "chunk_size": 1, "n_action_steps": 1, "normalization_mapping": modes}
    config |= {"input_features": {KEY: features[KEY]}, "output_features": {"action": features["action"]}}
    (folder / "config.json").write_text(json.dumps(config))
    if legacy:
        buffers = {"observation_state": KEY, "action": "action"}
        sides = {"normalize_inputs": "observation_state", "unnormalize_outputs": "action"}
        names = {f"{m}.buffer_{b}.{s}": stats[f"{buffers[b]}.{s}"] for m, b in sides.items() for s in ("mean", "std")}
        save_file(names, folder / "model.safetensors")
        return folder
    config = {"eps": 1e-8, "features": features, "norm_map": modes}
    before = [
        {"registry_name": "rename_observations_processor", "config": {"rename_map": {}}},
        {"registry_name": "to_batch_processor", "config": {}},
        {"registry_name": "device_processor", "config": {"device": "cpu", "float_dtype": None}},
        {"registry_name": "normalizer_processor", "config": config, "state_file": "before.safetensors"},
    ]
    after = [
        {"registry_name": "unnormalizer_processor", "config": config, "state_file": "after.safetensors"},
        {"registry_name": "device_processor", "config": {"device": "cpu", "float_dtype": None}},
    ]
    if edit:
        edit(before, after)
    for name, steps in (("policy_preprocessor", before), ("policy_postprocessor", after)):
        (folder / f"{name}.json").write_text(json.dumps({"name": name, "steps": steps}))
    save_file(stats, folder / "before.safetensors")
    save_file(stats, folder / "after.safetensors")
    return folder


def whole_policy(path: Path, stats: dict[str, np.ndarray] | None = None) -> Path:
    """Write the MLP with its normalization inside: raw ``observation.state`` to physical ``action``."""
    stats = statistics() if stats is None else stats

    def with_statistics(arrays: dict[str, np.ndarray]) -> None:
        eps = np.float32(1e-8)
        arrays |= {"mean": stats[f"{KEY}.mean"], "width": stats[f"{KEY}.std"] + eps}
        arrays |= {"back": stats["action.std"], "centre": stats["action.mean"]}

    nodes = [
        helper.make_node("Sub", [KEY, "mean"], ["d"]),
        helper.make_node("Div", ["d", "width"], ["x"]),
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
        helper.make_node("Tanh", ["h"], ["t"]),
        helper.make_node("Gemm", ["t", "w2", "b2"], ["y"]),
        helper.make_node("Mul", ["y", "back"], ["z"]),
        helper.make_node("Add", ["z", "centre"], ["action"]),
    ]
    return mlp(path, input_name=KEY, nodes=nodes, edit=with_statistics)
