"""Small chunked policies that are replayed to see how often a right conversion fails, and how small a bias is found.

Each is an MLP that gives a chunk ``(B, H, D)``, half of them fitted to smooth demonstrations, as ONNX and as NumPy in
float64. Actions are physical: each joint has its own range and place, applied inside the graph or behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]
ACTIVATIONS = ("Tanh", "Relu", "Sigmoid", "Gelu")


@dataclass(frozen=True)
class SmallPolicy:
    """A policy and how its numbers become physical: ``gain * number + offset``, inside its graph or behind it."""

    layers: tuple[tuple[Array, Array], ...]
    activation: str
    steps: int
    gain: Array
    offset: Array
    inside: bool

    @property
    def width(self) -> int:
        """How many action dimensions it has."""
        return len(self.gain)


def demonstrations(rng: np.random.Generator, episodes: int, frames: int, width: int) -> Array:
    """Return smooth trajectories ``(episodes, frames, width)`` between about -1 and 1, each episode another one."""
    time = np.arange(frames) / frames
    rate = rng.uniform(0.3, 3.0, (episodes, 1, width, 3))
    phase = rng.uniform(0, 2 * np.pi, (episodes, 1, width, 3))
    weight = rng.dirichlet(np.ones(3), (episodes, 1, width))
    waves = np.sin(2 * np.pi * rate * time[None, :, None, None] + phase)
    return np.asarray((weight * waves).sum(axis=-1))


def drawn_policy(seed: int) -> tuple[SmallPolicy, Array]:
    """Return a policy and raw observations ``(E, T, O)`` to replay it on; shapes, layers and ranges follow the seed."""
    rng = np.random.default_rng(seed)
    width, observed, steps = int(rng.integers(2, 15)), int(rng.integers(4, 33)), int(rng.choice([1, 8, 16]))
    episodes, frames = int(rng.choice([2, 5, 10, 20])), int(rng.integers(60, 160))
    observations = demonstrations(rng, episodes, frames, observed)
    sizes = [observed, *[int(rng.choice([32, 64, 128, 256])) for _ in range(rng.integers(1, 5))], steps * width]
    activation = ACTIVATIONS[seed % len(ACTIVATIONS)]
    size = 4.0 if activation == "Sigmoid" else np.sqrt(1.5)  # else it would hardly move
    layers = [(rng.normal(0, size / np.sqrt(a), (a, b)), rng.normal(0, 0.1, b)) for a, b in pairwise(sizes)]
    if seed % 2:  # fitted: the last layer by least squares, as a trained policy follows its demonstrations
        layers[-1] = _fitted(rng, layers, activation, observations.reshape(-1, observed), steps * width)
    layers = [(w.astype(np.float32), b.astype(np.float32)) for w, b in layers]
    gain = np.exp(rng.uniform(np.log(0.05), np.log(500), width)).astype(np.float32)
    offset = (gain * rng.choice([0.0, 1.0, 4.0], width) * rng.normal(0, 1, width)).astype(np.float32)
    policy = SmallPolicy(tuple(layers), activation, steps, gain, offset, inside=seed % 3 == 0)
    return policy, observations.astype(np.float32)


def _fitted(
    rng: np.random.Generator, layers: list[tuple[Array, Array]], activation: str, x: Array, outputs: int
) -> tuple[Array, Array]:
    for weight, bias in layers[:-1]:
        x = activated(x @ weight + bias, activation)
    ones = np.hstack([x, np.ones((len(x), 1))])
    target = np.tanh(x[:, : min(8, x.shape[1])] @ rng.normal(0, 1, (min(8, x.shape[1]), outputs)))
    found = np.linalg.solve(ones.T @ ones + 1e-3 * len(x) * np.eye(ones.shape[1]), ones.T @ target)
    return found[:-1], found[-1]


def activated(x: Array, name: str) -> Array:
    """Return what an activation gives, in the dtype of ``x``."""
    from scipy.special import erf

    if name == "Tanh":
        return np.asarray(np.tanh(x))
    if name == "Relu":
        return np.maximum(x, 0)
    if name == "Sigmoid":
        return np.asarray(1 / (1 + np.exp(-x)))
    half, root = x.dtype.type(0.5), x.dtype.type(np.sqrt(0.5))
    return np.asarray(half * x * (1 + erf(x * root)))


def in_numpy(policy: SmallPolicy, x: Array, dtype: type[np.floating[Any]]) -> Array:
    """Return the physical actions of ``(N, O)`` computed in ``dtype``, as float64 ``(N, H, D)``."""
    value = x.astype(dtype)
    for i, (weight, bias) in enumerate(policy.layers):
        value = value @ weight.astype(dtype) + bias.astype(dtype)
        value = activated(value, policy.activation) if i < len(policy.layers) - 1 else value
    value = value.reshape(len(x), policy.steps, policy.width)
    if policy.inside:
        value = value * policy.gain.astype(dtype) + policy.offset.astype(dtype)
    return behind(policy, value)


def behind(policy: SmallPolicy, value: Array) -> Array:
    """Return what the graph gave as physical actions, float64."""
    value = value.astype(np.float64)
    return value if policy.inside else value * policy.gain.astype(np.float64) + policy.offset


def as_onnx(policy: SmallPolicy) -> onnx.ModelProto:
    """Return the policy as ONNX: `obs` (batch, O) to `action` (batch, H, D)."""
    nodes, values, name = [], {"shape": np.asarray([-1, policy.steps, policy.width])}, "obs"
    for i, (weight, bias) in enumerate(policy.layers):
        values |= {f"w{i}": weight, f"b{i}": bias}
        nodes.append(helper.make_node("Gemm", [name, f"w{i}", f"b{i}"], [f"h{i}"]))
        name = f"h{i}"
        if i < len(policy.layers) - 1:
            nodes.append(helper.make_node(policy.activation, [name], [f"t{i}"]))
            name = f"t{i}"
    nodes.append(helper.make_node("Reshape", [name, "shape"], ["chunk" if policy.inside else "action"]))
    if policy.inside:
        values |= {"gain": policy.gain, "offset": policy.offset}
        nodes += [
            helper.make_node("Mul", ["chunk", "gain"], ["scaled"]),
            helper.make_node("Add", ["scaled", "offset"], ["action"]),
        ]
    graph = helper.make_graph(
        nodes,
        "policy",
        [helper.make_tensor_value_info("obs", TensorProto.FLOAT, ["batch", policy.layers[0][0].shape[0]])],
        [helper.make_tensor_value_info("action", TensorProto.FLOAT, ["batch", policy.steps, policy.width])],
        [numpy_helper.from_array(a, n) for n, a in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def in_onnxruntime(model: onnx.ModelProto, x: Array, *, optimized: bool = True) -> Array:
    """Return what onnxruntime gives for ``(N, O)``."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"obs": x})[0])


