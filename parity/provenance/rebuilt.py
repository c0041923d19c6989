"""Weights that exporters rebuild from several of a checkpoint's: recurrent layers, and BatchNorm folded into a layer.

ONNX keeps the gates of an LSTM as i, o, f, c where torch has i, f, g, o, those of a GRU as z, r, h where torch has
r, z, n, stacks the directions and joins both biases (onnx/docs/Operators.md, LSTM and GRU; torch.nn.LSTM, GRU). A
BatchNorm after a layer is folded into it in eval mode: ``w·s`` and ``(b - mean)·s + beta`` with
``s = gamma / sqrt(var + eps)``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from parity.checkpoint.weight import Weight
from parity.provenance.compare_weights import squeezed

if TYPE_CHECKING:
    from parity.tensor import Array

GATES = {4: (0, 3, 1, 2), 3: (1, 0, 2), 1: (0,)}  # torch's gates in ONNX's order, by their number
BATCH_NORM_EPS = (1e-5, 1e-3, 1e-6)  # torch's default, TensorFlow-like ones; a state dict does not hold it
_RECURRENT = re.compile(r"^(?P<prefix>.*?)weight_hh_l(?P<layer>\d{1,3})$")
# Rounding in float32 leaves 1e-15 and 3e-7; one step of an optimizer changes weights by more than 1e-5.
FOLDED_ROW = 1e-12  # how far from parallel a folded row may be: 1 - cosine
FOLDED_BIAS = 2e-6  # relative to the largest element


def recurrent_weights(source: Mapping[str, Weight]) -> Iterator[Weight]:
    """Yield the weights and biases of each recurrent layer as ONNX holds them, ``(directions, ...)``."""
    for name, hidden in source.items():
        found = _RECURRENT.match(name)
        if found is None or len(hidden.shape) != 2 or hidden.shape[1] == 0:
            continue
        gates, rest = divmod(hidden.shape[0], hidden.shape[1])
        if rest or gates not in GATES:
            continue
        layer = f"l{found['layer']}"
        suffixes = [s for s in ("", "_reverse") if f"{found['prefix']}weight_hh_{layer}{s}" in source]
        for parts in (("weight_ih",), ("weight_hh",), ("bias_ih", "bias_hh")):
            names = [[f"{found['prefix']}{p}_{layer}{s}" for p in parts] for s in suffixes]
            if all(n in source for row in names for n in row):
                rows = [[source[n] for n in row] for row in names]
                yield _rebuilt(rows, gates)


def _rebuilt(rows: list[list[Weight]], gates: int) -> Weight:
    first = rows[0][0]
    shape = (len(rows), first.shape[0] * len(rows[0]), *first.shape[1:])
    name = " and ".join(w.name for row in rows for w in row)

    def load() -> Array:
        return np.stack([np.concatenate([_reordered(w.array, gates) for w in row]) for row in rows])

    return Weight(name, shape, first.dtype, load, tree=first.tree)


def _reordered(array: Array, gates: int) -> Array:
    blocks = np.split(array, gates)
    return np.concatenate([blocks[i] for i in GATES[gates]])


def folded_biases(source: Mapping[str, Weight]) -> Iterator[Weight]:
    """Yield the biases that a layer before each BatchNorm of a checkpoint would have with it folded in.

    Which layer comes before is not written, so one of no bias and each bias of the BatchNorm's length is tried.
    """
    for name, mean in source.items():
        prefix = name.removesuffix("running_mean")
        parts = [source.get(prefix + p) for p in ("running_var", "weight", "bias")]
        if prefix == name or any(p is None or p.shape != mean.shape for p in parts):
            continue
        biases = [w for n, w in source.items() if n.endswith("bias") and w.shape == mean.shape and n != prefix + "bias"]
        for bias in (None, *biases[:32]):
            for eps in BATCH_NORM_EPS:
                label = f"{bias.name} and {prefix}*" if bias is not None else f"{prefix}*"
                load = partial(_folded_bias, mean, [p for p in parts if p is not None], bias, eps)
                yield Weight(label, mean.shape, "float32", load, tree=mean.tree)


def _folded_bias(mean: Weight, parts: list[Weight], bias: Weight | None, eps: float) -> Array:
    var, gamma, beta = (p.as_float().astype(np.float64) for p in parts)
    start = 0.0 if bias is None else bias.as_float().astype(np.float64)
    with np.errstate(all="ignore"):
        return ((start - mean.as_float().astype(np.float64)) * gamma / np.sqrt(var + eps) + beta).astype(np.float32)


def is_folded_bias(exported: Weight, rebuilt: Weight) -> bool:
    """Whether a vector is a rebuilt bias, up to the rounding of its computation."""
    x, y = exported.as_float().reshape(-1), rebuilt.array.reshape(-1)
    return x.shape == y.shape and bool(np.all(np.abs(x - y) <= FOLDED_BIAS * np.abs(y).max(initial=0.0)))


def is_folded_weight(exported: Weight, source: Weight) -> bool:
    """Whether each output channel of a weight is the source's times a positive or negative number of its own."""
    if squeezed(exported.shape) != squeezed(source.shape) or len(squeezed(exported.shape)) < 2:
        return False
    x = exported.as_float().reshape(exported.shape[0], -1)
    y = source.as_float().reshape(source.shape[0], -1)
    if x.shape != y.shape or x.shape[1] < 4:
        return False
    for i in range(0, x.shape[0], 64):
        u, v = x[i : i + 64].astype(np.float64), y[i : i + 64].astype(np.float64)
        dots, lengths = np.abs((u * v).sum(1)), np.sqrt((u * u).sum(1) * (v * v).sum(1))
        if not bool(np.all(dots >= (1 - FOLDED_ROW) * lengths)) or not bool(np.all(lengths > 0)):
            return False
    return True
