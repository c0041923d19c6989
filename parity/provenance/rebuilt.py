"""Weights that exporters rebuild from several of a checkpoint's: recurrent layers.

ONNX keeps the gates of an LSTM as i, o, f, c where torch has i, f, g, o, those of a GRU as z, r, h where torch has
r, z, n, stacks the directions and joins both biases (onnx/docs/Operators.md, LSTM and GRU; torch.nn.LSTM, GRU).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from parity.checkpoint.weight import Weight

if TYPE_CHECKING:
    from parity.tensor import Array

GATES = {4: (0, 3, 1, 2), 3: (1, 0, 2), 1: (0,)}  # torch's gates in ONNX's order, by their number
_RECURRENT = re.compile(r"^(?P<prefix>.*?)weight_hh_l(?P<layer>\d{1,3})$")


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
