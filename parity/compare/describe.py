"""The place of an element in the tensor's own terms: time step, action dimension, joint name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parity.tensor import Role

# How the trailing axes are called, last one last; axes before them count time steps, and observations before those.
TRAILING: dict[Role | None, tuple[str, ...]] = {
    None: ("action dimension",),
    "action": ("action dimension",),
    "state": ("state dimension",),
    "environment_state": ("state dimension",),
    "noise": ("noise dimension",),
    "image": ("channel", "row", "column"),
    "tokens": ("position",),
    "mask": ("position",),
    "timestep": ("element",),
    "hidden_state": ("layer", "batch", "unit"),
}
LEADING = ("observation", "time step")


def where(
    index: Sequence[int],
    shape: Sequence[int],
    role: Role | None = None,
    elements: Sequence[str] | None = None,
    batched: bool | None = True,
) -> str:
    """Return where ``index`` lies in a tensor of ``shape``, as ``time step 3, action dimension 5 (left_knee)``.

    Args:
        index: one number per axis, from 0.
        shape: sizes of the axes, ``(B, D)`` or ``(B, T, D)``; with ``batched=False``, ``(D,)`` or ``(T, D)``.
        role: what the tensor means; None reads as an action.
        elements: names of the last axis, used where there is one for each of its elements.
        batched: whether the first axis counts observations; None where that is not known. An axis of size 1 that
            comes before the last is left out.
    """
    if not shape:
        return "the only element"
    names = _axes(len(shape), TRAILING.get(role, TRAILING[None]), batched)
    if names is None:
        return f"index [{', '.join(map(str, index))}]" + _named(index, shape, elements)
    parts = [
        f"{name} {place}"
        for axis, (name, place, size) in enumerate(zip(names, index, shape, strict=True))
        if size > 1 or axis == len(shape) - 1
    ]
    return ", ".join(parts) + _named(index, shape, elements)


def _axes(rank: int, trailing: tuple[str, ...], batched: bool | None) -> tuple[str, ...] | None:
    """Return a name for each axis, or None where there are more axes than names."""
    if rank <= len(trailing):
        return trailing[len(trailing) - rank :]
    spare = rank - len(trailing)
    if spare == 1:
        leading: tuple[str, ...] = ("row",) if batched is None else (LEADING[0] if batched else LEADING[1],)
        return leading + trailing
    return LEADING + trailing if spare == 2 and batched is not False else None


def _named(index: Sequence[int], shape: Sequence[int], elements: Sequence[str] | None) -> str:
    """Return the name of the last index in brackets, if there is one name for each element of the last axis."""
    if elements is None or len(elements) != shape[-1]:
        return ""
    return f" ({elements[index[-1]]})"
