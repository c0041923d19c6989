"""How many bytes an OM's inputs take, which sizes it runs at, and what the runtime accepts though it is wrong.

Ascend's runtime compares byte counts and nothing else: a buffer that is too large only warns, one that is too small by
up to 64 bytes is accepted, and neither dtype nor layout is looked at. Inputs are fed by position.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from parity.om.model import OmModel, OmTensor
from parity.tensor import Shape, TensorSpec

TOLERATED = 64  # bytes that an input may lack before the runtime refuses it
ITEM_BYTES = {"bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "float16": 2, "bfloat16": 2, "int32": 4}
ITEM_BYTES |= {"uint32": 4, "float32": 4, "int64": 8, "uint64": 8, "float64": 8, "complex64": 8, "complex128": 16}
ADDED = ("ascend_mbatch_shape_data", "ascend_dynamic_aipp_data")  # which gear, which AIPP: the runtime fills them
Taken = Literal["refused", "short", "exact", "large"]


def spec_of(tensor: OmTensor) -> TensorSpec:
    """Return an input or output as a contract has it: the source model's name, None for a dynamic axis."""
    return TensorSpec(tensor.source_name, tuple(None if n < 0 else n for n in tensor.shape), tensor.dtype)


def model_spec(tensor: OmTensor) -> TensorSpec:
    """Return an input as the source model takes it: before AIPP, where that prepares it."""
    shape, dtype = tensor.source.get("shape"), tensor.source.get("dtype")
    spec = spec_of(tensor)
    known = isinstance(shape, Sequence) and all(isinstance(n, int) for n in shape)
    return TensorSpec(
        str(tensor.source.get("name") or spec.name),
        tuple(None if n < 0 else n for n in shape) if known and shape is not None else spec.shape,
        dtype if isinstance(dtype, str) else spec.dtype,
    )


def policy_inputs(model: OmModel) -> list[OmTensor]:
    """Return the inputs that the host gives, in the file's order: without those that the compiler added."""
    return [t for t in model.inputs if not t.name.startswith(ADDED)]


def bytes_of(shape: Shape | None, dtype: str | None) -> int | None:
    """Return how many bytes a tensor takes; None where its shape or dtype is not known."""
    if shape is None or dtype not in ITEM_BYTES or not all(isinstance(n, int) for n in shape):
        return None
    return math.prod(int(n) for n in shape if isinstance(n, int)) * ITEM_BYTES[dtype]


def wanted_bytes(tensor: OmTensor) -> int | None:
    """Return how many bytes the device takes for an input: as the file says, else as its shape and dtype do."""
    computed = bytes_of(spec_of(tensor).shape, tensor.dtype)
    return computed if computed is not None else tensor.bytes


def taken(given: int, wanted: int) -> Taken:
    """Return what the runtime makes of a buffer of ``given`` bytes for an input of ``wanted``."""
    if given == wanted:
        return "exact"
    if given > wanted:
        return "large"
    return "short" if wanted - given <= TOLERATED else "refused"


def at_size_of(spec: TensorSpec, tensor: TensorSpec) -> Shape | None:
    """Return the shape of ``spec``, its free axes at the sizes that the other has there where both have as many."""
    if spec.shape is None or tensor.shape is None or len(spec.shape) != len(tensor.shape):
        return spec.shape
    return tuple(a if isinstance(a, int) else b for a, b in zip(spec.shape, tensor.shape, strict=True))


def runs_at(model: OmModel, shapes: Mapping[str, Sequence[int]]) -> bool:
    """Whether the model runs at these shapes, by the OM's own input names; inputs that are not named are not asked."""
    free: list[int] = []
    for tensor in policy_inputs(model):
        given = shapes.get(tensor.name)
        if given is None:
            continue
        if len(given) != len(tensor.shape):
            return False
        for axis, (n, size) in enumerate(zip(tensor.shape, given, strict=True)):
            if n < 0:
                free.append(size)
                if not _in_range(tensor, axis, size):
                    return False
            elif n != size:
                return False
    return _in_gear(model, free)


def _in_range(tensor: OmTensor, axis: int, size: int) -> bool:
    if axis >= len(tensor.ranges):
        return True
    low, high = tensor.ranges[axis]
    return low <= size and (high < 0 or size <= high)


def _in_gear(model: OmModel, free: Sequence[int]) -> bool:
    """Whether the sizes of the dynamic axes, in order, are those of a gear."""
    if model.gears is None or not free:
        return True
    if model.gears.kind == "batch":
        return len(set(free)) == 1 and (free[0],) in model.gears.values
    return tuple(free) in model.gears.values


def sizes_in_words(model: OmModel) -> str:
    """Return at which sizes the model runs: its gears, else the fixed shapes of its inputs."""
    if model.gears is not None:
        what = {"batch": "batches of", "image": "images of", "dims": "sizes"}[model.gears.kind]
        gears = ["x".join(map(str, v)) for v in model.gears.values]
        return f"{what} {', '.join(gears[:12])}{' and more' if len(gears) > 12 else ''} only"
    shown = [f"{t.source_name} {tuple(t.shape)}" for t in policy_inputs(model)[:4]]
    return f"{', '.join(shown)}{' and more' if len(model.inputs) > 4 else ''} only"
