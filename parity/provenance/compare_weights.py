"""Whether two tensors hold the same values, and in which of the ways that an export may change how they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from parity.checkpoint.weight import Weight, spread

if TYPE_CHECKING:
    from parity.tensor import Array

How = Literal["exact", "rounded", "folded"]

BLOCK = 1 << 20
# What normalizers add to a standard deviation before they divide: rsl_rl 1e-2, others 1e-5 to 1e-8.
EPSILONS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8)
STD_TOLERANCE = {"float64": 4e-7, "float32": 4e-7, "float16": 1e-3, "bfloat16": 8e-3}  # rounding of ``std + eps``

ROUNDED_ONCE = {"float16": 2.0**-11 + 2.0**-21, "bfloat16": 2.0**-8 + 2.0**-21}  # what a compiler wrote: half a step

# The least and the largest float16 number of onnxruntime.transformers.float16 and of onnxconverter_common.float16.
CONVERTERS = ((5.96e-8, 65504.0), (1e-7, 1e4))


def is_informative(weight: Weight) -> bool:
    """Whether a tensor says anything about whose it is: numbers that are not all the same.

    Integers are bookkeeping (shapes, counts, indices) unless they stand for quantized weights.
    """
    if weight.size < 2 or not is_weight_like(weight):
        return False
    bits = as_bits(weight.array).reshape(-1)
    return any(bool((bits[i : i + BLOCK] != bits[0]).any()) for i in range(0, bits.size, BLOCK))


def is_weight_like(weight: Weight) -> bool:
    """Whether a tensor is of floats, or of integers that stand for them."""
    return weight.dtype.startswith(("float", "bfloat")) or weight.quantization is not None


def as_bits(array: Array) -> Array:
    """Return an array as unsigned integers of the same bits, so that NaN equals NaN and -0 does not equal 0."""
    array = np.ascontiguousarray(array)
    if array.dtype.kind == "c" or array.dtype.itemsize > 8:
        return array.reshape(-1).view(np.uint8)
    return array.view(f"u{array.dtype.itemsize}")


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without its axes of length 1: a bias of ``(1, 128)`` is one of ``(128,)``."""
    return tuple(n for n in shape if n != 1)


def same_values(exported: Weight, source: Weight) -> How | None:
    """Return how the exported tensor holds the source's values; None where it does not.

    ``exact``: bit by bit, as they are or transposed (2-d). ``rounded``: the source's values rounded to float16 or
    bfloat16 (and back), or quantized to at most half a step. Shapes must be equal but for axes of length 1.
    """
    a = exported.array.reshape(squeezed(exported.shape)) if exported.quantization is None else None
    b = source.array.reshape(squeezed(source.shape))
    for candidate in (b, b.T) if b.ndim == 2 else (b,):
        if a is None:
            if _quantized_from(exported, candidate, source):
                return "rounded"
            continue
        if a.shape != candidate.shape:
            continue
        if exported.dtype == source.dtype and _equal_bits(a, candidate):
            return "exact"
        if _rounded_from(a, exported.dtype, candidate, source.dtype):
            return "rounded"
    return None


def _equal_bits(a: Array, b: Array) -> bool:
    if a.ndim and a.shape[0] > 1 and not np.array_equal(as_bits(a[0]), as_bits(b[0])):
        return False  # cheap: most pairs differ in their first row
    return np.array_equal(as_bits(a), as_bits(b))


