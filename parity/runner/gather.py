"""Joins the outputs of single cases into blocks, as a `RunResult` holds them, and compares two runs of a case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parity.tensor import Array

_STACKED = 64 << 20  # bytes; what is larger stays a list, so that mapped outputs are not read


def joined(rows: Sequence[Mapping[str, Array]]) -> dict[str, Array | list[Array]]:
    """Return the rows' outputs by name: stacked ``(N, B, ...)``, or a list where shapes differ or the whole is large.

    An output that some row lacks is left out for all: a block holds the same outputs for every case.
    """
    import numpy as np

    outputs: dict[str, Array | list[Array]] = {}
    names = [n for n in rows[0] if all(n in r for r in rows)] if rows else []
    for name in names:
        arrays = [r[name] for r in rows]
        same = all(a.shape == arrays[0].shape and a.dtype == arrays[0].dtype for a in arrays)
        outputs[name] = np.stack(arrays) if same and sum(a.nbytes for a in arrays) <= _STACKED else arrays
    return outputs


def differences(
    first: Mapping[str, Array | list[Array]], second: Mapping[str, Array | list[Array]]
) -> dict[str, float]:
    """Return the largest difference of each output that changed between two runs; infinite for shape, NaN, absence."""
    import numpy as np

    found: dict[str, float] = {}
    for name in [*first, *(n for n in second if n not in first)]:
        a, b = first.get(name), second.get(name)
        if a is None or b is None or len(a) != len(b):
            found[name] = float("inf")
            continue
        for x, y in zip(a, b, strict=True):
            if x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes():
                continue
            gap = float("inf")
            if x.shape == y.shape:
                with np.errstate(all="ignore"):
                    p, q = x.astype(np.float64), y.astype(np.float64)
                    delta = np.where((p == q) | (np.isnan(p) & np.isnan(q)), 0.0, np.abs(p - q))
                gap = float(np.where(np.isnan(delta), np.inf, delta).max(initial=0.0))
            if gap > 0:
                found[name] = max(gap, found.get(name, 0.0))
    return found
