"""Weights in another float type: what rounding does to them is measured, and what would be lost is refused.

Rounding is to nearest, ties to even; float64 becomes bfloat16 by way of float32, as in torch. A normalizer's statistics
and integers keep their type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from parity.checkpoint.weight import Weight
from parity.finding import Finding

if TYPE_CHECKING:
    from parity.tensor import Array

FLOATS = ("float64", "float32", "float16", "bfloat16")
BLOCK = 1 << 20  # elements that are looked at together
CAST, OVERFLOW, UNDERFLOW = "CONVERT004", "CONVERT005", "CONVERT006"


def target_dtype(weight: Weight, asked: str | None) -> str:
    """Return the type that a weight is written in."""
    return asked if asked and weight.dtype in FLOATS and not weight.statistics else weight.dtype


def cast(weight: Weight, dtype: str) -> Array:
    """Return the values in ``dtype``; bfloat16 as its raw ``uint16`` bits."""
    import numpy as np

    if dtype == weight.dtype:
        return weight.array
    values = weight.as_float()
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return _to_bfloat16(values) if dtype == "bfloat16" else values.astype(dtype)


def _to_bfloat16(values: Array) -> Array:
    import ml_dtypes
    import numpy as np

    rounded: Array = values.astype(ml_dtypes.bfloat16).view(np.uint16)
    return rounded


@dataclass(slots=True)
class Rounding:
    """What a cast did, collected over all weights."""

    asked: str
    largest: float = 0.0  # |change| / |value|
    tensor: str = ""
    overflown: list[str] = field(default_factory=list)
    vanished: dict[str, int] = field(default_factory=dict)

    def see(self, name: str, weight: Weight, written: Array, dtype: str) -> None:
        """Count what writing a weight in ``dtype`` changed."""
        import numpy as np

        if dtype == weight.dtype or weight.size == 0:
            return
        before = weight.as_float().reshape(-1)
        after = Weight(name, weight.shape, dtype, lambda: written).as_float().reshape(-1)
        for at in range(0, before.size, BLOCK):
            self._block(name, before[at : at + BLOCK].astype(np.float64), after[at : at + BLOCK].astype(np.float64))

    def _block(self, name: str, before: Array, after: Array) -> None:
        import numpy as np

        finite = np.isfinite(before)
        if bool((finite & ~np.isfinite(after)).any()) and name not in self.overflown:
            self.overflown.append(name)
        lost = int(((before != 0) & (after == 0)).sum())
        if lost:
            self.vanished[name] = self.vanished.get(name, 0) + lost
        usual = finite & np.isfinite(after) & (before != 0) & (after != 0)
        if usual.any():
            change = float((np.abs(after - before)[usual] / np.abs(before)[usual]).max())
            if change > self.largest:
                self.largest, self.tensor = change, name

    def findings(self, where: str) -> list[Finding]:
        """Return what the cast changed."""
        found = [
            Finding(
                CAST,
                "info",
                f"written as {self.asked}: the largest change is {self.largest:.2g} of a value",
                where=self.tensor or where,
                evidence={"dtype": self.asked, "largest_relative_change": self.largest},
            )
        ]
        if self.overflown:
            found.append(_overflow(self.asked, self.overflown))
        if self.vanished:
            found.append(_underflow(self.asked, self.vanished))
        return found


def _overflow(dtype: str, names: list[str]) -> Finding:
    return Finding(
        OVERFLOW,
        "error",
        f"{len(names)} tensors hold values that {dtype} cannot: they would become infinite",
        where=names[0],
        evidence={"tensors": names[:20]},
        remedy="convert to a type with a larger range (bfloat16, float32)",
    )


def _underflow(dtype: str, lost: Mapping[str, int]) -> Finding:
    return Finding(
        UNDERFLOW,
        "warning",
        f"{sum(lost.values())} values in {len(lost)} tensors are too small for {dtype} and became 0",
        where=next(iter(lost)),
        evidence={"tensors": dict(list(lost.items())[:20])},
        remedy="compare the converted policy before it ships",
    )
