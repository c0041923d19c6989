"""What an adapter does to arrays, along their last axis: join parts, reorder, change the element type. Strictly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from parity.contract.adapter_table import Constant, Part, nearest
from parity.errors import UsageError
from parity.tensor import Array, TensorSpec


class Used:
    """Which elements of the last axis of each source tensor were used."""

    def __init__(self, arrays: Mapping[str, Array], what: str) -> None:
        self._sizes = {name: a.shape[-1] if a.ndim else 1 for name, a in arrays.items()}
        self._spans: dict[str, list[tuple[int, int]]] = {name: [] for name in arrays}
        self._what = what

    def whole(self, name: str) -> None:
        """Mark all of a tensor as used."""
        self._spans[name].append((0, self._sizes[name]))

    def touched(self, name: str) -> bool:
        """Whether any element of the tensor was used."""
        return bool(self._spans[name])

    def part(self, where: str, part: Part) -> slice:
        """Mark a part as used and return its slice.

        Raises:
            UsageError: no such tensor, or elements that it does not have.
        """
        if part.name not in self._sizes:
            raise UsageError(
                f"adapter: {where}: no tensor {part.name!r} among {self._what}{nearest(part.name, self._sizes)}",
                expected=", ".join(self._sizes) or "none",
            )
        size = self._sizes[part.name]
        start, stop = part.start or 0, size if part.stop is None else part.stop
        if not (start < stop <= size or part.start is None):
            raise UsageError(f"adapter: {where}: {part} is out of range: {part.name!r} has {size} elements")
        self._spans[part.name].append((start, stop))
        return slice(start, stop)

    def check(self, unused: Sequence[Part]) -> None:
        """Raise `UsageError` where elements are left over that are not listed as unused."""
        for part in unused:
            if part.name in self._sizes:
                self.part("unused", part)
        for name, spans in self._spans.items():
            reached = 0
            for start, stop in sorted(spans):
                if start > reached:
                    break
                reached = max(reached, stop)
            if reached < self._sizes[name]:
                later = [start for start, _ in spans if start > reached]
                left = f"{name}[{reached}:{min(later, default=self._sizes[name])}]"
                raise UsageError(
                    f"adapter: nothing uses {left} of {self._what}",
                    remedy=f'use it, or say that it is meant: unused = ["{left}"]',
                )


def assemble(where: str, parts: Sequence[Part], arrays: Mapping[str, Array], used: Used) -> Array:
    """Return the parts one after the other along the last axis."""
    import numpy as np

    pieces: list[Array] = []
    for part in parts:
        span = used.part(where, part)
        array = arrays[part.name]
        if array.ndim == 0:
            raise UsageError(f"adapter: {where}: {part.name!r} is a single number, with no axis to join along")
        pieces.append(array[..., span])
    first = pieces[0]
    for part, piece in zip(parts, pieces, strict=True):
        if piece.shape[:-1] != first.shape[:-1] or piece.dtype != first.dtype:
            raise UsageError(
                f"adapter: {where}: {part} is {piece.dtype} {piece.shape}, "
                f"{parts[0]} is {first.dtype} {first.shape}: only the last axis may differ"
            )
    return first if len(pieces) == 1 else np.concatenate(pieces, axis=-1)


def permuted(name: str, array: Array, order: tuple[int, ...]) -> Array:
    if array.ndim == 0 or array.shape[-1] != len(order):
        raise UsageError(
            f"adapter: permute.{name}: {len(order)} indices for a last axis of {array.shape[-1] if array.ndim else 0}"
        )
    return array[..., list(order)]


def cast(name: str, array: Array, dtype: str | None) -> Array:
    """Return the array in the element type that the candidate takes; integers must keep their values."""
    import numpy as np

    if dtype is None or array.dtype == np.dtype(dtype):
        return array
    to = np.dtype(dtype)
    if array.dtype.kind == "f" and to.kind != "f":
        raise UsageError(f"adapter: cast.{name}: {array.dtype} to {dtype} would cut values off")
    with np.errstate(over="ignore"):  # what the candidate cannot represent it gets as Inf, and is judged by it
        made = array.astype(to)
    if array.dtype.kind != "f" and not np.array_equal(made.astype(array.dtype), array):
        raise UsageError(f"adapter: cast.{name}: values of {array.dtype} do not fit {dtype}")
    return made


def filled(name: str, constant: Constant, spec: TensorSpec | None, lead: tuple[int, ...]) -> Array:
    """Return a constant input behind the leading axes ``lead``; its shape and type from the table, else ``spec``."""
    import numpy as np

    value = np.asarray(constant.value)
    shape = constant.shape if constant.shape is not None else _own_shape(spec)
    if value.ndim and shape is not None and value.shape != shape:
        raise UsageError(f"adapter: the constant {name!r} has shape {value.shape}, declared is {shape}")
    shape = value.shape if value.ndim else shape
    if shape is None:
        raise UsageError(
            f"adapter: the shape of the constant {name!r} is not known",
            remedy=f"write what follows the batch axis: {name} = {{value = {constant.value}, shape = [3]}}",
        )
    dtype = constant.dtype or (spec.dtype if spec is not None else None) or str(value.dtype)
    made = value.astype(dtype)
    if made.dtype.kind != "f" and not np.array_equal(made.astype(value.dtype), value):
        raise UsageError(f"adapter: the constant {name!r} is {constant.value!r}, which does not fit {dtype}")
    return np.ascontiguousarray(np.broadcast_to(made, (*lead, *shape)))


def _own_shape(spec: TensorSpec | None) -> tuple[int, ...] | None:
    """Return the spec's shape after the batch axis, if it is known in numbers."""
    if spec is None or spec.shape is None:
        return None
    dims = spec.shape[1:] if spec.batched else spec.shape
    known = tuple(d for d in dims if isinstance(d, int))
    return known if len(known) == len(dims) else None
