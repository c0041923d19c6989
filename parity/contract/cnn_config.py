"""rsl_rl's ``cnn_cfg``: an encoder of convolutions as plain data, checked against what its weights show.

Each layer is a convolution, a norm (or none), the activation and, where ``max_pool`` says so, a 3×3 pooling of stride
2. At the end comes a global pooling, or none, and what is left is flattened. What a configuration leaves out is
rsl_rl's default.

Source: rsl_rl 3.3.0 ``networks/cnn.py``, 4.0.1 and 5.5.1 ``modules/cnn.py`` (the same but for its annotations).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parity.contract.actor import ACTIVATIONS, OTHER_NAMES
from parity.contract.cnn_weights import Seen
from parity.errors import UsageError

KEYS = (
    "output_channels",
    "kernel_size",
    "stride",
    "dilation",
    "padding",
    "norm",
    "activation",
    "max_pool",
    "global_pool",
    "flatten",
)
PADDINGS = ("none", "zeros", "reflect", "replicate", "circular")
NORMS = ("none", "batch", "layer")
POOLS = ("none", "max", "avg")
MOST = 64  # of a stride or a dilation

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of an encoder."""

    channels: int
    kernel: int
    stride: int
    dilation: int
    norm: str
    pooled: bool


@dataclass(frozen=True, slots=True)
class Encoder:
    """The encoder of one image."""

    layers: tuple[Layer, ...]
    padding: str
    activation: str
    global_pool: str

    def convolved(self, layer: Layer, size: Size) -> Size:
        """Return rows and columns after the convolution of ``layer``.

        Raises:
            UsageError: torch refuses such a padding, or nothing is left of the image.
        """
        rows, columns = (self._convolved(layer, n) for n in size)
        return rows, columns

    def _convolved(self, layer: Layer, n: int) -> int:
        pad = 0 if self.padding == "none" else padding(n, layer)
        most = {"reflect": n - 1, "circular": n}.get(self.padding, pad)
        if pad > most or (pad < 0 and self.padding == "zeros"):  # the other paddings take pixels away, torch too
            raise UsageError(f"cnn_cfg: a padding of {pad} on {n} pixels, which torch refuses")
        left = (n + 2 * pad - layer.dilation * (layer.kernel - 1) - 1) // layer.stride + 1
        if left < 1:
            raise UsageError(f"cnn_cfg: nothing is left of {n} pixels after a kernel of {layer.kernel}")
        return left

    def features(self, size: Size | None) -> int | None:
        """Return how many features an image of this size becomes; None where that is not known."""
        channels = self.layers[-1].channels
        if self.global_pool != "none":
            return channels
        if size is None:
            return None
        for layer in self.layers:
            size = self.convolved(layer, size)
            size = halved(size) if layer.pooled else size
        return channels * size[0] * size[1]

    def __str__(self) -> str:
        def listed(values: Sequence[object]) -> str:
            return " ".join(str(v) for v in (values[:1] if len(set(values)) == 1 else values))

        parts = [f"strides {listed([x.stride for x in self.layers])}", f"padding {self.padding}", self.activation]
        if any(x.dilation > 1 for x in self.layers):
            parts.append(f"dilation {listed([x.dilation for x in self.layers])}")
        if any(x.norm != "none" for x in self.layers):
            parts.append(f"norm {listed([x.norm for x in self.layers])}")
        if any(x.pooled for x in self.layers):
            parts.append(f"max pool {listed([str(x.pooled).lower() for x in self.layers])}")
        if self.global_pool != "none":
            parts.append(f"global pool {self.global_pool}")
        return ", ".join(parts)


