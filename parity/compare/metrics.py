"""The diff: every metric of one tensor pair, in one streaming pass (and one or two more for the percentiles).

Let Δ = candidate - reference over the n elements that are finite on both sides, computed in float64 or wider:

    max_abs   max |Δ|                                  rel        max |Δ| / max |reference|; 0/0 is 0, x/0 Infinity
    mean_abs  Σ |Δ| / n                                max_rel    max |Δ|/|reference| where |reference| > 0
    rmse      √(Σ Δ² / n)                              mean_rel   its mean there; null where there is none
    p50_abs, p99_abs  percentiles of |Δ|, as `numpy.percentile`
    cosine_*  over the rows of the last axis: 1 where both rows are zero, 0 where one is; null for rows of one element
    max_ulp   units in the last place of the coarser dtype; null unless both are IEEE floats or bfloat16

The other elements are counted. NaN is a mismatch whatever the other side holds, NaN included. Infinity is a mismatch
unless the other side is the infinity of the same sign. Shapes never broadcast: where they differ, everything is null.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite, isnan
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.compare.moments import Moments
from parity.compare.shards import Pair, layout, thread_count
from parity.compare.streaming import Streaming
from parity.compare.ulp import coarser_dtype, dtype_name
from parity.errors import ParityError
from parity.tensor import ArraySource

if TYPE_CHECKING:
    from parity.tensor import Array, TensorSource

NUMERIC = "fiub"


@dataclass(frozen=True, slots=True)
class Diff:
    """The metrics of one tensor pair; the module's docstring defines each. None where a metric is undefined.

    Attributes:
        size: elements of the reference.
        compared: elements that are finite on both sides.
        nan_both: those of ``nan_mismatches`` that are NaN on both sides, which a budget may allow.
        inf_both: infinities of one sign on both sides: neither compared nor a mismatch.
        worst_index: place of the largest |Δ|; the first of several.
        worst_values: reference and candidate there.
        first_nonfinite: place of the first NaN or Inf mismatch.
        max_reference: largest |reference| over what was compared.
        dim_max_abs: ``(D,)``, over all but the last axis, as are all ``dim_*``; None where D is above 65,536.
        dim_ref_min: smallest compared value of the reference; NaN in a dimension where nothing was compared.
        dim_ref_max: largest.
        dim_sum_sq_diff: Σ Δ².
        dim_sum_sq_ref: Σ reference².
        dim_count: elements compared.
    """

    shape: tuple[int, ...]
    dtype: str
    candidate_shape: tuple[int, ...]
    candidate_dtype: str
    size: int
    compared: int = 0
    max_abs: float | None = None
    mean_abs: float | None = None
    rmse: float | None = None
    rel: float | None = None
    max_rel: float | None = None
    mean_rel: float | None = None
    p50_abs: float | None = None
    p99_abs: float | None = None
    cosine_min: float | None = None
    cosine_mean: float | None = None
    cosine_max: float | None = None
    max_ulp: int | None = None
    nan_mismatches: int = 0
    inf_mismatches: int = 0
    nan_both: int = 0
    inf_both: int = 0
    worst_index: tuple[int, ...] | None = None
    worst_values: tuple[float, float] | None = None
    first_nonfinite: tuple[int, ...] | None = None
    max_reference: float | None = None
    dim_max_abs: Array | None = field(default=None, compare=False, repr=False)
    dim_ref_min: Array | None = field(default=None, compare=False, repr=False)
    dim_ref_max: Array | None = field(default=None, compare=False, repr=False)
    dim_sum_sq_diff: Array | None = field(default=None, compare=False, repr=False)
    dim_sum_sq_ref: Array | None = field(default=None, compare=False, repr=False)
    dim_count: Array | None = field(default=None, compare=False, repr=False)

    @property
    def same_shape(self) -> bool:
        return self.shape == self.candidate_shape

    def as_json(self) -> dict[str, Any]:
        """Return the metric fields of the public JSON; numbers that are not finite as strings."""
        return {name: _plain(getattr(self, name)) for name in JSON_FIELDS}


JSON_FIELDS = (
    "shape", "dtype", "candidate_shape", "candidate_dtype", "size", "compared", "max_abs", "mean_abs", "rmse", "rel",
    "max_rel", "mean_rel", "p50_abs", "p99_abs", "cosine_min", "cosine_mean", "cosine_max", "max_ulp",
    "nan_mismatches", "inf_mismatches", "nan_both", "inf_both", "worst_index", "worst_values", "first_nonfinite",
)  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def diff(candidate: TensorSource | Array, reference: TensorSource | Array, *, percentiles: bool = True) -> Diff:
    """Return the metrics of ``candidate`` against ``reference``.

    Args:
        candidate: an array, or a source that is read in blocks; memory is constant.
        reference: the same; shapes never broadcast.
        percentiles: whether to find p50_abs and p99_abs, which takes further passes over large tensors.

    Raises:
        ParityError: a tensor does not hold real numbers.
        ArtifactError: a source is shorter than its shape says.
    """
    return measured(candidate, reference, percentiles=percentiles, threads=thread_count())


def measured(
    candidate: TensorSource | Array, reference: TensorSource | Array, *, percentiles: bool, threads: int
) -> Diff:
    """As `diff`, with a number of threads; which number never changes the result."""
    a, b = (ArraySource(s) if isinstance(s, np.ndarray) else s for s in (candidate, reference))
    for source, side in ((a, "candidate"), (b, "reference")):
        _check_numeric(source.dtype, side)
    cuts = layout(tuple(b.shape))
    shape = tuple(b.shape)
    header: dict[str, Any] = {
        "shape": shape,
        "dtype": dtype_name(b.dtype),
        "candidate_shape": tuple(a.shape),
        "candidate_dtype": dtype_name(a.dtype),
        "size": cuts.size,
    }
    if shape != tuple(a.shape) or cuts.size == 0:
        return Diff(**header)
    passes = Streaming(Pair(a, b), cuts, coarser_dtype(a.dtype, b.dtype), threads)
    with np.errstate(all="ignore"):
        moments = passes.moments(percentiles=percentiles)
        found = header | _counts(moments, shape) | _dimensions(moments)
        if moments.compared == 0:
            return Diff(**found)
        found |= _scalars(moments)
        if percentiles:
            found["p50_abs"], found["p99_abs"] = passes.percentiles(moments)
        index, expected, actual = passes.worst(moments)
    return Diff(**found, worst_index=_place(index, shape), worst_values=(_number(expected), _number(actual)))


def _counts(moments: Moments, shape: tuple[int, ...]) -> dict[str, Any]:
    holes = moments.holes
    return {
        "compared": moments.compared,
        "nan_mismatches": holes.nan,
        "inf_mismatches": holes.inf,
        "nan_both": holes.nan_both,
        "inf_both": holes.inf_both,
        "first_nonfinite": None if holes.first is None else _place(holes.first, shape),
    }


def _scalars(moments: Moments) -> dict[str, Any]:
    n, rows, related = moments.compared, moments.cosine_count, moments.count_rel
    worst = float(moments.max_abs)
    if moments.max_reference > 0:
        rel = float(moments.max_abs / moments.max_reference)
    else:
        rel = 0.0 if worst == 0 else float("inf")
    return {
        "max_abs": worst,
        "mean_abs": float(moments.sum_abs / n),
        "rmse": float(np.sqrt(moments.sum_square / n)),
        "rel": rel,
        "max_reference": float(moments.max_reference),
        "max_rel": float(moments.max_rel) if related else None,
        "mean_rel": float(moments.sum_rel / related) if related else None,
        "cosine_min": moments.cosine_min if rows else None,
        "cosine_mean": moments.cosine_sum / rows if rows else None,
        "cosine_max": moments.cosine_max if rows else None,
        "max_ulp": moments.max_ulp,
    }


def _dimensions(moments: Moments) -> dict[str, Any]:
    dims = moments.dims
    if dims is None:
        return {}
    some = dims.count > 0
    return {
        "dim_max_abs": dims.max_abs.astype(np.float64),
        "dim_ref_min": np.where(some, dims.low, np.nan).astype(np.float64),
        "dim_ref_max": np.where(some, dims.high, np.nan).astype(np.float64),
        "dim_sum_sq_diff": dims.sum_square_gap.astype(np.float64),
        "dim_sum_sq_ref": dims.sum_square_reference.astype(np.float64),
        "dim_count": dims.count,
    }


def _place(index: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(index, shape))


def _number(value: Any) -> float:
    return int(value) if value.dtype.kind in "iub" else float(value)


def _check_numeric(dtype: np.dtype[Any], side: str) -> None:
    extension = dtype.kind == "V" and dtype.names is None and dtype.type is not np.void  # bfloat16, float8, int4
    if dtype.kind not in NUMERIC and not extension:
        raise ParityError(f"the {side}'s tensor holds {dtype}", expected="real numbers, integers or booleans")