def in_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with weights and arithmetic in float16, as onnxruntime's own converter makes it."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    return convert_float_to_float16(model, keep_io_types=True)


def in_bfloat16(policy: SmallPolicy, x: Array) -> Array:
    """Return the physical actions with weights and every intermediate rounded to bfloat16 (emulated), ``(N, H, D)``."""
    value = rounded_to_bfloat16(x)
    for i, (weight, bias) in enumerate(policy.layers):
        value = rounded_to_bfloat16(value @ rounded_to_bfloat16(weight) + rounded_to_bfloat16(bias))
        if i < len(policy.layers) - 1:
            value = rounded_to_bfloat16(activated(value, policy.activation))
    value = value.reshape(len(x), policy.steps, policy.width)
    if policy.inside:
        value = rounded_to_bfloat16(value * rounded_to_bfloat16(policy.gain))
        value = rounded_to_bfloat16(value + rounded_to_bfloat16(policy.offset))
    return behind(policy, value)


def rounded_to_bfloat16(values: Array) -> Array:
    """Return float32 rounded to the nearest bfloat16, ties to even."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    kept = (bits + ((bits >> 16) & 1) + 0x7FFF) & 0xFFFF0000
    return np.asarray(kept.astype(np.uint32).view(np.float32))


@dataclass(frozen=True)
class Conversion:
    """A right candidate of one policy, with what it is judged by: ``reference`` and ``candidate`` ``(E, T, H, D)``."""

    kind: str
    precision: str
    reference: Array
    candidate: Array
    floors: Array


MEASURED = 64  # frames whose float64 result makes the floor


def conversions(seed: int) -> list[Conversion]:
    """Return right candidates of a drawn policy: other runtimes in float32, and conversions to lower classes."""
    policy, observations = drawn_policy(seed)
    flat = observations.reshape(-1, observations.shape[-1])
    model = as_onnx(policy)
    reference = behind(policy, in_onnxruntime(model, flat))
    some = np.linspace(0, len(flat) - 1, MEASURED).astype(int)
    floors = np.abs(in_numpy(policy, flat[some], np.float64) - reference[some])
    made = [
        ("float32, NumPy", "float32", in_numpy(policy, flat, np.float32)),
        ("float32, not optimized", "float32", behind(policy, in_onnxruntime(model, flat, optimized=False))),
        ("float16", "float16", behind(policy, in_onnxruntime(in_float16(model), flat))),
        ("bfloat16 (emulated)", "bfloat16", in_bfloat16(policy, flat)),
    ]
    shape = (*observations.shape[:2], policy.steps, policy.width)
    return [Conversion(k, p, reference.reshape(shape), c.reshape(shape), floors) for k, p, c in made]


def judged_conversion(conversion: Conversion, planted: Array | None = None) -> tuple[dict[Any, Any], Array]:
    """Return the rows of the measure "error" by name and dimension, and how far each dimension moves, ``(D,)``.

    ``planted`` is added to all of the candidate's actions, ``(D,)``.
    """
    from parity.replay.limits import limits
    from parity.replay.measures.paired import MEASURE
    from replayed import context, played

    candidate = conversion.candidate if planted is None else conversion.candidate + planted
    shard = played(list(conversion.reference), list(candidate))
    flat = conversion.reference.reshape(-1, candidate.shape[-1])
    span = np.ptp(flat, axis=0)
    allowed = limits(conversion.precision, np.abs(flat).max(axis=0), span, conversion.floors, None)
    given = context(shard, limits=allowed, scale=span, precision=conversion.precision)
    return {(r.name, r.dimension): r for r in MEASURE.judge(MEASURE.observe(shard), given).rows}, span
