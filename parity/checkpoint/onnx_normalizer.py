"""A normalizer at the entry of an ONNX graph: what is done to an input, element by element, before any layer.

Sub then Div (rsl_rl), Sub then Mul by 1/std, Mul then Add, BatchNormalization: all are ``y = a·x + b``, which is
``(x - mean) / std`` with ``mean = -b/a`` and ``std = 1/a``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from parity.checkpoint.onnx_constants import Constants

if TYPE_CHECKING:
    from parity.tensor import Array

_THROUGH = {"Identity", "Cast", "Clip", "Dropout"}  # what may stand between without changing the meaning
MAX_CHAIN = 16


@dataclass(frozen=True, slots=True)
class EntryNormalizer:
    """``(x - mean) / std`` at an input, with the names of the constants that it is made of.

    ``mean`` and ``std`` are float64 of equal shape, which broadcasts against the input's last axes.
    """

    input: str
    mean: Array
    std: Array
    constants: tuple[str, ...]


def entry_normalizers(graph: Any, constants: Constants) -> tuple[EntryNormalizer, ...]:
    """Return the normalizer of each input of an ONNX graph that has one.

    Scaling by one number alone, such as 1/255 for an image, is none.
    """
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in dict.fromkeys(node.input):
            readers.setdefault(name, []).append(node)
    inputs = [(i.name, len(i.type.tensor_type.shape.dim)) for i in graph.input if i.name not in constants]
    found = (_follow(name, rank, readers, constants) for name, rank in inputs)
    return tuple(n for n in found if n is not None)


def _follow(name: str, rank: int, readers: dict[str, list[Any]], constants: Constants) -> EntryNormalizer | None:
    import numpy as np

    a: Any = np.float64(1)
    b: Any = np.float64(0)
    used: list[str] = []
    tensor = name
    for _ in range(MAX_CHAIN):
        nodes = [n for n in readers.get(tensor, []) if n.op_type not in ("Shape", "Size")]
        if len(nodes) != 1 or not nodes[0].output:
            break
        node = nodes[0]
        step = (1.0, 0.0, ()) if node.op_type in _THROUGH else _affine(node, tensor, rank, constants)
        if step is None:
            break
        try:
            a, b = a * step[0], b * step[0] + step[1]
        except ValueError:
            break
        used.extend(step[2])
        tensor = node.output[0]
    if not used or (np.size(a) == 1 and not np.any(b)):
        return None
    with np.errstate(all="ignore"):
        mean, std = np.broadcast_arrays(-b / a, 1 / np.abs(a))
    if not (np.isfinite(mean).all() and np.isfinite(std).all()):
        return None
    return EntryNormalizer(name, _trimmed(mean), _trimmed(std), tuple(dict.fromkeys(used)))


def _trimmed(values: Array) -> Array:
    """Return the array without leading axes of length 1, which are the batch."""
    while values.ndim > 1 and values.shape[0] == 1:
        values = values[0]
    return values


def _affine(node: Any, tensor: str, rank: int, constants: Constants) -> tuple[Any, Any, tuple[str, ...]] | None:
    """Return (a, b, constants) of a node that computes ``a·x + b`` element by element; None for any other."""
    import numpy as np

    if node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type == "BatchNormalization" and len(node.input) == 5 and node.input[0] == tensor:
        return _batch_norm(node, rank, constants)
    if node.op_type not in ("Sub", "Add", "Mul", "Div") or len(node.input) != 2 or node.input[0] == node.input[1]:
        return None
    first = node.input[0] == tensor
    other = node.input[1] if first else node.input[0]
    value = constants.value(other)
    if value is None or value.dtype.kind != "f":
        return None
    c = value.astype(np.float64)
    used = constants.used_by(other)
    if node.op_type == "Add":
        return 1.0, c, used
    if node.op_type == "Sub":
        return (1.0, -c, used) if first else (-1.0, c, used)
    if node.op_type == "Mul":
        return c, 0.0, used
    with np.errstate(all="ignore"):
        return (1 / c, 0.0, used) if first else None


def _batch_norm(node: Any, rank: int, constants: Constants) -> tuple[Any, Any, tuple[str, ...]] | None:
    """Return the affine map of a BatchNormalization, which is along axis 1 of an input of ``rank`` axes."""
    import numpy as np

    values = [constants.value(i) for i in node.input[1:]]
    if rank < 2 or any(v is None or v.dtype.kind != "f" or v.ndim != 1 for v in values):
        return None
    scale, shift, mean, var = (np.asarray(v, dtype=np.float64) for v in values)
    epsilon = next((x.f for x in node.attribute if x.name == "epsilon"), 1e-5)
    with np.errstate(all="ignore"):
        a = scale / np.sqrt(var + epsilon)
    along = (-1,) + (1,) * (rank - 2)
    return (
        a.reshape(along),
        (shift - a * mean).reshape(along),
        tuple(u for i in node.input[1:] for u in constants.used_by(i)),
    )
