"""What an OM's inputs may be and what its outputs hold: arrays and shapes alone, no device. Python 3.7 and NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from parity.runner.worker.acl_calls import refused
else:
    from acl_calls import refused

DTYPES = {  # aclDataType
    0: "float32",
    1: "float16",
    2: "int8",
    3: "int32",
    4: "uint8",
    6: "int16",
    7: "uint16",
    8: "uint32",
    9: "int64",
    10: "uint64",
    11: "float64",
    12: "bool",
    27: "bfloat16",  # NumPy has none: its arrays are float32 here, of values that bfloat16 holds exactly
}
# What outputs hold before a call: a NaN that no arithmetic gives, in every float type, and neither 0 nor 1 as bool.
# The two differ in every byte.
UNWRITTEN = (b"\xf5\xff", b"\xf2\x7f")


def check_input(tensor: dict[str, Any], array: Any) -> Any:
    """Return one input as a contiguous array in this machine's byte order, exactly as the model takes it.

    ``tensor`` is an entry of `AclModel.inputs`; a size of -1 in its shape is any: the gear decides.

    Raises:
        AclError: another dtype, another shape, or another number of bytes.
    """
    name, dtype = tensor["name"], tensor["dtype"]
    array = np.asarray(array)
    own = array.dtype.newbyteorder("=")
    if own != np.dtype("float32" if dtype == "bfloat16" else dtype):
        text = "input {!r} has dtype {}, the model takes {}: the runtime would read its bytes as such"
        raise refused(text.format(name, array.dtype, dtype), "input")
    if tensor.get("aipp"):
        if array.nbytes != tensor["bytes"]:
            text = "input {!r} is a picture of {} bytes, which the device prepares (AIPP); given were {}"
            raise refused(text.format(name, tensor["bytes"], array.nbytes), "input")
    elif not fits(array.shape, tensor["shape"]):
        text = "input {!r} has shape {} and {} bytes, the model takes {} and {} bytes"
        given = (name, list(array.shape), array.nbytes, tensor["shape"], tensor["bytes"])
        raise refused(text.format(*given), "input")
    if array.size == 0:
        raise refused(f"input {name!r} is empty, shape {list(array.shape)}", "input")
    array = np.asarray(array, own, order="C")
    return _as_bfloat16(name, array) if dtype == "bfloat16" else array


def fits(shape: Any, wanted: Any) -> bool:
    """Whether a shape is the one that is wanted, -1 being any size."""
    return len(shape) == len(wanted) and all(d < 0 or n == d for n, d in zip(shape, wanted))  # noqa: B905 (Python 3.7)


def shapes_in(inputs: list[dict[str, Any]], kind: str, gear: list[int], order: list[str] | None) -> list[list[int]]:
    """Return the shape of each input in one gear; ``order`` is that of `AclModel`.

    Raises:
        AclError: the gear's numbers do not fit the axes that the gears decide.
    """
    found = {}
    every, dims = iter(gear), kind == "dims"
    for t in _by_order(inputs, order) if dims else inputs:
        numbers = every if dims else iter(gear)  # of ``dims`` all axes are told, also those that are fixed
        found[t["name"]] = [next(numbers, -1) if d < 0 or dims else d for d in t["shape"]]
    shapes = [found[t["name"]] for t in inputs]
    fit = all(fits(shape, t["shape"]) for shape, t in zip(shapes, inputs))  # noqa: B905 (Python 3.7)
    if not fit or (dims and next(every, None) is not None) or any(d < 1 for shape in shapes for d in shape):
        text = "the gear {} does not fit the inputs, whose shapes are {}"
        raise refused(text.format(gear, [t["shape"] for t in inputs]), "load")
    return shapes


def _by_order(inputs: list[dict[str, Any]], said: list[str] | None) -> list[dict[str, Any]]:
    """Return the inputs in the order in which gears list their axes."""
    names = [t["name"] for t in inputs]
    order = said or names[:1]
    if sorted(order) != sorted(names):
        text = "gears list the axes of the inputs {} in an order that only the file tells, and {} was said"
        raise refused(text.format(names, said), "load")
    return [inputs[names.index(name)] for name in order]


def _as_bfloat16(name: str, array: Any) -> Any:
    bits = array.view(np.uint32)
    if (bits & 0xFFFF).any():
        raise refused(f"input {name!r} holds values that bfloat16 does not: round them first", "input")
    return (bits >> 16).astype(np.uint16)


def stored(dtype: str) -> Any:
    """Return NumPy's type for what the device stores."""
    return np.dtype("uint16" if dtype == "bfloat16" else dtype)


def plain(array: Any, dtype: str) -> Any:
    """Return an output as NumPy holds it: bfloat16 as float32, which is exact."""
    return (array.astype(np.uint32) << 16).view(np.float32) if dtype == "bfloat16" else array


def size_of(shape: Any, dtype: str) -> int:
    """Return the bytes that a shape takes."""
    size = int(stored(dtype).itemsize)
    for d in shape:
        size *= d
    return size


def filled(size: int, pattern: bytes) -> Any:
    """Return ``size`` bytes of what the memory of an output is filled with before a call."""
    return np.frombuffer(pattern * (size // len(pattern) + 1), np.uint8)[:size]


def holds(array: Any, pattern: bytes) -> Any:
    """Return which values still hold what the memory was filled with, as bools, flat."""
    raw = np.ascontiguousarray(array).view(np.uint8).reshape(-1, array.itemsize)
    return (raw == filled(array.nbytes, pattern).reshape(-1, array.itemsize)).all(axis=1)


def count_not_finite(counts: dict[str, int], what: str, arrays: dict[str, Any]) -> None:
    """Add to ``counts``, under ``what`` and the array's name, how many values are not finite."""
    for name, array in arrays.items():
        array = np.asarray(array)
        bad = int(array.size - np.isfinite(array).sum()) if array.dtype.kind == "f" else 0
        if bad:
            counts[what + name] = counts.get(what + name, 0) + bad
