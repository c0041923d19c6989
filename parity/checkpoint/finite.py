"""Weights that are not numbers: NaN anywhere, or Inf where no mask is meant."""

from __future__ import annotations

from collections.abc import Iterable

from parity.checkpoint.weight import Weight
from parity.finding import Finding

BLOCK = 1 << 20
NAMED = 5


def not_finite(weights: Iterable[Weight]) -> list[tuple[str, int, int]]:
    """Return (name, NaNs, Infs) of each tensor that holds any. Attention masks (one finite value, and Inf) are none.

    Raises:
        ArtifactError: a tensor's bytes cannot be read.
    """
    found = []
    for weight in weights:
        if weight.dtype.startswith(("float16", "float32", "float64", "bfloat16")):
            nans, infs = _count(weight)
            if nans or infs:
                found.append((weight.name, nans, infs))
    return found


def _count(weight: Weight) -> tuple[int, int]:
    import numpy as np

    values = weight.array if weight.dtype != "bfloat16" else weight.as_float()
    flat = np.ascontiguousarray(values).reshape(-1)
    nans = infs = 0
    low, high = np.inf, -np.inf
    for i in range(0, flat.size, BLOCK):
        block = flat[i : i + BLOCK]
        finite = np.isfinite(block)
        if finite.all():
            low, high = min(low, float(block.min())), max(high, float(block.max()))
            continue
        nans += int(np.isnan(block).sum())
        infs += int(np.isinf(block).sum())
        if finite.any():
            low, high = min(low, float(block[finite].min())), max(high, float(block[finite].max()))
    if infs and not nans and low == high:
        return 0, 0
    return nans, infs


def finite_finding(weights: Iterable[Weight]) -> Finding | None:
    """Return a finding that names the tensors with NaN or Inf; None where there are none."""
    found = not_finite(weights)
    if not found:
        return None
    named = ", ".join(name for name, _, _ in found[:NAMED]) + (
        f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    )
    nans, infs = sum(n for _, n, _ in found), sum(i for _, _, i in found)
    counted = " and ".join(t for t in (f"{nans} NaN" if nans else "", f"{infs} Inf" if infs else "") if t)
    return Finding(
        "WEIGHT002",
        "error",
        f"Weights hold {counted}: {named}.",
        where=found[0][0],
        evidence={"tensors": [{"name": n, "nan": a, "inf": b} for n, a, b in found]},
        remedy="this training run diverged, or the file is corrupt: export from a healthy checkpoint",
    )
