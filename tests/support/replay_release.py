"""A small release with `[replay]`: ONNX policies that give chunks, and an `.npz` of smooth episodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from parity.release.config import load_config
from parity.release.facts import Facts
from parity.release.prepare import prepare
from parity.release.replay_report import replay_report
from parity.release.replayed import load_replay
from parity.release.replaying import replay_release

STATE, STEPS, ACTIONS = 6, 4, 3
Weights = dict[str, np.ndarray]


def weights(seed: int = 0, hidden: int = 16, steps: int = STEPS) -> Weights:
    """Return the weights of a small policy: ``tanh`` between two layers, `steps` actions of `ACTIONS` numbers."""
    rng = np.random.default_rng(seed)
    return {
        "w0": rng.normal(size=(STATE, hidden)).astype(np.float32) / np.float32(np.sqrt(STATE)),
        "b0": rng.normal(size=hidden).astype(np.float32) * np.float32(0.1),
        "w1": rng.normal(size=(hidden, steps * ACTIONS)).astype(np.float32) / np.float32(np.sqrt(hidden)),
        "b1": rng.normal(size=steps * ACTIONS).astype(np.float32) * np.float32(0.1),
    }


def write_policy(
    path: Path, given: Weights, *, batch: int | str = "batch", producer: str = "", name: str = "obs"
) -> Path:
    """Write the policy as ONNX."""
    steps = given["b1"].size // ACTIONS
    shape = np.array([-1, steps, ACTIONS], np.int64)
    constants = [numpy_helper.from_array(a, n) for n, a in {**given, "shape": shape}.items()]
    nodes = [
        helper.make_node("Gemm", [name, "w0", "b0"], ["h"]),
        helper.make_node("Tanh", ["h"], ["t"]),
        helper.make_node("Gemm", ["t", "w1", "b1"], ["y"]),
        helper.make_node("Reshape", ["y", "shape"], ["action"]),
    ]
    graph = helper.make_graph(
        nodes,
        "policy",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, STATE])],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, [batch, steps, ACTIONS])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name=producer)
    model.ir_version = 8
    onnx.save(model, path)
    return path


def answers(given: Weights, observations: np.ndarray) -> np.ndarray:
    """Return what the policy gives, ``(N, STEPS, ACTIONS)``, in float64."""
    hidden = np.tanh(observations.astype(np.float64) @ given["w0"] + given["b0"])
    return (hidden @ given["w1"] + given["b1"]).reshape(len(observations), -1, ACTIONS)


def write_data(path: Path, given: Weights, lengths: Sequence[int] = (40, 25, 33), seed: int = 1) -> Path:
    """Write smooth episodes in which the policy's first action was recorded, nearly."""
    rng = np.random.default_rng(seed)
    states = []
    for length in lengths:
        phase, speed = rng.uniform(0, 6, STATE), rng.uniform(0.5, 3, STATE)
        states.append(np.sin(phase + speed * np.arange(length)[:, None] / 10).astype(np.float32))
    state = np.concatenate(states)
    action = answers(given, state)[:, 0] + rng.normal(size=(len(state), ACTIONS)) * 0.01
    np.savez(path, obs=state, action=action.astype(np.float32), episode_lengths=np.array(lengths))
    return path


def write_release(
    folder: Path,
    candidates: dict[str, Callable[[Weights], Weights] | None],
    *,
    more: str = "",
    replay: str = "",
    lengths: Sequence[int] = (40, 25, 33),
    **policy: Any,
) -> Path:
    """Write policies, data and `parity.toml`; a candidate's weights are changed by its function. Return the TOML."""
    folder.mkdir(parents=True, exist_ok=True)
    given = weights()
    write_policy(folder / "reference.onnx", given)
    write_data(folder / "data.npz", given, lengths)
    tables = ""
    for name, change in candidates.items():
        changed = {n: a.copy() for n, a in given.items()}
        write_policy(folder / f"{name}.onnx", change(changed) if change else changed, producer=name, **policy)
        tables += f'[[candidate]]\nname = "{name}"\npath = "{name}.onnx"\n'
    text = f'[release]\nname = "replayed"\n[reference]\npath = "reference.onnx"\n{tables}{more}\n'
    toml = folder / "parity.toml"
    toml.write_text(text + f'[replay]\ndataset = "data.npz"\n{replay}', encoding="utf-8")
    return toml


def replay(toml: Path, work: Path | None = None, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Replay the release that ``toml`` describes; return what was told of it, and the report."""
    config = load_config(toml)
    prepared = prepare(config, toml.parent, strict=False)
    work = work or toml.parent / "work"
    work.mkdir(exist_ok=True)
    told = replay_release(prepared, work, **options)
    facts = {s.name: Facts(s.name) for s in (prepared.reference, *prepared.candidates)}
    return told, replay_report(prepared, config, facts, load_replay(work, told))
