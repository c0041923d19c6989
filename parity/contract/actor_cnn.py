"""Actors of rsl_rl that look at images: an encoder of convolutions for each, joined with the flat observation.

Weights do not show strides, dilation, padding, the activation, the last pooling, nor how large the images are. The
training run's configuration (``cnn_cfg``) tells all but the last; the size of the images comes from the user, or from
the other side of a comparison: the worker runs any size that makes as many features as the MLP takes.

Source: rsl_rl 3.3.0 ``modules/actor_critic_cnn.py``, 4.0.1 and 5.5.1 ``models/cnn_model.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parity.contract.actor import (
    MAX_WEIGHTS,
    Actor,
    Head,
    Step,
    Weights,
    actions_spec,
    head_of,
    known,
    layer_weights,
    normalizer_of,
    told_of,
    used,
    weight_sets,
)
from parity.contract.cnn_config import Encoder, Size, encoders_of, halved
from parity.contract.cnn_weights import Seen, is_encoder, seen_of
from parity.errors import ArtifactError, UsageError
from parity.tensor import Dim, Range, TensorSpec

MAX_SIDE = 4096
FLAT = "obs"  # what exports call the flat observation

_SAY = '`kwargs = {cnn_cfg = {stride = [2, 1], padding = "none", activation = "elu"}}`'


@dataclass(frozen=True, slots=True)
class Told:
    """A ``cnn_cfg`` of a training run, and the name of the file that tells it."""

    table: Any
    by: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What the weights show of such an actor."""

    weights: Weights
    held: Weights  # those of the actor, without what all their names begin with
    images: Mapping[str, Sequence[Seen]]
    head: Head
    normalizer: tuple[Step, ...]
    range: Range | None
    normalized: int | None  # how many numbers of the flat observation the normalizer is of


def shown_by(weights: Weights) -> Shown | None:
    """Return what the weights of an actor with encoders show; None where they are of something else.

    Raises:
        ArtifactError: a normalizer's bytes cannot be read.
    """
    if len(weights) > MAX_WEIGHTS:
        return None
    for prefix, held in weight_sets(weights):
        images = seen_of(held)
        head = head_of(held, prefix) if images else None
        if head is None or not all(known(k) or is_encoder(k) for k in held):
            continue
        found = normalizer_of(held, weights, None)
        if found is None:
            continue
        sizes = [w.size for w in used(weights, found[0]).values()]
        return Shown(weights, held, images, head, tuple(found[0]), found[1], sizes[0] if sizes else None)
    return None


def cnn_actor(path: Path, shown: Shown, given: dict[str, Any], tables: Sequence[Told]) -> Actor:
    """Return the actor whose weights are shown, and take what the user says of its encoders out of ``given``.

    Args:
        path: of the checkpoint, for messages.
        shown: what its weights show.
        given: keyword arguments: ``cnn_cfg``, and ``image = [rows, columns]`` or ``image = {front = [...], …}``.
        tables: ``cnn_cfg`` of the configurations beside it that are of this network; the first counts.

    Raises:
        ArtifactError: nothing tells how the encoders are built, or what does is not of these weights.
        UsageError: a keyword argument that does not fit.
    """
    if FLAT in shown.images:
        raise ArtifactError(f"{path}: an image is called {FLAT!r}, which is what exports call the flat observation")
    encoders, by = _encoders(path, shown.images, given, tables)
    sizes = _sizes(given.pop("image", None), list(shown.images))
    observed = _observed(path, shown, encoders, sizes)
    inputs, takes, steps = [], [], [*(shown.normalizer if observed != 0 else ())]
    if observed != 0:
        inputs.append(TensorSpec(FLAT, ("batch", observed), "float32", "state", range=shown.range))
        takes.append("x")
    for i, (image, layers) in enumerate(shown.images.items()):
        rows, columns = sizes[image] or (f"{image}_rows", f"{image}_columns")
        shape = ("batch", layers[0].weight.shape[1], rows, columns)
        inputs.append(TensorSpec(image, shape, "float32", "image"))
        takes.append(f"image{i}")
        steps += _encode(shown.held, layers, encoders[image], f"image{i}")
    steps += [{"op": "concat", "of": list(takes), "into": "x", "width": shown.head.width}, *shown.head.steps]
    options, told = told_of(shown.head, list(shown.normalizer))
    named = {f"encoder of {image}": encoder for image, encoder in encoders.items()}
    return Actor(
        ", ".join([*_words(shown), shown.head.what]),
        tuple(steps),
        tuple(inputs),
        (actions_spec(shown.head.actions),),
        used(shown.weights, steps),
        {**options, **{name: (str(encoder),) for name, encoder in named.items()}},
        {**told, **dict.fromkeys(named, by)},
        takes=tuple(takes),
    )


