"""Actors and classifiers that look at an image, rebuilt from their weights.

``VisionActorCritic`` takes one flat observation: a state, then a depth image row by row. Convolutions, each with a
batch norm and a leaky ReLU, and a linear layer give the image's features; a linear layer those of the state; both are
added and activated, and the actor's MLP takes the result, as does the linear head ``aux_decoder``.

A classifier is ``conv1 conv2 … fc1 fc2 …`` with an activation after each layer but the last and a 2×2 pooling after
each convolution (LeNet).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any

from parity.checkpoint.weight import Weight
from parity.contract.actor import (
    ACTIVATIONS,
    Actor,
    Step,
    Weights,
    actions_spec,
    chain,
    layer_weights,
    linear,
    perceptron,
    sizes,
    used,
)
from parity.tensor import TensorSpec

IMAGE = (72, 96)  # rows and columns of the depth image, which no weight tells
HEAD = "aux_decoder"
SLOPES = (0.01, 0.05, 0.1, 0.2)  # of the leaky ReLU after convolutions
MAX_IMAGE = 4096
MAX_CONVOLUTIONS = 6

_CONV = re.compile(r"^conv(\d)$")
_BESIDE = re.compile(rf"^(critic|{HEAD})\.|^(std|log_?std)$|\.num_batches_tracked$")
_FULL = re.compile(r"^fc(\d)$")


def vision_actor(held: Weights, image: tuple[int, int] = IMAGE) -> Actor | None:
    """Return the actor on a state and a depth image; None where the weights are of something else."""
    actor = chain(held, "actor")
    convolutions = _layers(held, 4)
    if actor is None or not convolutions:
        return None
    fused = actor[0][1].shape[1]
    merged = [(n, w) for n, w in _layers(held, 2) if w.shape[0] == fused]
    if len(merged) != 2 or convolutions[0][1].shape[1] != 1:
        return None
    (from_image, wide), (from_state, narrow) = sorted(merged, key=lambda pair: -pair[1].shape[1])
    geometry = _geometries(convolutions, image, wide.shape[1])
    state, pixels = narrow.shape[1], image[0] * image[1]
    steps: list[Step] = [
        {"op": "slice", "from": 0, "to": state, "into": "state"},
        {"op": "slice", "from": state, "to": state + pixels, "into": "image"},
        {"op": "reshape", "shape": [1, *image], "of": "image", "into": "image"},
    ]
    for i, (name, weight) in enumerate(convolutions):
        steps += _convolution(held, name, weight, i)
    steps += [
        {"op": "flatten", "of": "image", "into": "image"},
        linear(held, from_image, of="image", into="image"),
        linear(held, from_state, of="state", into="state"),
        {"op": "add", "of": ["image", "state"], "into": "features"},
        {"op": "activate", "name": {"option": "fused_activation"}, "slope": {"option": "slope"}, **_at("features")},
        {"op": "copy", "of": "features", "into": "x"},
        *perceptron(held, "actor", actor, "activation"),
    ]
    taken = {n for s in steps for n in s.get("weights", {}).values()}
    if any(w.name not in taken and not _BESIDE.search(k) for k, w in held.items()):
        return None  # something else takes part
    options: dict[str, tuple[Any, ...]] = {
        "geometry": geometry or ((),),
        "fused_activation": ("lrelu", "relu", "elu", "tanh"),
        "slope": SLOPES,
        **({"activation": ACTIVATIONS} if len(actor) > 1 else {}),
    }
    missing = () if geometry else (f"no usual strides turn {image[0]}×{image[1]} into {wide.shape[1]} features",)
    return Actor(
        f"VisionActorCritic: state of {state}, image of {image[0]}×{image[1]}, {fused} features, MLP {sizes(actor)}",
        tuple(steps),
        (TensorSpec("obs", ("batch", state + pixels), "float32", "state"),),
        (actions_spec(actor[-1][1].shape[0]),),
        used(held, steps),
        options,
        notes=missing,
    )


def with_head(actor: Actor, weights: Weights) -> Actor | None:
    """Return the actor with the head's output ``aux`` ``(B, 1)`` beside the actions; None where there is no head."""
    from dataclasses import replace

    name = next((n.removesuffix(".weight") for n in weights if n.endswith(f"{HEAD}.weight")), None)
    if name is None or not any(s.get("into") == "features" for s in actor.steps):
        return None
    step = linear(weights, name, of="features", into="aux")
    width = weights[f"{name}.weight"].shape[0]
    return replace(
        actor,
        steps=(*actor.steps, step),
        outputs=(*actor.outputs, TensorSpec("aux", ("batch", width), "float32")),
        weights={**actor.weights, **used(weights, [step])},
    )


