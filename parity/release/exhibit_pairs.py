"""One comparison's outputs as ``(M, T, D)`` arrays in the units of its limits, with what of them was judged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from parity.compare.floors import TINY, floor_of
from parity.release.measure import Evidence
from parity.tensor import Array

LARGEST = 1 << 22  # elements of one output in one case; a larger one is not shown


@dataclass(frozen=True, slots=True)
class Pair:
    """The outputs of one comparison as float64 ``(M, T, D)``: D the last axis, T the one before it, M all others.

    ``limit`` and ``floor`` are ``(D,)``, above 0; ``limit`` is None where single elements are not limited. ``kept``
    ``(M, T, D)`` marks the elements that are judged, all where it is None. ``passed`` says whether the comparison did.
    """

    reference: Array
    candidate: Array
    limit: Array | None
    floor: Array
    kept: Array | None
    passed: bool

    @property
    def steps(self) -> int:
        return int(self.reference.shape[1])

    @property
    def dimensions(self) -> int:
        return int(self.reference.shape[2])

    @property
    def finite(self) -> bool:
        """Whether every number on both sides is finite."""
        return bool(np.isfinite(self.reference).all() and np.isfinite(self.candidate).all())

    def gap(self) -> Array:
        """Return |Δ|, ``(M, T, D)``: NaN where one side is not finite, -inf where that was allowed to match."""
        with np.errstate(invalid="ignore", over="ignore"):
            gap: Array = np.abs(self.candidate - self.reference)
        finite = np.isfinite(self.reference) & np.isfinite(self.candidate)
        if not finite.all():
            gap = np.where(finite, gap, -np.inf if self.passed else np.nan)
        return gap


def pair_of(evidence: Evidence, row: Mapping[str, Any]) -> Pair | None:
    """Return the outputs of a judged comparison; None where there are none of the same shape, or they are too large.

    Raises:
        ParityError: a trace cannot be read.
    """
    if not row.get("floor"):
        return None
    reference = evidence.output("reference", row["case"], row["output"])
    candidate = evidence.output(row["candidate"], row["case"], row["output"])
    if reference is None or candidate is None or reference.shape != candidate.shape:
        return None
    size = math.prod(reference.shape)
    if not 0 < size <= LARGEST or reference.dtype.kind not in "fV" or candidate.dtype.kind not in "fV":
        return None
    shape = _shape(reference.shape)
    scale = np.asarray(row["budget"].get("scale") or [1.0], dtype=np.float64)
    read = (s.read(0, size).reshape(shape).astype(np.float64) for s in (reference, candidate))
    with np.errstate(over="ignore", invalid="ignore"):
        ref, cand = (values * scale for values in read)
    width = shape[2]
    return Pair(
        ref,
        cand,
        _limit(row, width),
        np.broadcast_to(np.abs(scale) * np.asarray(row["floor"]["total"], dtype=np.float64), (width,)),
        _kept(evidence, row, shape),
        row["verdict"] == "PASS",
    )


def _shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return (M, T, D) of a shape; T is 1 where there are fewer than three axes, D is 1 for a vector."""
    if len(shape) < 2:
        return math.prod(shape), 1, 1
    steps = shape[-2] if len(shape) > 2 else 1
    return math.prod(shape) // (steps * shape[-1]), steps, shape[-1]


def _limit(row: Mapping[str, Any], width: int) -> Array | None:
    if row.get("limit") is None:
        return None
    limit = np.maximum(np.asarray(row["limit"], dtype=np.float64), TINY)
    return np.broadcast_to(limit, (width,))


def _kept(evidence: Evidence, row: Mapping[str, Any], shape: tuple[int, int, int]) -> Array | None:
    """Return which elements were judged: where the reference is not stable, the derived limits judge nothing."""
    if not row["floor"]["unstable"] or row["budget"].get("source") == "parity.toml":
        return None
    scale = np.asarray(row["floor"]["scale"], dtype=np.float64)
    _, left_out = floor_of(scale, evidence.terms(row["case"], row["output"]), math.prod(shape))
    if left_out is None:
        return None
    kept: Array = ~left_out.reshape(shape)
    return kept


def number(value: float) -> Any:
    """Return a float as the report writes it: six significant digits, a string where it is not finite."""
    if math.isfinite(value):
        return float(f"{value:.6g}")
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