def _encoders(
    path: Path, images: Mapping[str, Sequence[Seen]], given: dict[str, Any], tables: Sequence[Told]
) -> tuple[dict[str, Encoder], str]:
    """Return the encoder of each image, and who told it: the user, else a configuration beside the file."""
    if "cnn_cfg" in given:
        return encoders_of(given.pop("cnn_cfg"), images, whole=False), "`kwargs` in parity.toml"
    if not tables:
        raise ArtifactError(
            f"{path}: its actor looks at images ({', '.join(images)}), and its weights do not show strides, dilation, "
            "padding, activation and the last pooling of the encoders",
            expected="`cnn_cfg` of this network in params/agent.yaml beside it, as the training run wrote it",
            remedy=f"copy that file there, or say it: {_SAY}",
        )
    try:
        return encoders_of(tables[0].table, images), tables[0].by
    except UsageError as e:
        raise ArtifactError(
            f"{path}: {tables[0].by}, beside it, is not of its weights: {e.message}",
            expected=e.expected,
            remedy=f"give the configuration of this training run, or say it: {_SAY}",
        ) from None


def _sizes(value: Any, images: Sequence[str]) -> dict[str, Size | None]:
    """Return rows and columns of each image, as far as the user says them."""
    table = value if isinstance(value, dict) else dict.fromkeys(images if value is not None else (), value)
    for image, size in table.items():
        pair = isinstance(size, list | tuple) and len(size) == 2 and all(type(n) is int for n in size)
        if image not in images or not pair or not all(1 <= n <= MAX_SIDE for n in size):
            raise UsageError(
                f"kwargs: image is {value!r:.120}",
                expected=f"image = [72, 96], rows and columns, or a table of them with {', '.join(images)}",
            )
    return {image: (table[image][0], table[image][1]) if image in table else None for image in images}


def _observed(path: Path, shown: Shown, encoders: Mapping[str, Encoder], sizes: Mapping[str, Size | None]) -> Dim:
    """Return the length of the flat observation: what the MLP takes beside the features; a name where not known.

    Raises:
        ArtifactError: the sizes, the encoders, the normalizer and the MLP do not fit one another.
    """
    width, normalized, told = shown.head.width, shown.normalized, []
    try:
        for image, encoder in encoders.items():
            _fits_norms(encoder, shown.images[image], sizes[image])
            told.append(encoder.features(sizes[image]))
    except UsageError as e:
        raise _unfit(path, sizes, e.message) from None
    features = [n for n in told if n is not None]
    left = width - sum(features)
    if left < 0 or (normalized is not None and left < normalized):
        beside = "" if normalized is None else f" and {normalized} observations"
        raise _unfit(path, sizes, f"{sum(features)} features of images{beside} are more than the {width} of the MLP")
    if len(features) < len(told):
        return f"{FLAT}_size" if normalized is None else normalized
    if normalized is not None and left != normalized:
        text = f"{sum(features)} features of images and {normalized} observations, but the MLP takes {width}"
        raise _unfit(path, sizes, text)
    return left


def _fits_norms(encoder: Encoder, layers: Sequence[Seen], size: Size | None) -> None:
    """Refuse a size with which an image would not have that which the weights of a ``layer`` norm have."""
    for layer, seen in zip(encoder.layers, layers, strict=True):
        if size is None:
            return
        size = encoder.convolved(layer, size)
        if seen.normed not in (None, size):
            raise UsageError(f"the norm {seen.norm_name} is of {seen.normed}, the image becomes {size} there")
        size = halved(size) if layer.pooled else size


def _unfit(path: Path, sizes: Mapping[str, Size | None], what: str) -> ArtifactError:
    given = ", ".join(f"{image} of {size[0]}×{size[1]}" for image, size in sizes.items() if size)
    return ArtifactError(
        f"{path}: {what}{f' ({given})' if given else ''}",
        expected="images and encoders that make what the MLP takes",
        remedy="check `cnn_cfg` and `kwargs = {image = [rows, columns]}`",
    )


def _words(shown: Shown) -> list[str]:
    images = [
        f"image {image} of {layers[0].weight.shape[1]} channels through convolutions "
        f"{'-'.join(str(s.channels) for s in layers)} (kernels {' '.join(str(s.kernel) for s in layers)})"
        for image, layers in shown.images.items()
    ]
    return [*images, *(["observation normalizer"] if shown.normalizer else [])]


def _encode(held: Weights, layers: Sequence[Seen], encoder: Encoder, value: str) -> list[Step]:
    """Return the steps of one encoder, from the image called ``value`` to its features under the same name."""
    steps: list[Step] = []
    base = layers[0].name.rpartition(".")[0]
    at = 0

    def add(op: str, **more: Any) -> None:
        nonlocal at
        steps.append({"op": op, "path": f"{base}.{at}", "of": value, "into": value, **more})
        at += 1

    for seen, layer in zip(layers, encoder.layers, strict=True):
        padding = 0 if encoder.padding == "none" else encoder.padding
        named = {"name": seen.name, "weights": layer_weights(held, seen.name)}
        add("conv", stride=layer.stride, dilation=layer.dilation, padding=padding, **named)
        if layer.norm != "none":
            add(f"{layer.norm}_norm", name=seen.norm_name, weights=layer_weights(held, seen.norm_name))
        add("activate", name=encoder.activation)
        if layer.pooled:
            add("max_pool")
    if encoder.global_pool != "none":
        add("global_pool", kind=encoder.global_pool)
    add("flatten")
    return steps