def classifier(held: Weights) -> Actor | None:
    """Return a small image classifier whose layers are called ``conv1`` and so on, then ``fc1`` and so on."""
    convolutions = sorted((n, w) for n, w in _layers(held, 4) if _CONV.match(n))
    full = sorted((n, w) for n, w in _layers(held, 2) if _FULL.match(n))
    if not convolutions or not full or any(n.rpartition(".")[0] not in dict(convolutions + full) for n in held):
        return None
    side = math.isqrt(full[0][1].shape[1] // convolutions[-1][1].shape[0])
    if side * side * convolutions[-1][1].shape[0] != full[0][1].shape[1]:
        return None
    for _, weight in reversed(convolutions):
        side = side * 2 + weight.shape[2] - 1
    channels = convolutions[0][1].shape[1]
    if side > MAX_IMAGE:
        return None
    steps: list[Step] = []
    for name, _ in convolutions:
        steps.append(
            {"op": "conv", "name": name, "path": name, "weights": layer_weights(held, name), "stride": 1, "padding": 0},
        )
        steps += [{"op": "activate", "name": {"option": "activation"}}, {"op": "pool", "kind": {"option": "pool"}}]
    steps.append({"op": "flatten"})
    for i, (name, _) in enumerate(full):
        steps += [] if i == 0 else [{"op": "activate", "name": {"option": "activation"}}]
        steps.append(linear(held, name))
    words = "-".join(str(w.shape[0]) for _, w in (*convolutions, *full))
    return Actor(
        f"image classifier {channels}×{side}×{side}, {words}",
        tuple(steps),
        (TensorSpec("image", ("batch", channels, side, side), "float32", "image"),),
        (actions_spec(full[-1][1].shape[0]),),
        used(held, steps),
        {"activation": ACTIVATIONS, "pool": ("max", "average")},
    )


def _at(name: str) -> dict[str, str]:
    """Return the part of a step that says that it takes and makes the value called ``name``."""
    return {"of": name, "into": name}


def _layers(held: Weights, rank: int) -> list[tuple[str, Weight]]:
    """Return the layers with a weight of so many axes that are neither the actor's, the critic's nor the head's."""
    return [
        (n.removesuffix(".weight"), w)
        for n, w in held.items()
        if n.endswith(".weight") and len(w.shape) == rank and not re.match(rf"(actor|critic|{HEAD})(\.|$)", n)
    ]


def _convolution(held: Weights, name: str, weight: Weight, i: int) -> list[Step]:
    """Return a convolution with its batch norm, which follows it in a ``Sequential``, and the leaky ReLU."""
    place = _at("image")
    steps: list[Step] = [
        {
            "op": "conv",
            "name": name,
            "path": name,
            "weights": layer_weights(held, name),
            "stride": {"option": "geometry", "at": [0, i]},
            "padding": {"option": "geometry", "at": [1, i]},
            **place,
        }
    ]
    base, _, index = name.rpartition(".")
    norm = f"{base}.{int(index) + 1}" if index.isdecimal() and base else ""
    if f"{norm}.running_mean" in held and held[f"{norm}.running_mean"].shape == weight.shape[:1]:
        steps.append({"op": "batch_norm", "name": norm, "path": norm, "weights": layer_weights(held, norm), **place})
    steps.append({"op": "activate", "name": "lrelu", "slope": {"option": "slope"}, **place})
    return steps


def _geometries(
    convolutions: Sequence[tuple[str, Weight]], image: tuple[int, int], flat: int
) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    """Return the strides and paddings that turn the image into ``flat`` features.

    Strides are from 4 to 1 and grow nowhere; paddings are none, or half of each kernel.
    """
    kernels = [w.shape[2] for _, w in convolutions]
    if len(kernels) > MAX_CONVOLUTIONS:
        return ()
    found = []
    for strides in combinations_with_replacement((4, 3, 2, 1), len(kernels)):
        for half in (False, True):
            geometry = strides, tuple(k // 2 if half else 0 for k in kernels)
            if flattened(kernels, geometry, image) * convolutions[-1][1].shape[0] == flat:
                found.append(geometry)
    return tuple(found)


def flattened(kernels: Sequence[int], geometry: tuple[Sequence[int], Sequence[int]], image: tuple[int, int]) -> int:
    """Return rows × columns after convolutions of these kernels, strides, paddings; 0 where nothing is left."""
    rows, columns = image
    for kernel, stride, padding in zip(kernels, *geometry, strict=True):
        rows, columns = ((n + 2 * padding - kernel) // stride + 1 for n in (rows, columns))
        if rows < 1 or columns < 1:
            return 0
    return rows * columns
