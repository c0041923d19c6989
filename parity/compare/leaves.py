"""Flattens what a user hands in (arrays, torch tensors, lists and mappings of them) into named NumPy arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.errors import UsageError

if TYPE_CHECKING:
    from parity.tensor import Array

Path = tuple[str | int, ...]


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every tensor of a nest of mappings and sequences with the keys that lead to it.

    A list of plain numbers, or of lists of them, is one tensor; a list that holds an array or a mapping is a nest.
    """
    if isinstance(value, Mapping):
        for key in value:
            yield from leaves(value[key], (*path, key))
    elif isinstance(value, list | tuple) and _is_nest(value):
        for position, item in enumerate(value):
            yield from leaves(item, (*path, position))
    else:
        yield path, value


def _is_nest(value: Sequence[Any]) -> bool:
    return any(
        _is_nest(item) if isinstance(item, list | tuple) else isinstance(item, Mapping) or hasattr(item, "shape")
        for item in value
    )


def spelled(path: Path) -> str:
    """Return a path as a user would write it: ``outputs.action``, ``[2]``; ``the tensor`` for the nest itself."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".") or "the tensor"


def as_array(value: Any, name: str) -> Array:
    """Return a tensor as a NumPy array of its own dtype; a torch tensor without copying where it is on the CPU.

    Raises:
        UsageError: ``value`` is no tensor of numbers, or a masked array, whose mask would be lost.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise UsageError(f"{name} is a masked array", remedy="fill it: what is masked can be no evidence")
    if type(value).__module__.split(".")[0] == "torch" and hasattr(value, "detach"):
        return _from_torch(value, name)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} cannot be read as a tensor: {error}", expected="an array of numbers") from error
    if array.dtype == object:
        raise UsageError(f"{name} holds {type(value).__name__}", expected="an array of numbers")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _from_torch(value: Any, name: str) -> Array:
    try:
        tensor = value.detach().cpu().resolve_conj().resolve_neg()
        if str(tensor.dtype) != "torch.bfloat16":
            return np.asarray(tensor.numpy())
        import ml_dtypes
        import torch

        return np.asarray(tensor.contiguous().view(torch.int16).numpy()).view(ml_dtypes.bfloat16)
    except (TypeError, RuntimeError, NotImplementedError) as error:
        kind = f"{value.layout}, {value.dtype}"
        raise UsageError(f"{name} is a torch tensor that NumPy cannot hold ({kind})", expected="a dense one") from error


def is_plain(value: Any) -> bool:
    """Whether a tensor was written as Python numbers, which have no dtype of their own."""
    return isinstance(value, bool | int | float | list | tuple)