def _floats(array: Array, dtype: str) -> Array | None:
    if dtype == "bfloat16":
        return (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return array if array.dtype.kind == "f" else None


def _rounded_from(a: Array, dtype: str, b: Array, source_dtype: str) -> bool:
    """Whether ``a`` is ``b`` after rounding to a lower float class, stored in that class or widened again."""
    x, y = _floats(a, dtype), _floats(b, source_dtype)
    if x is None or y is None or x.size == 0:
        return False
    head = (slice(0, 1),) if x.ndim else ()
    roundings = [partial(rounded_to, to=to) for to in (np.float16, "bfloat16", np.float32)]
    roundings += [partial(_kept_apart, least=least, largest=largest) for least, largest in CONVERTERS]
    return any(all(_matches(x[part], rounded(y[part])) for part in (head, ())) for rounded in roundings)


def _kept_apart(values: Array, least: float, largest: float) -> Array:
    """Return values in float16 as converters make them that let none become zero or infinite."""
    size = np.abs(values)
    kept = np.copysign(np.clip(size, least, largest), values)
    return rounded_to(np.where((size > 0) & (size < np.inf), kept, values), np.float16)


def _matches(x: Array, y: Array) -> bool:
    wide = np.float64 if x.dtype == np.float64 or y.dtype == np.float64 else np.float32
    return np.array_equal(as_bits(x.astype(wide)), as_bits(y.astype(wide)))


def rounded_to(values: Array, to: type[np.floating] | str) -> Array:
    """Return values rounded to nearest, ties to even, in a float class; bfloat16 comes as float32."""
    with np.errstate(over="ignore", invalid="ignore"):
        if to != "bfloat16":
            return values.astype(to)
        bits = values.astype(np.float32).view(np.uint32)
        rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
        return (rounded & np.uint32(0xFFFF0000)).view(np.float32)


def _quantized_from(exported: Weight, b: Array, source: Weight) -> bool:
    """Whether integers stand for the source's values, each to within half a step (a whole one where it saturates)."""
    y = _floats(b, source.dtype)
    how = exported.quantization
    if how is None or y is None or exported.dtype in ("int4", "uint4"):
        return False
    x = exported.as_float().reshape(squeezed(exported.shape))
    if x.shape != y.shape:
        return False
    scale = spread(np.abs(how.scale().astype(np.float64)), exported.shape, how)
    steps = np.broadcast_to(scale, exported.shape).reshape(x.shape)
    gap = np.abs(x.astype(np.float64) - y)
    integers = exported.array.reshape(x.shape)
    limits = np.iinfo(integers.dtype)
    saturated = (integers == limits.max) | (integers == limits.min)
    within = gap <= steps * np.where(saturated, 1.01, 0.51)
    return bool(within.all()) and bool(np.isfinite(gap).all())


def rounding_of(exported: Weight, usual: Mapping[str, float]) -> float | None:
    """Return how far, relative, an element may be from what a statistic gives; None where its dtype is no float."""
    usually = usual.get(exported.dtype)
    return ROUNDED_ONCE.get(exported.dtype, usually) if exported.compiled and usually is not None else usually


def is_variance(weight: Weight) -> bool:
    """Whether a statistic is a variance rather than a deviation, as its name says (``_var``, ``running_var``)."""
    return "var" in weight.name.rpartition(".")[2]


def is_folded_std(exported: Weight, source: Weight) -> bool:
    """Whether a constant is a normalizer's std, or the root of its variance, with an epsilon added, or its inverse."""
    tolerance = rounding_of(exported, STD_TOLERANCE)
    if squeezed(exported.shape) != squeezed(source.shape) or tolerance is None or not is_weight_like(source):
        return False
    x, y = exported.as_float().reshape(-1), source.as_float().reshape(-1)
    with np.errstate(all="ignore"):  # most are ruled out by their first element
        return all(_is_std(x[:n], y[:n], tolerance, variance=is_variance(source)) for n in (1, x.size))


def _is_std(x: Array, y: Array, tolerance: float, *, variance: bool) -> bool:
    x, y, added = x.astype(np.float64), y.astype(np.float64), np.array((0.0, *EPSILONS))[:, None]
    made = np.concatenate([np.sqrt(y + added), np.sqrt(y) + added]) if variance else y + added
    made = np.concatenate([made, 1 / made])
    return bool((np.abs(x - made) <= tolerance * np.abs(made)).all(axis=1).any())
