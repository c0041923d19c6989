"""The limits that a diff must keep: derived from the floor and the precision class, or set by the user.

Derived limits, per action dimension (measured on real pairs, see `docs/budgets.md`):

- float32: 32 × floor of that case and dimension;
- float16: 32 u = 1.6e-2 of the dimension's scale, u = 2⁻¹¹;
- bfloat16: 16 u = 6.2e-2 of the dimension's scale, u = 2⁻⁸;
- int8: judged on pooled cases only, RMS(Δ) / RMS(reference) ≤ 0.10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from parity.errors import UsageError

if TYPE_CHECKING:
    from parity.tensor import Array

Precision = Literal["float32", "float16", "bfloat16", "int8"]
CLASSES: tuple[Precision, ...] = ("float32", "float16", "bfloat16", "int8")  # from fine to coarse

FLOORS_ALLOWED = 32.0
SHARE_OF_SCALE: Mapping[str, float] = {"float16": 32 * 2.0**-11, "bfloat16": 16 * 2.0**-8}
INT8_RMS_RATIO = 0.10
INT8_DIMENSION = 2.0**-0.5  # RMS(Δ) / RMS(reference) of one dimension: half its power; right ≤ 0.13, a flipped sign 2
INT8_FAINT = 1e-3  # of the largest dimension's RMS: what is fainter drowns in the others' quantization
INFORMATIVE = 4.0  # a dimension says something when the reference's range exceeds this many limits


def coarser(found: str | None, declared: str | None) -> bool:
    """Whether class ``found`` is coarser than class ``declared``. Unknown classes are not."""
    order: dict[str, int] = {"float64": -1}
    order.update({name: i for i, name in enumerate(CLASSES)})
    if found is None or declared is None or found not in order or declared not in order:
        return False
    return order[found] > order[declared]


def derived_limit(precision: str, floor: Array, scale: Array) -> Array | None:
    """Return the limit on |Δ| per action dimension, ``(D,)``; None where the class is judged on pooled cases (int8).

    Raises:
        UsageError: no such precision class.
    """
    if precision in ("float32", "float64"):
        limit: Array = FLOORS_ALLOWED * floor
        return limit
    if precision in SHARE_OF_SCALE:
        coarse: Array = np.maximum(SHARE_OF_SCALE[precision] * scale, FLOORS_ALLOWED * floor)
        return coarse
    if precision == "int8":
        return None
    raise UsageError(f"no precision class called {precision!r}", expected=", ".join(CLASSES))


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits set by the user for one output. A field that is None is not judged.

    ``max_abs`` is a number or one per action dimension, in ``units`` where given; ``scale`` turns the graph's values
    into those units. ``allow_nan`` lets NaN match NaN and an infinity
    its like (never a number).
    """

    max_abs: float | tuple[float, ...] | None = None
    mean_abs: float | None = None
    rmse: float | None = None
    p99_abs: float | None = None
    rel: float | None = None
    max_ulp: int | None = None
    cosine_min: float | None = None
    allow_nan: bool = False
    units: str | None = None
    scale: tuple[float, ...] | None = None

    @property
    def judged(self) -> tuple[str, ...]:
        """Names of the metrics that this budget limits."""
        aside = {"allow_nan", "units", "scale"}
        return tuple(f.name for f in fields(self) if f.name not in aside and getattr(self, f.name) is not None)

    def limit(self, dimensions: int) -> Array | None:
        """Return ``max_abs`` per action dimension, ``(D,)``, or None where it is not limited.

        Raises:
            UsageError: the list has another length than the output has action dimensions.
        """
        if self.max_abs is None:
            return None
        if isinstance(self.max_abs, tuple) and len(self.max_abs) != dimensions:
            raise UsageError(
                f"budget max_abs has {len(self.max_abs)} numbers, but the output has {dimensions} action dimensions",
                remedy="give one number for all, or one for each",
            )
        return np.broadcast_to(np.asarray(self.max_abs, dtype=np.float64), (dimensions,))

    def gain(self, dimensions: int) -> Array:
        """Return ``scale`` per action dimension, ``(D,)``; ones where it is absent.

        Raises:
            UsageError: the list has another length than the output has action dimensions.
        """
        if self.scale is None:
            return np.ones(dimensions)
        if len(self.scale) not in (1, dimensions):
            raise UsageError(f"budget scale has {len(self.scale)} numbers, the output {dimensions} action dimensions")
        return np.broadcast_to(np.abs(np.asarray(self.scale, dtype=np.float64)), (dimensions,))

    def as_json(self) -> dict[str, Any]:
        """Return the fields that are set."""
        out = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) not in (None, False)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in out.items()}


def over(budget: Budget, metrics: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each scalar limit of ``budget`` that ``metrics`` (a comparison's fields) breaks.

    A metric that is undefined (None) or not a number breaks its limit: what cannot be shown is not passed.
    ``max_abs`` is judged per action dimension elsewhere.
    """
    broken = []
    for name in budget.judged:
        if name == "max_abs":
            continue
        limit, value = getattr(budget, name), metrics.get(name)
        number = _number(value)
        good = number is not None and (number >= limit if name == "cosine_min" else number <= limit)
        if not good:
            sign = "<" if name == "cosine_min" else ">"
            broken.append(f"{name} {value if number is None else f'{number:.3g}'} {sign} {limit:g}")
    return broken


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return None if np.isnan(value) else float(value)


def rms_ratio(square_difference: Sequence[float], square_reference: Sequence[float]) -> float:
    """Return RMS(Δ) / RMS(reference) over pooled cases, from their sums of squares; inf where the reference is zero."""
    difference, reference = float(np.sum(square_difference)), float(np.sum(square_reference))
    if reference == 0.0:
        return 0.0 if difference == 0.0 else float("inf")
    return float(np.sqrt(difference / reference))
