"""What all formulas share: the statistics that a mode needs, checked, and what may be normalized with them."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.errors import ArtifactError, UsageError
from parity.stats.model import FeatureStats

if TYPE_CHECKING:
    from parity.tensor import Array

ENDS = {"MIN_MAX": ("min", "max"), "QUANTILES": ("q01", "q99"), "QUANTILE10": ("q10", "q90")}


def check_mode(mode: str, modes: Collection[str], framework: str, feature: str) -> None:
    """Refuse a mode that the framework does not have.

    Raises:
        UsageError: it has no such mode.
    """
    if mode not in modes:
        raise UsageError(
            f"{feature}: {framework} has no normalization mode {mode!r}", expected=", ".join(sorted(modes))
        )


def check_float(x: Array, feature: str) -> None:
    """Refuse integers: torch would cast the statistics to the data's dtype, and truncate them.

    Raises:
        ArtifactError: the data are not floating-point numbers.
    """
    if x.dtype.kind != "f" and x.dtype.name != "bfloat16":
        raise ArtifactError(
            f"{feature}: values of dtype {x.dtype} cannot be normalized",
            expected="floating-point numbers",
            remedy="convert them as the policy's own pre-processing does (images: divided by 255)",
        )


def take(stats: FeatureStats, name: str, dtype: Any) -> Array:
    """Return one statistic of a feature in ``dtype``.

    Raises:
        ArtifactError: it is missing or not finite.
    """
    if name not in stats.values:
        have = ", ".join(stats.values) or "nothing"
        raise ArtifactError(
            f"{stats.name}: its normalization needs {name}, and there is none (there is: {have})",
            remedy="take the statistics of the run that trained the policy, or the mode that it was trained with",
        )
    with np.errstate(over="ignore"):
        value = np.asarray(stats.values[name]).astype(dtype)
    if not np.isfinite(value).all():
        bad = int(np.count_nonzero(~np.isfinite(value)))
        raise ArtifactError(
            f"{stats.name}: {name} holds {bad} values that are not finite: they were never filled in, or are corrupt",
            remedy="take the statistics from the checkpoint that was trained",
        )
    return value


def taken(x: Array, stats: FeatureStats, names: Collection[str], dtype: Any) -> list[Array]:
    """Return the statistics called ``names`` in ``dtype``, each of a shape that fits ``x`` without spreading it.

    Raises:
        ArtifactError: one is missing, not finite, or of another shape than the data.
    """
    found = [take(stats, name, dtype) for name in names]
    for name, value in zip(names, found, strict=True):
        check_shape(x, value, f"{stats.name}: {name}")
    return found


def check_shape(x: Array, value: Array, what: str) -> None:
    """Refuse a statistic that does not fit the trailing axes of the data, each of them equal to it or spread over.

    Raises:
        ArtifactError: it does not, or the result would be larger than the data.
    """
    trailing = x.shape[x.ndim - value.ndim :] if value.ndim <= x.ndim else None
    if trailing is None or any(v not in (1, t) for v, t in zip(value.shape, trailing, strict=True)):
        raise ArtifactError(
            f"{what} has shape {tuple(value.shape)}, which does not fit data of shape {tuple(x.shape)}",
            expected="a value for each element of the last axis (or for each channel, as (C, 1, 1))",
            remedy="check that the statistics belong to this feature",
        )


def number(value: float, dtype: Any) -> Array:
    """Return a number in ``dtype``, so that it does not widen what it is combined with."""
    return np.asarray(value, dtype=dtype)


def with_nan(x: Array, result: Array) -> Array:
    """Return ``result`` with NaN where ``x``, of the same shape and dtype, has it: no formula makes a number of it."""
    return np.where(np.isnan(x), x, result)


def no_loss(stats: FeatureStats, name: str) -> Array:
    """Return zeros in the shape of one statistic."""
    return np.zeros(np.shape(stats.values.get(name, 0.0)))