def halved(size: Size) -> Size:
    """Return rows and columns after rsl_rl's pooling: 3×3, stride 2, padding 1."""
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def padding(n: int, layer: Layer) -> int:
    """Return how many pixels rsl_rl adds on either side of ``n`` (``_compute_padding``)."""
    return -((n + layer.stride - layer.stride * (n // layer.stride) - layer.dilation * (layer.kernel - 1) - 1) // 2)


def encoders_of(table: Any, seen: Mapping[str, Sequence[Seen]], *, whole: bool = True) -> dict[str, Encoder]:
    """Return the encoder of each image that ``cnn_cfg`` describes: one table for all, or one for each.

    ``whole``: it is a training run's own, where what is left out is rsl_rl's default. Else it may leave out what the
    weights show.

    Raises:
        UsageError: it is no such table, or not of the encoders that the weights show.
    """
    if not isinstance(table, dict):
        raise UsageError(f"cnn_cfg is {table!r:.60}", expected=f"a table with {', '.join(KEYS)}")
    if not (table and all(isinstance(v, dict) for v in table.values())):
        return {image: _encoder(table, layers, "cnn_cfg", whole) for image, layers in seen.items()}
    if set(table) != set(seen):
        raise UsageError(
            f"cnn_cfg is of the images {', '.join(map(str, table))!s:.200}, the weights of {', '.join(seen)}",
            expected="a table for each image of the weights",
        )
    return {image: _encoder(table[image], layers, f"cnn_cfg.{image}", whole) for image, layers in seen.items()}


def _encoder(table: Mapping[str, Any], seen: Sequence[Seen], where: str, whole: bool) -> Encoder:
    missing = [k for k in ("output_channels", "kernel_size") if whole and k not in table]
    if missing:
        raise UsageError(f"{where} has no {' and no '.join(missing)}", expected="what rsl_rl's encoder needs")
    table = {**({"norm": "none", "max_pool": False} if whole else {}), **table}
    for key in table:
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"{where}: {str(key)!r:.60} is nothing that rsl_rl's encoder takes{hint}")
    if table.get("flatten", True) is not True:
        raise UsageError(f"{where}: flatten is {table['flatten']!r:.60}", expected="true: rsl_rl's actors flatten")
    count = len(seen)
    if "output_channels" in table:
        _agree(table["output_channels"], [s.channels for s in seen], f"{where}.output_channels")
    given = {k: _each(table[k], count, f"{where}.{k}") for k in ("kernel_size", "norm", "max_pool") if k in table}
    _agree(given.get("kernel_size"), [s.kernel for s in seen], f"{where}.kernel_size")
    _agree(given.get("norm"), [s.norm for s in seen], f"{where}.norm")
    pools = given.get("max_pool", [s.pooled is True for s in seen])
    if not all(type(p) is bool for p in pools):
        raise UsageError(f"{where}.max_pool is {table['max_pool']!r:.60}", expected="true or false")
    _agree(pools[:-1], [s.pooled for s in seen[:-1]], f"{where}.max_pool (all but the last)")
    strides, dilations = (_sizes(table.get(k, 1), count, f"{where}.{k}") for k in ("stride", "dilation"))
    return Encoder(
        tuple(
            Layer(s.channels, s.kernel, stride, dilation, s.norm, pooled)
            for s, stride, dilation, pooled in zip(seen, strides, dilations, pools, strict=True)
        ),
        _word(table.get("padding", "none"), PADDINGS, f"{where}.padding"),
        _activation(table.get("activation", "elu"), f"{where}.activation"),
        _word(table.get("global_pool", "none"), POOLS, f"{where}.global_pool"),
    )


def _agree(told: Any, seen: Sequence[Any], where: str) -> None:
    """Refuse what a configuration says where the weights show something else; None says nothing."""
    if told is not None and (not isinstance(told, list | tuple) or list(told) != list(seen)):
        raise UsageError(f"{where} is {told!r:.120}, but the weights show {list(seen)!r:.120}")


def _each(value: Any, count: int, where: str) -> list[Any]:
    """Return the value of each layer: one for all, or a list that may be longer than there are layers."""
    if not isinstance(value, list | tuple):
        return [value] * count
    if len(value) < count:
        raise UsageError(f"{where} has {len(value)} values for {count} layers")
    return list(value[:count])


def _sizes(value: Any, count: int, where: str) -> list[int]:
    sizes = _each(value, count, where)
    _all(sizes, lambda n: type(n) is int and 1 <= n <= MOST, where, f"whole numbers from 1 to {MOST}")
    return sizes


def _all(values: Sequence[Any], good: Callable[[Any], bool], where: str, expected: str) -> None:
    for value in values:
        if not good(value):
            raise UsageError(f"{where} is {value!r:.60}", expected=expected)


def _word(value: Any, known: Sequence[str], where: str) -> str:
    if not isinstance(value, str) or value not in known:
        raise UsageError(f"{where} is {value!r:.60}", expected=", ".join(known))
    return value


def _activation(value: Any, where: str) -> str:
    word = OTHER_NAMES.get(str(value).lower(), str(value).lower())
    return _word(word, ACTIVATIONS, where)
