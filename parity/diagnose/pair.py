"""The outputs of reference and candidate, prepared for fitting: aligned, finite, in known units, with a noise level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from parity.compare.budget import FLOORS_ALLOWED
from parity.compare.floors import ROUNDING, TINY

if TYPE_CHECKING:
    from parity.tensor import Array

MIN_CASES = 3  # fewer cannot tell one fault from another
MIN_RECORDED_STEPS = 8  # of a single recording (T, D)
MAX_DIMENSIONS = 1024  # the assignment search is cubic; longer axes are feature maps, not joints
MAX_ELEMENTS = 1 << 22  # cases beyond this are thinned: more of them change no fit
NOISE_FLOORS = 8.0  # right pairs were measured to stay within 8.3 floors


@dataclass(frozen=True, slots=True)
class Pair:
    """Reference and candidate, ``(N, T, D)`` float64, finite: N cases, T time steps (1 where none), D dimensions.

    Attributes:
        unit: ``(D,)`` what a difference is measured in: the reference's standard deviation in that dimension.
        noise: ``(D,)`` the root mean square that rounding alone may cause.
        differs: ``(D,)`` whether the dimension differs by more than rounding.
        still: ``(D,)`` whether the dimension is constant on both sides, so that it is one number and no evidence.
        names: how each dimension is called in sentences, such as ``joint 3 (left_knee)``.
        noun: ``joint``, or what else a dimension is.
        note: what was left out, as the end of a sentence; empty where nothing was.
    """

    reference: Array
    candidate: Array
    unit: Array
    noise: Array
    differs: Array
    still: Array
    names: tuple[str, ...]
    noun: str
    note: str

    @property
    def evidence(self) -> int:
        """How many independent observations there are: cases, or the steps of a single recording."""
        return int(self.reference.shape[0]) if self.reference.shape[0] > 1 else self.steps

    @property
    def steps(self) -> int:
        return int(self.reference.shape[1])


def prepare(
    reference: Array,
    candidate: Array,
    *,
    floor: Array | None = None,
    elements: Sequence[str] | None = None,
    chunked: bool = False,
    noun: str = "joint",
) -> Pair | None:
    """Return the pair ready for fitting; None where no fit could mean anything.

    None: different shapes, not numbers, fewer than `MIN_CASES` finite cases, more than `MAX_DIMENSIONS` dimensions,
    or nothing differs by more than rounding. Cases with a NaN or infinity on either side are left out and counted.
    """
    if reference.shape != candidate.shape or not (_numeric(reference) and _numeric(candidate)) or not reference.size:
        return None
    ref, cand = as_cases(reference, chunked), as_cases(candidate, chunked)
    if ref.shape[2] > MAX_DIMENSIONS:
        return None
    finite = np.asarray(np.isfinite(ref).all(axis=(1, 2)) & np.isfinite(cand).all(axis=(1, 2)))
    ref, cand = _thin(ref[finite].astype(np.float64), cand[finite].astype(np.float64))
    recording = chunked and reference.ndim == 2 and len(ref) == 1 and ref.shape[1] >= MIN_RECORDED_STEPS
    if len(ref) < MIN_CASES and not recording:
        return None
    dims = ref.shape[2]
    rounding = np.maximum(ROUNDING * np.abs(ref).max(axis=(0, 1)), TINY)
    given = rounding if floor is None else np.maximum(rounding, np.broadcast_to(floor, (dims,)))
    limit = FLOORS_ALLOWED * given
    differs = np.abs(ref - cand).max(axis=(0, 1)) > limit
    if not differs.any():
        return None
    left_out = int((~finite).sum())
    return Pair(
        reference=ref,
        candidate=cand,
        unit=_units(ref, limit),
        noise=NOISE_FLOORS * given,
        differs=differs,
        still=(np.ptp(ref, axis=(0, 1)) <= limit) & (np.ptp(cand, axis=(0, 1)) <= limit),
        names=element_names(dims, elements, noun),
        noun=noun,
        note=f" ({left_out} of {len(finite)} cases hold NaN or Inf and were left out)" if left_out else "",
    )


def as_cases(values: Array, chunked: bool) -> Array:
    """Return ``(..., T, D)`` (chunked) or ``(N, ..., D)`` as ``(N, T, D)``. A chunked ``(T, D)`` is one recording."""
    if values.ndim < 2 or not values.size:
        return values.reshape(values.size, 1, 1)
    if chunked:
        return values.reshape(-1, values.shape[-2], values.shape[-1])
    return values.reshape(values.shape[0], -1, values.shape[-1])


def element_names(dims: int, elements: Sequence[str] | None, noun: str) -> tuple[str, ...]:
    """Return ``joint 3 (left_knee)`` for each dimension, or ``joint 3`` where no names are known."""
    if elements is None or len(elements) != dims:
        return tuple(f"{noun} {i}" for i in range(dims))
    return tuple(f"{noun} {i} ({name})" for i, name in enumerate(elements))


def _numeric(values: Array) -> bool:
    return values.dtype.kind in "fiu" and values.ndim >= 1


def _thin(ref: Array, cand: Array) -> tuple[Array, Array]:
    step = max(1, ref.size // MAX_ELEMENTS)
    return ref[::step], cand[::step]


def _units(ref: Array, limit: Array) -> Array:
    """The reference's spread per dimension; a dimension that does not move is measured in the others' spread."""
    spread = ref.std(axis=(0, 1))
    moving = spread > limit
    pooled = np.sqrt(np.mean(spread[moving] ** 2)) if moving.any() else 1.0
    units: Array = np.where(moving, spread, pooled)
    return units
