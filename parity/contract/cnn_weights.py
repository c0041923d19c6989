"""What weights show of rsl_rl's encoders of images: convolutions and norms, and where a pooling must stand between.

``cnns.<image>.<index>.weight`` (``actor_cnns`` before 4.0) are the parts of a ``torch.nn.Sequential``: a convolution, a
norm, an activation, a pooling. The last two have no weights, but they count.

Source: rsl_rl 3.3.0 ``networks/cnn.py``, 4.0.1 and 5.5.1 ``modules/cnn.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from parity.checkpoint.weight import Weight

MAX_IMAGES = 16

_PART = re.compile(r"^((?:actor_)?cnns)\.([^.]{1,100})\.(\d{1,3})\.(\w+)$")
_HELD = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}


@dataclass(frozen=True, slots=True)
class Seen:
    """One layer of an encoder, as its weights show it.

    ``name`` is that of its convolution, ``index`` that in the ``Sequential``; ``norm`` is ``none``, ``batch`` or
    ``layer``, and ``normed`` the rows and columns that a ``layer`` norm is made for. ``pooled`` is None for the last
    layer, of which the weights do not tell it.
    """

    name: str
    index: int
    weight: Weight
    norm: str = "none"
    normed: tuple[int, int] | None = None
    pooled: bool | None = None

    @property
    def channels(self) -> int:
        """How many channels it gives."""
        return self.weight.shape[0]

    @property
    def kernel(self) -> int:
        """Rows and columns of its kernel."""
        return self.weight.shape[2]

    @property
    def norm_name(self) -> str:
        """The name of its norm."""
        return f"{self.name.rpartition('.')[0]}.{self.index + 1}"


def is_encoder(name: str) -> bool:
    """Whether a tensor of this name is part of an encoder of the actor's images."""
    return _PART.match(name) is not None


def seen_of(held: Mapping[str, Weight]) -> dict[str, list[Seen]]:
    """Return the layers of each image's encoder, in the order in which rsl_rl joins what they give.

    Nothing where there is none, or one is not built as rsl_rl builds them.
    """
    parts: dict[tuple[str, str], dict[int, dict[str, Weight]]] = {}
    for name, weight in held.items():
        if match := _PART.match(name):
            parts.setdefault((match[1], match[2]), {}).setdefault(int(match[3]), {})[match[4]] = weight
    if len({base for base, _ in parts}) != 1 or len(parts) > MAX_IMAGES:
        return {}
    found = {image: _layers(f"{base}.{image}", by_index) for (base, image), by_index in parts.items()}
    return {} if any(not layers for layers in found.values()) else found


def _layers(base: str, by_index: Mapping[int, Mapping[str, Weight]]) -> list[Seen]:
    """Return the layers of one encoder; nothing where its tensors are not those of rsl_rl's."""
    layers: list[Seen] = []
    for index, held in sorted(by_index.items()):
        weight = held.get("weight")
        if weight is None or not set(held) <= _HELD:
            return []
        if len(weight.shape) == 4:
            if weight.shape[2] != weight.shape[3] or min(weight.shape) < 1:
                return []
            layers.append(Seen(f"{base}.{index}", index, weight))
        elif layers and (normed := _with_norm(layers[-1], index, held)) is not None:
            layers[-1] = normed
        else:
            return []
    return _with_pooling(layers)


def _with_norm(layer: Seen, index: int, held: Mapping[str, Weight]) -> Seen | None:
    """Return the layer with the norm at ``index``; None where there is none that can stand there."""
    weight = held["weight"]
    kind = {1: "batch", 3: "layer"}.get(len(weight.shape))
    if kind is None or (kind == "batch") != ("running_mean" in held) or weight.shape[0] != layer.channels:
        return None
    if index != layer.index + 1 or layer.norm != "none":
        return None
    return replace(layer, norm=kind, normed=(weight.shape[1], weight.shape[2]) if kind == "layer" else None)


def _with_pooling(layers: Sequence[Seen]) -> list[Seen]:
    """Return the layers with the pooling that must stand between two; nothing where they do not follow one another."""
    if not layers or layers[0].index != 0:
        return []
    found = []
    for a, b in pairwise(layers):
        between = b.index - a.index - (a.norm != "none") - 2  # beside the convolution and the activation
        if a.channels != b.weight.shape[1] or between not in (0, 1):
            return []
        found.append(replace(a, pooled=between == 1))
    return [*found, layers[-1]]
